/** A clock that stands still until it is told to move. */
export class FakeClock {
  #milliseconds: number

  /** @param seconds where it begins */
  constructor(seconds = 0) {
    this.#milliseconds = seconds * 1000
  }

  /** May be handed out without its object. */
  readonly milliseconds = (): number => this.#milliseconds
  /** Whole seconds, rounded down. */
  readonly seconds = (): number => Math.floor(this.#milliseconds / 1000)
  readonly microseconds = (): number => this.#milliseconds * 1000

  /** @throws RangeError for a negative number: clocks of this kind never go back */
  advance(seconds: number): void {
    this.advanceMilliseconds(seconds * 1000)
  }

  advanceMilliseconds(milliseconds: number): void {
    if (!(milliseconds >= 0)) throw new RangeError(`a clock cannot advance by ${milliseconds} ms`)
    this.#milliseconds += milliseconds
  }
}
