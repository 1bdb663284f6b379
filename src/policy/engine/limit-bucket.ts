/**
 * The token bucket of one `-m limit`. Credit is counted in 1/10000 s, as the rule's period: it grows with the time, up to a burst, and
 * a packet that passes costs a period. It begins full.
 */

/** Units of credit in a millisecond. */
const CREDIT_PER_MS = 10

export class LimitBucket {
  readonly #cost: number
  readonly #cap: number
  #credit: number
  #at: number

  /** @param period of a packet, in 1/10000 s. @param burst packets. @param now milliseconds */
  constructor(period: number, burst: number, now: number) {
    this.#cost = period
    this.#cap = period * burst
    this.#credit = this.#cap
    this.#at = now
  }

  /** Whether a packet passes. @param isDry it only asks */
  take(now: number, isDry: boolean): boolean {
    const credit = Math.min(this.#cap, this.#credit + (now - this.#at) * CREDIT_PER_MS)
    const passes = credit >= this.#cost
    if (isDry) return passes
    this.#at = now
    this.#credit = passes ? credit - this.#cost : credit
    return passes
  }
}
