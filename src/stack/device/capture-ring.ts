/**
 * The ring between the packet path and whoever writes a capture file: one producer (the worker), one consumer (another
 * thread), no lock, no waiting.
 *
 * Theory of operation. A SharedArrayBuffer holds a control block and a data area whose size is a power of two. `head` is
 * where the producer writes next, `tail` where the consumer reads next; both count bytes for ever, modulo 2^32, and their
 * lower bits are the place in the data area. The producer alone stores `head`, the consumer alone `tail`, each with
 * Atomics after it is done with the bytes, so that the other side never sees half a record.
 *
 * A record is 24 bytes and the packet, padded to 8, and never wraps: where it would, the producer leaves the mark WRAP and
 * begins again at the start of the area. The 4 bytes of the mark always fit, since records are multiples of 8.
 *
 *     0 captured length | 4 original length | 8 time, µs, float64 | 16 missed before | 20 side | 21 direction | 24 bytes …
 *
 * A packet that does not fit is missed: counted for its side, and told in the next record of that side.
 * Cost of a write: two atomic operations and one copy.
 */
import { ExitCode, TsnatError } from '../../errors.js'
import { PACKET_MAX } from '../batch.js'

/** Received from the device, or sent to it. */
export const DIRECTION_IN = 0
export const DIRECTION_OUT = 1
/** Sides are numbered 0 … SIDES-1: which device a packet passed. */
export const SIDES = 9

/** Smallest data area: room for three packets of the greatest length, however they fall. */
export const RING_MIN = 1 << 18
export const RING_MAX = 1 << 30

const HEAD = 0
const TAIL = 1
const SNAP_LENGTH = 2
/** First of SIDES counters. */
const MISSED = 4
const CONTROL_BYTES = 64

const RECORD_HEADER = 24
const WRAP = 0xffffffff

const place = (position: number, size: number): number => CONTROL_BYTES + (position & (size - 1))

/**
 * @param size bytes of the data area, a power of two, RING_MIN … RING_MAX
 * @param snapLength most bytes kept of a packet, 1 … 65535
 * @throws TsnatError CAPTURE_RING when a number is out of its range
 */
export const createCaptureRing = (size: number, snapLength = PACKET_MAX): SharedArrayBuffer => {
  if (!Number.isInteger(size) || size < RING_MIN || size > RING_MAX || (size & (size - 1)) !== 0) {
    throw new TsnatError(`${size} is not a size for a capture ring`, {
      code: 'CAPTURE_RING',
      hint: `use a power of two from ${RING_MIN} to ${RING_MAX}`,
      exitCode: ExitCode.usage,
    })
  }
  if (!Number.isInteger(snapLength) || snapLength < 1 || snapLength > PACKET_MAX) {
    throw new TsnatError(`${snapLength} is not a snapshot length`, {
      code: 'CAPTURE_RING',
      hint: `use a whole number from 1 to ${PACKET_MAX}`,
      exitCode: ExitCode.usage,
    })
  }
  const ring = new SharedArrayBuffer(CONTROL_BYTES + size)
  new Int32Array(ring)[SNAP_LENGTH] = snapLength
  return ring
}

/** The writing end. One for a ring. */
export class CaptureProducer {
  readonly #control: Int32Array
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #size: number
  readonly #snapLength: number
  /** Missed since the last record of the side. */
  readonly #gap = new Uint32Array(SIDES)

  constructor(ring: SharedArrayBuffer) {
    this.#control = new Int32Array(ring, 0, CONTROL_BYTES / 4)
    this.#bytes = new Uint8Array(ring)
    this.#view = new DataView(ring)
    this.#size = ring.byteLength - CONTROL_BYTES
    this.#snapLength = this.#control[SNAP_LENGTH]!
  }

  /**
   * Copies source[at, at+length) into the ring.
   * @param side 0 … SIDES-1
   * @param timestamp microseconds since 1970
   * @returns false when it did not fit and was counted as missed
   */
  write(source: Uint8Array, at: number, length: number, side: number, direction: number, timestamp: number): boolean {
    const captured = length < this.#snapLength ? length : this.#snapLength
    const record = (RECORD_HEADER + captured + 7) & ~7
    const size = this.#size
    let head = this.#control[HEAD]!
    const free = size - ((head - Atomics.load(this.#control, TAIL)) >>> 0)
    const untilEnd = size - (head & (size - 1))
    if (free < (untilEnd < record ? untilEnd + record : record)) {
      this.#gap[side]!++
      Atomics.add(this.#control, MISSED + side, 1)
      return false
    }
    if (untilEnd < record) {
      this.#view.setUint32(place(head, size), WRAP, true)
      head = (head + untilEnd) | 0
    }
    const to = place(head, size)
    this.#view.setUint32(to, captured, true)
    this.#view.setUint32(to + 4, length, true)
    this.#view.setFloat64(to + 8, timestamp, true)
    this.#view.setUint32(to + 16, this.#gap[side]!, true)
    this.#view.setUint8(to + 20, side)
    this.#view.setUint8(to + 21, direction)
    this.#bytes.set(source.subarray(at, at + captured), to + RECORD_HEADER)
    this.#gap[side] = 0
    Atomics.store(this.#control, HEAD, (head + record) | 0)
    return true
  }
}

export interface CaptureRecord {
  /** Microseconds since 1970. */
  timestamp: number
  side: number
  /** DIRECTION_IN or DIRECTION_OUT. */
  direction: number
  originalLength: number
  /** A copy, the reader's to keep. */
  bytes: Uint8Array
  /** Packets of this side that were missed between its record before and this one. */
  missed: number
}

/** The reading end. One for a ring. */
export class CaptureConsumer {
  readonly #control: Int32Array
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #size: number

  constructor(ring: SharedArrayBuffer) {
    this.#control = new Int32Array(ring, 0, CONTROL_BYTES / 4)
    this.#bytes = new Uint8Array(ring)
    this.#view = new DataView(ring)
    this.#size = ring.byteLength - CONTROL_BYTES
  }

  /** Packets of a side that did not fit, since the ring was made. */
  missed(side: number): number {
    return Atomics.load(this.#control, MISSED + side) >>> 0
  }

  /** Takes the oldest record out; undefined when the ring is empty. */
  read(): CaptureRecord | undefined {
    const size = this.#size
    let tail = this.#control[TAIL]!
    if (tail === Atomics.load(this.#control, HEAD)) return undefined
    if (this.#view.getUint32(place(tail, size), true) === WRAP) tail = (tail + size - (tail & (size - 1))) | 0
    const from = place(tail, size)
    const captured = this.#view.getUint32(from, true)
    const record: CaptureRecord = {
      timestamp: this.#view.getFloat64(from + 8, true),
      side: this.#view.getUint8(from + 20),
      direction: this.#view.getUint8(from + 21),
      originalLength: this.#view.getUint32(from + 4, true),
      bytes: this.#bytes.slice(from + RECORD_HEADER, from + RECORD_HEADER + captured),
      missed: this.#view.getUint32(from + 16, true),
    }
    Atomics.store(this.#control, TAIL, (tail + ((RECORD_HEADER + captured + 7) & ~7)) | 0)
    return record
  }
}
