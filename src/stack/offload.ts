/**
 * Whether the virtio header of a packet fits the packet.
 *
 * It comes from a kernel, but what it says decides which bytes are taken for checksums and headers, and it goes out again to
 * another interface. So only what the kernel makes for IPv4 passes: a TCP or UDP checksum to be completed, that of a packet
 * inside a UDP tunnel, TCP and UDP superpackets.
 *
 * A kernel says the same of SCTP packets whose CRC32c is still to be computed; no device does that for us (nat/translate.ts).
 *
 * Superpackets that the hardware put together (LRO) have been verified and their checksum is finished, if only for one of
 * their segments. They get the form that all others have: unfinished.
 */
import type { Packet } from './parse.js'
import * as checksum from './wire/checksum.js'
import * as ipv4 from './wire/ipv4.js'
import * as sctp from './wire/sctp.js'
import * as tcp from './wire/tcp.js'
import * as udp from './wire/udp.js'
import * as vnet from './wire/vnet.js'

/**
 * Checks the virtio header at `packet.at - 10` and sets `packet.partial`. The other fields of `packet` must be set, but for those
 * of the transport header.
 * @returns false when the header asks for what cannot be done to this packet
 */
export const checkOffload = (view: DataView, packet: Packet): boolean => {
  const header = packet.at - vnet.LENGTH
  const flags = vnet.flags(view, header)
  if ((flags & ~(vnet.F_NEEDS_CSUM | vnet.F_DATA_VALID)) !== 0) return false
  if ((flags & vnet.F_NEEDS_CSUM) !== 0) {
    const start = vnet.checksumStart(view, header)
    const offset = vnet.checksumOffset(view, header)
    if (isFragment(view, packet.at) || start + offset + 2 > packet.length) return false
    packet.partial = start === packet.headerLength
    if (packet.partial) {
      if (offset !== (packet.protocol === ipv4.PROTOCOL_SCTP ? sctp.CHECKSUM_OFFSET : checksumOffsetOf(packet.protocol))) return false
    } else if (packet.protocol !== ipv4.PROTOCOL_UDP || start < packet.headerLength + udp.HEADER) {
      return false
    }
  }
  if (vnet.gsoType(view, header) === vnet.GSO_NONE) return true
  if (flags === vnet.F_DATA_VALID) unfinish(view, packet, header)
  return isSuperpacket(view, packet, header)
}

/** Makes the finished checksum of a verified superpacket an unfinished one; leaves alone what can be none. */
const unfinish = (view: DataView, packet: Packet, header: number): void => {
  const offset = checksumOffsetOf(packet.protocol)
  const field = packet.headerLength + offset
  if (offset < 0 || isFragment(view, packet.at) || field + 2 > packet.length) return
  vnet.setFlags(view, header, vnet.F_NEEDS_CSUM)
  vnet.setChecksumStart(view, header, packet.headerLength)
  vnet.setChecksumOffset(view, header, offset)
  const length = packet.length - packet.headerLength
  view.setUint16(packet.at + field, checksum.pseudoHeader(packet.source, packet.destination, packet.protocol, length))
  packet.partial = true
}

const isFragment = (view: DataView, at: number): boolean =>
  (ipv4.flagsAndOffset(view, at) & (ipv4.FLAG_MORE_FRAGMENTS | ipv4.OFFSET_MASK)) !== 0

/** Where the Internet checksum stands; of a protocol without one, -1. */
const checksumOffsetOf = (protocol: number): number =>
  protocol === ipv4.PROTOCOL_TCP ? tcp.CHECKSUM_OFFSET : protocol === ipv4.PROTOCOL_UDP ? udp.CHECKSUM_OFFSET : -1

const isSuperpacket = (view: DataView, packet: Packet, header: number): boolean => {
  if (!packet.partial || vnet.gsoSize(view, header) === 0 || vnet.headerLength(view, header) > packet.length) return false
  const type = vnet.gsoType(view, header)
  if (packet.protocol === ipv4.PROTOCOL_TCP) return (type & ~vnet.GSO_ECN) === vnet.GSO_TCPV4
  return packet.protocol === ipv4.PROTOCOL_UDP && type === vnet.GSO_UDP_L4
}
