/**
 * An index by hash: small numbers, in one typed array, open addressing with linear probing. What the numbers stand for, and
 * whether a key matches, is the user's: several numbers may share a hash.
 *
 * A slot is one word: the number plus one in its low bits, the top bits of its hash, as many as are left, above them. A
 * search thus looks at a key only where these bits are alike. The low bits of a hash say where its search begins.
 *
 * Deletion shifts later entries of the run back, so there are no tombstones and a search ends at the first empty slot; the
 * user tells the hashes of the numbers that may have to move. At most 4/5 of the slots are used. A search is
 * `for (s = first(h); s >= 0; s = next(s, h)) numberAt(s)`.
 */

/** Slots, a power of two, for `entries` numbers. */
export const indexSlots = (entries: number): number => {
  let slots = 16
  while (slots * 4 < entries * 5) slots *= 2
  return slots
}

/** Seeded hash of four words: 32 bits, well mixed in the low and in the top ones. */
export const hashWords = (seed: number, a: number, b: number, c: number, d: number): number => {
  let hash = Math.imul(a ^ seed, 0x9e3779b1)
  hash = Math.imul((hash ^ (hash >>> 15)) + b, 0x85ebca6b)
  hash = Math.imul((hash ^ (hash >>> 13)) + c, 0xc2b2ae35)
  hash = Math.imul((hash ^ (hash >>> 16)) + d, 0x27d4eb2f)
  return hash ^ (hash >>> 15)
}

export class HashIndex {
  readonly #words: Int32Array
  readonly #mask: number
  /** Bits of a word that hold the number. */
  readonly #numberMask: number
  readonly #hashOf: (number: number) => number

  /**
   * @param words one for each slot, zeroed, a power of two of them
   * @param numbers all are below this, at most 2^30
   * @param hashOf the hash that a number of the index was inserted with
   */
  constructor(words: Int32Array, numbers: number, hashOf: (number: number) => number) {
    this.#words = words
    this.#mask = words.length - 1
    this.#numberMask = (1 << (32 - Math.clz32(numbers))) - 1
    this.#hashOf = hashOf
  }

  /** The first slot whose entry may have this hash, or -1. */
  first(hash: number): number {
    return this.#search(hash & this.#mask, hash)
  }

  /** The next one after `slot`, or -1. */
  next(slot: number, hash: number): number {
    return this.#search((slot + 1) & this.#mask, hash)
  }

  /** The number in a slot that was found. */
  numberAt(slot: number): number {
    return (this.#words[slot]! & this.#numberMask) - 1
  }

  /** Adds a number, 0 or more. There must be room. */
  insert(hash: number, number: number): void {
    const words = this.#words
    let slot = hash & this.#mask
    while (words[slot] !== 0) slot = (slot + 1) & this.#mask
    words[slot] = (hash & ~this.#numberMask) | (number + 1)
  }

  /** Removes a number that is there under this hash: empties its slot, then closes the hole where the run allows it. */
  remove(hash: number, number: number): void {
    const words = this.#words
    const mask = this.#mask
    let hole = hash & mask
    while ((words[hole]! & this.#numberMask) !== number + 1) hole = (hole + 1) & mask
    let slot = (hole + 1) & mask
    while (words[slot] !== 0) {
      const home = this.#hashOf(this.numberAt(slot)) & mask
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        words[hole] = words[slot]!
        hole = slot
      }
      slot = (slot + 1) & mask
    }
    words[hole] = 0
  }

  /** How many numbers there are. Looks at every slot: for checks, not for packets. */
  count(): number {
    let count = 0
    for (const word of this.#words) if (word !== 0) count++
    return count
  }

  #search(from: number, hash: number): number {
    const words = this.#words
    const unlike = ~this.#numberMask
    let slot = from
    for (;;) {
      const word = words[slot]!
      if (word === 0) return -1
      if (((word ^ hash) & unlike) === 0) return slot
      slot = (slot + 1) & this.#mask
    }
  }
}
