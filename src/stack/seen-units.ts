/**
 * Which bytes of datagrams have been seen, in the units of 8 bytes that fragment offsets have (RFC 791 3.2): a bitmap of
 * 1 KiB for each of a fixed number of entries. An entry's memory is touched only as far as its datagram reaches.
 */

/** A datagram has no more than 65535 bytes. */
const WORDS = 65536 / 8 / 32

/** What `compare` says. */
export const UNSEEN = 0
export const PARTLY_SEEN = 1
export const SEEN = 2

export class SeenUnits {
  readonly #words: Int32Array

  constructor(entries: number) {
    this.#words = new Int32Array(entries * WORDS)
  }

  /** UNSEEN when none of the units [first, end) has been marked, SEEN when all have. */
  compare(entry: number, first: number, end: number): number {
    const base = entry * WORDS
    let seen = 0
    let missing = 0
    for (let word = first >>> 5; word * 32 < end; word++) {
      const mask = maskOf(word, first, end)
      const marked = this.#words[base + word]! & mask
      seen |= marked
      missing |= marked ^ mask
    }
    return seen === 0 ? UNSEEN : missing === 0 ? SEEN : PARTLY_SEEN
  }

  mark(entry: number, first: number, end: number): void {
    const base = entry * WORDS
    for (let word = first >>> 5; word * 32 < end; word++) this.#words[base + word]! |= maskOf(word, first, end)
  }

  /** Forgets all of an entry, of which nothing has been marked from unit `end` on. */
  clear(entry: number, end: number): void {
    this.#words.fill(0, entry * WORDS, entry * WORDS + ((end + 31) >>> 5))
  }
}

/** The bits of word number `word` that stand for units of [first, end), of which there is at least one. */
const maskOf = (word: number, first: number, end: number): number => {
  const low = Math.max(first - word * 32, 0)
  const high = Math.min(end - word * 32, 32)
  return (-1 >>> (32 - high + low)) << low
}
