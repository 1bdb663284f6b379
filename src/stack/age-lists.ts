/** Lists of small numbers, oldest first, each number on one of them at most. Memory is fixed; every step is O(1). */

const NONE = -1

export class AgeLists {
  readonly #oldest: Int32Array
  readonly #newest: Int32Array
  readonly #counts: Int32Array
  readonly #older: Int32Array
  readonly #newer: Int32Array

  /** @param lists how many; @param numbers 0 to `numbers - 1` can be on them */
  constructor(lists: number, numbers: number) {
    this.#oldest = new Int32Array(lists).fill(NONE)
    this.#newest = new Int32Array(lists).fill(NONE)
    this.#counts = new Int32Array(lists)
    this.#older = new Int32Array(numbers)
    this.#newer = new Int32Array(numbers)
  }

  /** The oldest of a list, or -1. */
  oldest(list: number): number {
    return this.#oldest[list]!
  }

  /** How many there are on a list. */
  count(list: number): number {
    return this.#counts[list]!
  }

  /** Puts a number that is on no list on this one, as the newest. */
  append(list: number, number: number): void {
    const newest = this.#newest[list]!
    this.#older[number] = newest
    this.#newer[number] = NONE
    if (newest === NONE) this.#oldest[list] = number
    else this.#newer[newest] = number
    this.#newest[list] = number
    this.#counts[list]!++
  }

  /** Takes a number off the list that it is on. */
  remove(list: number, number: number): void {
    const older = this.#older[number]!
    const newer = this.#newer[number]!
    if (older === NONE) this.#oldest[list] = newer
    else this.#newer[older] = newer
    if (newer === NONE) this.#newest[list] = older
    else this.#older[newer] = older
    this.#counts[list]!--
  }
}
