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
import type { Match, Range, RuleSpec } from '../model.js'
import { acts } from './compile-match.js'
import type { PacketMeta } from './packet-meta.js'

/** Chains up to this length are walked. */
const LINEAR_MAX = 16
/** Rules of one shape that a look-up pays for. */
const TUPLE_MIN = 4
/** Look-ups for a packet; shapes with the fewest rules are walked when there are more. */
const TUPLES_MAX = 24
/** Ports that a rule is entered under. */
const PORTS_MAX = 16
export const NO_ENTRY = -1
/** Lists that a packet may get. */
export const LISTS_MAX = TUPLES_MAX + 1

const SLOT_WORDS = 7
const [SLOT_TUPLE, SLOT_SOURCE, SLOT_DESTINATION, SLOT_PORTS, SLOT_PROTOCOL, SLOT_FIRST, SLOT_LAST] = [0, 1, 2, 3, 4, 5, 6] as const
const ENTRY_WORDS = 2
/** What of a packet counts in a tuple; its ports as `source << 16 | destination`. */
const TUPLE_WORDS = 4
const [SOURCE_MASK, DESTINATION_MASK, PORT_MASK, PROTOCOL_MASK] = [0, 1, 2, 3] as const

/** What of a rule can be looked up. */
interface Key {
  readonly source: number
  readonly sourceMask: number
  readonly destination: number
  readonly destinationMask: number
  /** 0: any */
  readonly protocol: number
  /** Null: any. */
  readonly sourcePorts: readonly number[] | null
  readonly destinationPorts: readonly number[] | null
}

const isPrefix = (mask: number): boolean => (~mask & (~mask + 1)) === 0

const portsIn = (ranges: readonly Range[]): number[] | null => {
  const [only] = ranges
  if (ranges.length === 1 && only!.first === only!.last) return [only!.first]
  const count = ranges.reduce((sum, { first, last }) => sum + Math.max(0, last - first + 1), 0)
  if (count === 0 || count > PORTS_MAX) return null
  return [...new Set(ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, index) => first + index)))]
}

interface Ports { source: number[] | null; destination: number[] | null }

const takePorts = (match: Match, ports: Ports): void => {
  if (match.module === 'tcp' || match.module === 'udp') {
    if (match.source?.not === false) ports.source ??= portsIn([match.source])
    if (match.destination?.not === false) ports.destination ??= portsIn([match.destination])
  } else if (match.module === 'multiport' && !match.not) {
    if (match.direction === 'source') ports.source ??= portsIn(match.ports)
    if (match.direction === 'destination') ports.destination ??= portsIn(match.ports)
  }
}

/** Ports in tests that nothing stands before that has to see other packets too. */
const portsOf = (matches: readonly Match[]): Ports => {
  const ports: Ports = { source: null, destination: null }
  for (const match of matches) {
    if (acts(match)) break
    takePorts(match, ports)
  }
  // A rule is entered once for each combination.
  if (ports.source !== null && ports.destination !== null && ports.source.length * ports.destination.length > PORTS_MAX) ports.source = null
  return ports
}

const keyOf = ({ source, destination, protocol, matches }: RuleSpec): Key => {
  const hasSource = source !== null && !source.not && isPrefix(source.mask)
  const hasDestination = destination !== null && !destination.not && isPrefix(destination.mask)
  const number = protocol === null || protocol.not ? 0 : protocol.number
  const ports = number === 0 ? { source: null, destination: null } : portsOf(matches)
  return {
    source: hasSource ? source.address : 0,
    sourceMask: hasSource ? source.mask : 0,
    destination: hasDestination ? destination.address : 0,
    destinationMask: hasDestination ? destination.mask : 0,
    protocol: number,
    sourcePorts: ports.source,
    destinationPorts: ports.destination,
  }
}

/** In the order of TUPLE_WORDS. */
const tupleWords = ({ sourceMask, destinationMask, protocol, sourcePorts, destinationPorts }: Key): number[] => [
  sourceMask, destinationMask, (sourcePorts === null ? 0 : -1 << 16) | (destinationPorts === null ? 0 : 0xffff), protocol === 0 ? 0 : 0xff,
]

const prefixLength = (mask: number): number => Math.clz32(~mask)

/** One number for a shape; 0 for one with nothing to look up. */
const shapeOf = (key: Key): number =>
  (prefixLength(key.sourceMask) << 10) | (prefixLength(key.destinationMask) << 4) | (key.protocol === 0 ? 0 : 8) |
  (key.sourcePorts === null ? 0 : 2) | (key.destinationPorts === null ? 0 : 1)

/** The shapes that become tuples, those with most rules first. */
const chooseShapes = (shapes: readonly number[]): number[] => {
  const counts = new Map<number, number>()
  for (const shape of shapes) if (shape !== 0) counts.set(shape, (counts.get(shape) ?? 0) + 1)
  return [...counts].filter(([, count]) => count >= TUPLE_MIN).sort(([, a], [, b]) => b - a).slice(0, TUPLES_MAX).map(([shape]) => shape)
}

const NO_PORTS: readonly number[] = [0]
const combinations = ({ sourcePorts, destinationPorts }: Key): number => (sourcePorts?.length ?? 1) * (destinationPorts?.length ?? 1)

export class ChainIndex {
  readonly #seed: number
  readonly #tuples: Int32Array
  readonly #slots: Int32Array
  readonly #mask: number
  readonly #entries: Int32Array
  #entryCount = 0
  #restFirst = NO_ENTRY
  #restLast = NO_ENTRY

  private constructor(keys: readonly Key[], shapes: readonly number[], chosen: readonly number[], firstRule: number, seed: number) {
    this.#seed = seed
    this.#tuples = Int32Array.from(chosen.flatMap((shape) => tupleWords(keys[shapes.indexOf(shape)]!)))
    const tupleOf = new Map(chosen.map((shape, tuple) => [shape, tuple]))
    const needed = keys.reduce((sum, key, index) => sum + (tupleOf.has(shapes[index]!) ? combinations(key) : 1), 0)
    const slots = 2 ** Math.ceil(Math.log2(needed * 2))
    this.#mask = slots - 1
    this.#slots = new Int32Array(slots * SLOT_WORDS).fill(NO_ENTRY)
    this.#entries = new Int32Array(needed * ENTRY_WORDS)
    for (const [index, key] of keys.entries()) {
      const tuple = tupleOf.get(shapes[index]!)
      if (tuple === undefined) this.#addToRest(firstRule + index)
      else this.#addKey(tuple, key, firstRule + index)
    }
  }

  /** @param firstRule number of the chain's first rule. Null when the chain is better walked */
  static build(specs: readonly RuleSpec[], firstRule: number, seed: number): ChainIndex | null {
    if (specs.length <= LINEAR_MAX) return null
    const keys = specs.map(keyOf)
    const shapes = keys.map(shapeOf)
    const chosen = chooseShapes(shapes)
    return chosen.length === 0 ? null : new ChainIndex(keys, shapes, chosen, firstRule, seed)
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

  #addKey(tuple: number, key: Key, rule: number): void {
    for (const sourcePort of key.sourcePorts ?? NO_PORTS) {
      for (const destinationPort of key.destinationPorts ?? NO_PORTS) this.#addOne(tuple, key, (sourcePort << 16) | destinationPort, rule)
    }
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
