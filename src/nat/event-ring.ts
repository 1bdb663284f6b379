/**
 * The ring between the data plane and whoever wants to know what becomes of flows and mappings: one producer (the worker),
 * one consumer (the main thread), no lock, no waiting.
 *
 * Theory of operation. A SharedArrayBuffer holds a control block and a power of two of records of equal size. `head` counts the
 * records written, `tail` those read, both for ever modulo 2^32; their lower bits are the place. The producer alone stores `head`,
 * the consumer alone `tail`, each with Atomics after it is done with the record, so that neither sees half of one. `wanted`
 * says what the consumer wants to hear of; while it is 0 nothing is written, and asking for it is all that the data plane pays.
 *
 * A record is 24 words and a flow's own, all copied as they stand in the flow table (flow-table.ts), so that whoever reads flows
 * there reads them here, too:
 *
 *     0 type | 1 flow | 2-3 time, ms on the data plane's clock, float64 | 4 the table's clock, s | 5 flags | 6-7 unused
 *     8-23 both sides | 24 … the flow
 *
 * Of a port block: 8 inside address, 9 outside address, 10 first and last port.
 *
 * A record that does not fit is missed, and counted. Cost of a write: two atomic operations and a copy of the record.
 */
import { FLOW_WORDS, SIDE_WORDS } from './flow-table.js'

/** Types of records. */
export const EVENT_NEW = 1
export const EVENT_UPDATE = 2
export const EVENT_DESTROY = 3
export const EVENT_MAPPING_BEGIN = 4
export const EVENT_MAPPING_END = 5
export const EVENT_BLOCK_BEGIN = 6
export const EVENT_BLOCK_END = 7

/** Bits of `wanted`: all events of flows; those of mappings, and of flows that have none; those of port blocks. */
export const WANT_FLOWS = 1
export const WANT_MAPPINGS = 2
export const WANT_BLOCKS = 4

/** Flags of a record: the flow belongs to a mapping; somebody asked for its end. */
export const FLAG_MAPPED = 1
export const FLAG_REQUESTED = 2

export const RECORD_TYPE = 0
export const RECORD_FLOW = 1
/** Index in a float64 view. */
export const RECORD_TIME = 1
export const RECORD_SECOND = 4
export const RECORD_FLAGS = 5
export const RECORD_SIDES = 8
export const RECORD_STATE = RECORD_SIDES + 2 * SIDE_WORDS
/** Even, for the sake of the float64s. */
export const RECORD_WORDS = RECORD_STATE + FLOW_WORDS

/** Records of the gateway's ring: three seconds of 10 000 flows a second. */
export const EVENT_RECORDS = 1 << 15

const HEAD = 0
const TAIL = 1
const WANTED = 2
const MISSED = 3
const CONTROL_WORDS = 16

/** @param records a power of two */
export const createEventRing = (records: number): SharedArrayBuffer => {
  if (records < 1 || (records & (records - 1)) !== 0) throw new RangeError(`${records} is not a power of two`)
  return new SharedArrayBuffer((CONTROL_WORDS + records * RECORD_WORDS) * 4)
}

const controlOf = (ring: SharedArrayBuffer): Int32Array => new Int32Array(ring, 0, CONTROL_WORDS)
const countOf = (ring: SharedArrayBuffer): number => (ring.byteLength / 4 - CONTROL_WORDS) / RECORD_WORDS

/** The writing end. One for a ring. */
export class EventProducer {
  readonly #control: Int32Array
  readonly #count: number
  readonly words: Int32Array
  readonly times: Float64Array

  constructor(ring: SharedArrayBuffer) {
    this.#control = controlOf(ring)
    this.#count = countOf(ring)
    this.words = new Int32Array(ring, CONTROL_WORDS * 4)
    this.times = new Float64Array(ring, CONTROL_WORDS * 4)
  }

  /** WANT_* bits. */
  get wanted(): number {
    return Atomics.load(this.#control, WANTED)
  }

  /** The index in `words` where the next record belongs, to be filled and then published; -1, and counted, when there is no room. */
  reserve(): number {
    const head = this.#control[HEAD]!
    if (((head - Atomics.load(this.#control, TAIL)) >>> 0) >= this.#count) {
      Atomics.add(this.#control, MISSED, 1)
      return -1
    }
    return (head & (this.#count - 1)) * RECORD_WORDS
  }

  /** Hands the reserved record to the consumer. */
  publish(): void {
    Atomics.store(this.#control, HEAD, (this.#control[HEAD]! + 1) | 0)
  }
}

/** The reading end. One for a ring. */
export class EventConsumer {
  readonly #control: Int32Array
  readonly #count: number
  readonly #source: Int32Array
  /** The record that was read last. */
  readonly words: Int32Array
  /** The same as float64: RECORD_TIME. */
  readonly times: Float64Array

  constructor(ring: SharedArrayBuffer) {
    const record = new ArrayBuffer(RECORD_WORDS * 4)
    this.#control = controlOf(ring)
    this.#count = countOf(ring)
    this.#source = new Int32Array(ring, CONTROL_WORDS * 4)
    this.words = new Int32Array(record)
    this.times = new Float64Array(record)
  }

  /** Says what is wanted from now on (WANT_* bits). What was written before is forgotten when nothing was wanted until now. */
  want(bits: number): void {
    if (Atomics.load(this.#control, WANTED) === 0) Atomics.store(this.#control, TAIL, Atomics.load(this.#control, HEAD))
    Atomics.store(this.#control, WANTED, bits)
  }

  /** Records that did not fit since the ring was made, modulo 2^32. */
  get missed(): number {
    return Atomics.load(this.#control, MISSED) >>> 0
  }

  /** Takes the oldest record out, into `words`; false when there is none. */
  read(): boolean {
    const tail = this.#control[TAIL]!
    if (tail === Atomics.load(this.#control, HEAD)) return false
    const from = (tail & (this.#count - 1)) * RECORD_WORDS
    for (let word = 0; word < RECORD_WORDS; word++) this.words[word] = this.#source[from + word]!
    Atomics.store(this.#control, TAIL, (tail + 1) | 0)
    return true
  }
}
