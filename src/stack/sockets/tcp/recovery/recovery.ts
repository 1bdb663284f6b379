/**
 * What a sender may send, and what it must send again: the state of a connection between its send queue and the network. It knows ranges
 * of sequence numbers and times, no packets.
 *
 * Theory of operation. `board` (scoreboard.ts) says what is in flight, known to have arrived, or lost. Each acknowledgement goes through
 * the same steps: what it delivers is noted, it is a sample of the round-trip time (rtt.ts), it moves RACK on (rack.ts), which marks
 * losses; then the window (window.ts) changes by the state:
 *
 *   OPEN      nothing is missing, or not for certain. The window grows (congestion.ts, cubic.ts)
 *   RECOVERY  something is lost: it is sent again while the window shrinks to the threshold (reduction.ts), until all is acknowledged
 *             that was outstanding when it began: one reduction a round trip (RFC 6675, 6582)
 *   LOSS      the timer has expired: what the other end is not known to have is sent again from a window of one segment (RFC 5681)
 *
 * Without SACK, duplicate acknowledgements stand for a segment each that has left the network, the third says that the first
 * outstanding one is lost, and so does an acknowledgement of a part (NewReno).
 * Three deadlines end in one timer: RTO (RFC 6298), the tail loss probe (RFC 8985 7), RACK's reordering timer.
 * An acknowledgement costs a search by halving for each of its blocks, and what it changes.
 */
import { Assumed } from './assumed.js'
import { Probe } from './probe.js'
import { Rack } from './rack.js'
import { Rtt } from './rtt.js'
import { Scoreboard } from './scoreboard.js'
import { Spurious } from './spurious.js'
import { CongestionWindow } from './window.js'

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
  /** Both ends send timestamps. */
  timestamps: boolean
  /** ISS: the sequence number of the SYN, int32. */
  initialSequence: number
  congestion: 'cubic' | 'new-reno'
  /** Milliseconds. 200 is usual; RFC 6298 has 1000. */
  minRto: number
  /** Milliseconds: 1000. */
  initialRto: number
}

/** What became of a deadline: see `Recovery.expired`. */
export type Expiry = 'rto' | 'probe' | 'lost' | 'nothing'

const OPEN = 0
const RECOVERY = 1
const LOSS = 2

/** Duplicate acknowledgements, or segments that arrived after it, that make a segment count as lost. */
const THRESHOLD = 3

export class Recovery {
  readonly #board: Scoreboard
  readonly #rtt: Rtt
  readonly #rack = new Rack()
  readonly #probe = new Probe()
  readonly #window: CongestionWindow
  readonly #initial: number
  #mss: number
  readonly #sack: boolean
  readonly #timestamps: boolean
  #state: typeof OPEN | typeof RECOVERY | typeof LOSS = OPEN
  /** SND.NXT when the last recovery began; it ends when this is acknowledged. */
  #recoverTo: number
  #duplicates = 0
  readonly #assumed = new Assumed()
  readonly #spurious = new Spurious()
  #rtoAt = Infinity
  #retries = 0
  #synLost = false
  #lastSent = -1

  constructor(options: RecoveryOptions) {
    this.#initial = options.initialSequence | 0
    this.#board = new Scoreboard(this.#initial)
    this.#rtt = new Rtt(options.minRto, options.initialRto)
    this.#window = new CongestionWindow(options.congestion, options.mss, this.#initial)
    this.#mss = options.mss
    this.#sack = options.sack
    this.#timestamps = options.timestamps
    this.#recoverTo = this.#initial
  }

  /** New data left: SND.NXT was `start` and is `end` now. A SYN and a FIN count as one each, like in sequence numbers. */
  sent(start: number, end: number, now: number): void {
    const board = this.#board
    const length = (end - start) | 0
    if (board.una === board.nxt) this.#rtoAt = now + this.#rtt.rto
    board.append(end, now)
    this.#lastSent = now
    if (this.#state === RECOVERY) this.#window.sent(length)
    this.#probe.sent(end)
    this.#window.used(this.#pipe, board.una, end)
    this.#armProbe(now)
  }

  /** A range, or the front part of one, that `nextLost` or `lastSegment` gave has left again. */
  resent(start: number, end: number, now: number): void {
    const length = (end - start) | 0
    this.#board.resent(start, end, now)
    this.#lastSent = now
    if (this.#probe.resent()) return
    if (this.#state === RECOVERY) this.#window.sent(length)
    this.#spurious.resent(length, now)
    if (((start - this.#board.una) | 0) <= 0) this.#rtoAt = now + this.#rtt.rto
  }

  /**
   * An acceptable acknowledgement, also one that acknowledges nothing new.
   * @param una SEG.ACK: between SND.UNA and SND.NXT; older ones count as SND.UNA
   * @param sacks pairs of left and right edge as the segment has them, a D-SACK included; invalid ones are ignored
   * @param rtt milliseconds by the timestamp echoed, -1 for none
   * @param isDuplicateAck as RFC 5681 2 has it: data outstanding, no data, no SYN or FIN, same acknowledgement, same window
   */
  acknowledged(una: number, sacks: Int32Array, sackCount: number, rtt: number, isDuplicateAck: boolean, now: number): void {
    const board = this.#board
    const before = board.una
    if (((una - before) | 0) < 0) una = before
    if (((una - board.nxt) | 0) > 0) una = board.nxt
    const lostBefore = board.lost
    board.begin()
    const acked = board.acknowledge(una)
    const duplicate = this.#takeBlocks(sacks, this.#sack ? sackCount : 0)
    const delivered = this.#sack ? board.delivered : this.#assume(acked, isDuplicateAck)
    if (acked > 0) {
      this.#retries = 0
      this.#duplicates = 0
    } else if (board.delivered > 0 || isDuplicateAck) this.#duplicates++
    this.#sample(acked, rtt, now)
    if (acked > 0) this.#rtoAt = una === board.nxt ? Infinity : now + this.#rtt.rto
    if (before === this.#initial && acked > 0) {
      this.#synAcknowledged()
      if (acked === 1) {
        // The other end has not taken the data of the SYN.
        if (una !== board.nxt) board.loseAll(true)
        return
      }
    }
    if (board.reneged) this.#enterLoss(true)
    else {
      // What has arrived left before the first outstanding segment did: the timer has not begun to say anything yet.
      if (acked === 0 && board.firstSackedAt >= 0 && board.firstSackedAt < board.first!.at) this.#rtoAt = now + this.#rtt.rto
      this.#judge(una, acked, delivered, lostBefore, rtt, duplicate, now)
    }
    this.#armProbe(now)
  }

  /** Bytes that may be sent now, lost ones first. A segment may leave when all of it fits. */
  get room(): number {
    const room = this.#window.bytes - this.#pipe
    return room > 0 ? room : 0
  }

  /** The next range to be sent again, if there is one: at most 64 KiB. Send it, or as much of its front as `room` allows, and say `resent`. */
  nextLost(out: Range): boolean {
    return this.#board.nextLost(out)
  }

  /** The last segment that was sent, for a probe when there is nothing new: see `expired`. */
  lastSegment(out: Range): void {
    out.end = this.#board.nxt
    out.start = (out.end - Math.min(this.flight, this.#mss)) | 0
  }

  /** When `expired` is to be called, in milliseconds; Infinity when nothing is outstanding. It may change with each call of another method. */
  get timer(): number {
    if (this.#board.una === this.#board.nxt) return Infinity
    return Math.min(this.#rtoAt, this.#probe.due, this.#rack.due)
  }

  /**
   * To be called when `timer` is due; before that, it does nothing.
   * `rto`: everything outstanding counts as lost, send with `nextLost` (the room is one segment; a SYN goes this way too).
   * `probe`: send one new segment (`sent`), whatever `room` says, if there is one that the window admits; else `lastSegment` (`resent`).
   * `lost`: segments were found lost, send with `nextLost`.
   */
  expired(now: number): Expiry {
    const board = this.#board
    if (now < this.timer) return 'nothing'
    if (now >= this.#rack.due) {
      const before = board.lost
      this.#detect(now)
      if (board.lost > before) {
        if (this.#state === OPEN) this.#enterRecovery()
        if (this.#state === RECOVERY) this.#window.reduce(0, this.#pipe, 0, false)
        this.#armProbe(now)
        return 'lost'
      }
      if (now < this.#rtoAt) return 'nothing'
    }
    if (now >= this.#probe.due) {
      this.#probe.begin(board.nxt)
      this.#spurious.end()
      this.#rtoAt = now + this.#rtt.rto
      return 'probe'
    }
    this.#retries++
    this.#rtt.backOff()
    this.#rtoAt = now + this.#rtt.rto
    if (board.una === this.#initial) {
      this.retryBegan()
      board.loseAll(true)
    } else this.#enterLoss(this.#retries > 1)
    return 'rto'
  }

  /** Milliseconds, backed off. */
  get rto(): number {
    return this.#rtt.rto
  }

  /** Milliseconds, -1 before the first sample. */
  get srtt(): number {
    return this.#rtt.srtt
  }

  /** Congestion window, in bytes. */
  get cwnd(): number {
    return this.#window.bytes
  }

  /** Bytes; Infinity before the first loss. */
  get ssthresh(): number {
    return Math.floor(this.#window.threshold)
  }

  /** Bytes sent and not acknowledged cumulatively: SND.NXT - SND.UNA. */
  get flight(): number {
    return (this.#board.nxt - this.#board.una) | 0
  }

  /** Timeouts in a row. */
  get retries(): number {
    return this.#retries
  }

  /** To be called before new data is sent when nothing is outstanding: after a pause longer than RTO the window starts anew (RFC 5681 4.1). */
  idle(now: number): void {
    if (this.flight > 0 || this.#lastSent < 0 || now - this.#lastSent <= this.#rtt.rto) return
    this.#window.restart(now)
    this.#lastSent = now
  }

  /** The path carries another size now. */
  setMss(mss: number): void {
    this.#mss = mss
    this.#window.setMss(mss, ((this.#board.nxt - this.#initial) | 0) > 1 || this.#window.threshold !== Infinity)
  }

  /**
   * All that is outstanding is to be sent again: it was too long for the path, or the other end had no room for it. That is no sign of
   * congestion, the window stays.
   */
  sendAgain(): void {
    this.#board.loseAll(false)
  }

  /**
   * The SYN or SYN-ACK was sent again by other means than `expired`: the initial window is one segment (RFC 5681 3.1) and the timeout
   * three seconds when data begins (RFC 6298 5.7). After a timeout of `expired` this happens by itself.
   */
  retryBegan(): void {
    this.#synLost = true
    this.#window.synLost()
  }

  get #pipe(): number {
    const pipe = this.#board.pipe - this.#assumed.bytes
    return pipe > 0 ? pipe : 0
  }

  #synAcknowledged(): void {
    this.#window.begin()
    this.#state = OPEN
    this.#spurious.end()
    this.#recoverTo = this.#board.una
    if (!this.#synLost) return
    this.#rtt.beginCautiously()
    if (this.#rtoAt !== Infinity) this.#rtoAt = this.#lastSent + this.#rtt.rto
  }

  /** @returns bytes of a duplicate that the blocks report, 0 for none: RFC 2883 4 */
  #takeBlocks(sacks: Int32Array, count: number): number {
    const board = this.#board
    let duplicate = 0
    for (let i = 0; i < count; i++) {
      const left = sacks[2 * i]!
      const right = sacks[2 * i + 1]!
      const length = (right - left) | 0
      if (length <= 0) continue
      if (i === 0) {
        const old = ((right - board.una) | 0) <= 0
        const inside = count > 1 && ((left - sacks[2]!) | 0) >= 0 && ((right - sacks[3]!) | 0) <= 0
        if (old || inside) duplicate = length
      }
      // What is older than SND.UNA says nothing; a block that begins there contradicts the acknowledgement.
      if (((left - board.una) | 0) <= 0 || ((left - board.nxt) | 0) >= 0 || ((right - board.nxt) | 0) > 0) continue
      board.sack(left, right)
    }
    return duplicate
  }

  /** Without SACK. @returns bytes newly delivered */
  #assume(acked: number, isDuplicate: boolean): number {
    const { delivered } = this.#board
    if (acked > 0) return this.#assumed.acknowledged(acked, delivered, this.flight, this.#mss)
    // After a timeout they may be of what was sent twice.
    return isDuplicate && this.#state !== LOSS ? delivered + this.#assumed.duplicate(this.flight, this.#mss) : delivered
  }

  #sample(acked: number, echoed: number, now: number): void {
    const board = this.#board
    let rtt = -1
    // A SYN that was sent again by other means is not known to the board as such.
    const isFirst = !board.ackedAgain && !(this.#synLost && this.#recoverTo === this.#initial)
    if (acked > 0 && isFirst && board.firstAckedAt >= 0) rtt = now - board.firstAckedAt
    else if (board.firstSackedAt >= 0) rtt = now - board.firstSackedAt
    else if (acked > 0 && this.#timestamps) rtt = echoed
    if (rtt >= 0) this.#rtt.sample(rtt, board.una, board.nxt, now)
  }

  #judge(una: number, acked: number, delivered: number, lostBefore: number, echoed: number, duplicate: number, now: number): void {
    const board = this.#board
    this.#rack.delivered(board, this.#rtt.minimum, now)
    if (this.#probe.acknowledged(una, acked, duplicate > 0, board.delivered > 0)) this.#shrinkAtOnce()
    if (duplicate > 0) {
      this.#rack.duplicate(una, board.nxt)
      this.#spurious.duplicate(duplicate)
    }
    const verdict = this.#spurious.judge(acked, this.#timestamps && echoed >= 0 ? now - echoed : Infinity, board.lost)
    if (verdict !== 'lost') this.#undo(verdict === 'reordered')
    if (this.#state !== OPEN && ((una - this.#recoverTo) | 0) >= 0) this.#leave()
    this.#detect(now)
    if (!this.#sack) this.#detectWithoutSack(una, acked)
    if (this.#state === OPEN && board.lost > 0) this.#enterRecovery()
    else if (this.#state === OPEN || this.#state === LOSS) {
      if (acked > 0) this.#window.grow(delivered, this.#state === LOSS, this.#rtt.srtt, now)
      return
    }
    if (this.#state !== RECOVERY) return
    // Without SACK, each acknowledgement of a part has the next missing segment sent at once: RFC 6582 3.2 step 3.
    const least = !this.#sack && acked > 0 ? this.#mss : 0
    this.#window.reduce(delivered, this.#pipe, least, acked > 0 && board.lost <= lostBefore)
  }

  #detect(now: number): void {
    if (!this.#sack) return
    const board = this.#board
    const enough = this.#state !== OPEN || board.sacked > (THRESHOLD - 1) * this.#mss || this.#duplicates >= THRESHOLD
    this.#rack.detect(board, enough, this.#rtt.srtt, this.#rtt.minimum, now)
  }

  /** RFC 6582 3.2. */
  #detectWithoutSack(una: number, acked: number): void {
    if (this.#state === RECOVERY) {
      if (acked > 0) this.#board.loseFirst(this.#mss)
    } else if (this.#state === OPEN && this.#duplicates >= THRESHOLD && ((una - this.#recoverTo) | 0) > 0) {
      this.#board.loseFirst(this.#mss)
    }
  }

  /** Something was lost, and the window is to shrink: what was really outstanding counts, not a window that was not used (RFC 5681 3.1). */
  #lower(window: number, isBatch: boolean): number {
    const inFlight = this.#window.lower(Math.min(this.flight, window), isBatch)
    this.#spurious.begin()
    return inFlight
  }

  #enterRecovery(): void {
    this.#window.beginReduction(this.#lower(this.#window.bytes, true))
    this.#state = RECOVERY
    this.#recoverTo = this.#board.nxt
    this.#probe.end()
  }

  /** @param forget what the other end has said to have may not be there any more */
  #enterLoss(forget: boolean): void {
    const board = this.#board
    // Once for a window of data, however often it times out.
    if (this.#state === OPEN) this.#lower(this.#window.bytes, false)
    else if (this.#state === LOSS && this.#retries <= 1) this.#lower(this.#window.potential, false)
    this.#window.collapse()
    this.#state = LOSS
    this.#recoverTo = board.nxt
    this.#assumed.clear()
    this.#duplicates = 0
    this.#probe.end()
    this.#rack.due = Infinity
    board.loseAll(forget)
    this.#spurious.timedOut()
  }

  /** A probe was needed: one segment was lost, and has arrived with it. */
  #shrinkAtOnce(): void {
    if (this.#state !== OPEN) return
    this.#lower(this.#window.bytes, false)
    this.#spurious.end()
    this.#window.settle()
  }

  #leave(): void {
    if (this.#state === RECOVERY) this.#window.settle()
    this.#open()
    this.#rack.recovered()
  }

  #open(): void {
    this.#state = OPEN
    this.#assumed.clear()
    this.#duplicates = 0
  }

  /** What was taken for lost was not. */
  #undo(isReordered: boolean): void {
    if (isReordered) this.#rack.spurious()
    this.#window.undo()
    this.#spurious.end()
    this.#board.recall()
    this.#open()
  }

  #armProbe(now: number): void {
    const board = this.#board
    const may = this.#sack && this.#state === OPEN && board.sacked === 0 && board.lost === 0 && board.una !== this.#initial && !this.#rtt.cautious
    this.#probe.arm(may && board.una !== board.nxt, this.#rtt.srtt, (board.nxt - board.una) | 0, this.#mss, this.#rtoAt, now)
  }
}
