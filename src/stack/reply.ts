/**
 * Packets that the gateway makes itself: ICMP errors and echo replies.
 *
 * ICMP errors quote as much of the offender as fits in 576 bytes (RFC 1812 4.3.2.3), copy its DSCP (RFC 5508 REQ-10d), and
 * are not made for what RFC 1812 4.3.2.7 lists.
 */
import type { Slab } from './batch.js'
import { isInvalidDestination, isInvalidSource } from './address-class.js'
import { LATER_FRAGMENT, type Packet, WHOLE } from './parse.js'
import * as checksum from './wire/checksum.js'
import * as icmp4 from './wire/icmp4.js'
import * as ipv4 from './wire/ipv4.js'
import * as tcp from './wire/tcp.js'
import * as vnet from './wire/vnet.js'

/** Bytes of an ICMP error at most. */
export const ERROR_MAX = 576
const TTL = 64
const DSCP_MASK = 0xfc

/** Whether RFC 1812 4.3.2.7 allows an ICMP error about this packet. */
export const mayReportError = (packet: Packet): boolean => {
  if (packet.fragment === LATER_FRAGMENT) return false
  if (isInvalidSource(packet.source) || isInvalidDestination(packet.destination)) return false
  return packet.protocol !== ipv4.PROTOCOL_ICMP || icmp4.isQuery(packet.icmpType)
}

/**
 * Writes an ICMP error about `packet` at `at` and returns its length.
 * @param room bytes it may have, ERROR_MAX or an MTU below
 * @param word second 32-bit word of the ICMP header: the MTU for 3/4, else 0
 * @param source the gateway's address on the interface the error leaves by
 */
export const writeError = (slab: Slab, at: number, room: number, packet: Packet, type: number, code: number, word: number, source: number): number => {
  const { view, bytes } = slab
  const quoted = Math.min(packet.length, room - ipv4.HEADER_MIN - icmp4.ERROR_HEADER)
  const icmpLength = icmp4.ERROR_HEADER + quoted
  const icmpAt = at + ipv4.HEADER_MIN
  vnet.clear(view, at - vnet.LENGTH)
  ipv4.writeHeader(view, at, ipv4.tos(view, packet.at) & DSCP_MASK, ipv4.HEADER_MIN + icmpLength, 0, ipv4.FLAG_DONT_FRAGMENT, TTL, ipv4.PROTOCOL_ICMP, source, packet.source)
  view.setUint8(icmpAt, type)
  view.setUint8(icmpAt + 1, code)
  view.setUint16(icmpAt + 2, 0)
  view.setUint32(icmpAt + 4, word)
  bytes.copyWithin(icmpAt + icmp4.ERROR_HEADER, packet.at, packet.at + quoted)
  icmp4.setChecksum(view, icmpAt, checksum.finish(checksum.sum(bytes, icmpAt, icmpLength, 0)))
  return ipv4.HEADER_MIN + icmpLength
}

/** Bytes of a RST. */
export const RESET_LENGTH = ipv4.HEADER_MIN + tcp.HEADER_MIN

/** Whether a RST may answer this packet: a whole TCP segment that is none itself. */
export const mayReset = (packet: Packet): boolean =>
  packet.protocol === ipv4.PROTOCOL_TCP && packet.fragment === WHOLE && (packet.tcpFlags & tcp.RST) === 0 && !isInvalidSource(packet.source)

/**
 * Writes the RST of RFC 9293 3.10.7.1 that answers the segment `packet` at `at`: it seems to come from whom the segment was for. It has
 * {@link RESET_LENGTH} bytes.
 */
export const writeReset = ({ view, bytes }: Slab, at: number, packet: Packet): void => {
  const { transport, tcpFlags, ports } = packet
  const to = at + ipv4.HEADER_MIN
  const dataLength = packet.length - packet.headerLength - tcp.headerLength(view, transport)
  const isAcknowledging = (tcpFlags & tcp.ACK) !== 0
  const length = dataLength + ((tcpFlags & tcp.SYN) !== 0 ? 1 : 0) + ((tcpFlags & tcp.FIN) !== 0 ? 1 : 0)
  vnet.clear(view, at - vnet.LENGTH)
  ipv4.writeHeader(view, at, 0, RESET_LENGTH, 0, ipv4.FLAG_DONT_FRAGMENT, TTL, ipv4.PROTOCOL_TCP, packet.destination, packet.source)
  view.setInt32(to, (ports << 16) | (ports >>> 16))
  tcp.setSequence(view, to, isAcknowledging ? tcp.acknowledgment(view, transport) : 0)
  tcp.setAcknowledgment(view, to, isAcknowledging ? 0 : tcp.sequence(view, transport) + length)
  tcp.setHeaderLength(view, to, tcp.HEADER_MIN)
  tcp.setFlags(view, to, isAcknowledging ? tcp.RST : tcp.RST | tcp.ACK)
  tcp.setWindow(view, to, 0)
  tcp.setChecksum(view, to, 0)
  tcp.setUrgentPointer(view, to, 0)
  const initial = checksum.pseudoHeader(packet.destination, packet.source, ipv4.PROTOCOL_TCP, tcp.HEADER_MIN)
  tcp.setChecksum(view, to, checksum.finish(checksum.sum(bytes, to, tcp.HEADER_MIN, initial)))
}

/** Turns a packet that was addressed to the gateway back to its sender, in place. Options of the header are kept. */
export const turnRound = (view: DataView, packet: Packet): void => {
  vnet.clear(view, packet.at - vnet.LENGTH)
  ipv4.setSource(view, packet.at, packet.destination)
  ipv4.setDestination(view, packet.at, packet.source)
  ipv4.setTtl(view, packet.at, TTL)
  ipv4.writeChecksum(view, packet.at)
}

/**
 * Turns an echo request, addressed to the gateway, into its reply, in place. The first fragment of one will do: the checksum
 * changes by what the type does, and the other fragments need only be turned round.
 */
export const turnEcho = (view: DataView, packet: Packet): void => {
  turnRound(view, packet)
  icmp4.setType(view, packet.transport, icmp4.ECHO_REPLY)
  const before = icmp4.checksum(view, packet.transport)
  icmp4.setChecksum(view, packet.transport, checksum.update(before, checksum.delta16(icmp4.ECHO_REQUEST << 8, icmp4.ECHO_REPLY << 8)))
}
