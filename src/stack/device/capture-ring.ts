/**
 * The ring between the packet path and whoever writes a capture file: one producer (the worker), one consumer (another
 * thread), no lock, no waiting. How it works is told in record-ring.ts; a record is 24 bytes and the packet:
 *
 *     0 captured length | 4 original length | 8 time, µs, float64 | 16 missed before | 20 side | 21 direction | 24 bytes …
 *
 * A packet that does not fit is missed: counted for its side, and told in the next record of that side.
 * Cost of a write: two atomic operations and one copy.
 */
import { ExitCode, TsnatError } from '../../errors.js'
import { PACKET_MAX } from '../batch.js'
import { createRecordRing, FREE_WORD, RecordConsumer, RecordProducer } from '../record-ring.js'

/** Received from the device, or sent to it. */
export const DIRECTION_IN = 0
export const DIRECTION_OUT = 1
/** Sides are numbered 0 … SIDES-1: which device a packet passed. */
export const SIDES = 9

/** Smallest data area: room for three packets of the greatest length, however they fall. */
export const RING_MIN = 1 << 18
export const RING_MAX = 1 << 30

const SNAP_LENGTH = FREE_WORD
/** First of SIDES counters. */
const MISSED = 4

const RECORD_HEADER = 24

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
  const ring = createRecordRing(size)
  new Int32Array(ring)[SNAP_LENGTH] = snapLength
  return ring
}

/** The writing end. One for a ring. */
export class CaptureProducer {
  readonly #ring: RecordProducer
  readonly #snapLength: number
  /** Missed since the last record of the side. */
  readonly #gap = new Uint32Array(SIDES)

  constructor(ring: SharedArrayBuffer) {
    this.#ring = new RecordProducer(ring)
    this.#snapLength = this.#ring.control[SNAP_LENGTH]!
  }

  /**
   * Copies source[at, at+length) into the ring.
   * @param side 0 … SIDES-1
   * @param timestamp microseconds since 1970
   * @returns false when it did not fit and was counted as missed
   */
  write(source: Uint8Array, at: number, length: number, side: number, direction: number, timestamp: number): boolean {
    const captured = length < this.#snapLength ? length : this.#snapLength
    const to = this.#ring.reserve(RECORD_HEADER + captured)
    if (to < 0) {
      this.#gap[side]!++
      Atomics.add(this.#ring.control, MISSED + side, 1)
      return false
    }
    const { view, bytes } = this.#ring
    view.setUint32(to, captured, true)
    view.setUint32(to + 4, length, true)
    view.setFloat64(to + 8, timestamp, true)
    view.setUint32(to + 16, this.#gap[side]!, true)
    view.setUint8(to + 20, side)
    view.setUint8(to + 21, direction)
    bytes.set(source.subarray(at, at + captured), to + RECORD_HEADER)
    this.#gap[side] = 0
    this.#ring.publish()
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
  readonly #ring: RecordConsumer

  constructor(ring: SharedArrayBuffer) {
    this.#ring = new RecordConsumer(ring)
  }

  /** Packets of a side that did not fit, since the ring was made. */
  missed(side: number): number {
    return Atomics.load(this.#ring.control, MISSED + side) >>> 0
  }

  /** Takes the oldest record out; undefined when the ring is empty. */
  read(): CaptureRecord | undefined {
    const from = this.#ring.next()
    if (from < 0) return undefined
    const { view, bytes } = this.#ring
    const captured = view.getUint32(from, true)
    const record: CaptureRecord = {
      timestamp: view.getFloat64(from + 8, true),
      side: view.getUint8(from + 20),
      direction: view.getUint8(from + 21),
      originalLength: view.getUint32(from + 4, true),
      bytes: bytes.slice(from + RECORD_HEADER, from + RECORD_HEADER + captured),
      missed: view.getUint32(from + 16, true),
    }
    this.#ring.release(RECORD_HEADER + captured)
    return record
  }
}
