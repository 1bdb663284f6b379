/** The counter of one `-m statistic --mode nth`. */
export class NthCounter {
  readonly #every: number
  /** Packets to come until one is taken. */
  #left: number

  /** @param packet the first that is taken, from 0 */
  constructor(every: number, packet: number) {
    this.#every = every
    this.#left = packet
  }

  take(isDry: boolean): boolean {
    const isTaken = this.#left === 0
    if (!isDry) this.#left = isTaken ? this.#every - 1 : this.#left - 1
    return isTaken
  }
}
