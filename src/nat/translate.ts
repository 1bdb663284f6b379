/**
 * Rewrites a packet of a flow in place: addresses, ports or identifier, TTL, and the checksums by what changed (RFC 1624).
 *
 * What a packet of one side becomes is the other side's key turned round. Two sums say how checksums change: `l3`, of the
 * addresses alone, and `l4`, of addresses and ports. Three kinds of checksum field take them differently:
 *   - IPv4 header: l3, and the TTL
 *   - complete TCP or UDP checksum: l4 (they cover the pseudo header); ICMP: ports only, as it has no pseudo header
 *   - VIRTIO_NET_HDR_F_NEEDS_CSUM: the field holds the uncomplemented sum of the pseudo header, so l3 without complement,
 *     and no ports
 *
 * Of protocols without ports nothing changes behind the IPv4 header. SCTP's CRC32c covers the ports and no addresses; it is
 * changed by what the ports change, so that a wrong one stays wrong.
 */
import { LATER_FRAGMENT, type Packet, WHOLE } from '../stack/parse.js'
import * as checksum from '../stack/wire/checksum.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as sctp from '../stack/wire/sctp.js'
import * as tcp from '../stack/wire/tcp.js'
import * as udp from '../stack/wire/udp.js'
import * as udplite from '../stack/wire/udplite.js'
import * as vnet from '../stack/wire/vnet.js'
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
  if (protocol === ipv4.PROTOCOL_TCP) {
    view.setInt32(transport, swapPorts(reversePorts))
    const stored = tcp.checksum(view, transport)
    tcp.setChecksum(view, transport, packet.partial ? checksum.updatePartial(stored, l3) : checksum.update(stored, l4))
  } else if (protocol === ipv4.PROTOCOL_UDP) {
    view.setInt32(transport, swapPorts(reversePorts))
    const stored = udp.checksum(view, transport)
    udp.setChecksum(view, transport, packet.partial ? checksum.updatePartial(stored, l3) : checksum.updateUdp(stored, l4))
  } else {
    translateOther(view, packet, swapPorts(reversePorts), l4)
  }
}

const translateOther = (view: DataView, packet: Packet, ports: number, l4: number): void => {
  const { transport, protocol } = packet
  if (protocol === ipv4.PROTOCOL_UDPLITE) {
    view.setInt32(transport, ports)
    udplite.setChecksum(view, transport, checksum.updateUdp(udplite.checksum(view, transport), l4))
  } else if (protocol === ipv4.PROTOCOL_SCTP) {
    translateSctp(view, packet, ports)
  }
}

/** Of a fragment the ports must stay as they are: {@link isStranded}. */
const translateSctp = (view: DataView, packet: Packet, ports: number): void => {
  const { at, transport } = packet
  const length = packet.length - packet.headerLength
  const changed = view.getInt32(transport) ^ ports
  view.setInt32(transport, ports)
  if (packet.partial) {
    // No device is told to compute a CRC, so it is done here.
    vnet.clear(view, at - vnet.LENGTH)
    sctp.setChecksum(view, transport, sctp.computeChecksum(view, transport, length))
  } else {
    sctp.setChecksum(view, transport, sctp.updateChecksum(sctp.checksum(view, transport), changed, length))
  }
}

/**
 * Whether a packet on `side` cannot be translated: the first fragment of an SCTP packet whose ports change. What its CRC32c
 * becomes depends on how long all of the packet is, which is not known yet.
 */
export const isStranded = (packet: Packet, table: FlowTable, side: number): boolean =>
  packet.protocol === ipv4.PROTOCOL_SCTP && packet.fragment !== WHOLE &&
  packet.ports !== swapPorts(table.sides[(side ^ 1) * SIDE_WORDS + SIDE_PORTS]!)
