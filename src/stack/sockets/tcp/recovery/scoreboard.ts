/**
 * What was sent and is not acknowledged yet, and what became of it.
 *
 * Theory of operation. Records are ranges of sequence numbers from SND.UNA to SND.NXT without a hole, in order, in an array; each is in
 * one of three states:
 *
 *   IN_FLIGHT   it counts into `pipe`
 *   SACKED      the other end has it, out of order. Neighbours in this state are always one record
 *   LOST        it is to be sent again; it counts into `lost` until it is
 *
 * A record is what left at one time: a superpacket of 64 KiB, or several that left within one millisecond; it is split where a SACK
 * block, or a partial retransmission, ends. So the array is about as long as there were sends and holes in a window, not segments. A
 * sequence number is found by halving; a block that says nothing new costs no more than that.
 *
 * Those in flight are in a second list too, by the time that they left last (RACK): the array's order for first transmissions, a
 * retransmission goes to the end. Who looks for losses begins at the oldest and stops at the first that is young enough, so what is
 * looked at is either lost with that, or the last.
 *
 * What an acknowledgement delivers is summed up in the fields below `begin`, for who judges it (recovery.ts).
 */
import type { Range } from './recovery.js'
import { IN_FLIGHT, lengthOf, LOST, SACKED, Sent, SentByTime } from './sent.js'

/** At most this much is given out at once to be sent again, in bytes: what one superpacket can carry with its headers. */
const LONGEST = 65536 - 128
/** Records kept for reuse. */
const SPARE = 32

export class Scoreboard {
  #records: Sent[] = []
  #head = 0
  #spare: Sent[] = []
  readonly #byTime = new SentByTime()
  /** No record before this one is lost; for a search that does not begin anew. */
  #lostFrom = 0
  #order = 0

  una: number
  nxt: number
  /** Highest sequence number that the other end is known to have, cumulatively or by SACK. */
  highest: number
  /** Bytes in flight, bytes that wait to be sent again, bytes that are sacked: together SND.NXT - SND.UNA. */
  pipe = 0
  lost = 0
  sacked = 0

  // Of the acknowledgement at hand.
  /** Bytes that were not known to be delivered before. */
  delivered = 0
  /** Something that was sent more than once was delivered cumulatively: a time counted from it would say nothing (Karn). */
  ackedAgain = false
  /** Of what was delivered: what left last. -1 for nothing. */
  latestAt = -1
  latestOrder = 0
  latestEnd = 0
  latestAgain = false
  /** When the first record left that was delivered cumulatively, or by SACK, and had been sent once; -1 for none. */
  firstAckedAt = -1
  firstSackedAt = -1
  /** Something that was sent once has arrived after something that was sent after it. */
  reordered = false
  #highestBefore: number

  constructor(initial: number) {
    this.una = initial
    this.nxt = initial
    this.highest = initial
    this.#highestBefore = initial
  }

  /** What left first of all that is in flight. */
  get oldest(): Sent | null {
    return this.#byTime.oldest
  }

  /** The record that begins at SND.UNA. */
  get first(): Sent | null {
    return this.#head < this.#records.length ? this.#records[this.#head]! : null
  }

  /** Number of records. */
  get size(): number {
    return this.#records.length - this.#head
  }

  /** New data left. */
  append(end: number, now: number): void {
    const length = (end - this.nxt) | 0
    if (length <= 0) return
    const last = this.#byTime.newest
    // What left within the same millisecond is one record, unless the first has gone another way since.
    if (last !== null && last.end === this.nxt && !last.again && now - last.at < 1 && now >= last.at) last.end = end
    else {
      const record = this.#take(this.nxt, end)
      record.at = now
      record.order = ++this.#order
      this.#records.push(record)
      this.#byTime.append(record)
    }
    this.nxt = end
    this.pipe += length
  }

  /** Clears what is said of one acknowledgement. */
  begin(): void {
    this.delivered = 0
    this.ackedAgain = false
    this.latestAt = -1
    this.firstAckedAt = -1
    this.firstSackedAt = -1
    this.reordered = false
    this.#highestBefore = this.highest
  }

  /** All before `seq` is acknowledged. @returns the bytes by which SND.UNA moved on */
  acknowledge(seq: number): number {
    const total = (seq - this.una) | 0
    if (total <= 0) return 0
    const highest = this.#highestBefore
    while (this.#head < this.#records.length) {
      const record = this.#records[this.#head]!
      if (((record.start - seq) | 0) >= 0) break
      const whole = ((record.end - seq) | 0) <= 0
      const end = whole ? record.end : seq
      const length = (end - record.start) | 0
      if (record.state === SACKED) this.sacked -= length
      else {
        this.#count(record, -length)
        this.#deliver(record, length, end)
        if (record.again) this.ackedAgain = true
        else {
          if (this.firstAckedAt < 0) this.firstAckedAt = record.at
          if (((end - highest) | 0) < 0) this.reordered = true
        }
      }
      if (!whole) {
        record.start = seq
        break
      }
      if (record.state === IN_FLIGHT) this.#byTime.remove(record)
      this.#head++
      this.#give(record)
    }
    this.una = seq
    if (((seq - this.highest) | 0) > 0) this.highest = seq
    if (((seq - this.#lostFrom) | 0) > 0) this.#lostFrom = seq
    if (this.#head === this.#records.length) {
      this.#records.length = 0
      this.#head = 0
    } else if (this.#head >= 32 && this.#head * 2 >= this.#records.length) {
      this.#records.splice(0, this.#head)
      this.#head = 0
    }
    return total
  }

  /** The other end says that it has [left, right), which lies between SND.UNA and SND.NXT. @returns bytes that are news */
  sack(left: number, right: number): number {
    let index = this.#indexOf(left)
    const found = this.#records[index]!
    if (found.state === SACKED && ((found.end - right) | 0) >= 0) return 0
    const highest = this.#highestBefore
    if (found.state !== SACKED && found.start !== left) {
      this.#split(index, left)
      index++
    }
    // From `first` on, records become one.
    let first = index
    if (first > this.#head && this.#records[first - 1]!.state === SACKED) first--
    let news = 0
    while (index < this.#records.length) {
      const record = this.#records[index]!
      if (((record.start - right) | 0) >= 0) break
      if (record.state !== SACKED) {
        if (((record.end - right) | 0) > 0) this.#split(index, right)
        const length = lengthOf(record)
        news += length
        this.#count(record, -length)
        if (record.state === IN_FLIGHT) this.#byTime.remove(record)
        record.state = SACKED
        this.sacked += length
        this.#deliver(record, length, record.end)
        if (!record.again) {
          if (this.firstSackedAt < 0) this.firstSackedAt = record.at
          if (((record.end - highest) | 0) < 0) this.reordered = true
        }
      }
      index++
    }
    if (index < this.#records.length && this.#records[index]!.state === SACKED) index++
    if (index - first > 1) {
      const merged = this.#records[first]!
      merged.end = this.#records[index - 1]!.end
      for (let i = first + 1; i < index; i++) this.#give(this.#records[i]!)
      this.#records.splice(first + 1, index - first - 1)
    }
    if (((right - this.highest) | 0) > 0) this.highest = right
    return news
  }

  /** A record in flight counts as lost. */
  lose(record: Sent): void {
    this.#count(record, -lengthOf(record))
    this.#byTime.remove(record)
    record.state = LOST
    this.#count(record, lengthOf(record))
    if (((record.start - this.#lostFrom) | 0) < 0 || this.lost === lengthOf(record)) this.#lostFrom = record.start
  }

  /** The first bytes, up to `length`, count as lost, unless they do already. */
  loseFirst(length: number): void {
    const record = this.first
    if (record === null || record.state !== IN_FLIGHT) return
    if (lengthOf(record) > length) this.#split(this.#head, (record.start + length) | 0)
    this.lose(record)
  }

  /** What was taken for lost, and has not left again, is in flight after all. */
  recall(): void {
    let after: Sent | null = null
    for (let index = this.#head; index < this.#records.length && this.lost > 0; index++) {
      const record = this.#records[index]!
      if (record.state !== LOST) continue
      const length = lengthOf(record)
      this.#count(record, -length)
      record.state = IN_FLIGHT
      this.#count(record, length)
      this.#byTime.insert(record, after)
      after = record
    }
  }

  /** Everything that the other end is not known to have counts as lost. @param forget nor is what it has said to have */
  loseAll(forget: boolean): void {
    for (let index = this.#head; index < this.#records.length; index++) {
      const record = this.#records[index]!
      if (record.state === IN_FLIGHT) {
        this.#byTime.remove(record)
        record.state = LOST
      } else if (forget && record.state === SACKED) {
        record.state = LOST
        // It was sent, perhaps twice; a sample of its time would say nothing.
        record.again = true
      }
    }
    if (forget) {
      this.sacked = 0
      this.highest = this.una
    }
    this.pipe = 0
    this.lost = ((this.nxt - this.una) | 0) - this.sacked
    this.#lostFrom = this.una
  }

  /** The next range that is lost. */
  nextLost(out: Range): boolean {
    if (this.lost === 0) return false
    let index = this.#indexOf(this.#lostFrom)
    while (index < this.#records.length && this.#records[index]!.state !== LOST) index++
    if (index === this.#records.length) return false
    const start = this.#records[index]!.start
    this.#lostFrom = start
    let end = this.#records[index]!.end
    while (((end - start) | 0) < LONGEST && ++index < this.#records.length && this.#records[index]!.state === LOST) end = this.#records[index]!.end
    out.start = start
    out.end = ((end - start) | 0) > LONGEST ? (start + LONGEST) | 0 : end
    return true
  }

  /** A range has left again: what of it is lost, or in flight, is in flight since now. */
  resent(start: number, end: number, now: number): void {
    if (((start - this.una) | 0) < 0) start = this.una
    if (((end - this.nxt) | 0) > 0) end = this.nxt
    if (((end - start) | 0) <= 0) return
    for (let index = this.#indexOf(start); index < this.#records.length; index++) {
      let record = this.#records[index]!
      if (((record.start - end) | 0) >= 0) break
      if (record.state === SACKED) continue
      if (((record.start - start) | 0) < 0) {
        this.#split(index, start)
        index++
        record = this.#records[index]!
      }
      if (((record.end - end) | 0) > 0) this.#split(index, end)
      const length = lengthOf(record)
      this.#count(record, -length)
      if (record.state === IN_FLIGHT) this.#byTime.remove(record)
      record.state = IN_FLIGHT
      this.#count(record, length)
      record.at = now
      record.order = ++this.#order
      record.again = true
      this.#byTime.append(record)
    }
  }

  /** The other end has said by SACK that it has what SND.UNA points to, and acknowledges less: it has thrown it away. */
  get reneged(): boolean {
    return this.#head < this.#records.length && this.#records[this.#head]!.state === SACKED
  }

  /** All records in their order. */
  *records(): Iterable<Readonly<Sent>> {
    for (let i = this.#head; i < this.#records.length; i++) yield this.#records[i]!
  }

  #count(record: Sent, bytes: number): void {
    if (record.state === IN_FLIGHT) this.pipe += bytes
    else if (record.state === LOST) this.lost += bytes
  }

  #deliver(record: Sent, length: number, end: number): void {
    this.delivered += length
    if (this.latestAt < 0 || record.order > this.latestOrder || (record.order === this.latestOrder && ((end - this.latestEnd) | 0) > 0)) {
      this.latestAt = record.at
      this.latestOrder = record.order
      this.latestEnd = end
      this.latestAgain = record.again
    }
  }

  /** Index of the record that a sequence number lies in. */
  #indexOf(seq: number): number {
    let low = this.#head
    let high = this.#records.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (((this.#records[middle]!.start - seq) | 0) <= 0) low = middle
      else high = middle - 1
    }
    return low
  }

  /** Cuts a record in two; the front part stays the same object. */
  #split(index: number, seq: number): void {
    const front = this.#records[index]!
    const back = this.#take(seq, front.end)
    front.end = seq
    back.state = front.state
    back.at = front.at
    back.order = front.order
    back.again = front.again
    this.#records.splice(index + 1, 0, back)
    if (front.state === IN_FLIGHT) this.#byTime.insert(back, front)
  }

  #take(start: number, end: number): Sent {
    const record = this.#spare.pop() ?? new Sent()
    record.start = start
    record.end = end
    return record
  }

  #give(record: Sent): void {
    if (this.#spare.length >= SPARE) return
    record.state = IN_FLIGHT
    record.again = false
    this.#spare.push(record)
  }
}
