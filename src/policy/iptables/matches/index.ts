/** All matches, by the word after `-m`. */
import type { Match, MatchName } from '../../model.js'
import type { MatchExtension } from '../extension.js'
import { addrtype } from './addrtype.js'
import { comment } from './comment.js'
import { connlimit } from './connlimit.js'
import { conntrack, state } from './conntrack.js'
import { hashlimit } from './hashlimit.js'
import { dscp, length, tcpmss, ttl } from './header.js'
import { icmp } from './icmp.js'
import { iprange } from './iprange.js'
import { limit } from './limit.js'
import { connmark, mark } from './mark.js'
import { multiport } from './multiport.js'
import { set } from './set.js'
import { socket } from './socket.js'
import { statistic } from './statistic.js'
import { tcp } from './tcp.js'
import { time } from './time.js'
import { tos } from './tos.js'
import { udp } from './udp.js'

const MATCHES: Readonly<{ [Name in MatchName]: MatchExtension<Name> }> = {
  addrtype, comment, conntrack, connlimit, connmark, dscp, hashlimit, icmp, iprange, length, limit, mark, multiport, set, socket, state,
  statistic, tcp, tcpmss, time, tos, ttl, udp,
}

export const MATCH_NAMES: readonly string[] = Object.keys(MATCHES)

const isMatchName = (name: string): name is MatchName => Object.hasOwn(MATCHES, name)

/** What `-m name` brings; undefined when there is no such match. */
export const matchNamed = (name: string): MatchExtension | undefined => (isMatchName(name) ? (MATCHES[name] as MatchExtension) : undefined)

export const extensionOf = (match: Match): MatchExtension => MATCHES[match.module] as MatchExtension

/** The match that a protocol brings without `-m`: `-p tcp --dport 80`. */
export const matchOfProtocol = (protocol: number): MatchExtension | undefined =>
  ({ 1: icmp, 6: tcp, 17: udp } as Readonly<Record<number, MatchExtension>>)[protocol]
