/**
 * Connections in TIME_WAIT: what is left of a connection that this end closed first, kept so that late segments are not taken for those of
 * a later connection with the same four-tuple (RFC 9293 3.6.1).
 *
 * Theory of operation. A record is one place in columns of numbers; the four-tuple stands in the row of the socket table, which goes on.
 * Records are in a list by the time that they end; since all wait equally long, one that begins anew goes to the end. One timer is set
 * for the first. There are at most `timeWaitMax`: then the oldest ends early, as it does when a socket finds the table full. About 40 bytes each.
 *
 * A SYN begins a new connection before the time is over if it cannot be an old one: by its timestamp (RFC 6191), or by its number.
 * A RST changes nothing (RFC 1337), unless the settings say otherwise.
 */
import * as tcp from '../../wire/tcp.js'
import { SOCKET_FLAG } from '../socket-table.js'
import { Timer } from '../timers.js'
import { HEADERS, sendBuilt, TIMESTAMPS_LENGTH, writeTimestamps } from './build.js'
import { detach } from './close.js'
import type { Connection } from './connection.js'
import type { Core } from './core.js'
import type { Segment } from './segment.js'
import * as state from './state.js'

const NONE = -1
const FIRST_CAPACITY = 64
/** Milliseconds: then the clock of the timestamps has moved on for certain. */
const REUSE_AFTER = 1000

/** Words of a record. */
const ROW = 0
const SEND_NEXT = 1
const RECEIVE_NEXT = 2
/** Of the header: not scaled. */
const WINDOW = 3
const HAS_TIMESTAMPS = 4
const OFFSET = 5
const RECENT = 6
const BEFORE = 7
const AFTER = 8
const WORDS = 9

export class TimeWait {
  readonly #core: Core
  readonly #timer: Timer
  /** Row to record. */
  readonly #records = new Map<number, number>()
  #words = new Int32Array(FIRST_CAPACITY * WORDS)
  #ends = new Float64Array(FIRST_CAPACITY)
  /** Records never used begin here; those that were are listed by AFTER. */
  #fresh = 0
  #free = NONE
  #first = NONE
  #last = NONE

  constructor(core: Core) {
    this.#core = core
    this.#timer = new Timer(core.timers, () => this.#expire())
    core.table.makeRoom = () => {
      if (this.#first === NONE) return false
      this.#end(this.#first)
      return true
    }
  }

  get count(): number {
    return this.#records.size
  }

  has(row: number): boolean {
    return this.#records.has(row)
  }

  /** Takes the place of a connection, which is closed then. */
  take(connection: Connection): void {
    const { row } = connection
    const core = this.#core
    if (this.#records.size >= core.settings.timeWaitMax && this.#first !== NONE) this.#end(this.#first)
    const record = this.#allocate()
    const words = this.#words
    const at = record * WORDS
    words[at + ROW] = row
    words[at + SEND_NEXT] = connection.sendNext
    words[at + RECEIVE_NEXT] = connection.receiveNext
    words[at + WINDOW] = Math.min(0xffff, Math.max(0, (connection.receiveEdge - connection.receiveNext) | 0) >> Math.max(0, connection.receiveScale))
    words[at + HAS_TIMESTAMPS] = connection.hasTimestamps ? 1 : 0
    words[at + OFFSET] = connection.timestampOffset
    words[at + RECENT] = connection.recentTimestamp
    this.#records.set(row, record)
    core.owners[row] = undefined
    core.table.update(row, { flags: core.table.flagsOf(row) | SOCKET_FLAG.timeWait })
    detach(connection)
    this.#append(record)
  }

  /**
   * A segment arrives for a row in TIME_WAIT.
   * @param mayOpen there is a listener that would take a SYN
   * @returns true when it is the SYN of a new connection: the old one is forgotten, and `lastNumber` says what it came to
   */
  arrive(row: number, segment: Segment, mayOpen: boolean): boolean {
    const record = this.#records.get(row)!
    const at = record * WORDS
    const words = this.#words
    const receiveNext = words[at + RECEIVE_NEXT]!
    if (segment.isReset) {
      if (!this.#core.settings.ignoreTimeWaitResets && segment.sequence === receiveNext) this.#end(record)
      return false
    }
    if (segment.isSyn && !segment.isAck && mayOpen && this.#isNew(at, segment)) {
      this.lastNumber = words[at + SEND_NEXT]!
      this.#end(record)
      return true
    }
    if (segment.isFin && segment.dataSequence + segment.dataLength + 1 === receiveNext) {
      // Our last acknowledgment was lost: the wait begins anew.
      this.#unlink(record)
      this.#append(record)
    }
    if (segment.length > 0 || segment.sequence !== receiveNext) this.#acknowledge(row, at, segment)
    return false
  }

  /**
   * Makes room for a connection that is opened from here with the same ends. Only after a second, and where timestamps tell the segments
   * of both apart (RFC 6191 3).
   * @returns false when there can be none yet
   */
  giveWay(row: number): boolean {
    const record = this.#records.get(row)
    if (record === undefined) return false
    const { now, settings } = this.#core
    const since = this.#ends[record]! - settings.timeWait
    if (this.#words[record * WORDS + HAS_TIMESTAMPS] === 0 || now - since < REUSE_AFTER) return false
    this.lastNumber = this.#words[record * WORDS + SEND_NEXT]!
    this.#end(record)
    return true
  }

  /** SND.NXT of the connection that gave way to a new one. */
  lastNumber = 0

  /** RFC 6191 2, and RFC 9293 3.10.7.4 for TIME_WAIT. */
  #isNew(at: number, segment: Segment): boolean {
    const words = this.#words
    const isHigher = state.isAfter(segment.sequence, (words[at + RECEIVE_NEXT]! - 1) | 0)
    if (words[at + HAS_TIMESTAMPS] === 0 || !segment.hasTimestamps) return isHigher
    const difference = (segment.timestamp - words[at + RECENT]!) | 0
    return difference > 0 || (difference === 0 && isHigher)
  }

  #acknowledge(row: number, at: number, segment: Segment): void {
    const { network, now, table } = this.#core
    const words = this.#words
    const hasTimestamps = words[at + HAS_TIMESTAMPS] === 1
    const options = hasTimestamps ? TIMESTAMPS_LENGTH : 0
    const to = network.reserve(HEADERS + options)
    if (to < 0) return
    if (hasTimestamps) writeTimestamps(network.slab.view, to + HEADERS, (Math.floor(now) + words[at + OFFSET]!) | 0, words[at + RECENT]!)
    sendBuilt(
      network, to, row, table.tosOf(row), segment.destination, segment.source, segment.destinationPort, segment.sourcePort,
      words[at + SEND_NEXT]!, words[at + RECEIVE_NEXT]!, tcp.ACK, words[at + WINDOW]!, options, 0, 1,
    )
  }

  #allocate(): number {
    if (this.#free !== NONE) {
      const record = this.#free
      this.#free = this.#words[record * WORDS + AFTER]!
      return record
    }
    if (this.#fresh === this.#ends.length) {
      const words = new Int32Array(this.#words.length * 2)
      words.set(this.#words)
      this.#words = words
      const ends = new Float64Array(this.#ends.length * 2)
      ends.set(this.#ends)
      this.#ends = ends
    }
    return this.#fresh++
  }

  #append(record: number): void {
    const words = this.#words
    const { now, settings } = this.#core
    this.#ends[record] = now + settings.timeWait
    words[record * WORDS + BEFORE] = this.#last
    words[record * WORDS + AFTER] = NONE
    if (this.#last === NONE) this.#first = record
    else words[this.#last * WORDS + AFTER] = record
    this.#last = record
    this.#timer.set(this.#ends[this.#first]!)
  }

  #unlink(record: number): void {
    const words = this.#words
    const before = words[record * WORDS + BEFORE]!
    const after = words[record * WORDS + AFTER]!
    if (before === NONE) this.#first = after
    else words[before * WORDS + AFTER] = after
    if (after === NONE) this.#last = before
    else words[after * WORDS + BEFORE] = before
  }

  #end(record: number): void {
    const words = this.#words
    const row = words[record * WORDS + ROW]!
    this.#unlink(record)
    this.#records.delete(row)
    this.#core.table.remove(row)
    words[record * WORDS + AFTER] = this.#free
    this.#free = record
  }

  #expire(): void {
    const { now } = this.#core
    while (this.#first !== NONE && this.#ends[this.#first]! <= now) this.#end(this.#first)
    if (this.#first !== NONE) this.#timer.set(this.#ends[this.#first]!)
  }

  /** Forgets all. */
  clear(): void {
    while (this.#first !== NONE) this.#end(this.#first)
    this.#timer.clear()
  }
}
