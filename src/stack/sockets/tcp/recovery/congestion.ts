/** How the window shrinks after a loss and grows while it is above the threshold. Windows are in bytes, times in milliseconds. */
export interface CongestionControl {
  /** A loss was found. @returns the new threshold, of which the caller sees that it is two segments at least */
  lost(window: number): number
  /** The timer has expired after `lost`. */
  timedOut(): void
  /** The loss was none: what `lost` and `timedOut` have changed is as it was. */
  undo(): void
  /** @returns the new window, after `acked` bytes were acknowledged. @param srtt 0 when it is not known */
  grow(window: number, acked: number, mss: number, srtt: number, now: number): number
  /** Time has passed in which the window was not used: it does not count. */
  unused(now: number): void
}

/** RFC 5681 3.1, with the bytes counted (RFC 3465): a segment a round trip, however many acknowledgements there are. */
export class NewReno implements CongestionControl {
  /** Bytes acknowledged since the window grew last. */
  #acked = 0

  lost(window: number): number {
    // What was acknowledged towards the next segment still counts, as far as it does not make the window grow at once.
    this.#acked = Math.min(this.#acked, window / 2 - 1)
    return window / 2
  }

  timedOut(): void {}

  undo(): void {}

  grow(window: number, acked: number, mss: number): number {
    this.#acked += acked
    while (this.#acked >= window) {
      this.#acked -= window
      window += mss
    }
    return window
  }

  unused(): void {}
}
