/**
 * A device that takes its time: wraps another and passes each packet on a constant while later, in order, a while of its own for each
 * direction. With a fault device it makes a long and bad line out of a short and good one.
 *
 * Theory of operation. Each direction has a ring of bytes in a region of the slab that belongs to this device alone. A packet that comes
 * is copied to the head, with what is before it, and its record (address, length, time to go) put in columns; since all wait equally
 * long, the oldest is always the first that is due. What was passed on stays in the ring until the next `receive`, or until `send` of the
 * wrapped device has returned. A packet that finds no room is lost and counted, as at the tail of a router's queue. A direction without
 * delay costs nothing; the other a copy and a reading of the clock a batch, and nothing is allocated.
 *
 * Nothing here wakes by itself: whoever runs the device asks `next` when to look again, then calls `receive`, or `send` with an empty
 * batch.
 */
import { Batch, HEADROOM, PACKET_MAX } from '../batch.js'
import type { Region, Slab } from '../batch.js'
import { ExitCode, TsnatError } from '../../errors.js'
import type { Device, DeviceCounters, Offloads } from './device.js'

/** The least a record takes of the region: it begins at a multiple of 64, and a packet follows HEADROOM bytes. */
const RECORD_MIN = 2 * HEADROOM
const LARGEST = (HEADROOM + PACKET_MAX + 63) & ~63

export interface DelayOptions {
  /** Milliseconds for packets received from the device; 0 when not given. */
  incoming?: number
  /** Milliseconds for packets sent to it; 0 when not given. */
  outgoing?: number
  /** The clock, in milliseconds; never goes back. */
  now: () => number
  /** Part of the slab for this device alone, half for each direction that waits. */
  storage: Region
}

export interface DelayCounters {
  /** Packets that wait now. */
  held: number
  /** Packets that found no room. */
  lost: number
}

/** One direction. */
class Line {
  readonly counters: DelayCounters = { held: 0, lost: 0 }
  readonly delay: number
  readonly #start: number
  readonly #end: number
  readonly #at: Int32Array
  readonly #length: Int32Array
  readonly #link: Int32Array
  readonly #due: Float64Array
  /** Where the record of the same index ends, in bytes of the slab. */
  readonly #until: Int32Array
  /** Records, counted from the beginning: [0, released) are gone, [released, passed) with the user, [passed, taken) wait. */
  #released = 0
  #passed = 0
  #taken = 0
  /** Bytes in use lie from `tail` to `head`, around the end of the region perhaps. */
  #head: number
  #tail: number

  constructor(direction: string, delay: number, start: number, end: number) {
    if (!(delay >= 0 && delay < Infinity)) {
      throw new TsnatError(`${direction} delay ${delay} is not a time`, { code: 'DELAY_TIME', hint: 'give milliseconds, 0 or more', exitCode: ExitCode.usage })
    }
    if (delay > 0 && end - start < 2 * LARGEST) {
      throw new TsnatError(`no storage for packets that wait (${direction})`, {
        code: 'DELAY_STORAGE',
        hint: `give a region of the slab of at least ${2 * LARGEST} bytes for each direction`,
        exitCode: ExitCode.usage,
      })
    }
    this.delay = delay
    this.#start = start
    this.#end = end
    this.#head = start
    this.#tail = start
    const records = delay > 0 ? Math.floor((end - start) / RECORD_MIN) : 0
    this.#at = new Int32Array(records)
    this.#length = new Int32Array(records)
    this.#link = new Int32Array(records)
    this.#until = new Int32Array(records)
    this.#due = new Float64Array(records)
  }

  /** When the oldest is due; Infinity when none waits. */
  get next(): number {
    return this.#passed === this.#taken ? Infinity : this.#due[this.#passed % this.#due.length]!
  }

  /** Takes all packets of the batch, and clears it. */
  take(slab: Slab, batch: Batch, now: number): void {
    for (let index = 0; index < batch.count; index++) this.#hold(slab, batch.at[index]!, batch.length[index]!, batch.link[index]!, now)
    batch.clear()
  }

  /** Puts what is due into the batch, up to `most`. */
  pass(to: Batch, most: number, now: number): void {
    while (to.count < most && this.next <= now) {
      const index = this.#passed % this.#due.length
      to.push(this.#at[index]!, this.#length[index]!, this.#link[index]!)
      this.#passed++
      this.counters.held--
    }
  }

  /** Whoever had the packets that were passed on is done with them. */
  release(): void {
    if (this.#released === this.#passed) return
    this.#tail = this.#until[(this.#passed - 1) % this.#due.length]!
    this.#released = this.#passed
    if (this.#released < this.#taken) return
    this.#head = this.#start
    this.#tail = this.#start
  }

  #hold(slab: Slab, at: number, length: number, link: number, now: number): void {
    const size = (HEADROOM + length + 63) & ~63
    const where = this.#room(size)
    if (where === -1) {
      this.counters.lost++
      return
    }
    slab.bytes.copyWithin(where, at - HEADROOM, at + length)
    const index = this.#taken % this.#due.length
    this.#at[index] = where + HEADROOM
    this.#length[index] = length
    this.#link[index] = link
    this.#until[index] = where + size
    this.#due[index] = now + this.delay
    this.#head = where + size
    this.#taken++
    this.counters.held++
  }

  /** Where a record of this many bytes can begin, or -1. */
  #room(size: number): number {
    if (this.#taken - this.#released === this.#due.length) return -1
    const full = this.#taken !== this.#released && this.#head === this.#tail
    if (full) return -1
    if (this.#head < this.#tail) return this.#tail - this.#head >= size ? this.#head : -1
    if (this.#end - this.#head >= size) return this.#head
    return this.#tail - this.#start >= size ? this.#start : -1
  }
}

export class DelayDevice implements Device {
  readonly name: string
  readonly offloads: Offloads
  readonly fd: number
  readonly counters: DeviceCounters
  readonly #inner: Device
  readonly #now: () => number
  readonly #incoming: Line
  readonly #outgoing: Line
  /** What the wrapped device receives, and what it sends. */
  #part = new Batch(0)
  #out = new Batch(0)

  /** @throws TsnatError DELAY_TIME for a number that is no time, DELAY_STORAGE for a region that is too small */
  constructor(inner: Device, { incoming = 0, outgoing = 0, now, storage }: DelayOptions) {
    this.name = inner.name
    this.offloads = inner.offloads
    this.fd = inner.fd
    this.counters = inner.counters
    this.#inner = inner
    this.#now = now
    const start = (storage.start + 63) & ~63
    const end = storage.end & ~63
    const middle = incoming > 0 && outgoing > 0 ? (start + ((end - start) >>> 1)) & ~63 : incoming > 0 ? end : start
    this.#incoming = new Line('incoming', incoming, start, middle)
    this.#outgoing = new Line('outgoing', outgoing, middle, end)
  }

  /** Packets received from the device. */
  get incoming(): Readonly<DelayCounters> {
    return this.#incoming.counters
  }

  /** Packets sent to it. */
  get outgoing(): Readonly<DelayCounters> {
    return this.#outgoing.counters
  }

  /** When the first packet that waits is due, by the clock; Infinity when none waits. */
  get next(): number {
    return Math.min(this.#incoming.next, this.#outgoing.next)
  }

  /** Receives what is due. What the wrapped device has is taken in first. */
  receive(slab: Slab, region: Region, batch: Batch): number {
    const line = this.#incoming
    if (line.delay === 0) return this.#inner.receive(slab, region, batch)
    batch.clear()
    line.release()
    this.#prepare(batch.capacity)
    const result = this.#inner.receive(slab, region, this.#part)
    if (result < 0) return result
    const now = this.#now()
    line.take(slab, this.#part, now)
    line.pass(batch, batch.limit, now)
    return batch.count
  }

  /** Takes in the batch, then sends what is due: of an empty batch too. */
  send(slab: Slab, batch: Batch): void {
    const line = this.#outgoing
    if (line.delay === 0) {
      this.#inner.send(slab, batch)
      return
    }
    this.#prepare(batch.capacity)
    const now = this.#now()
    line.take(slab, batch, now)
    for (;;) {
      line.pass(this.#out, this.#out.capacity, now)
      if (this.#out.count === 0) return
      this.#inner.send(slab, this.#out)
      this.#out.clear()
      line.release()
    }
  }

  /** Packets that wait are lost. */
  close(): void {
    this.#inner.close()
  }

  /** Fits the batches to the caller's. Allocates at the first call, and when the capacity changes. */
  #prepare(capacity: number): void {
    if (this.#out.capacity === capacity) return
    this.#part = new Batch(capacity)
    this.#out = new Batch(capacity)
  }
}
