/** Limits how often something may happen: `rate` a second, `burst` at once. */
export class TokenBucket {
  readonly #rate: number
  readonly #burst: number
  #tokens: number
  #at = 0

  /** @param rate tokens a second, 0 refuses everything; @param burst tokens at most */
  constructor(rate: number, burst: number) {
    this.#rate = rate
    this.#burst = burst
    this.#tokens = burst
  }

  /** Takes a token if there is one. @param now milliseconds, on any clock that does not go back */
  take(now: number): boolean {
    if (now > this.#at) {
      this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) * this.#rate) / 1000)
      this.#at = now
    }
    if (this.#tokens < 1 || this.#rate === 0) return false
    this.#tokens -= 1
    return true
  }
}
