/**
 * Builds IPv4 datagrams for tests: every length and checksum is right unless it is asked to be wrong. Addresses may be
 * text or int32.
 */
import * as address from '../stack/wire/address.js'
import * as checksum from '../stack/wire/checksum.js'
import * as gre from '../stack/wire/gre.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as sctp from '../stack/wire/sctp.js'
import * as tcp from '../stack/wire/tcp.js'
import * as udp from '../stack/wire/udp.js'
import * as udplite from '../stack/wire/udplite.js'

/** Dotted quad or int32. */
export type AddressLike = string | number

export interface PacketOptions {
  source: AddressLike
  destination: AddressLike
  /** Default 64. */
  ttl?: number
  /** Default 0. */
  tos?: number
  /** Identification; default 0. */
  id?: number
  /** Don't fragment; default false. */
  df?: boolean
  /** More fragments; default false. */
  mf?: boolean
  /** Fragment offset in bytes, a multiple of 8; default 0. */
  offset?: number
  /** IP options, up to 40 bytes; padded with zeros to a multiple of 4. */
  ipOptions?: Uint8Array
  /** Makes one checksum wrong: that of the IPv4 header, or that of TCP, UDP, UDP-Lite, SCTP or ICMP. */
  corrupt?: 'header' | 'transport'
}

const NOTHING = new Uint8Array(0)

/** @throws RangeError for text that is no address */
const toAddress = (value: AddressLike): number => {
  if (typeof value === 'number') return value | 0
  const parsed = address.parseIpv4(value)
  if (parsed === null) throw new RangeError(`'${value}' is not an IPv4 address`)
  return parsed
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** An IPv4 datagram of any protocol around a payload. */
export const buildIpv4 = (options: PacketOptions & { protocol: number; payload: Uint8Array }): Uint8Array => {
  const ipOptions = options.ipOptions ?? NOTHING
  const header = ipv4.HEADER_MIN + ((ipOptions.length + 3) & ~3)
  if (header > 60) throw new RangeError(`${ipOptions.length} bytes of IP options are more than 40`)
  const bytes = new Uint8Array(header + options.payload.length)
  const view = viewOf(bytes)
  const fragment =
    (options.df === true ? ipv4.FLAG_DONT_FRAGMENT : 0) |
    (options.mf === true ? ipv4.FLAG_MORE_FRAGMENTS : 0) |
    ((options.offset ?? 0) >>> 3)
  ipv4.writeHeader(
    view,
    0,
    options.tos ?? 0,
    bytes.length,
    options.id ?? 0,
    fragment,
    options.ttl ?? 64,
    options.protocol,
    toAddress(options.source),
    toAddress(options.destination),
  )
  view.setUint8(0, 0x40 | (header >>> 2))
  bytes.set(ipOptions, ipv4.HEADER_MIN)
  bytes.set(options.payload, header)
  ipv4.writeChecksum(view, 0)
  if (options.corrupt === 'header') ipv4.setChecksum(view, 0, ipv4.checksum(view, 0) ^ 0x0001)
  return bytes
}

/** Stores the checksum of a TCP, UDP or ICMP message whose checksum field is zero. @returns the message */
const seal = (options: PacketOptions, protocol: number, message: Uint8Array, field: number): Uint8Array => {
  const pseudo =
    protocol === ipv4.PROTOCOL_ICMP
      ? 0
      : checksum.pseudoHeader(toAddress(options.source), toAddress(options.destination), protocol, message.length)
  const sum = checksum.sum(message, 0, message.length, pseudo)
  const value = protocol === ipv4.PROTOCOL_UDP ? checksum.finishUdp(sum) : checksum.finish(sum)
  viewOf(message).setUint16(field, options.corrupt === 'transport' ? value ^ 0x0101 : value)
  return message
}

export interface UdpOptions extends PacketOptions {
  sourcePort: number
  destinationPort: number
  payload?: Uint8Array
  /** false: the checksum field is 0, "none". */
  checksum?: boolean
}

export const buildUdp = (options: UdpOptions): Uint8Array => {
  const payload = options.payload ?? NOTHING
  const message = new Uint8Array(udp.HEADER + payload.length)
  const view = viewOf(message)
  udp.setSourcePort(view, 0, options.sourcePort)
  udp.setDestinationPort(view, 0, options.destinationPort)
  udp.setLength(view, 0, message.length)
  message.set(payload, udp.HEADER)
  if (options.checksum !== false) seal(options, ipv4.PROTOCOL_UDP, message, udp.CHECKSUM_OFFSET)
  return buildIpv4({ ...options, protocol: ipv4.PROTOCOL_UDP, payload: message })
}

export interface UdpLiteOptions extends PacketOptions {
  sourcePort: number
  destinationPort: number
  payload?: Uint8Array
  /** Bytes that the checksum covers, header included; 0, the default, for all. Fewer than 8 cover nothing but what a sender claims. */
  coverage?: number
}

export const buildUdpLite = (options: UdpLiteOptions): Uint8Array => {
  const payload = options.payload ?? NOTHING
  const coverage = options.coverage ?? 0
  const message = new Uint8Array(udplite.HEADER + payload.length)
  const view = viewOf(message)
  udplite.setSourcePort(view, 0, options.sourcePort)
  udplite.setDestinationPort(view, 0, options.destinationPort)
  udplite.setCoverage(view, 0, coverage)
  message.set(payload, udplite.HEADER)
  const pseudo = checksum.pseudoHeader(toAddress(options.source), toAddress(options.destination), ipv4.PROTOCOL_UDPLITE, message.length)
  const value = checksum.finishUdp(checksum.sum(message, 0, coverage === 0 ? message.length : Math.min(coverage, message.length), pseudo))
  udplite.setChecksum(view, 0, options.corrupt === 'transport' ? value ^ 0x0101 : value)
  return buildIpv4({ ...options, protocol: ipv4.PROTOCOL_UDPLITE, payload: message })
}

export interface SctpChunk {
  /** sctp.INIT … */
  type: number
  /** Default 0. */
  flags?: number
  /** Behind the chunk's header; padded to a multiple of 4. */
  value?: Uint8Array
}

export interface SctpOptions extends PacketOptions {
  sourcePort: number
  destinationPort: number
  /** Verification tag; default 0. */
  tag?: number
  chunks: readonly SctpChunk[]
}

export const buildSctp = (options: SctpOptions): Uint8Array => {
  const sizes = options.chunks.map(({ value = NOTHING }) => sctp.CHUNK_HEADER + value.length)
  const message = new Uint8Array(sizes.reduce((sum, size) => sum + ((size + 3) & ~3), sctp.HEADER))
  const view = viewOf(message)
  sctp.setSourcePort(view, 0, options.sourcePort)
  sctp.setDestinationPort(view, 0, options.destinationPort)
  sctp.setVerificationTag(view, 0, options.tag ?? 0)
  let at = sctp.HEADER
  options.chunks.forEach(({ type, flags = 0, value = NOTHING }, index) => {
    message[at] = type
    message[at + 1] = flags
    view.setUint16(at + 2, sizes[index]!)
    message.set(value, at + sctp.CHUNK_HEADER)
    at += (sizes[index]! + 3) & ~3
  })
  const value = sctp.computeChecksum(view, 0, message.length)
  sctp.setChecksum(view, 0, options.corrupt === 'transport' ? value ^ 0x0101 : value)
  return buildIpv4({ ...options, protocol: ipv4.PROTOCOL_SCTP, payload: message })
}

export interface GreOptions extends PacketOptions {
  /** gre.FLAG_* and version; default 0. What the flags announce is the payload's beginning. */
  flags?: number
  /** Ethertype; default IPv4. */
  payloadType?: number
  payload?: Uint8Array
}

export const buildGre = (options: GreOptions): Uint8Array => {
  const payload = options.payload ?? NOTHING
  const message = new Uint8Array(gre.HEADER_MIN + payload.length)
  const view = viewOf(message)
  gre.setFlags(view, 0, options.flags ?? 0)
  gre.setProtocol(view, 0, options.payloadType ?? 0x0800)
  message.set(payload, gre.HEADER_MIN)
  return buildIpv4({ ...options, protocol: ipv4.PROTOCOL_GRE, payload: message })
}

export interface EspOptions extends PacketOptions {
  /** Security parameters index, int32 or uint32. */
  spi: number
  /** Default 1. */
  sequence?: number
  /** What would be encrypted. */
  payload?: Uint8Array
}

export const buildEsp = (options: EspOptions): Uint8Array => {
  const payload = options.payload ?? NOTHING
  const message = new Uint8Array(8 + payload.length)
  const view = viewOf(message)
  view.setInt32(0, options.spi)
  view.setInt32(4, options.sequence ?? 1)
  message.set(payload, 8)
  return buildIpv4({ ...options, protocol: ipv4.PROTOCOL_ESP, payload: message })
}

export interface TcpOptions extends PacketOptions {
  sourcePort: number
  destinationPort: number
  /** tcp.SYN | tcp.ACK …; default tcp.ACK. */
  flags?: number
  /** Default 0. */
  sequence?: number
  /** Default 0. */
  acknowledgment?: number
  /** Default 65535. */
  window?: number
  /** Default 0. */
  urgentPointer?: number
  /** TCP options, up to 40 bytes; padded with zeros to a multiple of 4. */
  options?: Uint8Array
  payload?: Uint8Array
}

export const buildTcp = (options: TcpOptions): Uint8Array => {
  const payload = options.payload ?? NOTHING
  const tcpOptions = options.options ?? NOTHING
  const header = tcp.HEADER_MIN + ((tcpOptions.length + 3) & ~3)
  if (header > 60) throw new RangeError(`${tcpOptions.length} bytes of TCP options are more than 40`)
  const message = new Uint8Array(header + payload.length)
  const view = viewOf(message)
  tcp.setSourcePort(view, 0, options.sourcePort)
  tcp.setDestinationPort(view, 0, options.destinationPort)
  tcp.setSequence(view, 0, options.sequence ?? 0)
  tcp.setAcknowledgment(view, 0, options.acknowledgment ?? 0)
  tcp.setHeaderLength(view, 0, header)
  tcp.setFlags(view, 0, options.flags ?? tcp.ACK)
  tcp.setWindow(view, 0, options.window ?? 65535)
  tcp.setUrgentPointer(view, 0, options.urgentPointer ?? 0)
  message.set(tcpOptions, tcp.HEADER_MIN)
  message.set(payload, header)
  seal(options, ipv4.PROTOCOL_TCP, message, tcp.CHECKSUM_OFFSET)
  return buildIpv4({ ...options, protocol: ipv4.PROTOCOL_TCP, payload: message })
}

/** The bytes of a maximum-segment-size option, for `buildTcp`. */
export const mssOption = (mss: number): Uint8Array => Uint8Array.of(tcp.OPTION_MSS, 4, mss >>> 8, mss & 0xff)

export interface IcmpOptions extends PacketOptions {
  type: number
  /** Default 0. */
  code?: number
  /** Second word of the message, int32: identifier and sequence number, MTU, pointer, gateway. Default 0. */
  rest?: number
  payload?: Uint8Array
}

/** An ICMP message of any type. */
export const buildIcmp = (options: IcmpOptions): Uint8Array => {
  const payload = options.payload ?? NOTHING
  const message = new Uint8Array(icmp4.ERROR_HEADER + payload.length)
  const view = viewOf(message)
  icmp4.setType(view, 0, options.type)
  icmp4.setCode(view, 0, options.code ?? 0)
  view.setInt32(4, options.rest ?? 0)
  message.set(payload, icmp4.ERROR_HEADER)
  seal(options, ipv4.PROTOCOL_ICMP, message, icmp4.CHECKSUM_OFFSET)
  return buildIpv4({ ...options, protocol: ipv4.PROTOCOL_ICMP, payload: message })
}

export interface IcmpEchoOptions extends PacketOptions {
  /** A reply instead of a request; default false. */
  reply?: boolean
  identifier: number
  /** Default 0. */
  sequence?: number
  payload?: Uint8Array
}

export const buildIcmpEcho = (options: IcmpEchoOptions): Uint8Array =>
  buildIcmp({
    ...options,
    type: options.reply === true ? icmp4.ECHO_REPLY : icmp4.ECHO_REQUEST,
    rest: (options.identifier << 16) | ((options.sequence ?? 0) & 0xffff),
  })

export interface IcmpErrorOptions extends PacketOptions {
  type: number
  code: number
  /** The packet that the error is about. */
  quote: Uint8Array
  /** Most bytes of it that are quoted, its IPv4 header included; default 548, so that the error has 576 (RFC 1812 4.3.2.3). */
  quoteLength?: number
  /** For UNREACHABLE, CODE_FRAGMENTATION_NEEDED; default 0. */
  mtu?: number
}

export const buildIcmpError = (options: IcmpErrorOptions): Uint8Array =>
  buildIcmp({ ...options, rest: options.mtu ?? 0, payload: options.quote.subarray(0, options.quoteLength ?? 548) })

/** Options that go into every fragment have this bit in their type (RFC 791 3.1). */
const OPTION_COPIED = 0x80

/** The options that fragments after the first carry. */
const copiedOptions = (options: Uint8Array): Uint8Array => {
  const copied: number[] = []
  for (let i = 0; i < options.length && options[i] !== 0; ) {
    const size = options[i] === 1 ? 1 : Math.max(2, options[i + 1] ?? 2)
    if (options[i]! & OPTION_COPIED) copied.push(...options.subarray(i, i + size))
    i += size
  }
  return Uint8Array.from(copied)
}

/**
 * Cuts a datagram, which may be a fragment itself, into fragments of at most `mtu` bytes, in order (RFC 791 3.2). The
 * don't-fragment bit is cleared. A datagram that fits comes back as it is.
 * @param mtu at least 68
 */
export const buildFragments = (packet: Uint8Array, mtu: number): Uint8Array[] => {
  if (mtu < 68) throw new RangeError(`an MTU of ${mtu} is below 68`)
  if (packet.length <= mtu) return [packet]
  const view = viewOf(packet)
  const header = ipv4.headerLength(view, 0)
  const options = packet.subarray(ipv4.HEADER_MIN, header)
  const fragments: Uint8Array[] = []
  for (let done = 0; done < packet.length - header; ) {
    const ipOptions = done === 0 ? options : copiedOptions(options)
    const room = mtu - ipv4.HEADER_MIN - ((ipOptions.length + 3) & ~3)
    const left = packet.length - header - done
    const last = left <= room
    const take = last ? left : room & ~7
    fragments.push(
      buildIpv4({
        source: ipv4.source(view, 0),
        destination: ipv4.destination(view, 0),
        ttl: ipv4.ttl(view, 0),
        tos: ipv4.tos(view, 0),
        id: ipv4.identification(view, 0),
        mf: !last || ipv4.moreFragments(view, 0),
        offset: ipv4.fragmentOffset(view, 0) + done,
        ipOptions,
        protocol: ipv4.protocol(view, 0),
        payload: packet.subarray(header + done, header + done + take),
      }),
    )
    done += take
  }
  return fragments
}
