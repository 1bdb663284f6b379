/**
 * What a sender may send, and what it must send again: the state of a connection between its send queue and the network.
 */

/** Sequence numbers from `start` up to, not including, `end`, int32. */
export interface Range {
  start: number
  end: number
}

export interface RecoveryOptions {
  /** Payload of a full segment, in bytes. */
  mss: number
  /** Both ends have permitted SACK. */
  sack: boolean
  timestamps: boolean
  /** ISS: the sequence number of the SYN, int32. */
  initialSequence: number
  congestion: 'cubic' | 'new-reno'
  /** Milliseconds. */
  minRto: number
  initialRto: number
}

/** What became of a deadline: see `Recovery.expired`. */
export type Expiry = 'rto' | 'probe' | 'lost' | 'nothing'

export class Recovery {
  #mss: number
  #una: number
  #nxt: number
  #lostFrom: number
  #lostTo: number
  #rto: number
  #rtoAt = Infinity
  #retries = 0
  #cwnd: number
  readonly #options: RecoveryOptions

  constructor(options: RecoveryOptions) {
    this.#options = options
    this.#mss = options.mss
    this.#una = options.initialSequence
    this.#nxt = options.initialSequence
    this.#lostFrom = options.initialSequence
    this.#lostTo = options.initialSequence
    this.#rto = options.initialRto
    this.#cwnd = 10 * options.mss
  }

  /** New data left: SND.NXT was `start` and is `end` now. A SYN and a FIN count as one each, like in sequence numbers. */
  sent(start: number, end: number, now: number): void {
    if (this.#una === start && this.#rtoAt === Infinity) this.#rtoAt = now + this.#rto
    this.#nxt = end
  }

  /** A range, or the front part of one, that `nextLost` or `lastSegment` gave has left again. */
  resent(start: number, end: number, now: number): void {
    this.#lostFrom = end
    if (start === this.#una) this.#rtoAt = now + this.#rto
  }

  /**
   * An acceptable acknowledgement, also one that acknowledges nothing new.
   * @param una SEG.ACK: between SND.UNA and SND.NXT; older ones count as SND.UNA
   * @param sacks pairs of left and right edge as the segment has them, a D-SACK included; invalid ones are ignored
   * @param rtt milliseconds by the timestamp echoed, -1 for none
   * @param isDuplicateAck as RFC 5681 2 has it: data outstanding, no data, no SYN or FIN, same acknowledgement, same window
   */
  acknowledged(una: number, _sacks: Int32Array, _sackCount: number, _rtt: number, _isDuplicateAck: boolean, now: number): void {
    if (((una - this.#una) | 0) <= 0) return
    this.#una = una
    this.#retries = 0
    if (((this.#lostFrom - una) | 0) < 0) this.#lostFrom = una
    this.#rtoAt = una === this.#nxt ? Infinity : now + this.#rto
  }

  /** Bytes that may be sent now, lost ones first. A segment may leave when all of it fits. */
  get room(): number {
    return Math.max(0, this.#cwnd - this.flight)
  }

  /** The next range to be sent again, if there is one: at most 64 KiB. Send it, or as much of its front as `room` allows, and say `resent`. */
  nextLost(out: Range): boolean {
    if (((this.#lostTo - this.#lostFrom) | 0) <= 0) return false
    out.start = this.#lostFrom
    out.end = (this.#lostFrom + Math.min((this.#lostTo - this.#lostFrom) | 0, 65536)) | 0
    return true
  }

  /** The last segment that was sent, for a probe when there is nothing new: see `expired`. */
  lastSegment(out: Range): void {
    out.end = this.#nxt
    out.start = (this.#nxt - Math.min(this.flight, this.#mss)) | 0
  }

  /** When `expired` is to be called, in milliseconds; Infinity when nothing is outstanding. It may change with each call of another method. */
  get timer(): number {
    return this.#rtoAt
  }

  /**
   * To be called when `timer` is due; before that, it does nothing.
   * `rto`: everything outstanding counts as lost, send with `nextLost` (the room is one segment; a SYN goes this way too).
   * `probe`: send one new segment (`sent`), whatever `room` says, if there is one that the window admits; else `lastSegment` (`resent`).
   * `lost`: segments were found lost, send with `nextLost`.
   */
  expired(now: number): Expiry {
    if (now < this.#rtoAt) return 'nothing'
    this.#retries++
    this.#rto *= 2
    this.#lostFrom = this.#una
    this.#lostTo = this.#nxt
    this.#rtoAt = now + this.#rto
    return 'rto'
  }

  /** Milliseconds, backed off. */
  get rto(): number {
    return this.#rto
  }

  /** Milliseconds, -1 before the first sample. */
  get srtt(): number {
    return -1
  }

  get cwnd(): number {
    return this.#cwnd
  }

  /** Infinity before the first loss. */
  get ssthresh(): number {
    return Infinity
  }

  /** Bytes sent and not acknowledged cumulatively: SND.NXT - SND.UNA. */
  get flight(): number {
    return (this.#nxt - this.#una) | 0
  }

  /** Timeouts in a row. */
  get retries(): number {
    return this.#retries
  }

  /** To be called before new data is sent when nothing is outstanding: after a pause longer than RTO the window starts anew (RFC 5681 4.1). */
  idle(_now: number): void {}

  /** The path carries another size now. */
  setMss(mss: number): void {
    this.#mss = mss
  }

  /** The handshake has told what the other end permits, and its MSS: before the acknowledgement of the SYN is told. */
  negotiated(mss: number, sack: boolean, timestamps: boolean): void {
    this.setMss(mss)
    this.#options.sack = sack
    this.#options.timestamps = timestamps
  }

  /**
   * The SYN or SYN-ACK was sent again by other means than `expired`: the initial window is one segment (RFC 5681 3.1) and the timeout
   * three seconds when data begins (RFC 6298 5.7). After a timeout of `expired` this happens by itself.
   */
  retryBegan(): void {}

}
