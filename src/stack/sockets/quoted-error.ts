/**
 * An ICMP error, and what it says of the packet that it quotes (RFC 792; RFC 1122 3.2.2). The packet was sent from here, so its source
 * is the local end.
 */
import type { Packet } from '../parse.js'
import * as icmp4 from '../wire/icmp4.js'
import * as ipv4 from '../wire/ipv4.js'

/** Of the transport header, errors quote at least so much. */
const QUOTED_MIN = 8

/** Read while it is being handled, then reused. */
export class QuotedError {
  /** Of the error: icmp4.UNREACHABLE … */
  type = 0
  code = 0
  /** Of 3/4: the MTU of the next hop in bytes; 0 from old routers. */
  mtu = 0
  protocol = 0
  /** int32. */
  localAddress = 0
  remoteAddress = 0
  /** Of TCP and UDP; of a ping its identifier and 0. */
  localPort = 0
  remotePort = 0
  /** TCP: the sequence number, int32. A ping: its number in the lower 16 bits. */
  sequence = 0
  /** The quoted packet's own length in bytes, as its header says. */
  length = 0
  /** int32: who sent the error. */
  from = 0
}

/**
 * Reads the error in `packet`, whose ICMP type is that of an error, and whose checksum is right.
 * @returns false when it quotes no beginning of a packet
 */
export const readQuotedError = (view: DataView, packet: Packet, error: QuotedError): boolean => {
  const { transport } = packet
  const at = transport + icmp4.ERROR_HEADER
  const end = packet.at + packet.length
  if (at + ipv4.HEADER_MIN > end || ipv4.version(view, at) !== 4) return false
  const headerLength = ipv4.headerLength(view, at)
  const quoted = at + headerLength
  if (headerLength < ipv4.HEADER_MIN || quoted + QUOTED_MIN > end || ipv4.fragmentOffset(view, at) !== 0) return false
  const isPing = ipv4.protocol(view, at) === ipv4.PROTOCOL_ICMP
  if (isPing && icmp4.type(view, quoted) !== icmp4.ECHO_REQUEST) return false
  error.type = packet.icmpType
  error.code = icmp4.code(view, transport)
  error.mtu = error.type === icmp4.UNREACHABLE && error.code === icmp4.CODE_FRAGMENTATION_NEEDED ? icmp4.mtu(view, transport) : 0
  error.protocol = ipv4.protocol(view, at)
  error.localAddress = ipv4.source(view, at)
  error.remoteAddress = ipv4.destination(view, at)
  error.localPort = isPing ? icmp4.identifier(view, quoted) : view.getUint16(quoted)
  error.remotePort = isPing ? 0 : view.getUint16(quoted + 2)
  error.sequence = isPing ? icmp4.sequence(view, quoted) : view.getInt32(quoted + 4)
  error.length = ipv4.totalLength(view, at)
  error.from = packet.source
  return true
}
