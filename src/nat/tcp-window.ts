/**
 * TCP's windows as they look from the middle: which segments can belong to a connection (G. van Rooij, "Real Stateful TCP Packet
 * Filtering in IP Filter", as conntrack does it).
 *
 * Theory of operation
 *
 * Of each end is known, from what has passed: END, the highest sequence number it has sent, plus one (SYN and FIN count);
 * LIMIT, the highest END that the other end has ever allowed it (acknowledgment plus window); ACKED, its highest
 * acknowledgment; and the greatest window that it has offered. A segment of S, whose other end is R, is in window when
 *
 *     it starts     sequence ≤ LIMIT of S
 *     it ends       end ≥ END of S - greatest window of R
 *     acknowledges  END of R - max(greatest window of S, 66000) ≤ acknowledgment ≤ END of R
 *
 * A segment that is older than that passes, since whoever gets it answers by an acknowledgment, but counts for nothing
 * (BESIDE); so does one that goes beyond the limit by less than a window. What is beyond, or acknowledges what has never been sent, is
 * forged, or of another connection: OUT.
 *
 * Windows are kept unscaled (16 bits) and scaled when used. The scale is known when both ends have sent SYNs, and is 0 unless
 * both have offered one (RFC 7323 2.2). Who sees a connection for the first time in its middle does not know it: the greatest
 * there is (14) is taken, so that windows only seem too wide (RFC 7323 7). Greatest windows are rounded up.
 *
 * The words are in the flow's record (flow-table.ts), beside those that every packet changes anyway. One writer. Numbers are int32
 * and wrap; they are compared by the sign of their difference.
 */
import type { Packet } from '../stack/parse.js'
import * as tcp from '../stack/wire/tcp.js'
import { FLOW_STATUS, FLOW_TRACKER } from './flow-table.js'
import { highestAcknowledged, later, NOT_OFFERED, SCALE_MAX, type Segment } from './tcp-segment.js'
import { FREE_SHIFT } from './tcp-state.js'

/** Words of the flow's record. Of END, LIMIT and ACKED the reply side's follows the original side's. */
export const FLOW_END = FLOW_TRACKER
export const FLOW_LIMIT = FLOW_TRACKER + 2
export const FLOW_ACKED = FLOW_TRACKER + 4
/** Greatest windows, 16 bits a side, the original side's low; 0: nothing seen of it. */
export const FLOW_WINDOWS = FLOW_TRACKER + 6
/** The number that the answer to a segment must have that passed without being believed: tcp-tracker.ts. */
export const FLOW_AWAITED = FLOW_TRACKER + 7

/** Bits of the events, 4 a side, from here on: window scale. */
const SCALE_SHIFT = FREE_SHIFT + 5
/** Until both SYNs are seen, NOT_OFFERED stands for a SYN without the option. */
const SCALES = 0xff << SCALE_SHIFT
/** The greatest window there can be. */
const WINDOW_MAX = 1 << 30
/** Acknowledgments may lag behind by this, however small the window is. */
export const LAG = 66_000

/** Window scale of an end, from the flow's status word. */
export const scaleIn = (status: number, direction: number): number => (status >>> (SCALE_SHIFT + direction * 4)) & 15
export const IN_WINDOW = 0
/** Passes, and counts for nothing. */
export const BESIDE = 1
export const OUT = 2
/** Of a RST: it ends the connection. */
export const CLOSES = 3
/** Of a RST: it is in window, but whoever gets it will ask back by a challenge acknowledgment (RFC 5961 3.2). */
export const ASKS_BACK = 4

export class TcpWindows {
  readonly #flows: Int32Array

  constructor(flows: Int32Array) {
    this.#flows = flows
  }

  /** A connection begins with this SYN, or SYN/ACK: whatever was known is forgotten. */
  restart(at: number, segment: Segment, direction: number): void {
    const flows = this.#flows
    flows.fill(0, at + FLOW_TRACKER, at + FLOW_TRACKER + 8)
    flows[at + FLOW_STATUS] = (flows[at + FLOW_STATUS]! & ~SCALES) | (NOT_OFFERED << SCALE_SHIFT) | (NOT_OFFERED << (SCALE_SHIFT + 4))
    this.#begin(at, segment, direction)
  }

  /**
   * A connection begins with a SYN/ACK whose SYN passed unbelieved. The SYN's numbers are those that are acknowledged here; its
   * window and scale are not known.
   */
  resume(at: number, segment: Segment, direction: number): void {
    const flows = this.#flows
    const asker = at + (direction ^ 1)
    this.restart(at, segment, direction)
    this.#setScale(at, direction, segment.scale === NOT_OFFERED ? 0 : segment.scale)
    this.#setScale(at, direction ^ 1, segment.scale === NOT_OFFERED ? 0 : SCALE_MAX)
    flows[at + FLOW_WINDOWS] = -1
    flows[asker + FLOW_END] = segment.acknowledgment
    flows[asker + FLOW_LIMIT] = (segment.acknowledgment + Math.max(1, segment.window)) | 0
    flows[asker + FLOW_ACKED] = segment.end
    flows[at + direction + FLOW_ACKED] = segment.acknowledgment
    flows[at + direction + FLOW_LIMIT] = (segment.end + 0xffff) | 0
  }

  /** A SYN/ACK other than the one before, while neither is acknowledged: the newest holds. */
  renew(at: number, segment: Segment, direction: number): void {
    const isSame = segment.acknowledgment !== this.#flows[at + direction + FLOW_ACKED] || this.isOldSyn(at, segment, direction)
    if (!isSame && this.isKnown(at, direction)) this.#begin(at, segment, direction)
  }

  /** Whether a SYN can be one of this connection, repeated or late: it is where data has been already. */
  isOldSyn(at: number, segment: Segment, direction: number): boolean {
    const age = (this.#flows[at + direction + FLOW_END]! - segment.end) | 0
    return this.isKnown(at, direction) && age >= 0 && age <= LAG
  }

  /** Whether a segment of this end has passed. */
  isKnown(at: number, direction: number): boolean {
    return this.#greatest(at, direction) !== 0
  }

  /** Judges a segment that is no RST, and moves the bounds when it is in window. */
  judge(view: DataView, packet: Packet, at: number, segment: Segment, direction: number, isOpening: boolean): number {
    const flows = this.#flows
    const sender = at + direction
    const receiver = sender ^ 1
    const hasSyn = (segment.flags & tcp.SYN) !== 0
    const hasAck = (segment.flags & tcp.ACK) !== 0
    if (hasSyn && isOpening) {
      // The SYN that is answered must be the one that was sent: LIMIT is its sequence number until then.
      if (hasAck && this.isKnown(at, direction ^ 1) && this.#acknowledgesNoSyn(receiver, segment)) return OUT
      if (!this.isKnown(at, direction) || segment.sequence !== this.#firstSequence(sender, segment, hasAck)) this.#begin(at, segment, direction)
      else if (later(segment.end, flows[sender + FLOW_END]!)) flows[sender + FLOW_END] = segment.end
      if (hasAck) this.#learn(at, segment, direction, segment.acknowledgment)
      return IN_WINDOW
    }
    if (!this.isKnown(at, direction)) this.#beginInTheMiddle(at, segment, direction)

    const theirs = this.#windowOf(at, direction ^ 1)
    const bound = Math.max(LAG, this.#windowOf(at, direction))
    const limit = isOpening ? flows[sender + FLOW_END]! : flows[sender + FLOW_LIMIT]!
    const end = flows[receiver + FLOW_END]!
    const reached = hasAck ? highestAcknowledged(view, packet, segment.acknowledgment) : end
    if (hasAck && (later(segment.acknowledgment, end) || later(reached, end))) return OUT
    const isLate = ((end - reached) | 0) > bound
    const isOld = theirs !== 0 && ((segment.end - flows[sender + FLOW_END]!) | 0) < -theirs
    const excess = (segment.end - limit) | 0
    if (later(segment.sequence, limit)) {
      if (isLate || isOld || theirs === 0 || excess > theirs) return OUT
      if (later(segment.end, flows[sender + FLOW_END]!)) flows[sender + FLOW_END] = segment.end
      return BESIDE
    }
    if (isLate || isOld) return BESIDE
    // What crosses the limit makes the window that was offered look wider than it was known to be.
    if (excess > 0 && theirs !== 0) this.#widen(at, direction ^ 1, theirs + excess)
    if (later(segment.end, flows[sender + FLOW_END]!)) flows[sender + FLOW_END] = segment.end
    if (hasAck) this.#learn(at, segment, direction, segment.acknowledgment)
    return IN_WINDOW
  }

  /**
   * Judges a RST (RFC 9293 3.10.7.4, RFC 5961 3.2): it ends the connection when it has the very number that is expected next.
   * @param isOpening no SYN has been answered yet; @param isExact the connection is one that a RST must hit exactly
   */
  judgeReset(at: number, segment: Segment, direction: number, isOpening: boolean, isExact: boolean): number {
    const flows = this.#flows
    const sender = at + direction
    const receiver = sender ^ 1
    const { sequence } = segment
    if (isOpening && !this.isKnown(at, direction)) {
      if (!this.isKnown(at, direction ^ 1)) return CLOSES
      return (segment.flags & tcp.ACK) === 0 || this.#acknowledgesNoSyn(receiver, segment) ? OUT : CLOSES
    }
    // Nobody has said anything yet that the opener could acknowledge.
    if (isOpening && !this.isKnown(at, direction ^ 1) && (segment.flags & tcp.ACK) !== 0) return OUT
    const theirs = this.#windowOf(at, direction ^ 1)
    const end = flows[sender + FLOW_END]!
    const limit = flows[sender + FLOW_LIMIT]!
    const expected = flows[receiver + FLOW_ACKED]!
    const lowest = isOpening ? (theirs === 0 ? limit : end - theirs) : theirs === 0 ? end - LAG : expected
    if ((later(sequence, limit) && later(sequence, end)) || later(lowest, sequence)) return OUT
    return theirs === 0 || !isExact || sequence === expected || sequence === end ? CLOSES : ASKS_BACK
  }

  /** Whether the segment acknowledges something else than the SYN of `asker`, and the data that came with it (RFC 7413). */
  #acknowledgesNoSyn(asker: number, { acknowledgment }: Segment): boolean {
    return later(this.#flows[asker + FLOW_LIMIT]!, acknowledgment) || later(acknowledgment, this.#flows[asker + FLOW_END]!)
  }

  /** The sequence number of the SYN that is known of this end; that of a SYN/ACK is one less than its end. */
  #firstSequence(sender: number, segment: Segment, hasAck: boolean): number {
    return hasAck ? (this.#flows[sender + FLOW_END]! - (segment.end - segment.sequence)) | 0 : this.#flows[sender + FLOW_LIMIT]!
  }

  /** This end begins with a SYN, or with another one than before. */
  #begin(at: number, segment: Segment, direction: number): void {
    const flows = this.#flows
    const sender = at + direction
    const receiver = sender ^ 1
    const other = direction ^ 1
    const isFirst = !this.isKnown(at, direction)
    const isAlone = !this.isKnown(at, other)
    const hasAck = (segment.flags & tcp.ACK) !== 0
    flows[sender + FLOW_END] = segment.end
    flows[sender + FLOW_ACKED] = hasAck || isAlone ? segment.acknowledgment : flows[receiver + FLOW_END]!
    flows[sender + FLOW_LIMIT] = hasAck ? (segment.end + this.#windowOf(at, other)) | 0 : segment.sequence
    if (isFirst || isAlone || segment.scale !== NOT_OFFERED) this.#setScale(at, direction, segment.scale)
    if (isFirst && !isAlone) this.#agreeOnScales(at, segment, receiver)
    this.#setGreatest(at, direction, 0)
    this.#widen(at, direction, Math.max(1, segment.window))
  }

  /** Both SYNs are known. The window of the first was unscaled, and none of its acknowledgments is known, if there was any. */
  #agreeOnScales(at: number, segment: Segment, first: number): void {
    const flows = this.#flows
    const status = flows[at + FLOW_STATUS]!
    const isScaled = scaleIn(status, 0) !== NOT_OFFERED && scaleIn(status, 1) !== NOT_OFFERED
    if (!isScaled) flows[at + FLOW_STATUS] = status & ~SCALES
    const window = this.#greatest(at, first - at)
    this.#setGreatest(at, first - at, 0)
    this.#widen(at, first - at, window)
    flows[first + FLOW_ACKED] = segment.sequence
  }

  /** The first that is seen of this end is no SYN: the flow began in the middle of its connection. */
  #beginInTheMiddle(at: number, segment: Segment, direction: number): void {
    const flows = this.#flows
    const sender = at + direction
    const receiver = sender ^ 1
    const isAlone = !this.isKnown(at, direction ^ 1)
    const status = flows[at + FLOW_STATUS]!
    if (isAlone || scaleIn(status, 0) === NOT_OFFERED || scaleIn(status, 1) === NOT_OFFERED) {
      flows[at + FLOW_STATUS] = (status & ~SCALES) | (SCALE_MAX << SCALE_SHIFT) | (SCALE_MAX << (SCALE_SHIFT + 4))
    }
    this.#setGreatest(at, direction, Math.max(1, segment.window))
    flows[sender + FLOW_ACKED] = segment.acknowledgment
    if (isAlone || later(segment.end, flows[sender + FLOW_END]!)) flows[sender + FLOW_END] = segment.end
    // What this end may send is not known until the other has spoken.
    if (isAlone || later((segment.end + WINDOW_MAX) | 0, flows[sender + FLOW_LIMIT]!)) flows[sender + FLOW_LIMIT] = (segment.end + WINDOW_MAX) | 0
    // Data of the other end may have passed before: this tells how far.
    if (isAlone || later(segment.acknowledgment, flows[receiver + FLOW_END]!)) flows[receiver + FLOW_END] = segment.acknowledgment
    if (isAlone) flows[receiver + FLOW_LIMIT] = (segment.acknowledgment + this.#windowOf(at, direction)) | 0
  }

  /** Takes in an acknowledgment and the window that comes with it. */
  #learn(at: number, segment: Segment, direction: number, acknowledgment: number): void {
    const flows = this.#flows
    const sender = at + direction
    const receiver = sender ^ 1
    const scale = (segment.flags & tcp.SYN) !== 0 ? 0 : scaleIn(flows[at + FLOW_STATUS]!, direction)
    const window = segment.window << scale
    this.#widen(at, direction, window)
    if (later(acknowledgment, flows[sender + FLOW_ACKED]!)) flows[sender + FLOW_ACKED] = acknowledgment
    const limit = (acknowledgment + Math.max(1, window)) | 0
    if (later(limit, flows[receiver + FLOW_LIMIT]!)) flows[receiver + FLOW_LIMIT] = limit
  }

  /** The greatest window as kept, or 0. */
  #greatest(at: number, direction: number): number {
    return (this.#flows[at + FLOW_WINDOWS]! >>> (direction << 4)) & 0xffff
  }

  #setGreatest(at: number, direction: number, value: number): void {
    const shift = direction << 4
    this.#flows[at + FLOW_WINDOWS] = (this.#flows[at + FLOW_WINDOWS]! & ~(0xffff << shift)) | (value << shift)
  }

  /** The greatest window in bytes, or 0. */
  #windowOf(at: number, direction: number): number {
    return this.#greatest(at, direction) << scaleIn(this.#flows[at + FLOW_STATUS]!, direction)
  }

  /** The greatest window is at least this, in bytes. */
  #widen(at: number, direction: number, window: number): void {
    const scale = scaleIn(this.#flows[at + FLOW_STATUS]!, direction)
    const value = Math.min(0xffff, Math.ceil(window / (1 << scale)))
    if (value > this.#greatest(at, direction)) this.#setGreatest(at, direction, value)
  }

  #setScale(at: number, direction: number, scale: number): void {
    const shift = SCALE_SHIFT + direction * 4
    const flows = this.#flows
    flows[at + FLOW_STATUS] = (flows[at + FLOW_STATUS]! & ~(15 << shift)) | (scale << shift)
  }
}
