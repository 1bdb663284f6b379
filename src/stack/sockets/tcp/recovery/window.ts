/**
 * The congestion window and its threshold (RFC 5681), in bytes: what they are at first, how they grow with what is acknowledged, shrink
 * when something is lost, and are as before when it was not.
 */
import { NewReno, type CongestionControl } from './congestion.js'
import { Cubic } from './cubic.js'
import { Reduction } from './reduction.js'

/** RFC 6928. */
const INITIAL_SEGMENTS = 10
const INITIAL_BYTES = 14_600

export class CongestionWindow {
  /** Infinity before the first loss. */
  threshold = Infinity
  readonly #control: CongestionControl
  readonly #reduction = new Reduction()
  #mss: number
  /** A plain number with a fraction. */
  #window: number
  /** The SYN was lost: the window begins with one segment. */
  #synLost = false
  /** Of the last window of data, up to `#usedTo`: it was used up; if not, most bytes that were in flight. Only what is used may grow. */
  #usedTo: number
  #usedUp = false
  #peak = 0
  #undoWindow = 0
  #undoThreshold = 0

  /** @param initial sequence number of the SYN */
  constructor(congestion: 'cubic' | 'new-reno', mss: number, initial: number) {
    this.#control = congestion === 'cubic' ? new Cubic() : new NewReno()
    this.#mss = mss
    this.#usedTo = initial
    this.#window = this.#initial()
  }

  /** Whole bytes. */
  get bytes(): number {
    return Math.floor(this.#window)
  }

  /** The larger of window and threshold: what a window that has just collapsed was good for. */
  get potential(): number {
    return this.threshold === Infinity ? this.#window : Math.max(this.#window, this.threshold)
  }

  /** Another size of segments. @param begun data was sent already */
  setMss(mss: number, begun: boolean): void {
    this.#mss = mss
    if (!begun) this.#window = this.#initial()
    else if (this.#window < mss) this.#window = mss
  }

  /** The SYN was lost: RFC 5681 3.1. */
  synLost(): void {
    this.#synLost = true
  }

  /** Data begins. */
  begin(): void {
    this.#window = this.#initial()
  }

  /** After a pause: RFC 5681 4.1. What was known of the path is not forgotten, but for a quarter (RFC 2861). */
  restart(now: number): void {
    if (this.threshold !== Infinity) this.threshold = Math.max(this.threshold, (3 * this.#window) / 4)
    this.#window = Math.min(this.#window, this.#initial())
    this.#control.unused(now)
  }

  /** New data up to `end` was sent, with it `pipe` bytes are in flight. */
  used(pipe: number, una: number, end: number): void {
    const usedUp = pipe + Math.max(2 * this.#mss, this.#window / 8) >= this.#window
    if (!usedUp && ((una - this.#usedTo) | 0) < 0 && (this.#usedUp || pipe <= this.#peak)) return
    this.#usedUp = usedUp
    this.#peak = pipe
    this.#usedTo = end
  }

  /** Data was acknowledged. @param slowly after a timeout the window grows up to the threshold only */
  grow(delivered: number, slowly: boolean, srtt: number, now: number): void {
    if (this.#window < this.threshold) {
      // Slow start by the bytes that arrived (RFC 3465): one acknowledgement of many segments counts like one of each.
      if (!this.#usedUp && 2 * this.#peak <= this.#window) return
      const step = Math.min(delivered, this.threshold - this.#window)
      this.#window += step
      delivered -= step
    }
    if (delivered <= 0 || slowly) return
    if (this.#usedUp) this.#window = this.#control.grow(this.#window, delivered, this.#mss, srtt > 0 ? srtt : 0, now)
    else this.#control.unused(now)
  }

  /**
   * Sets the threshold after a loss: for what was in flight, not for a window that was not used (RFC 5681 3.1).
   * @param outstanding bytes now
   * @param isBatch acknowledgements before the one that tells of the loss may not have been answered with new data yet: what was in flight
   *   when something was sent last counts, if that is more
   * @returns bytes that were in flight
   */
  lower(outstanding: number, isBatch: boolean): number {
    const inFlight = isBatch ? Math.max(outstanding, Math.min(this.#window, this.#peak)) : outstanding
    this.#undoWindow = this.#window
    this.#undoThreshold = this.threshold
    this.threshold = Math.max(2 * this.#mss, this.#control.lost(inFlight))
    return inFlight
  }

  /** A recovery begins: after `lower`. */
  beginReduction(inFlight: number): void {
    this.#reduction.begin(Math.max(this.#mss, inFlight))
  }

  /** Sent during a recovery. */
  sent(bytes: number): void {
    this.#reduction.sent(bytes)
  }

  /** An acknowledgement, or the reordering timer, during a recovery: see reduction.ts. @param least bytes that may leave at least */
  reduce(delivered: number, pipe: number, least: number, safe: boolean): void {
    this.#window = Math.max(this.#mss, this.#reduction.window(delivered, pipe, this.threshold, this.#mss, least, safe))
  }

  /** The timer has expired: one segment. */
  collapse(): void {
    this.#control.timedOut()
    this.#window = this.#mss
  }

  /** A recovery is over, or there was none to be made. */
  settle(): void {
    this.#window = this.threshold
  }

  /** The loss was none. */
  undo(): void {
    this.#control.undo()
    this.#window = Math.max(this.#window, this.#undoWindow)
    this.threshold = Math.max(this.threshold, this.#undoThreshold)
  }

  #initial(): number {
    return this.#synLost ? this.#mss : Math.min(INITIAL_SEGMENTS * this.#mss, Math.max(2 * this.#mss, INITIAL_BYTES))
  }
}
