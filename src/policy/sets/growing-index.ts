/**
 * A hash index that grows without a pause.
 *
 * At half its slots a second index of twice the size is begun. Each number that is added carries a few of the old ones
 * over, in the order of the numbers; lookups go on in the first. A number that has been carried over is added to, and
 * removed from, both. When the last one is over, the second takes the place of the first, long before that is full.
 */
import { HashIndex } from '../../nat/hash-index.js'

/** Numbers carried over for each that is added: 0.3 of the slots are left for that, and at most 0.8 have to move. */
const STEP = 4

export class GrowingIndex {
  readonly #hashOf: (number: number) => number
  readonly #isLive: (number: number) => boolean
  #index: HashIndex
  #slots: number
  #count = 0
  #next: HashIndex | null = null
  /** Numbers below have been carried over. */
  #moved = 0

  /**
   * @param slots a power of two
   * @param hashOf the hash that a live number was inserted with
   * @param isLive whether a number is in the index
   */
  constructor(slots: number, hashOf: (number: number) => number, isLive: (number: number) => boolean) {
    this.#hashOf = hashOf
    this.#isLive = isLive
    this.#slots = slots
    this.#index = this.#make(slots)
  }

  get slots(): number {
    return this.#slots
  }

  /** As in HashIndex: `for (slot = first(hash); slot >= 0; slot = next(slot, hash)) numberAt(slot)`. */
  first(hash: number): number {
    return this.#index.first(hash)
  }

  next(slot: number, hash: number): number {
    return this.#index.next(slot, hash)
  }

  numberAt(slot: number): number {
    return this.#index.numberAt(slot)
  }

  /**
   * Adds a number, which is live already. Numbers must be reused before higher ones are taken.
   * @param end all numbers are below
   */
  insert(hash: number, number: number, end: number): void {
    this.#index.insert(hash, number)
    this.#count++
    if (this.#next === null) {
      if (this.#count * 2 < this.#slots) return
      this.#next = this.#make(this.#slots * 2)
      this.#moved = 0
      return
    }
    if (number < this.#moved) this.#next.insert(hash, number)
    const stop = Math.min(this.#moved + STEP, end)
    for (; this.#moved < stop; this.#moved++) if (this.#isLive(this.#moved)) this.#next.insert(this.#hashOf(this.#moved), this.#moved)
    if (this.#moved < end) return
    this.#index = this.#next
    this.#slots *= 2
    this.#next = null
  }

  /** Removes a number that is there under this hash, and live. */
  remove(hash: number, number: number): void {
    this.#index.remove(hash, number)
    this.#count--
    if (this.#next !== null && number < this.#moved) this.#next.remove(hash, number)
  }

  #make(slots: number): HashIndex {
    return new HashIndex(new Int32Array(slots), slots, this.#hashOf)
  }
}
