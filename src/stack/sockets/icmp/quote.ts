/** The packet that an ICMP error quotes: one that a socket of this host has sent. */
import type { Packet } from '../../parse.js'
import * as icmp4 from '../../wire/icmp4.js'
import * as ipv4 from '../../wire/ipv4.js'

/** Bytes of the transport header that every error quotes (RFC 792). */
const PROMISED = 8

/** One is used for all errors: it is read while its handler runs. */
export class Quote {
  /** Of the error. */
  type = 0
  code = 0
  /** Who has sent the error, int32. */
  from = 0
  /** The next hop's MTU in bytes, of 3/4; 0 from old routers. */
  mtu = 0
  /** Number of the interface that the error came in by. */
  interface = 0
  protocol = 0
  /** Whose packet it was. Ports of ICMP: local the identifier, remote 0. */
  localAddress = 0
  localPort = 0
  remoteAddress = 0
  remotePort = 0
  /** Bytes of the packet, as its header said. */
  length = 0
  /** The word after the ports: the sequence number of TCP (int32); of an echo request its lower half is that of the echo. */
  sequence = 0
}

/** Reads what `packet`, an ICMP error as `parse` has accepted it, quotes. Returns false when that is too little, or no packet of a socket. */
export const readQuote = (view: DataView, packet: Packet, quote: Quote): boolean => {
  const { transport } = packet
  const at = transport + icmp4.ERROR_HEADER
  const end = packet.at + packet.length
  if (at + ipv4.HEADER_MIN > end || ipv4.version(view, at) !== 4) return false
  const headerLength = ipv4.headerLength(view, at)
  const inner = at + headerLength
  if (headerLength < ipv4.HEADER_MIN || inner + PROMISED > end) return false
  // A later fragment has no ports.
  if ((ipv4.flagsAndOffset(view, at) & ipv4.OFFSET_MASK) !== 0) return false
  quote.type = icmp4.type(view, transport)
  quote.code = icmp4.code(view, transport)
  quote.from = packet.source
  quote.mtu = icmp4.mtu(view, transport)
  quote.protocol = ipv4.protocol(view, at)
  quote.localAddress = ipv4.source(view, at)
  quote.remoteAddress = ipv4.destination(view, at)
  quote.length = ipv4.totalLength(view, at)
  quote.sequence = view.getInt32(inner + 4)
  if (quote.protocol !== ipv4.PROTOCOL_ICMP) {
    quote.localPort = view.getUint16(inner)
    quote.remotePort = view.getUint16(inner + 2)
    return true
  }
  quote.localPort = icmp4.identifier(view, inner)
  quote.remotePort = 0
  return icmp4.type(view, inner) === icmp4.ECHO_REQUEST
}
