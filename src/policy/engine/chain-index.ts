/**
 * Which rules of a long chain a packet can meet: tuple space search.
 *
 * Rules are sorted by their shape: the lengths of their source and destination prefixes, whether they name a protocol, a source port, a
 * destination port. A shape that several rules have is a tuple: their addresses, protocols and ports are looked up by hash, one look-up a
 * tuple for each packet. Rules with the same key are a list, in the order of the chain. What has a shape of its own, or nothing to look
 * up, is in the list of the rest. A packet thus gets a few lists; merged, they are the candidates in the order of the chain, and
 * those left out cannot match. Candidates are tested in full.
 *
 * Negated tests and masks with holes are no part of a shape; a range of ports, or a list of them, is one if it is small: the rule then
 * stands under each of the ports.
 *
 * An entry is a rule and the next entry of its list. A list is found by its first entry, so that a place in a list is one number.
 */
import { hashWords } from '../../nat/hash-index.js'
import type { RuleSpec } from '../model.js'
import { combinations, type Key, keyOf, shapeOf } from './index-key.js'
import type { PacketMeta } from './packet-meta.js'

/** Chains up to this length are walked. */
const LINEAR_MAX = 16
/** Rules of one shape that a look-up pays for. */
const TUPLE_MIN = 4
/** Look-ups for a packet; shapes with the fewest rules are walked when there are more. */
const TUPLES_MAX = 24
export const NO_ENTRY = -1
/** Lists that a packet may get. */
export const LISTS_MAX = TUPLES_MAX + 1

const SLOT_WORDS = 7
const [SLOT_TUPLE, SLOT_SOURCE, SLOT_DESTINATION, SLOT_PORTS, SLOT_PROTOCOL, SLOT_FIRST, SLOT_LAST] = [0, 1, 2, 3, 4, 5, 6] as const
const ENTRY_WORDS = 2
/** What of a packet counts in a tuple; its ports as `source << 16 | destination`. */
const TUPLE_WORDS = 4
const [SOURCE_MASK, DESTINATION_MASK, PORT_MASK, PROTOCOL_MASK] = [0, 1, 2, 3] as const

/** In the order of TUPLE_WORDS. */
const tupleWords = ({ sourceMask, destinationMask, protocol, sourcePorts, destinationPorts }: Key): number[] => [
  sourceMask, destinationMask, (sourcePorts === null ? 0 : -1 << 16) | (destinationPorts === null ? 0 : 0xffff), protocol === 0 ? 0 : 0xff,
]

/** The shapes that become tuples, those with most rules first. */
const chooseShapes = (shapes: readonly number[]): number[] => {
  const counts = new Map<number, number>()
  for (const shape of shapes) if (shape !== 0) counts.set(shape, (counts.get(shape) ?? 0) + 1)
  return [...counts].filter(([, count]) => count >= TUPLE_MIN).sort(([, a], [, b]) => b - a).slice(0, TUPLES_MAX).map(([shape]) => shape)
}

const NO_PORTS: readonly number[] = [0]

export class ChainIndex {
  readonly #seed: number
  readonly #tuples: Int32Array
  readonly #slots: Int32Array
  readonly #mask: number
  readonly #entries: Int32Array
  #entryCount = 0
  #restFirst = NO_ENTRY
  #restLast = NO_ENTRY

  /** @param chosen shapes that become tuples, each with a key of that shape. @param entries that there will be. @param seed of the hash */
  constructor(chosen: readonly Key[], entries: number, seed: number) {
    this.#seed = seed
    this.#tuples = Int32Array.from(chosen.flatMap(tupleWords))
    const slots = 2 ** Math.ceil(Math.log2(entries * 2))
    this.#mask = slots - 1
    this.#slots = new Int32Array(slots * SLOT_WORDS).fill(NO_ENTRY)
    this.#entries = new Int32Array(entries * ENTRY_WORDS)
  }

  /** Adds a rule; rules come in order. @param tuple its shape's, or -1 for the rest */
  add(rule: number, tuple: number, key: Key): void {
    if (tuple < 0) {
      this.#addToRest(rule)
      return
    }
    for (const sourcePort of key.sourcePorts ?? NO_PORTS) {
      for (const destinationPort of key.destinationPorts ?? NO_PORTS) this.#addOne(tuple, key, (sourcePort << 16) | destinationPort, rule)
    }
  }

  /** Puts the first entry of each list that concerns the packet into `places`, from `at` on. Returns where they end. */
  find(packet: PacketMeta, places: Int32Array, at: number): number {
    let end = at
    if (this.#restFirst !== NO_ENTRY) places[end++] = this.#restFirst
    const { source, destination, protocol } = packet
    const ports = (packet.sourcePort << 16) | packet.destinationPort
    const tuples = this.#tuples
    for (let word = 0, tuple = 0; word < tuples.length; word += TUPLE_WORDS, tuple++) {
      const slot = this.#slot(
        tuple, source & tuples[word + SOURCE_MASK]!, destination & tuples[word + DESTINATION_MASK]!, ports & tuples[word + PORT_MASK]!,
        protocol & tuples[word + PROTOCOL_MASK]!,
      )
      const first = this.#slots[slot + SLOT_FIRST]!
      if (first !== NO_ENTRY) places[end++] = first
    }
    return end
  }

  ruleAt(entry: number): number {
    return this.#entries[entry * ENTRY_WORDS]!
  }

  /** The next entry of the same list, or NO_ENTRY. */
  next(entry: number): number {
    return this.#entries[entry * ENTRY_WORDS + 1]!
  }

  /** Address of the slot of a key, or of the free one where it would be. */
  #slot(tuple: number, source: number, destination: number, ports: number, protocol: number): number {
    const slots = this.#slots
    let slot = hashWords(this.#seed, source, destination, ports, (tuple << 8) | protocol) & this.#mask
    for (;;) {
      const at = slot * SLOT_WORDS
      if (slots[at + SLOT_FIRST] === NO_ENTRY) return at
      if (
        slots[at + SLOT_SOURCE] === source && slots[at + SLOT_DESTINATION] === destination && slots[at + SLOT_PORTS] === ports &&
        slots[at + SLOT_PROTOCOL] === protocol && slots[at + SLOT_TUPLE] === tuple
      ) return at
      slot = (slot + 1) & this.#mask
    }
  }

  #addEntry(rule: number): number {
    this.#entries[this.#entryCount * ENTRY_WORDS] = rule
    this.#entries[this.#entryCount * ENTRY_WORDS + 1] = NO_ENTRY
    return this.#entryCount++
  }

  #addToRest(rule: number): void {
    const entry = this.#addEntry(rule)
    if (this.#restLast === NO_ENTRY) this.#restFirst = entry
    else this.#entries[this.#restLast * ENTRY_WORDS + 1] = entry
    this.#restLast = entry
  }

  #addOne(tuple: number, { source, destination, protocol }: Key, ports: number, rule: number): void {
    const slots = this.#slots
    const at = this.#slot(tuple, source, destination, ports, protocol)
    const entry = this.#addEntry(rule)
    if (slots[at + SLOT_FIRST] === NO_ENTRY) {
      slots[at + SLOT_TUPLE] = tuple
      slots[at + SLOT_SOURCE] = source
      slots[at + SLOT_DESTINATION] = destination
      slots[at + SLOT_PORTS] = ports
      slots[at + SLOT_PROTOCOL] = protocol
      slots[at + SLOT_FIRST] = entry
    } else this.#entries[slots[at + SLOT_LAST]! * ENTRY_WORDS + 1] = entry
    slots[at + SLOT_LAST] = entry
  }
}

/** Makes the index of one chain, step by step. */
export class ChainIndexer {
  readonly #firstRule: number
  readonly #seed: number
  readonly #keys: Key[] = []
  readonly #shapes: number[] = []
  #tupleOf = new Map<number, number>()
  #index: ChainIndex | null = null
  /** Rules that are in the index. */
  #added = 0

  /** @param firstRule number of the chain's first rule. @param seed of the hash */
  constructor(firstRule: number, seed: number) {
    this.#firstRule = firstRule
    this.#seed = seed
  }

  /** The next rule of the chain. */
  note(spec: RuleSpec): void {
    const key = keyOf(spec)
    this.#keys.push(key)
    this.#shapes.push(shapeOf(key))
  }

  /** All rules were noted: puts some of them into the index. Returns true when all are, or the chain is better walked. */
  step(rules: number): boolean {
    if (this.#keys.length <= LINEAR_MAX) return true
    if (this.#added === 0) this.#begin()
    if (this.#index === null) return true
    const end = Math.min(this.#keys.length, this.#added + rules)
    for (; this.#added < end; this.#added++) {
      this.#index.add(this.#firstRule + this.#added, this.#tupleOf.get(this.#shapes[this.#added]!) ?? -1, this.#keys[this.#added]!)
    }
    return this.#added === this.#keys.length
  }

  /** Null when the chain is better walked. */
  finish(): ChainIndex | null {
    return this.#index
  }

  #begin(): void {
    const shapes = chooseShapes(this.#shapes)
    if (shapes.length === 0) return
    this.#tupleOf = new Map(shapes.map((shape, tuple) => [shape, tuple]))
    const entries = this.#keys.reduce((sum, key, at) => sum + (this.#tupleOf.has(this.#shapes[at]!) ? combinations(key) : 1), 0)
    this.#index = new ChainIndex(shapes.map((shape) => this.#keys[this.#shapes.indexOf(shape)]!), entries, this.#seed)
  }
}
