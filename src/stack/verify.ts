/**
 * Whether the checksum of a TCP, UDP or ICMP packet is right. Only of what nobody has looked at yet: a checksum that is still to
 * be made is none, and what a network card has verified the kernel says. Fragments and other protocols are taken on trust.
 */
import type { Slab } from './batch.js'
import { type Packet, WHOLE } from './parse.js'
import * as checksum from './wire/checksum.js'
import * as ipv4 from './wire/ipv4.js'
import * as udp from './wire/udp.js'
import * as vnet from './wire/vnet.js'

export const isSumRight = ({ bytes, view }: Slab, packet: Packet): boolean => {
  const { at, transport, protocol, partial } = packet
  if (partial || packet.fragment !== WHOLE || (vnet.flags(view, at - vnet.LENGTH) & vnet.F_DATA_VALID) !== 0) return true
  const length = packet.length - packet.headerLength
  switch (protocol) {
    case ipv4.PROTOCOL_ICMP:
      return checksum.sum(bytes, transport, length, 0) === 0xffff
    case ipv4.PROTOCOL_TCP:
      return checksum.sum(bytes, transport, length, checksum.pseudoHeader(packet.source, packet.destination, protocol, length)) === 0xffff
    case ipv4.PROTOCOL_UDP: {
      if (udp.checksum(view, transport) === 0) return true
      const covered = udp.length(view, transport)
      return checksum.sum(bytes, transport, covered, checksum.pseudoHeader(packet.source, packet.destination, protocol, covered)) === 0xffff
    }
    default:
      return true
  }
}
