/**
 * Round-trip times, and the retransmission timeout made of them (RFC 6298).
 *
 * The minimum is put to the variance, as Linux does it: RTO = SRTT + max(minimum, 4 * RTTVAR). An other end that delays its
 * acknowledgements up to the minimum causes no timeout then, however long and steady the path is.
 * Every acknowledgement may bring a sample. Between two that belong to the same round trip the variance only rises, so that many samples
 * a round trip do not make it vanish; with one sample a round trip this is the computation of RFC 6298 2.
 */

/** Milliseconds. RFC 6298 2.5 asks for 60 s at least. */
const MAX_RTO = 120_000
/** After a timeout of the SYN, data begins with this: RFC 6298 5.7. */
const CAUTIOUS_RTO = 3000
/** The minimum is that of the last one to two of these. */
const MINIMUM_WINDOW = 60_000

export class Rtt {
  /** Milliseconds; -1 before the first sample. */
  srtt = -1
  rttvar = 0
  /** The timeout had to be set without a measurement, and there was none since. */
  cautious = false
  readonly #minRto: number
  #base: number
  #backoff = 1
  /** The variance may fall when this has been acknowledged. */
  #roundEnd = 0
  #inRound = false
  #minimum = Infinity
  #previousMinimum = Infinity
  #minimumUntil = 0

  constructor(minRto: number, initialRto: number) {
    this.#minRto = minRto
    this.#base = initialRto
  }

  /** Milliseconds, backed off. */
  get rto(): number {
    const rto = this.#base * this.#backoff
    return rto < MAX_RTO ? rto : MAX_RTO
  }

  /** The least round-trip time of the last minute or two; Infinity before the first sample. */
  get minimum(): number {
    return this.#minimum < this.#previousMinimum ? this.#minimum : this.#previousMinimum
  }

  /** @param rtt milliseconds  @param una SND.UNA  @param nxt SND.NXT, both after the acknowledgement */
  sample(rtt: number, una: number, nxt: number, now: number): void {
    if (now >= this.#minimumUntil) {
      this.#previousMinimum = this.#minimum
      this.#minimum = Infinity
      this.#minimumUntil = now + MINIMUM_WINDOW
    }
    if (rtt < this.#minimum) this.#minimum = rtt
    if (this.srtt < 0) {
      this.srtt = rtt
      this.rttvar = rtt / 2
      this.#startRound(nxt)
    } else {
      const error = Math.abs(this.srtt - rtt)
      const over = !this.#inRound || ((una - this.#roundEnd) | 0) > 0
      if (over || error > this.rttvar) this.rttvar += (error - this.rttvar) / 4
      if (over) this.#startRound(nxt)
      this.srtt += (rtt - this.srtt) / 8
    }
    this.#base = this.srtt + Math.max(this.#minRto, 4 * this.rttvar)
    this.#backoff = 1
    this.cautious = false
  }

  /** A timeout: RFC 6298 5.5. */
  backOff(): void {
    if (this.#base * this.#backoff < MAX_RTO) this.#backoff *= 2
  }

  /** Data begins after a timeout of the SYN. */
  beginCautiously(): void {
    this.#base = Math.max(this.#base, CAUTIOUS_RTO)
    this.#backoff = 1
    this.cautious = true
  }

  #startRound(nxt: number): void {
    this.#roundEnd = nxt
    this.#inRound = true
  }
}
