/**
 * Reads what the data plane needs of a packet, once, into one object that is reused for every packet.
 *
 * The checks here are those that RFC 1812 5.2.2 forbids to switch off, plus what makes later accessors safe: after `parse`
 * returned 0, the IPv4 header and, for whole datagrams and first fragments, the fixed transport header are inside the packet,
 * and the virtio header asks for nothing that does not fit it.
 */
import { Drop } from '../drop.js'
import { hasSourceRoute } from './ip-options.js'
import { checkOffload } from './offload.js'
import * as gre from './wire/gre.js'
import * as icmp4 from './wire/icmp4.js'
import * as ipv4 from './wire/ipv4.js'
import * as sctp from './wire/sctp.js'
import * as tcp from './wire/tcp.js'
import * as udp from './wire/udp.js'
import * as udplite from './wire/udplite.js'
import * as vnet from './wire/vnet.js'

/** What a fragment is to the parser. */
export const WHOLE = 0
export const FIRST_FRAGMENT = 1
/** A fragment with an offset: it has no transport header. */
export const LATER_FRAGMENT = 2

/** Bytes of SPI and sequence number (RFC 4303 2). */
const ESP_HEADER = 8

/** A parsed packet. Fields are valid until the next `parse`. */
export class Packet {
  /** Address of the IPv4 header in the slab. */
  at = 0
  /** Bytes of the datagram, from the total length field; padding behind it is cut off. */
  length = 0
  headerLength = 0
  /** Address of the transport header. */
  transport = 0
  source = 0
  destination = 0
  protocol = 0
  ttl = 0
  /** WHOLE, FIRST_FRAGMENT or LATER_FRAGMENT. */
  fragment = WHOLE
  /**
   * `source port << 16 | destination port` for TCP, UDP, UDP-Lite and SCTP. An ICMP query has its identifier as source port and its type as
   * destination port; an ICMP reply the type of its query as source port and the identifier as destination port, so that
   * a reply's key is its query's key turned round. 0 for later fragments and other protocols.
   */
  ports = 0
  /** TCP flags; 0 for other protocols. */
  tcpFlags = 0
  /** ICMP type; -1 for other protocols. */
  icmpType = -1
  /** Type of the first chunk of an SCTP packet; means nothing for other protocols and later fragments. */
  chunkType = 0
  /**
   * The TCP or UDP checksum is unfinished: its field holds the sum of the pseudo header (VIRTIO_NET_HDR_F_NEEDS_CSUM). That of
   * SCTP: it holds nothing yet.
   */
  partial = false
}

const headerSumOk = (view: DataView, at: number, headerLength: number): boolean => {
  let sum =
    view.getUint16(at) + view.getUint16(at + 2) + view.getUint16(at + 4) + view.getUint16(at + 6) + view.getUint16(at + 8) +
    view.getUint16(at + 10) + view.getUint16(at + 12) + view.getUint16(at + 14) + view.getUint16(at + 16) + view.getUint16(at + 18)
  for (let offset = 20; offset < headerLength; offset += 2) sum += view.getUint16(at + offset)
  sum = (sum & 0xffff) + (sum >>> 16)
  return (sum & 0xffff) + (sum >>> 16) === 0xffff
}

/** Whether what the sides of a flow share is told apart by ports. Other protocols but ICMP are told apart by addresses alone. */
export const hasPorts = (protocol: number): boolean =>
  protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP || protocol === ipv4.PROTOCOL_SCTP || protocol === ipv4.PROTOCOL_UDPLITE

/** Whether addresses alone tell the flows of a protocol apart. */
export const isByAddress = (protocol: number): boolean => !hasPorts(protocol) && protocol !== ipv4.PROTOCOL_ICMP

/**
 * Ports of the transport header at `transport`, as {@link Packet.ports} defines them; 8 bytes must be there for protocols that
 * have any.
 */
export const portsOf = (view: DataView, transport: number, protocol: number): number => {
  if (protocol === ipv4.PROTOCOL_ICMP) {
    const type = icmp4.type(view, transport)
    const identifier = icmp4.identifier(view, transport)
    if (icmp4.isRequest(type)) return (identifier << 16) | type
    if (type === icmp4.ECHO_REPLY) return (icmp4.ECHO_REQUEST << 16) | identifier
    if (type === icmp4.TIMESTAMP_REPLY) return (icmp4.TIMESTAMP << 16) | identifier
    return 0
  }
  return hasPorts(protocol) ? view.getInt32(transport) : 0
}

/** Parses the datagram at `at`, in the canonical form of batch.ts; `received` bytes are there. Returns 0 or a drop code. */
export const parse = (view: DataView, at: number, received: number, packet: Packet): number => {
  if (received < ipv4.HEADER_MIN) return Drop['short']
  const versionAndLength = view.getUint8(at)
  if (versionAndLength >>> 4 !== 4) return Drop['bad-version']
  const headerLength = (versionAndLength & 15) << 2
  const length = ipv4.totalLength(view, at)
  if (headerLength < ipv4.HEADER_MIN || headerLength > length) return Drop['bad-header-length']
  if (length > received) return Drop['short']
  if (!headerSumOk(view, at, headerLength)) return Drop['bad-header-checksum']
  if (headerLength > ipv4.HEADER_MIN && hasSourceRoute(view, at, headerLength)) return Drop['source-route']

  const protocol = ipv4.protocol(view, at)
  const transport = at + headerLength
  packet.at = at
  packet.length = length
  packet.headerLength = headerLength
  packet.transport = transport
  packet.source = ipv4.source(view, at)
  packet.destination = ipv4.destination(view, at)
  packet.protocol = protocol
  packet.ttl = ipv4.ttl(view, at)
  packet.fragment = WHOLE
  packet.ports = 0
  packet.tcpFlags = 0
  packet.icmpType = -1
  packet.partial = false
  if (view.getUint16(at - vnet.LENGTH) !== 0 && !checkOffload(view, packet)) return Drop['bad-offload']

  const payload = length - headerLength
  const fragmentField = ipv4.flagsAndOffset(view, at) & (ipv4.FLAG_MORE_FRAGMENTS | ipv4.OFFSET_MASK)
  if (fragmentField !== 0) {
    const drop = checkFragment(packet, fragmentField, payload)
    if (drop !== 0) return drop
    if (packet.fragment === LATER_FRAGMENT) return 0
  }

  if (protocol === ipv4.PROTOCOL_TCP) {
    if (payload < tcp.HEADER_MIN) return Drop['bad-transport']
    const tcpHeader = tcp.headerLength(view, transport)
    if (tcpHeader < tcp.HEADER_MIN || (tcpHeader > payload && packet.fragment === WHOLE)) return Drop['bad-transport']
    packet.ports = view.getInt32(transport)
    packet.tcpFlags = tcp.flags(view, transport)
  } else if (protocol === ipv4.PROTOCOL_UDP) {
    if (payload < udp.HEADER) return Drop['bad-transport']
    // A superpacket's UDP length covers all of it; RFC 768 allows no length below the header's own.
    const udpLength = udp.length(view, transport)
    if (udpLength < udp.HEADER || (udpLength > payload && packet.fragment === WHOLE)) return Drop['bad-transport']
    packet.ports = view.getInt32(transport)
  } else if (protocol === ipv4.PROTOCOL_ICMP) {
    if (payload < icmp4.ERROR_HEADER) return Drop['bad-transport']
    packet.icmpType = icmp4.type(view, transport)
    packet.ports = portsOf(view, transport, protocol)
  } else {
    return parseOther(view, packet, payload)
  }
  return 0
}

/** Headers of rarer protocols. What tsnat does not know has none. */
const parseOther = (view: DataView, packet: Packet, payload: number): number => {
  const { transport } = packet
  switch (packet.protocol) {
    case ipv4.PROTOCOL_UDPLITE:
      if (payload < udplite.HEADER || !udplite.isValid(view, transport, packet.fragment === WHOLE ? payload : Infinity)) return Drop['bad-transport']
      packet.ports = view.getInt32(transport)
      return 0
    case ipv4.PROTOCOL_SCTP:
      if (payload < sctp.HEADER + sctp.CHUNK_HEADER) return Drop['bad-transport']
      packet.ports = view.getInt32(transport)
      packet.chunkType = sctp.chunkType(view, transport)
      return 0
    case ipv4.PROTOCOL_GRE:
      return payload < gre.HEADER_MIN ? Drop['bad-transport'] : 0
    case ipv4.PROTOCOL_ESP:
      return payload < ESP_HEADER ? Drop['bad-transport'] : 0
    default:
      return 0
  }
}

/** Lengths and offsets that no honest sender makes (RFC 791 3.2, RFC 1858, RFC 3128). */
const checkFragment = (packet: Packet, field: number, payload: number): number => {
  const offset = (field & ipv4.OFFSET_MASK) << 3
  if (payload === 0 || ((field & ipv4.FLAG_MORE_FRAGMENTS) !== 0 && (payload & 7) !== 0)) return Drop['bad-fragment']
  if (offset + payload + packet.headerLength > 65535) return Drop['bad-fragment']
  if (packet.protocol === ipv4.PROTOCOL_TCP && (offset === 8 || (offset === 0 && payload < tcp.HEADER_MIN))) return Drop['bad-fragment']
  packet.fragment = offset === 0 ? FIRST_FRAGMENT : LATER_FRAGMENT
  return 0
}
