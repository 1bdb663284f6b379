/**
 * The Internet checksum: full sums (RFC 1071) and incremental changes (RFC 1624).
 *
 * Words. A *sum* is a folded one's-complement sum of big-endian 16-bit words, 0-0xffff, not complemented. A *checksum* is
 * what stands in a header: the complement of a sum. A *delta* is the sum that a change adds: ~old + new. Sums and deltas
 * are combined with `add`, in any order; 0 and 0xffff are the same number in them.
 *
 * Sums count words from an even address of the datagram. What is added from an odd one (an option after a single NOP)
 * goes in with its bytes swapped: see `swap`.
 */

/** Folds the carries of an unsigned 32-bit total into 16 bits. Twice, since the first fold may carry again. */
export const fold = (total: number): number => {
  const once = (total & 0xffff) + (total >>> 16)
  return (once & 0xffff) + (once >>> 16)
}

/** Adds two sums or deltas, with the end-around carry. */
export const add = (a: number, b: number): number => {
  const total = a + b
  return (total & 0xffff) + (total >>> 16)
}

/** A sum of bytes that begin at an odd place, made fit to be added to one that began at an even place (RFC 1071 2B). */
export const swap = (partial: number): number => ((partial & 0xff) << 8) | (partial >>> 8)

/** The checksum for a sum. */
export const finish = (total: number): number => ~total & 0xffff

/** The UDP checksum for a sum: a computed 0 is sent as 0xffff, since 0 says that there is none (RFC 768). */
export const finishUdp = (total: number): number => ~total & 0xffff || 0xffff

/** The delta of a 16-bit word. */
export const delta16 = (before: number, after: number): number => add(~before & 0xffff, after)

/** The delta of a 32-bit word (int32 or uint32). */
export const delta32 = (before: number, after: number): number =>
  fold((~before >>> 16) + (~before & 0xffff) + (after >>> 16) + (after & 0xffff))

/** A header's checksum after a change: ~(~HC + delta), RFC 1624 equation 3. A wrong checksum stays wrong by as much. */
export const update = (checksum: number, delta: number): number => {
  const total = (~checksum & 0xffff) + delta
  return ~((total & 0xffff) + (total >>> 16)) & 0xffff
}

/** `update` for UDP: 0 (none) stays 0, and a checksum that becomes 0 is written 0xffff (RFC 768, RFC 3022 4.1). */
export const updateUdp = (checksum: number, delta: number): number => (checksum === 0 ? 0 : update(checksum, delta) || 0xffff)

/**
 * The field of a packet marked VIRTIO_NET_HDR_F_NEEDS_CSUM after a change. It holds the pseudo-header sum,
 * uncomplemented, so that only addresses, protocol and length count: a change of ports must not be applied.
 */
export const updatePartial = (field: number, delta: number): number => add(field, delta)

/** Sum of the IPv4 pseudo-header. @param length bytes of transport header and payload */
export const pseudoHeader = (source: number, destination: number, protocol: number, length: number): number =>
  fold((source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + length)

/** Sums bytes as `sum` does. */
export type BulkSum = (bytes: Uint8Array, at: number, length: number, initial: number) => number

let bulkSum: BulkSum | undefined
let bulkThreshold = Infinity

/** Has `sum` hand ranges of at least `threshold` bytes to a faster function; undefined ends that. One for the thread. */
export const useBulkSum = (faster: BulkSum | undefined, threshold: number): void => {
  bulkSum = faster
  bulkThreshold = faster === undefined ? Infinity : threshold
}

/** Bytes after which the totals are folded, so that they stay small integers. */
const BLOCK = 1 << 15

/** @param length even */
const sumPairs = (bytes: Uint8Array, at: number, length: number, initial: number): number => {
  let high = 0
  let low = initial
  let i = at
  const end = at + length
  const unrolled = end - (length & 7)
  while (i < unrolled) {
    high += bytes[i]! + bytes[i + 2]! + bytes[i + 4]! + bytes[i + 6]!
    low += bytes[i + 1]! + bytes[i + 3]! + bytes[i + 5]! + bytes[i + 7]!
    i += 8
  }
  while (i < end) {
    high += bytes[i]!
    low += bytes[i + 1]!
    i += 2
  }
  return fold(high * 256 + low)
}

/**
 * Sum of the words of bytes[at, at+length), added to `initial`. An odd last byte is the upper half of a word (RFC 1071).
 * @param initial another sum, 0-0xffff
 */
export const sum = (bytes: Uint8Array, at: number, length: number, initial: number): number => {
  if (length >= bulkThreshold && bulkSum !== undefined) return bulkSum(bytes, at, length, initial)
  let total = initial
  const even = length & ~1
  for (let done = 0; done < even; done += BLOCK) total = sumPairs(bytes, at + done, Math.min(BLOCK, even - done), total)
  return even === length ? total : add(total, bytes[at + even]! << 8)
}
