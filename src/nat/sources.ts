/**
 * Inside addresses, and what each of them uses: flows, half-open TCP flows, new flows a second.
 *
 * Theory of operation
 *
 * An address has a record from its first packet of a new flow on. Records without flows stay, oldest idle first, until their
 * place is needed, so that neither a rate nor what is known of an address is forgotten at once. There is one record more than
 * flows can live: an address that wants its first flow finds one, also when every flow is another address's and one of them has
 * to make room.
 *
 * Without a limit of its own an address may have sixteen times as many flows as are left over for all. A single host can
 * thus use nearly everything, two share evenly, and there is always something left for one that comes later (the dynamic
 * threshold of shared packet buffers: Choudhury and Hahne, 1998).
 *
 * An address is proven when one of its flows became assured: packets sent to it have reached somebody. A forged one never is.
 *
 * Costs: one index search at open, at close and at a change of timeout class. Memory: 48 bytes an address, touched when used.
 */
import { Drop } from '../drop.js'
import { EVENT_ASSURED, eventsIn, type FlowTable, SIDE_SOURCE, SIDE_WORDS, ZONE_INSIDE } from './flow-table.js'
import { HashIndex, hashWords, indexSlots } from './hash-index.js'
import type { LimitSettings } from './settings.js'
import { CLASS_TCP_SYN_RECV, CLASS_TCP_SYN_SENT } from './timeouts.js'

const NONE = -1

const WORDS = 8
const ADDRESS = 0
const FLOWS = 1
const HALF_OPEN = 2
const PROVEN = 3
/** Neighbours on the list of records without flows. */
const OLDER = 4
const NEWER = 5

const RATE_WORDS = 2
const TOKENS = 0
/** Milliseconds. */
const TAKEN_AT = 1

/** What one address may have for each one that is left. */
const SHARE = 16
/** Seconds' worth of new flows that may come at once. */
const BURST = 2

/** Unproven addresses with flows that are no flood yet. */
const CROWD = 256

const isHalfOpen = (timeoutClass: number): boolean => timeoutClass === CLASS_TCP_SYN_SENT || timeoutClass === CLASS_TCP_SYN_RECV

export type SourceLimits = Pick<LimitSettings, 'flowsPerSource' | 'newFlowsPerSource' | 'halfOpenPerSource'>

export class Sources {
  readonly #table: FlowTable
  readonly #limits: SourceLimits
  readonly #seed: number
  readonly #index: HashIndex
  readonly #records: Int32Array
  readonly #rates: Float64Array
  readonly #capacity: number
  #fresh = 0
  /** Records without flows. */
  #oldest = NONE
  #newest = NONE
  #active = 0
  /** Of these, the unproven ones. */
  #unproven = 0

  /** @param seed secret, against chosen collisions */
  constructor(table: FlowTable, limits: SourceLimits, seed: number) {
    const capacity = table.columns.capacity + 1
    this.#table = table
    this.#limits = limits
    this.#seed = seed | 0
    this.#capacity = capacity
    this.#index = new HashIndex(new Int32Array(indexSlots(capacity)), capacity, (record) => this.#hash(this.#records[record * WORDS + ADDRESS]!))
    this.#records = new Int32Array(capacity * WORDS)
    this.#rates = new Float64Array(capacity * RATE_WORDS)
  }

  /** Addresses that have flows. */
  get active(): number {
    return this.#active
  }

  /**
   * Whether an address may have one more flow. Returns 0 or a drop code.
   * @param isTcp it will be half open; @param free flows and ports that are left for all; @param now milliseconds
   */
  admit(address: number, isTcp: boolean, free: number, now: number): number {
    const record = this.#findOrMake(address, now)
    if (record === NONE) return Drop['table-full']
    const at = record * WORDS
    const flows = this.#records[at + FLOWS]!
    const { flowsPerSource, halfOpenPerSource, newFlowsPerSource } = this.#limits
    // Where nothing is left at all, it is not this address's doing.
    if (flowsPerSource > 0 ? flows >= flowsPerSource : free > 0 && flows >= SHARE * free) return Drop['source-limit']
    if (isTcp && halfOpenPerSource > 0 && this.#records[at + HALF_OPEN]! >= halfOpenPerSource) return Drop['half-open-limit']
    return newFlowsPerSource === 0 || this.#takeToken(record, newFlowsPerSource, now) ? 0 : Drop['rate-limit']
  }

  /** A flow was opened. */
  opened(flow: number): void {
    const record = this.#ofFlow(flow)
    if (record === NONE) return
    const at = record * WORDS
    if (this.#records[at + FLOWS]!++ === 0) this.#becomeActive(record)
    if (isHalfOpen(this.#table.classOf(flow))) this.#records[at + HALF_OPEN]!++
  }

  /** A flow goes from one timeout class to another. */
  reclassed(flow: number, before: number, after: number): void {
    const difference = Number(isHalfOpen(after)) - Number(isHalfOpen(before))
    const record = difference === 0 ? NONE : this.#ofFlow(flow)
    if (record !== NONE) this.#records[record * WORDS + HALF_OPEN]! += difference
  }

  /** The status of a flow has changed. */
  changed(flow: number, before: number): void {
    if ((eventsIn(before) & EVENT_ASSURED) !== 0 || (this.#table.eventsOf(flow) & EVENT_ASSURED) === 0) return
    const record = this.#ofFlow(flow)
    if (record === NONE || this.#records[record * WORDS + PROVEN] === 1) return
    this.#records[record * WORDS + PROVEN] = 1
    this.#unproven--
  }

  /** A flow ends; it must still have its keys and its class. */
  closed(flow: number): void {
    const record = this.#ofFlow(flow)
    if (record === NONE) return
    const at = record * WORDS
    if (isHalfOpen(this.#table.classOf(flow))) this.#records[at + HALF_OPEN]!--
    if (--this.#records[at + FLOWS]! === 0) this.#becomeIdle(record)
  }

  /** Whether there are more unproven addresses with flows than hosts come at a time: a flood of forged ones. */
  get isFlooded(): boolean {
    return this.#unproven > CROWD
  }

  /** Whether others may make room for an address: it is proven, or has no flow yet. */
  isPreferred(address: number): boolean {
    const record = this.#find(address)
    return record === NONE || this.#records[record * WORDS + PROVEN] === 1 || this.#records[record * WORDS + FLOWS] === 0
  }

  /** Whether a flow belongs to an inside address that was never proven. */
  isUnproven(flow: number): boolean {
    const record = this.#ofFlow(flow)
    return record !== NONE && this.#records[record * WORDS + PROVEN] === 0
  }

  /** The record of the inside address that opened the flow; none when it came from outside. */
  #ofFlow(flow: number): number {
    if (this.#table.zoneOf(flow * 2) !== ZONE_INSIDE) return NONE
    return this.#find(this.#table.sides[flow * 2 * SIDE_WORDS + SIDE_SOURCE]!)
  }

  #find(address: number): number {
    const hash = this.#hash(address)
    const index = this.#index
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const record = index.numberAt(slot)
      if (this.#records[record * WORDS + ADDRESS] === address) return record
    }
    return NONE
  }

  #findOrMake(address: number, now: number): number {
    const known = this.#find(address)
    if (known !== NONE) return known
    const record = this.#fresh < this.#capacity ? this.#fresh++ : this.#recycle()
    if (record === NONE) return NONE
    const at = record * WORDS
    this.#records[at + ADDRESS] = address
    this.#records[at + FLOWS] = 0
    this.#records[at + HALF_OPEN] = 0
    this.#records[at + PROVEN] = 0
    this.#rates[record * RATE_WORDS + TOKENS] = this.#limits.newFlowsPerSource * BURST
    this.#rates[record * RATE_WORDS + TAKEN_AT] = now
    this.#index.insert(this.#hash(address), record)
    this.#append(record)
    return record
  }

  /** Takes the record that has been idle for longest, or -1. */
  #recycle(): number {
    const record = this.#oldest
    if (record === NONE) return NONE
    this.#unlink(record)
    this.#index.remove(this.#hash(this.#records[record * WORDS + ADDRESS]!), record)
    return record
  }

  #takeToken(record: number, rate: number, now: number): boolean {
    const at = record * RATE_WORDS
    const tokens = Math.min(rate * BURST, this.#rates[at + TOKENS]! + ((now - this.#rates[at + TAKEN_AT]!) * rate) / 1000)
    this.#rates[at + TAKEN_AT] = now
    this.#rates[at + TOKENS] = tokens < 1 ? tokens : tokens - 1
    return tokens >= 1
  }

  #becomeActive(record: number): void {
    this.#unlink(record)
    this.#active++
    this.#unproven += 1 - this.#records[record * WORDS + PROVEN]!
  }

  #becomeIdle(record: number): void {
    this.#append(record)
    this.#active--
    this.#unproven -= 1 - this.#records[record * WORDS + PROVEN]!
  }

  #append(record: number): void {
    const at = record * WORDS
    this.#records[at + OLDER] = this.#newest
    this.#records[at + NEWER] = NONE
    if (this.#newest === NONE) this.#oldest = record
    else this.#records[this.#newest * WORDS + NEWER] = record
    this.#newest = record
  }

  #unlink(record: number): void {
    const at = record * WORDS
    const older = this.#records[at + OLDER]!
    const newer = this.#records[at + NEWER]!
    if (older === NONE) this.#oldest = newer
    else this.#records[older * WORDS + NEWER] = newer
    if (newer === NONE) this.#newest = older
    else this.#records[newer * WORDS + OLDER] = older
  }

  #hash(address: number): number {
    return hashWords(this.#seed, address, 0, 0, 0)
  }
}
