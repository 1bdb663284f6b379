/**
 * ICMP errors that quote a packet of a flow, in either direction (RFC 5508 REQ-3 to REQ-6, RFC 4787 REQ-12).
 *
 * The quoted packet is one that left through the gateway, so its tuple turned round is the key of the side on which an
 * answer would have arrived; the error arrived in its place. The quote is rewritten to what the receiver of the error had
 * sent, and the error's destination to that receiver. An error from a host whose address is translated on this side gets
 * the translated address as its source.
 *
 * Only eight bytes of the quoted transport header are promised; of protocols without ports none is needed. What follows the quote (padding, extensions: RFC 4884) is not
 * part of it and stays as it is. The whole ICMP checksum is computed anew: it covers the quote, and errors are small.
 */
import { Drop } from '../drop.js'
import { isByAddress, type Packet, portsOf } from '../stack/parse.js'
import * as checksum from '../stack/wire/checksum.js'
import { hasSourceRoute } from '../stack/ip-options.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as sctp from '../stack/wire/sctp.js'
import type { Slab } from '../stack/batch.js'
import { type FlowTable, SIDE_DESTINATION, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './flow-table.js'

const swapPorts = (ports: number): number => (ports << 16) | (ports >>> 16)

/** Bytes of the quoted transport header that are needed to tell whose it is. */
const bytesNeeded = (protocol: number): number => (isByAddress(protocol) ? 0 : 8)

/** 0 when checksums and lengths of the error in `packet` are right and enough is quoted, else a drop code. */
export const checkError = (slab: Slab, packet: Packet): number => {
  const { view, bytes } = slab
  if (packet.icmpType === icmp4.SOURCE_QUENCH) return Drop['icmp-refused']
  const available = packet.length - packet.headerLength
  if (checksum.sum(bytes, packet.transport, available, 0) !== 0xffff) return Drop['bad-icmp-checksum']
  const quote = packet.transport + icmp4.ERROR_HEADER
  const quoted = available - icmp4.ERROR_HEADER
  if (quoted < ipv4.HEADER_MIN || ipv4.version(view, quote) !== 4) return Drop['bad-quote']
  const headerLength = ipv4.headerLength(view, quote)
  if (headerLength < ipv4.HEADER_MIN || quoted < headerLength + bytesNeeded(ipv4.protocol(view, quote))) return Drop['bad-quote']
  if (!ipv4.headerChecksumOk(view, quote)) return Drop['bad-icmp-checksum']
  if (headerLength > ipv4.HEADER_MIN && hasSourceRoute(view, quote, headerLength)) return Drop['source-route']
  if (ipv4.fragmentOffset(view, quote) !== 0) return Drop['bad-quote']
  return 0
}

/** The side on which an answer to the quoted packet would have arrived in `zone`, or -1. Needs `checkError` before. */
export const findQuoted = (view: DataView, packet: Packet, table: FlowTable, zone: number): number => {
  const quote = packet.transport + icmp4.ERROR_HEADER
  const protocol = ipv4.protocol(view, quote)
  const ports = portsOf(view, quote + ipv4.headerLength(view, quote), protocol)
  if (ports === 0 && protocol === ipv4.PROTOCOL_ICMP) return -1
  return table.find(ipv4.destination(view, quote), ipv4.source(view, quote), swapPorts(ports), protocol | (zone << 8))
}

/** Rewrites the error in place for the flow found by `findQuoted`. Its TTL must be above 1. */
export const translateError = (slab: Slab, packet: Packet, table: FlowTable, side: number): void => {
  const { view, bytes } = slab
  const { sides } = table
  const here = side * SIDE_WORDS
  const there = (side ^ 1) * SIDE_WORDS
  const quote = packet.transport + icmp4.ERROR_HEADER
  const protocol = ipv4.protocol(view, quote)
  const quoteTransport = quote + ipv4.headerLength(view, quote)
  const quoteAvailable = quoteEnd(view, packet, quote) - quoteTransport

  const oldSource = ipv4.source(view, quote)
  const oldDestination = ipv4.destination(view, quote)
  const newSource = sides[there + SIDE_SOURCE]!
  const newDestination = sides[there + SIDE_DESTINATION]!
  const addressDelta = checksum.add(checksum.delta32(oldSource, newSource), checksum.delta32(oldDestination, newDestination))
  ipv4.setSource(view, quote, newSource)
  ipv4.setDestination(view, quote, newDestination)
  ipv4.setChecksum(view, quote, checksum.update(ipv4.checksum(view, quote), addressDelta))
  if (protocol === ipv4.PROTOCOL_SCTP) translateQuotedSctp(view, quote, quoteTransport, quoteAvailable, sides[there + SIDE_PORTS]!)
  else if (!isByAddress(protocol)) translateQuotedTransport(view, quoteTransport, quoteAvailable, protocol, sides[there + SIDE_PORTS]!, addressDelta)

  const translatedOwn = sides[there + SIDE_DESTINATION]! !== sides[here + SIDE_SOURCE]!
  ipv4.setSource(view, packet.at, translatedOwn ? newDestination : packet.source)
  ipv4.setDestination(view, packet.at, newSource)
  ipv4.setTtl(view, packet.at, packet.ttl - 1)
  ipv4.writeChecksum(view, packet.at)
  icmp4.setChecksum(view, packet.transport, 0)
  icmp4.setChecksum(view, packet.transport, checksum.finish(checksum.sum(bytes, packet.transport, packet.length - packet.headerLength, 0)))
}

/**
 * Where the quoted packet ends: with the error, with the quoted datagram, or where RFC 4884 says that an extension begins
 * (length in 32-bit words in the sixth byte; types 3, 11 and 12 only, and 0 when there is none).
 */
const quoteEnd = (view: DataView, packet: Packet, quote: number): number => {
  const end = Math.min(packet.at + packet.length, quote + ipv4.totalLength(view, quote))
  const words = packet.icmpType === icmp4.REDIRECT ? 0 : view.getUint8(packet.transport + 5)
  return words === 0 ? end : Math.min(end, quote + words * 4)
}

/** Ports or identifier of the quote, and its transport checksum when the quote reaches that far. */
const translateQuotedTransport = (
  view: DataView, at: number, available: number, protocol: number, ports: number, addressDelta: number,
): void => {
  if (protocol === ipv4.PROTOCOL_ICMP) {
    const old = icmp4.identifier(view, at)
    const identifier = icmp4.isRequest(icmp4.type(view, at)) ? ports >>> 16 : ports & 0xffff
    icmp4.setIdentifier(view, at, identifier)
    icmp4.setChecksum(view, at, checksum.update(icmp4.checksum(view, at), checksum.delta16(old, identifier)))
    return
  }
  const delta = checksum.add(addressDelta, checksum.delta32(view.getInt32(at), ports))
  view.setInt32(at, ports)
  if (protocol !== ipv4.PROTOCOL_TCP) {
    // UDP and UDP-Lite.
    view.setUint16(at + 6, checksum.updateUdp(view.getUint16(at + 6), delta))
  } else if (available >= 18) {
    view.setUint16(at + 16, checksum.update(view.getUint16(at + 16), delta))
  }
}

/** Ports of the quote, and its CRC32c where it is quoted and the length of the packet is known. */
const translateQuotedSctp = (view: DataView, quote: number, at: number, available: number, ports: number): void => {
  const changed = view.getInt32(at) ^ ports
  view.setInt32(at, ports)
  if (available < sctp.HEADER || ipv4.moreFragments(view, quote)) return
  const length = ipv4.totalLength(view, quote) - (at - quote)
  sctp.setChecksum(view, at, sctp.updateChecksum(sctp.checksum(view, at), changed, length))
}
