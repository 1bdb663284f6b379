/**
 * The flow table.
 *
 * Theory of operation
 *
 * A flow has two sides: side `2f` matches packets of the original direction, side `2f+1` those of the reply; `side ^ 1` is
 * the other. A side's key is the tuple of packets as they arrive: source, destination, ports, protocol, and the zone (the
 * interface group) they arrive from. What a packet of a side becomes is the other side's key turned round, so no rewrite
 * is stored; only its checksum deltas are.
 *
 *     sides   8 int32 a side, so that both sides of a flow share one 64-byte cache line
 *             source, destination, ports, meta (protocol | zone << 8 | egress << 16), deltas (l3 << 16 | l4),
 *             hop (next hop << 16 | route generation), bytes (float64)
 *     flows   16 int32 a flow, a line of its own: last seen (s), status (events | class << 27), previous, next, mark, packets × 2,
 *             generation; and 8 words of the protocol's tracker: TCP's window (tcp-window.ts), or when the flow was opened (s)
 *     index   of both sides by hash of their keys, hash-index.ts
 *
 * A live flow is on the list of its timeout class, least recently seen first; a dead one on the free list. `generation` is
 * odd while the flow lives and grows by one at each open and close, so that a reader beside the writer can tell a torn or
 * reused record.
 *
 * Everything lies in one SharedArrayBuffer. Only the data plane writes. Any thread may read (flow-reader.ts).
 *
 * Costs: find 1 index line and 1 side line when the flow is hot; open and close O(1) expected; touch O(1), and no list
 * work within the same second.
 *
 * Memory: 64 + 64 bytes a flow, and 4 bytes an index slot with 2.5 to 5 slots a flow.
 */

import { HashIndex, hashWords, indexSlots } from './hash-index.js'

export const SIDE_WORDS = 8
export const SIDE_SOURCE = 0
export const SIDE_DESTINATION = 1
export const SIDE_PORTS = 2
export const SIDE_META = 3
export const SIDE_DELTAS = 4
export const SIDE_HOP = 5
/** Index of a side's byte counter in the float64 view is `side * 4 + SIDE_BYTES`. */
export const SIDE_BYTES = 3

export const FLOW_WORDS = 16
export const FLOW_SEEN = 0
export const FLOW_STATUS = 1
export const FLOW_PREVIOUS = 2
export const FLOW_NEXT = 3
export const FLOW_MARK = 4
/** Packets of the original side; the reply side's follow. */
export const FLOW_PACKETS = 5
export const FLOW_GENERATION = 7
/** First of the words that belong to the tracker of the flow's protocol. */
export const FLOW_TRACKER = 8
/** Of protocols other than TCP: when the flow was opened (s). */
export const FLOW_OPENED = FLOW_TRACKER

/** In a status word, the class is above the events. */
export const CLASS_SHIFT = 27
const EVENTS = (1 << CLASS_SHIFT) - 1

export const classIn = (status: number): number => status >>> CLASS_SHIFT
export const eventsIn = (status: number): number => status & EVENTS
/** The status word of a flow of `timeoutClass` with these events. */
export const statusOf = (timeoutClass: number, events: number): number => (timeoutClass << CLASS_SHIFT) | events

/** Events of every protocol: a packet came back; for TCP, anything but a RST. */
export const EVENT_REPLIED = 16
/** conntrack's ASSURED: more than a probe and its answer. */
export const EVENT_ASSURED = 32

/** The zone of the inside: packets from there open flows outward. Other zones are outside. */
export const ZONE_INSIDE = 0
/** The zone of the gateway itself: packets of its sockets come from there, packets for them leave to there. */
export const ZONE_SELF = 0xff

/** Bits of SIDE_META that are part of the key. */
export const META_KEY = 0xffff

const NONE = -1

/** Header words of the shared buffer, before the columns. */
const HEADER_WORDS = 64
export const HEADER_COUNT = 0
export const HEADER_OPENED = 1
export const HEADER_EXPIRED = 2
/** Seconds on the data plane's clock, so that readers can tell how long a flow has left. */
export const HEADER_NOW = 3
/** Flows ever taken: records from there on are untouched. */
export const HEADER_USED = 4
/** Live flows by timeout class follow from here, CLASSES_MAX of them. */
export const HEADER_CLASSES = 32

/** Highest number of timeout classes; at most 32, as a status word has room for. */
export const CLASSES_MAX = 24

export interface FlowTableMemory {
  readonly capacity: number
  readonly slots: number
  readonly buffer: SharedArrayBuffer
}

/** Memory for `capacity` flows (1 to 16 777 216), zeroed. It can be handed to another thread. */
export const allocateFlowTable = (capacity: number): FlowTableMemory => {
  const slots = indexSlots(capacity * 2)
  const bytes = HEADER_WORDS * 4 + capacity * (2 * SIDE_WORDS + FLOW_WORDS) * 4 + slots * 4
  return { capacity, slots, buffer: new SharedArrayBuffer(bytes) }
}

/** Views of the shared columns, for the table and for readers in other threads. */
export class FlowColumns {
  readonly capacity: number
  readonly header: Int32Array
  readonly sides: Int32Array
  readonly bytes: Float64Array
  readonly flows: Int32Array
  readonly index: Int32Array

  constructor(memory: FlowTableMemory) {
    const { capacity, slots, buffer } = memory
    const sidesAt = HEADER_WORDS * 4
    const flowsAt = sidesAt + capacity * 2 * SIDE_WORDS * 4
    const indexAt = flowsAt + capacity * FLOW_WORDS * 4
    this.capacity = capacity
    this.header = new Int32Array(buffer, 0, HEADER_WORDS)
    this.sides = new Int32Array(buffer, sidesAt, capacity * 2 * SIDE_WORDS)
    this.bytes = new Float64Array(buffer, sidesAt, capacity * SIDE_WORDS)
    this.flows = new Int32Array(buffer, flowsAt, capacity * FLOW_WORDS)
    this.index = new Int32Array(buffer, indexAt, slots)
  }
}

export class FlowTable {
  readonly columns: FlowColumns
  readonly sides: Int32Array
  readonly bytes: Float64Array
  readonly flows: Int32Array
  readonly #index: HashIndex
  readonly #seed: number
  readonly #header: Int32Array
  readonly #heads = new Int32Array(CLASSES_MAX).fill(NONE)
  readonly #tails = new Int32Array(CLASSES_MAX).fill(NONE)
  /** Told of each flow that ends, before anything of it is forgotten. */
  onClose: (flow: number) => void = () => {}
  /** Told of each flow that goes from one timeout class to another, beforehand. */
  onReclass: (flow: number, before: number, after: number) => void = () => {}
  /** Told of each change of a flow's status by a packet, and of the status word until then. */
  onChange: (flow: number, before: number) => void = () => {}
  /** Head of the list of flows that were used before. */
  #free = NONE
  /** Flows from here on have never been used; their memory is untouched, thus not yet resident. */
  #fresh = 0

  /** @param seed 32 random bits, secret, so that nobody can choose tuples that collide */
  constructor(memory: FlowTableMemory, seed: number) {
    this.columns = new FlowColumns(memory)
    this.sides = this.columns.sides
    this.bytes = this.columns.bytes
    this.flows = this.columns.flows
    this.#index = new HashIndex(this.columns.index, this.columns.capacity * 2, (side) => this.#hashOfSide(side))
    this.#header = this.columns.header
    this.#seed = seed | 0
  }

  /** Live flows. */
  get count(): number {
    return this.#header[HEADER_COUNT]!
  }

  /** Flows that can still be opened. */
  get free(): number {
    return this.columns.capacity - this.count
  }

  /** Live flows of a timeout class. */
  countOf(timeoutClass: number): number {
    return this.#header[HEADER_CLASSES + timeoutClass]!
  }

  /** Flows ever taken: those from here on are untouched. */
  get used(): number {
    return this.#fresh
  }

  /** The side whose key this is, or -1. `meta` is `protocol | zone << 8`. */
  find(source: number, destination: number, ports: number, meta: number): number {
    const hash = hashWords(this.#seed, source, destination, ports, meta)
    const index = this.#index
    const sides = this.sides
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const side = index.numberAt(slot)
      const at = side * SIDE_WORDS
      if (
        sides[at + SIDE_PORTS] === ports && sides[at + SIDE_SOURCE] === source &&
        sides[at + SIDE_DESTINATION] === destination && (sides[at + SIDE_META]! & META_KEY) === meta
      ) return side
    }
    return NONE
  }

  /** Takes a flow that is not in use, unindexed and on no class list; -1 when the table is full. Its columns are zero. */
  take(): number {
    const flow = this.#free
    if (flow === NONE) {
      if (this.#fresh === this.columns.capacity) return NONE
      this.#header[HEADER_USED] = this.#fresh + 1
      return this.#fresh++
    }
    const at = flow * FLOW_WORDS
    this.#free = this.flows[at + FLOW_NEXT]!
    const generation = this.flows[at + FLOW_GENERATION]!
    this.flows.fill(0, at, at + FLOW_WORDS)
    this.flows[at + FLOW_GENERATION] = generation
    this.sides.fill(0, flow * 2 * SIDE_WORDS, (flow + 1) * 2 * SIDE_WORDS)
    return flow
  }

  /** Puts a taken flow that was not opened back. */
  giveBack(flow: number): void {
    this.flows[flow * FLOW_WORDS + FLOW_NEXT] = this.#free
    this.#free = flow
  }

  /** Writes a side's key. The side must not be indexed. */
  setKey(side: number, source: number, destination: number, ports: number, meta: number): void {
    const at = side * SIDE_WORDS
    this.sides[at + SIDE_SOURCE] = source
    this.sides[at + SIDE_DESTINATION] = destination
    this.sides[at + SIDE_PORTS] = ports
    this.sides[at + SIDE_META] = meta
  }

  /** The zone that packets of the side arrive from. */
  zoneOf(side: number): number {
    return (this.sides[side * SIDE_WORDS + SIDE_META]! >>> 8) & 0xff
  }

  /** The zone that they leave to. */
  egressOf(side: number): number {
    return this.sides[side * SIDE_WORDS + SIDE_META]! >>> 16
  }

  /** Makes both sides findable and puts the flow on the list of `timeoutClass`. Both keys must be set and be in no other flow. */
  open(flow: number, timeoutClass: number, now: number): void {
    for (let side = flow * 2; side <= flow * 2 + 1; side++) this.#index.insert(this.#hashOfSide(side), side)
    const at = flow * FLOW_WORDS
    this.flows[at + FLOW_SEEN] = now
    this.flows[at + FLOW_STATUS] = statusOf(timeoutClass, 0)
    this.#append(flow, timeoutClass)
    this.flows[at + FLOW_GENERATION]!++
    this.#header[HEADER_COUNT]!++
    this.#header[HEADER_OPENED]!++
  }

  /** Forgets a live flow. Its keys stay readable until it is taken again. */
  close(flow: number): void {
    const at = flow * FLOW_WORDS
    this.onClose(flow)
    this.flows[at + FLOW_GENERATION]!++
    for (let side = flow * 2; side <= flow * 2 + 1; side++) this.#index.remove(this.#hashOfSide(side), side)
    this.#unlink(flow, this.classOf(flow))
    this.giveBack(flow)
    this.#header[HEADER_COUNT]!--
  }

  isLive(flow: number): boolean {
    return (this.flows[flow * FLOW_WORDS + FLOW_GENERATION]! & 1) === 1
  }

  /** Odd while the flow lives; another number each time it does. */
  generationOf(flow: number): number {
    return this.flows[flow * FLOW_WORDS + FLOW_GENERATION]!
  }

  classOf(flow: number): number {
    return classIn(this.flows[flow * FLOW_WORDS + FLOW_STATUS]!)
  }

  /** Low 27 bits of the status: what has been seen of the flow (EVENT_REPLIED and EVENT_ASSURED, others by protocol: tcp-state.ts). */
  eventsOf(flow: number): number {
    return eventsIn(this.flows[flow * FLOW_WORDS + FLOW_STATUS]!)
  }

  /** Events and class in one, see above. */
  statusOf(flow: number): number {
    return this.flows[flow * FLOW_WORDS + FLOW_STATUS]!
  }

  setEvents(flow: number, events: number): void {
    const at = flow * FLOW_WORDS + FLOW_STATUS
    this.flows[at] = (this.flows[at]! & ~EVENTS) | events
  }

  /** The flow was used at `now` (s): it becomes the youngest of its class. */
  touch(flow: number, now: number): void {
    const at = flow * FLOW_WORDS
    if (this.flows[at + FLOW_SEEN] === now) return
    this.flows[at + FLOW_SEEN] = now
    const timeoutClass = classIn(this.flows[at + FLOW_STATUS]!)
    if (this.#tails[timeoutClass] === flow) return
    this.#unlink(flow, timeoutClass)
    this.#append(flow, timeoutClass)
  }

  /** Moves the flow to another timeout class, as the last to end; `now` becomes its last-seen time and is none before those of that class. */
  setClass(flow: number, timeoutClass: number, now: number): void {
    const at = flow * FLOW_WORDS
    const before = this.classOf(flow)
    if (before !== timeoutClass) this.onReclass(flow, before, timeoutClass)
    this.#unlink(flow, before)
    this.flows[at + FLOW_STATUS] = statusOf(timeoutClass, eventsIn(this.flows[at + FLOW_STATUS]!))
    this.flows[at + FLOW_SEEN] = now
    this.#append(flow, timeoutClass)
  }

  /** The least recently seen flow of a class, or -1. */
  oldest(timeoutClass: number): number {
    return this.#heads[timeoutClass]!
  }

  /** The flow of the same class that was seen next after this one, or -1. */
  younger(flow: number): number {
    return this.flows[flow * FLOW_WORDS + FLOW_NEXT]!
  }

  /** Seconds, as last set. */
  get now(): number {
    return this.#header[HEADER_NOW]!
  }

  /** Publishes the clock, for readers. */
  setNow(now: number): void {
    this.#header[HEADER_NOW] = now
  }

  countExpired(): void {
    this.#header[HEADER_EXPIRED]!++
  }

  #append(flow: number, timeoutClass: number): void {
    const at = flow * FLOW_WORDS
    const tail = this.#tails[timeoutClass]!
    this.flows[at + FLOW_PREVIOUS] = tail
    this.flows[at + FLOW_NEXT] = NONE
    if (tail === NONE) this.#heads[timeoutClass] = flow
    else this.flows[tail * FLOW_WORDS + FLOW_NEXT] = flow
    this.#tails[timeoutClass] = flow
    this.#header[HEADER_CLASSES + timeoutClass]!++
  }

  #unlink(flow: number, timeoutClass: number): void {
    const at = flow * FLOW_WORDS
    const previous = this.flows[at + FLOW_PREVIOUS]!
    const next = this.flows[at + FLOW_NEXT]!
    if (previous === NONE) this.#heads[timeoutClass] = next
    else this.flows[previous * FLOW_WORDS + FLOW_NEXT] = next
    if (next === NONE) this.#tails[timeoutClass] = previous
    else this.flows[next * FLOW_WORDS + FLOW_PREVIOUS] = previous
    this.#header[HEADER_CLASSES + timeoutClass]!--
  }

  #hashOfSide(side: number): number {
    const at = side * SIDE_WORDS
    const sides = this.sides
    return hashWords(
      this.#seed, sides[at + SIDE_SOURCE]!, sides[at + SIDE_DESTINATION]!, sides[at + SIDE_PORTS]!, sides[at + SIDE_META]! & META_KEY,
    )
  }
}
