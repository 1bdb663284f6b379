/** What a socket of the gateway's own hears of a packet that was not sent: errors as of sendmsg(2), or as of the ICMP error that it would have got. */
import { Drop } from './drop.js'
import type { RejectKind } from './policy/model.js'

/** By drop code; of others the sender hears nothing. */
const ERRNOS: ReadonlyMap<number, number> = new Map([
  [Drop['no-route'], 101], [Drop['route-unreachable'], 113], [Drop['route-prohibited'], 13], [Drop['route-blackhole'], 22],
  [Drop['no-address'], 99], [Drop['invalid-destination'], 13], [Drop['next-hop-unresolved'], 113], [Drop['too-big'], 90], [Drop['rule'], 1],
])

/** By how a rule rejects it. */
const REJECTION_ERRNOS: Readonly<Record<RejectKind, number>> = {
  'icmp-net-unreachable': 101, 'icmp-host-unreachable': 113, 'icmp-port-unreachable': 111, 'icmp-proto-unreachable': 92,
  'icmp-net-prohibited': 101, 'icmp-host-prohibited': 113, 'icmp-admin-prohibited': 113, 'tcp-reset': 111,
}

/** A positive errno, or 0: the sender hears nothing. @param rejection how a rule rejected it, if one did */
export const errnoOf = (drop: number, rejection: RejectKind): number => (drop === Drop['rule-rejected'] ? REJECTION_ERRNOS[rejection] : (ERRNOS.get(drop) ?? 0))
