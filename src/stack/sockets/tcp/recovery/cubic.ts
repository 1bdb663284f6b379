/**
 * CUBIC (RFC 9438): after a loss the window returns to where it was along a cubic of time, flat near the old window, and never below what
 * Reno would have.
 */
import type { CongestionControl } from './congestion.js'

/** Segments per second cubed: RFC 9438 4.1. */
const C = 0.4
/** What remains of the window: 4.6. */
const BETA = 0.7
/** With it, additive increase fills as much as Reno does with one segment and one half: 4.3. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA)

export class Cubic implements CongestionControl {
  /** Where the window was before the loss, in bytes; 0 when there was none, or a timeout. */
  #max = 0
  /** When this growth began, -1 when it has not. */
  #epoch = -1
  /** Seconds from the epoch until the window is at `#max` again. */
  #k = 0
  /** Of the epoch: where the curve is flat. */
  #origin = 0
  /** What Reno would have, and what it had before the loss: bytes. */
  #reno = 0
  #prior = 0
  #lastGrown = 0
  #undoMax = 0
  #undoPrior = 0

  lost(window: number): number {
    this.#undoMax = this.#max
    this.#undoPrior = this.#prior
    this.#prior = window
    // Fast convergence, 4.7: who had to give way twice leaves room for new flows.
    this.#max = window < this.#max ? (window * (1 + BETA)) / 2 : window
    this.#epoch = -1
    return window * BETA
  }

  timedOut(): void {
    this.#max = 0
    // The window falls to one segment like Reno's: what it would not give up of it is no reason to grow more slowly.
    this.#prior = 0
    this.#epoch = -1
  }

  undo(): void {
    this.#max = this.#undoMax
    this.#prior = this.#undoPrior
    this.#epoch = -1
  }

  grow(window: number, acked: number, mss: number, srtt: number, now: number): number {
    if (this.#epoch < 0) {
      this.#epoch = now
      this.#reno = window
      this.#origin = Math.max(this.#max, window)
      this.#k = Math.cbrt((this.#origin - window) / mss / C)
    }
    this.#lastGrown = now
    const elapsed = (now - this.#epoch) / 1000
    this.#reno += ((this.#reno < this.#prior ? ALPHA : 1) * mss * acked) / window
    const curve = this.#at(elapsed, mss)
    if (curve < this.#reno) return Math.max(window, this.#reno)
    const target = Math.min(1.5 * window, this.#at(elapsed + srtt / 1000, mss))
    return target > window ? window + ((target - window) * acked) / window : window
  }

  unused(now: number): void {
    if (this.#epoch >= 0) this.#epoch += now - this.#lastGrown
    this.#lastGrown = now
  }

  /** The curve, in bytes. @param elapsed seconds since the epoch */
  #at(elapsed: number, mss: number): number {
    return this.#origin + C * (elapsed - this.#k) ** 3 * mss
  }
}
