/**
 * Entries found by three words, for state by address. An entry is a number from 0 on; what it holds beyond its key is its user's, in
 * arrays that grow with `onGrow`. Chains of entries with equal low bits of their hash; freed entries are used again first.
 *
 * Finding and freeing allocate nothing; adding does when all entries are in use: their number doubles, up to `max`.
 */
import { hashWords } from '../../nat/hash-index.js'

const NONE = -1
const FIRST_CAPACITY = 64
const KEY_WORDS = 3

export class KeyedEntries {
  readonly #seed: number
  readonly #max: number
  readonly #onGrow: (capacity: number) => void
  #capacity = 0
  #heads = new Int32Array(0)
  #next = new Int32Array(0)
  #keys = new Int32Array(0)
  #isUsed = new Uint8Array(0)
  /** Entries below have been used. */
  #end = 0
  #free = NONE
  #count = 0

  /** @param max entries at most. @param onGrow told of each new capacity, the first one at once */
  constructor(seed: number, max: number, onGrow: (capacity: number) => void) {
    this.#seed = seed
    this.#max = max
    this.#onGrow = onGrow
    this.#resize(Math.min(max, FIRST_CAPACITY))
  }

  get count(): number {
    return this.#count
  }

  /** Entries that have been used are below. */
  get end(): number {
    return this.#end
  }

  isUsed(entry: number): boolean {
    return this.#isUsed[entry] === 1
  }

  /** The newest entry with this key; NONE (-1) when there is none. */
  find(a: number, b: number, c: number): number {
    return this.#search(this.#heads[this.#slot(a, b, c)]!, a, b, c)
  }

  /** The next entry with the same key, or -1. */
  nextAlike(entry: number): number {
    const at = entry * KEY_WORDS
    return this.#search(this.#next[entry]!, this.#keys[at]!, this.#keys[at + 1]!, this.#keys[at + 2]!)
  }

  /** A new entry; -1 when there is no room. */
  add(a: number, b: number, c: number): number {
    if (this.#free === NONE && this.#end === this.#capacity) {
      if (this.#capacity === this.#max) return NONE
      this.#resize(Math.min(this.#max, this.#capacity * 2))
    }
    let entry = this.#free
    if (entry === NONE) entry = this.#end++
    else this.#free = this.#next[entry]!
    const at = entry * KEY_WORDS
    this.#keys[at] = a
    this.#keys[at + 1] = b
    this.#keys[at + 2] = c
    this.#isUsed[entry] = 1
    this.#count++
    this.#link(entry)
    return entry
  }

  remove(entry: number): void {
    const at = entry * KEY_WORDS
    const slot = this.#slot(this.#keys[at]!, this.#keys[at + 1]!, this.#keys[at + 2]!)
    if (this.#heads[slot] === entry) this.#heads[slot] = this.#next[entry]!
    else {
      let before = this.#heads[slot]!
      while (this.#next[before] !== entry) before = this.#next[before]!
      this.#next[before] = this.#next[entry]!
    }
    this.#isUsed[entry] = 0
    this.#next[entry] = this.#free
    this.#free = entry
    this.#count--
  }

  #search(from: number, a: number, b: number, c: number): number {
    const keys = this.#keys
    let entry = from
    while (entry !== NONE) {
      const at = entry * KEY_WORDS
      if (keys[at] === a && keys[at + 1] === b && keys[at + 2] === c) return entry
      entry = this.#next[entry]!
    }
    return NONE
  }

  #slot(a: number, b: number, c: number): number {
    return hashWords(this.#seed, a, b, c, 0) & (this.#heads.length - 1)
  }

  #link(entry: number): void {
    const at = entry * KEY_WORDS
    const slot = this.#slot(this.#keys[at]!, this.#keys[at + 1]!, this.#keys[at + 2]!)
    this.#next[entry] = this.#heads[slot]!
    this.#heads[slot] = entry
  }

  /** All entries are in use when it grows. */
  #resize(capacity: number): void {
    const keys = new Int32Array(capacity * KEY_WORDS)
    keys.set(this.#keys)
    const isUsed = new Uint8Array(capacity)
    isUsed.set(this.#isUsed)
    this.#keys = keys
    this.#isUsed = isUsed
    this.#next = new Int32Array(capacity)
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(capacity))).fill(NONE)
    for (let entry = 0; entry < this.#end; entry++) this.#link(entry)
    this.#capacity = capacity
    this.#onGrow(capacity)
  }
}
