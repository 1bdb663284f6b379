/** Asks a neighbour for its Ethernet address (RFC 826). */
import { probeFilter } from '../../stack/device/filter.js'
import * as arp from '../../stack/wire/arp.js'
import { formatIpv4 } from '../../stack/wire/address.js'
import type { Mac } from '../../stack/wire/address.js'
import { TYPE_ARP } from '../../stack/wire/ethernet.js'
import { exchange, PacketPort } from './packet-exchange.js'
import { Missed, probeOf, standingOf, targetOf } from './standing.js'
import type { Standing } from './standing.js'
import type { Clock, Probe, ProbeLink } from './types.js'

const BROADCAST: Mac = { high: 0xffff, low: -1 }

/**
 * The neighbour's Ethernet address, by asking everybody on the link.
 * @returns undefined where there are no Ethernet addresses; null when nobody answered until the signal
 */
export const resolveNeighbour = async (link: ProbeLink, { ifindex, source }: Standing, neighbour: number, signal: AbortSignal): Promise<Mac | null | undefined> => {
  const port = new PacketPort(link, ifindex, probeFilter(neighbour, neighbour, 0))
  const { mac } = port
  if (mac === null) {
    port.close()
    return undefined
  }
  const ask = (): void => port.send(BROADCAST, TYPE_ARP, (view, at) => {
    arp.write(view, at, arp.REQUEST, mac.high, mac.low, source, 0, 0, neighbour)
    return arp.LENGTH
  })
  return await exchange<Mac>(port, signal, ask, (view, at, length, etherType) => {
    if (etherType !== TYPE_ARP || !arp.isEthernetIpv4(view, at, length) || arp.operation(view, at) !== arp.REPLY) return undefined
    if (arp.senderIp(view, at) !== neighbour || arp.targetIp(view, at) !== source) return undefined
    return { high: arp.senderMacHigh(view, at), low: arp.senderMacLow(view, at) }
  })
}

/** @param address int32; null for the gateway */
export const arpProbe = (link: ProbeLink, address: number | null, clock: Clock): Probe =>
  probeOf(address === null ? 'the gateway' : formatIpv4(address), async (signal) => {
    const standing = standingOf(link)
    const neighbour = targetOf(link, address)
    const started = clock()
    const mac = await resolveNeighbour(link, standing, neighbour, signal)
    if (mac === undefined) throw new Missed(`${link.name} has no Ethernet addresses to ask for`)
    return mac === null ? { missed: `${formatIpv4(neighbour)} does not answer ARP` } : { milliseconds: clock() - started }
  })
