/**
 * A ring of records of any length between two threads: one producer, one consumer, no lock, no waiting.
 *
 * Theory of operation. A SharedArrayBuffer holds a control block and a data area whose size is a power of two. `head` is
 * where the producer writes next, `tail` where the consumer reads next; both count bytes for ever, modulo 2^32, and their
 * lower bits are the place in the data area. The producer alone stores `head`, the consumer alone `tail`, each with
 * Atomics after it is done with the bytes, so that the other side never sees half a record.
 *
 * Records are padded to 8 bytes and never wrap: where one would, the producer leaves the mark WRAP and begins again at the
 * start of the area. The 4 bytes of the mark always fit, since records are multiples of 8; no record begins with them.
 *
 * What a record means, and what the free words of the control block hold, is for those to say who use the ring. Cost of a
 * record: two atomic operations.
 */

export const CONTROL_BYTES = 64
/** The first word (int32) of the control block that users of the ring have for themselves, up to word 15. */
export const FREE_WORD = 2

const HEAD = 0
const TAIL = 1
const WRAP = 0xffffffff

const padded = (length: number): number => (length + 7) & ~7

/** @param size bytes of the data area, a power of two, at least three times as long as the longest record */
export const createRecordRing = (size: number): SharedArrayBuffer => new SharedArrayBuffer(CONTROL_BYTES + size)

const controlOf = (ring: SharedArrayBuffer): Int32Array => new Int32Array(ring, 0, CONTROL_BYTES / 4)

/** The writing end. One for a ring. */
export class RecordProducer {
  readonly control: Int32Array
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly #size: number
  /** `head`, once the reserved record is published. */
  #next = 0

  constructor(ring: SharedArrayBuffer) {
    this.control = controlOf(ring)
    this.bytes = new Uint8Array(ring)
    this.view = new DataView(ring)
    this.#size = ring.byteLength - CONTROL_BYTES
  }

  /** The address in `bytes` and `view` of a record of `length` bytes, a multiple of 8, to be filled and then published; -1 when there is no room. */
  reserve(length: number): number {
    const record = padded(length)
    const size = this.#size
    const head = this.control[HEAD]!
    const free = size - ((head - Atomics.load(this.control, TAIL)) >>> 0)
    const place = head & (size - 1)
    const untilEnd = size - place
    const wraps = untilEnd < record
    if (free < (wraps ? untilEnd + record : record)) return -1
    if (wraps) this.view.setUint32(CONTROL_BYTES + place, WRAP, true)
    this.#next = (head + (wraps ? untilEnd + record : record)) | 0
    return CONTROL_BYTES + (wraps ? 0 : place)
  }

  /** Hands the reserved record to the consumer. */
  publish(): void {
    Atomics.store(this.control, HEAD, this.#next)
  }
}

/** The reading end. One for a ring. */
export class RecordConsumer {
  readonly control: Int32Array
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly #size: number

  constructor(ring: SharedArrayBuffer) {
    this.control = controlOf(ring)
    this.bytes = new Uint8Array(ring)
    this.view = new DataView(ring)
    this.#size = ring.byteLength - CONTROL_BYTES
  }

  /** The address in `bytes` and `view` of the oldest record; -1 when there is none. It stays there until it is released. */
  next(): number {
    const size = this.#size
    const tail = this.control[TAIL]!
    if (tail === Atomics.load(this.control, HEAD)) return -1
    const at = CONTROL_BYTES + (tail & (size - 1))
    if (this.view.getUint32(at, true) !== WRAP) return at
    Atomics.store(this.control, TAIL, (tail + size - (tail & (size - 1))) | 0)
    return CONTROL_BYTES
  }

  /** Gives the room of the oldest record back. @param length as it was reserved with */
  release(length: number): void {
    Atomics.store(this.control, TAIL, (this.control[TAIL]! + padded(length)) | 0)
  }
}
