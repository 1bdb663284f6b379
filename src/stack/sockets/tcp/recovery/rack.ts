/**
 * Which segments are lost, by time (RFC 8985 6): what left before something that has arrived, by more than a round trip and the time that
 * the network may take to bring it in another order.
 *
 * While no other order has been seen, that time is zero once three segments arrived after the missing one (RFC 6675's rule), or a
 * recovery is going on; before that, and when another order has been seen, a quarter of the least round-trip time, more after duplicates
 * that the other end reports. Retransmissions are judged like first transmissions, so a lost one is found without a timeout.
 */
import type { Scoreboard } from './scoreboard.js'
import type { Sent } from './sent.js'

/** Recoveries without a duplicate after which the reordering window is as small as at first: RFC 8985 6.2 step 4. */
const PERSISTENCE = 16

export class Rack {
  /** Of all that has arrived, what had left last: its order (0 for nothing) and end. */
  #order = 0
  #end = 0
  #rtt = 0
  #reorderingSeen = false
  #multiplier = 1
  #persist = 0
  /** A duplicate counts again when this is acknowledged. */
  #duplicateRound = 0
  #inRound = false
  /** When something will count as lost that does not yet, in milliseconds; Infinity when nothing will. */
  due = Infinity

  /**
   * Something was delivered: what `board` says of the acknowledgement at hand.
   * @param minimum the least round-trip time
   */
  delivered(board: Scoreboard, minimum: number, now: number): void {
    if (board.reordered) this.#reorderingSeen = true
    if (board.latestAt < 0) return
    const rtt = now - board.latestAt
    // Of something that was sent twice, the first has arrived: step 2. (An echoed timestamp belongs to the left edge, not to this.)
    if (board.latestAgain && rtt < minimum) return
    this.#rtt = rtt
    const order = board.latestOrder
    if (order < this.#order || (order === this.#order && ((board.latestEnd - this.#end) | 0) <= 0)) return
    this.#order = order
    this.#end = board.latestEnd
  }

  /** The other end has reported a duplicate. */
  duplicate(una: number, nxt: number): void {
    if (this.#inRound && ((una - this.#duplicateRound) | 0) < 0) return
    this.#inRound = true
    this.#duplicateRound = nxt
    this.#multiplier++
    this.#persist = PERSISTENCE
  }

  /** What was taken for lost had only come in another order. */
  spurious(): void {
    this.#reorderingSeen = true
  }

  /** A recovery has ended. */
  recovered(): void {
    if (this.#persist > 0 && --this.#persist === 0) this.#multiplier = 1
  }

  /**
   * Marks what is lost, and sets `due`.
   * @param enough three segments have arrived after the first missing one, or a recovery is going on
   */
  detect(board: Scoreboard, enough: boolean, srtt: number, minimum: number, now: number): void {
    this.due = Infinity
    if (this.#order === 0) return
    const patience = this.#rtt + (enough && !this.#reorderingSeen ? 0 : this.#window(srtt, minimum))
    let record: Sent | null = board.oldest
    while (record !== null && record.order <= this.#order) {
      const later: Sent | null = record.later
      if (record.order < this.#order || ((record.end - this.#end) | 0) < 0) {
        const due = record.at + patience
        if (due > now) {
          this.due = due
          return
        }
        board.lose(record)
      }
      record = later
    }
  }

  #window(srtt: number, minimum: number): number {
    return minimum === Infinity ? 0 : Math.min((this.#multiplier * minimum) / 4, srtt)
  }
}
