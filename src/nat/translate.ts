/**
 * Rewrites a packet of a flow in place: addresses, ports or identifier, TTL, and the checksums by what changed (RFC 1624).
 *
 * What a packet of one side becomes is the other side's key turned round. Two sums say how checksums change: `l3`, of the
 * addresses alone, and `l4`, of addresses and ports. Three kinds of checksum field take them differently:
 *   - IPv4 header: l3, and the TTL
 *   - complete TCP or UDP checksum: l4 (they cover the pseudo header); ICMP: ports only, as it has no pseudo header
 *   - VIRTIO_NET_HDR_F_NEEDS_CSUM: the field holds the uncomplemented sum of the pseudo header, so l3 without complement,
 *     and no ports
 */
import { LATER_FRAGMENT, type Packet } from '../stack/parse.js'
import * as checksum from '../stack/wire/checksum.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'
import * as udp from '../stack/wire/udp.js'
import { type FlowTable, SIDE_DELTAS, SIDE_DESTINATION, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './flow-table.js'

/** One less in the TTL's byte, as a one's-complement difference of its 16-bit word. */
const TTL_DELTA = 0xfeff

const swapPorts = (ports: number): number => (ports << 16) | (ports >>> 16)

/** Computes and stores the checksum deltas of both sides of a flow whose keys are set. */
export const storeDeltas = (table: FlowTable, flow: number, protocol: number): void => {
  for (let side = flow * 2; side <= flow * 2 + 1; side++) {
    const from = side * SIDE_WORDS
    const to = (side ^ 1) * SIDE_WORDS
    const { sides } = table
    const l3 = checksum.add(
      checksum.delta32(sides[from + SIDE_SOURCE]!, sides[to + SIDE_DESTINATION]!),
      checksum.delta32(sides[from + SIDE_DESTINATION]!, sides[to + SIDE_SOURCE]!),
    )
    const ports = checksum.delta32(sides[from + SIDE_PORTS]!, swapPorts(sides[to + SIDE_PORTS]!))
    const l4 = protocol === ipv4.PROTOCOL_ICMP ? ports : checksum.add(l3, ports)
    sides[from + SIDE_DELTAS] = (l3 << 16) | l4
  }
}

/** Translates `packet`, which was found on `side`. Its TTL must be above 1. */
export const translate = (view: DataView, packet: Packet, table: FlowTable, side: number): void => {
  const { sides } = table
  const to = (side ^ 1) * SIDE_WORDS
  const deltas = sides[side * SIDE_WORDS + SIDE_DELTAS]!
  const l3 = deltas >>> 16
  const { at } = packet
  ipv4.setSource(view, at, sides[to + SIDE_DESTINATION]!)
  ipv4.setDestination(view, at, sides[to + SIDE_SOURCE]!)
  ipv4.setTtl(view, at, packet.ttl - 1)
  ipv4.setChecksum(view, at, checksum.update(ipv4.checksum(view, at), checksum.add(l3, TTL_DELTA)))
  if (packet.fragment !== LATER_FRAGMENT) translateTransport(view, packet, sides[to + SIDE_PORTS]!, l3, deltas & 0xffff)
}

/** @param reversePorts ports of the other side's key, that is, turned round */
const translateTransport = (view: DataView, packet: Packet, reversePorts: number, l3: number, l4: number): void => {
  const { transport, protocol } = packet
  if (protocol === ipv4.PROTOCOL_ICMP) {
    const identifier = icmp4.isRequest(packet.icmpType) ? reversePorts & 0xffff : reversePorts >>> 16
    icmp4.setIdentifier(view, transport, identifier)
    icmp4.setChecksum(view, transport, checksum.update(icmp4.checksum(view, transport), l4))
    return
  }
  view.setInt32(transport, swapPorts(reversePorts))
  if (protocol === ipv4.PROTOCOL_TCP) {
    const stored = tcp.checksum(view, transport)
    tcp.setChecksum(view, transport, packet.partial ? checksum.updatePartial(stored, l3) : checksum.update(stored, l4))
  } else {
    const stored = udp.checksum(view, transport)
    udp.setChecksum(view, transport, packet.partial ? checksum.updatePartial(stored, l3) : checksum.updateUdp(stored, l4))
  }
}
