/**
 * IPv4 header (RFC 791). `at` is its address. Addresses are int32, numbers otherwise unsigned.
 *
 * Check once, then the accessors cannot fail: at least HEADER_MIN bytes, `version` 4, `headerLength` no less than
 * HEADER_MIN and no more than `totalLength`, `totalLength` no more than what was received (RFC 1812 5.2.2).
 */
import { fold } from './checksum.js'

export const HEADER_MIN = 20
export const PROTOCOL_ICMP = 1
export const PROTOCOL_TCP = 6
export const PROTOCOL_UDP = 17
export const PROTOCOL_GRE = 47
export const PROTOCOL_ESP = 50
/** IPsec's header over the addresses: it does not survive their translation. */
export const PROTOCOL_AH = 51
export const PROTOCOL_SCTP = 132
export const PROTOCOL_UDPLITE = 136

/** Bits of `flagsAndOffset`. The lower 13 bits are the offset in units of 8 bytes. */
export const FLAG_RESERVED = 0x8000
export const FLAG_DONT_FRAGMENT = 0x4000
export const FLAG_MORE_FRAGMENTS = 0x2000
export const OFFSET_MASK = 0x1fff

export const version = (view: DataView, at: number): number => view.getUint8(at) >>> 4
/** Bytes, 0-60, options included. */
export const headerLength = (view: DataView, at: number): number => (view.getUint8(at) & 0x0f) << 2
/** DSCP and ECN, the whole byte. */
export const tos = (view: DataView, at: number): number => view.getUint8(at + 1)
/** Bytes, header included. */
export const totalLength = (view: DataView, at: number): number => view.getUint16(at + 2)
export const identification = (view: DataView, at: number): number => view.getUint16(at + 4)
/** The raw 16 bits: FLAG_* and the offset. Zero or FLAG_DONT_FRAGMENT alone means no fragment. */
export const flagsAndOffset = (view: DataView, at: number): number => view.getUint16(at + 6)
export const dontFragment = (view: DataView, at: number): boolean => (view.getUint8(at + 6) & 0x40) !== 0
export const moreFragments = (view: DataView, at: number): boolean => (view.getUint8(at + 6) & 0x20) !== 0
/** Neither a fragment nor to be fragmented: its ID means nothing (RFC 6864 4). */
export const isAtomic = (view: DataView, at: number): boolean =>
  (view.getUint16(at + 6) & (FLAG_DONT_FRAGMENT | FLAG_MORE_FRAGMENTS | OFFSET_MASK)) === FLAG_DONT_FRAGMENT
/** Bytes, 0-65528. */
export const fragmentOffset = (view: DataView, at: number): number => (view.getUint16(at + 6) & OFFSET_MASK) << 3
export const ttl = (view: DataView, at: number): number => view.getUint8(at + 8)
/** PROTOCOL_*, 0-255. */
export const protocol = (view: DataView, at: number): number => view.getUint8(at + 9)
export const checksum = (view: DataView, at: number): number => view.getUint16(at + 10)
export const source = (view: DataView, at: number): number => view.getInt32(at + 12)
export const destination = (view: DataView, at: number): number => view.getInt32(at + 16)

export const setTos = (view: DataView, at: number, value: number): void => view.setUint8(at + 1, value)
export const setTotalLength = (view: DataView, at: number, value: number): void => view.setUint16(at + 2, value)
export const setIdentification = (view: DataView, at: number, value: number): void => view.setUint16(at + 4, value)
export const setFlagsAndOffset = (view: DataView, at: number, value: number): void => view.setUint16(at + 6, value)
export const setTtl = (view: DataView, at: number, value: number): void => view.setUint8(at + 8, value)
export const setProtocol = (view: DataView, at: number, value: number): void => view.setUint8(at + 9, value)
export const setChecksum = (view: DataView, at: number, value: number): void => view.setUint16(at + 10, value)
export const setSource = (view: DataView, at: number, value: number): void => view.setInt32(at + 12, value)
export const setDestination = (view: DataView, at: number, value: number): void => view.setInt32(at + 16, value)

/** One's-complement sum of the header, checksum field included: 0xffff when the checksum is right. */
const headerSum = (view: DataView, at: number): number => {
  const end = at + headerLength(view, at)
  let total = 0
  for (let i = at; i < end; i += 4) total += view.getUint16(i) + view.getUint16(i + 2)
  return fold(total)
}

/** Whether the header checksum is right. A stored 0xffff counts as 0x0000, as everywhere (RFC 1071). */
export const headerChecksumOk = (view: DataView, at: number): boolean => headerSum(view, at) === 0xffff

/** Computes the header checksum anew, options included, and stores it. Never stores 0xffff. */
export const writeChecksum = (view: DataView, at: number): void => {
  view.setUint16(at + 10, 0)
  view.setUint16(at + 10, ~headerSum(view, at) & 0xffff)
}

/** Writes a header of 20 bytes, without options, with its checksum. The order of arguments is that of the header. */
export const writeHeader = (
  view: DataView,
  at: number,
  tosByte: number,
  length: number,
  id: number,
  fragment: number,
  timeToLive: number,
  proto: number,
  from: number,
  to: number,
): void => {
  view.setUint8(at, 0x45)
  view.setUint8(at + 1, tosByte)
  view.setUint16(at + 2, length)
  view.setUint16(at + 4, id)
  view.setUint16(at + 6, fragment)
  view.setUint8(at + 8, timeToLive)
  view.setUint8(at + 9, proto)
  view.setInt32(at + 12, from)
  view.setInt32(at + 16, to)
  writeChecksum(view, at)
}
