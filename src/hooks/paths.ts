/**
 * Counts packets for rules that were not asked.
 *
 * Theory of operation
 *
 * When what came out of the rules is stored with a side of a flow, so is the path: the rules that were met. Later packets of the side
 * only count for the flow, as they do anyway. How many there were is added to the counters of the path when somebody wants to know
 * (`settleAll`), when the side asks the rules again, and when the flow ends.
 *
 * Few paths serve many sides: each is kept once, in a slot of fixed size, found by its content, and given back with its last side.
 * When rules are exchanged, the slots are rewritten to the places that their rules have from then on.
 *
 * Costs: one index search at store; nothing per packet. Memory: 32 bytes a flow and 136 bytes a path, from the first rule on.
 */
import { FLOW_PACKETS, FLOW_WORDS, type FlowTable, SIDE_BYTES } from '../nat/flow-table.js'
import { HashIndex, indexSlots } from '../nat/hash-index.js'
import type { CompiledRuleset } from '../policy/engine/compiled-ruleset.js'

/** Different paths at a time. */
const PATHS = 16384
/** Rules of a path; a longer one is not stored. */
const PATH_WORDS = 32
const NONE = 0
/** In place of a rule that is there no longer. */
const GONE = -1

export class StoredPaths {
  readonly #table: FlowTable
  #ruleset: CompiledRuleset
  /** By side, number of its path, 0 for none; and what had been counted of it. */
  #paths = new Uint16Array(0)
  #packets = new Int32Array(0)
  #bytes = new Float64Array(0)
  readonly #rules = new Int32Array(PATHS * PATH_WORDS)
  readonly #lengths = new Uint8Array(PATHS)
  readonly #users = new Int32Array(PATHS)
  readonly #index: HashIndex
  readonly #free: Uint16Array = new Uint16Array(PATHS)
  #freeCount = 0
  /** Paths from here on have never been used. */
  #fresh = 1
  #stored = 0

  constructor(table: FlowTable, ruleset: CompiledRuleset) {
    this.#table = table
    this.#ruleset = ruleset
    this.#index = new HashIndex(new Int32Array(indexSlots(PATHS)), PATHS, (path) => this.#hash(this.#rules, path * PATH_WORDS, this.#lengths[path]!))
  }

  /** Sides that have a path. */
  get stored(): number {
    return this.#stored
  }

  /**
   * The side's packets after this one, which was counted already, count for the rules in `path`. False when there is no room: then it must
   * ask again.
   * @param bytes of this packet
   */
  store(side: number, path: Int32Array, length: number, bytes: number): boolean {
    if (this.#paths.length === 0) this.#allocate()
    this.settle(side)
    const number = this.#numberOf(path, length)
    if (number === NONE) return false
    this.#users[number]!++
    this.#stored++
    this.#paths[side] = number
    this.#packets[side] = this.#packetsOf(side) + 1
    this.#bytes[side] = this.#table.bytes[side * 4 + SIDE_BYTES]! + bytes
    return true
  }

  /** Counts what the side's packets have not been counted for, and forgets its path. */
  settle(side: number): void {
    if (this.#stored === 0) return
    const number = this.#paths[side]!
    if (number === NONE) return
    this.#count(side, number)
    this.#paths[side] = NONE
    this.#stored--
    if (--this.#users[number]! === 0) this.#release(number)
  }

  /** As `settle`, for some flows, whose paths stay. */
  settleAll(from: number, to: number): void {
    if (this.#stored === 0) return
    for (let side = from * 2; side < to * 2; side++) {
      const number = this.#paths[side]!
      if (number === NONE) continue
      this.#count(side, number)
      this.#packets[side] = this.#packetsOf(side)
      this.#bytes[side] = this.#table.bytes[side * 4 + SIDE_BYTES]!
    }
  }

  /** Other rules are in use from now on; what is outstanding counts for those that are still there. */
  use(ruleset: CompiledRuleset): void {
    const before = this.#ruleset
    if (ruleset === before) return
    this.#ruleset = ruleset
    const paths = this.#fresh
    for (let path = 1; path < paths; path++) if (this.#users[path]! > 0) this.#index.remove(this.#hashOf(path), path)
    for (let path = 1; path < paths; path++) {
      if (this.#users[path] === 0) continue
      const start = path * PATH_WORDS
      for (let at = start; at < start + this.#lengths[path]!; at++) {
        const rule = this.#rules[at]!
        this.#rules[at] = rule === GONE ? GONE : ruleset.indexOf(before.ids[rule]!)
      }
      this.#index.insert(this.#hashOf(path), path)
    }
  }

  #count(side: number, number: number): void {
    const packets = (this.#packetsOf(side) - this.#packets[side]!) | 0
    // The packet with which it was stored may have been refused after that.
    if (packets <= 0) return
    const bytes = this.#table.bytes[side * 4 + SIDE_BYTES]! - this.#bytes[side]!
    const { counters } = this.#ruleset
    const start = number * PATH_WORDS
    for (let at = start; at < start + this.#lengths[number]!; at++) {
      const rule = this.#rules[at]!
      if (rule === GONE) continue
      counters[rule * 2]! += packets
      counters[rule * 2 + 1]! += bytes
    }
  }

  #packetsOf(side: number): number {
    return this.#table.flows[(side >> 1) * FLOW_WORDS + FLOW_PACKETS + (side & 1)]!
  }

  /** The number of a path, new or not; NONE when there is no room. */
  #numberOf(path: Int32Array, length: number): number {
    if (length > PATH_WORDS) return NONE
    const hash = this.#hash(path, 0, length)
    for (let slot = this.#index.first(hash); slot >= 0; slot = this.#index.next(slot, hash)) {
      const known = this.#index.numberAt(slot)
      if (this.#is(known, path, length)) return known
    }
    const number = this.#freeCount > 0 ? this.#free[--this.#freeCount]! : this.#fresh < PATHS ? this.#fresh++ : NONE
    if (number === NONE) return NONE
    this.#lengths[number] = length
    for (let at = 0; at < length; at++) this.#rules[number * PATH_WORDS + at] = path[at]!
    this.#index.insert(hash, number)
    return number
  }

  #release(number: number): void {
    this.#index.remove(this.#hashOf(number), number)
    this.#free[this.#freeCount++] = number
  }

  #is(number: number, path: Int32Array, length: number): boolean {
    if (this.#lengths[number] !== length) return false
    const start = number * PATH_WORDS
    for (let at = 0; at < length; at++) if (this.#rules[start + at] !== path[at]) return false
    return true
  }

  #hashOf(number: number): number {
    return this.#hash(this.#rules, number * PATH_WORDS, this.#lengths[number]!)
  }

  #hash(rules: Int32Array, from: number, length: number): number {
    let hash = length
    for (let at = from; at < from + length; at++) {
      hash = Math.imul(hash ^ rules[at]!, 0x9e3779b1)
      hash ^= hash >>> 15
    }
    return hash
  }

  #allocate(): void {
    const sides = this.#table.columns.capacity * 2
    this.#paths = new Uint16Array(sides)
    this.#packets = new Int32Array(sides)
    this.#bytes = new Float64Array(sides)
  }
}
