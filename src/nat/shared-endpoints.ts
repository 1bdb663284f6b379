/**
 * Which outside endpoint an inside endpoint has towards others, where ports are shared: netfilter lets a new flow have that of
 * the newest one, if it is free towards the new remote, before it looks for another.
 *
 * Theory of operation
 *
 * Flows of one inside endpoint form a ring; an index finds its oldest member, whose next one is the newest. A flow that has
 * the endpoint that it would have had anyway, its own port, need not be found, and is no member while its inside endpoint has
 * no ring: as long as no port had to be changed, nothing is stored and nothing is looked up.
 *
 * Costs: O(1) expected. Memory: 9 bytes a flow, and 4 bytes an index slot with 1.25 to 2.5 slots a flow; all of it untouched, thus
 * not resident, until a port has to be changed.
 */
import { type FlowTable, META_KEY, SIDE_META, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './flow-table.js'
import { HashIndex, hashWords, indexSlots } from './hash-index.js'

const NONE = -1
const MEMBER = 1
/** The member that the index knows. */
const OLDEST = 2

export class SharedEndpoints {
  readonly #table: FlowTable
  readonly #seed: number
  readonly #index: HashIndex
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #role: Uint8Array
  #count = 0

  constructor(table: FlowTable, seed: number) {
    const { capacity } = table.columns
    this.#table = table
    this.#seed = seed | 0
    this.#index = new HashIndex(new Int32Array(indexSlots(capacity)), capacity, (flow) => this.#hashOf(flow))
    this.#next = new Int32Array(capacity)
    this.#previous = new Int32Array(capacity)
    this.#role = new Uint8Array(capacity)
  }

  /** Members. */
  get count(): number {
    return this.#count
  }

  /** The newest member of an inside endpoint, or -1. @param meta `protocol | zone << 8` */
  newest(source: number, port: number, meta: number): number {
    const oldest = this.#count === 0 ? NONE : this.#oldest(source, port, meta)
    return oldest === NONE ? NONE : this.#next[oldest]!
  }

  /** An open flow from inside. @param isOwn it has the endpoint that its inside endpoint has where that is free */
  add(flow: number, isOwn: boolean): void {
    if (isOwn && this.#count === 0) return
    const at = flow * 2 * SIDE_WORDS
    const { sides } = this.#table
    const oldest = this.#oldest(sides[at + SIDE_SOURCE]!, sides[at + SIDE_PORTS]! >>> 16, sides[at + SIDE_META]! & META_KEY)
    if (oldest === NONE) {
      if (isOwn) return
      this.#next[flow] = flow
      this.#previous[flow] = flow
      this.#role[flow] = MEMBER
      this.#appoint(flow)
    } else {
      const after = this.#next[oldest]!
      this.#next[oldest] = flow
      this.#previous[flow] = oldest
      this.#next[flow] = after
      this.#previous[after] = flow
      this.#role[flow] = MEMBER
    }
    this.#count++
  }

  /** A flow ends, of whatever kind; it must still have its keys. */
  remove(flow: number): void {
    if (this.#count === 0 || this.#role[flow] === 0) return
    const next = this.#next[flow]!
    const previous = this.#previous[flow]!
    if ((this.#role[flow]! & OLDEST) !== 0) {
      this.#index.remove(this.#hashOf(flow), flow)
      if (previous !== flow) this.#appoint(previous)
    }
    this.#role[flow] = 0
    this.#next[previous] = next
    this.#previous[next] = previous
    this.#count--
  }

  #appoint(flow: number): void {
    this.#role[flow] = MEMBER | OLDEST
    this.#index.insert(this.#hashOf(flow), flow)
  }

  #oldest(source: number, port: number, meta: number): number {
    const hash = hashWords(this.#seed, source, port, meta, 0)
    const { sides } = this.#table
    for (let slot = this.#index.first(hash); slot >= 0; slot = this.#index.next(slot, hash)) {
      const flow = this.#index.numberAt(slot)
      const at = flow * 2 * SIDE_WORDS
      if (sides[at + SIDE_SOURCE] === source && sides[at + SIDE_PORTS]! >>> 16 === port && (sides[at + SIDE_META]! & META_KEY) === meta) return flow
    }
    return NONE
  }

  #hashOf(flow: number): number {
    const { sides } = this.#table
    const at = flow * 2 * SIDE_WORDS
    return hashWords(this.#seed, sides[at + SIDE_SOURCE]!, sides[at + SIDE_PORTS]! >>> 16, sides[at + SIDE_META]! & META_KEY, 0)
  }
}
