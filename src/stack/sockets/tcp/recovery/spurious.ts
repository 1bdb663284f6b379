/**
 * Whether a reduction of the window was for nothing: the first acknowledgement after a timeout is of the first transmission, as its
 * timestamp tells (RFC 3522), or the other end reports that it had got all that was sent again (RFC 3708).
 */
export type Verdict = 'lost' | 'late' | 'reordered'

export class Spurious {
  /** There was a reduction, and nothing that forbids to take it back. */
  #possible = false
  /** Bytes sent again since, of which the other end has not said that it had them already. */
  #resent = 0
  /** When the first of them left, in milliseconds. */
  #first = Infinity
  /** Nothing was acknowledged since a timeout. */
  #awaits = false
  #isTimeout = false

  /** The window is reduced. */
  begin(): void {
    this.#possible = true
    this.#awaits = false
    this.#isTimeout = false
    this.#resent = 0
    this.#first = Infinity
  }

  /** The timer has expired; the reduction, if there was one, was before. */
  timedOut(): void {
    this.#awaits = true
    this.#isTimeout = true
    this.#resent = 0
    this.#first = Infinity
  }

  /** The reduction stands. */
  end(): void {
    this.#possible = false
  }

  resent(bytes: number, now: number): void {
    this.#resent += bytes
    if (now < this.#first) this.#first = now
  }

  /** The other end reports a duplicate. */
  duplicate(bytes: number): void {
    this.#resent -= bytes
  }

  /**
   * @param acked bytes that the acknowledgement at hand acknowledges
   * @param stamp when what it returns the timestamp of had left, in milliseconds; Infinity when it returns none
   * @param lost bytes that wait to be sent again
   */
  judge(acked: number, stamp: number, lost: number): Verdict {
    if (!this.#possible || this.#first === Infinity) return 'lost'
    if (this.#resent <= 0 && lost === 0) return this.#isTimeout ? 'late' : 'reordered'
    if (acked === 0 || !this.#awaits) return 'lost'
    this.#awaits = false
    return stamp < this.#first - 1 ? 'late' : 'lost'
  }
}
