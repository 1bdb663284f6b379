/**
 * The tail loss probe (RFC 8985 7): when nothing comes back for two round trips, one segment is sent, so that its acknowledgement tells
 * what of the tail is missing, before the timeout would send all of it from a window of one.
 */

/** Milliseconds. An other end may delay the acknowledgement of a single segment by this. */
const MAX_ACK_DELAY = 200
/** Milliseconds without a round-trip time. */
const UNKNOWN = 1000
/** Milliseconds for what two round trips of a very short path do not cover. */
const LEAST = 2

export class Probe {
  /** When a probe is to be sent, in milliseconds; Infinity for none. */
  due = Infinity
  /** A probe is on its way: there is no second one until its end is acknowledged. */
  #outstanding = false
  #end = 0
  /** It was a segment that had been sent before. */
  #repeats = false
  /** What is sent next is the probe. */
  #leaving = false

  /** @param may the conditions are met  @param rtoAt when the timeout is due */
  arm(may: boolean, srtt: number, flight: number, mss: number, rtoAt: number, now: number): void {
    if (!may || this.#outstanding) {
      this.due = Infinity
      return
    }
    const patience = (srtt < 0 ? UNKNOWN : 2 * srtt + LEAST) + (flight <= mss ? MAX_ACK_DELAY : 0)
    this.due = Math.min(now + patience, rtoAt)
  }

  /** The probe is about to be sent. */
  begin(nxt: number): void {
    this.due = Infinity
    this.#outstanding = true
    this.#leaving = true
    this.#repeats = true
    this.#end = nxt
  }

  /** New data has left. */
  sent(end: number): void {
    if (!this.#leaving) return
    this.#leaving = false
    this.#repeats = false
    this.#end = end
  }

  /** Something has left again. @returns it was the probe */
  resent(): boolean {
    const leaving = this.#leaving
    this.#leaving = false
    return leaving
  }

  end(): void {
    this.due = Infinity
    this.#outstanding = false
    this.#leaving = false
  }

  /**
   * @param duplicate the other end reports a duplicate
   * @param news it reports that something has arrived
   * @returns the probe has repaired a loss: RFC 8985 7.4
   */
  acknowledged(una: number, acked: number, duplicate: boolean, news: boolean): boolean {
    if (!this.#outstanding || ((una - this.#end) | 0) < 0) return false
    if (!this.#repeats || duplicate) {
      this.#outstanding = false
      return false
    }
    if (((una - this.#end) | 0) > 0) {
      this.#outstanding = false
      return true
    }
    if (acked === 0 && !news) this.#outstanding = false
    return false
  }
}
