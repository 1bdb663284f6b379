/**
 * Mappings: which outside endpoint stands for which inside endpoint.
 *
 * Theory of operation
 *
 * A mapping ties an inside endpoint (address, port, protocol) to an outside one, for as long as one of its flows lives, and
 * is nothing but the ring of those flows: each of them holds both endpoints in its keys. Two indexes find a flow of the
 * ring: `inside`, by the inside endpoint and whatever of the remote the mapping behaviour takes into account, to use the
 * mapping again; `outside`, by the outside endpoint, to tell that a port is taken and whom an unsolicited packet is for.
 * Where there are several WANs, an inside endpoint has a mapping for each that it leaves by, as their addresses differ.
 * The member that the indexes know is the ring's head; when it leaves, the next takes its place.
 *
 * Address dependent filtering needs to know whether a mapping has sent to an address: remotes.ts.
 *
 * Which of this a flow takes part in is its behaviour's, remembered with the flow. Flows that share ports (netfilter's
 * way) take part in nothing: they are found by their keys alone.
 *
 * A flow that came from outside is a member like the others once the inside has answered it. Until then it neither keeps
 * the mapping alive nor opens its filter, and ends with it: else anybody outside could keep both going, with a new flow now
 * and then (RFC 7857 6). What comes from outside does not prolong such flows (track.ts).
 *
 * Costs: each operation O(1) expected. Memory, with remotes.ts: 19 bytes a flow, and 4 bytes an index slot with 1.25 to 2.5
 * slots a flow in each of three indexes.
 */
import { ADDRESS_AND_PORT_DEPENDENT, ADDRESS_DEPENDENT, ENDPOINT_INDEPENDENT } from './behaviour.js'
import { type FlowTable, META_KEY, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS, ZONE_INSIDE } from './flow-table.js'
import { HashIndex, hashWords, indexSlots } from './hash-index.js'
import { OutsideAddresses } from './outside-addresses.js'
import { Remotes } from './remotes.js'
import { isAnswered } from './track.js'

const NONE = -1

/** Bits of a member's kind: mapping, filtering, and whether the flow was opened from outside. */
const MEMBER = 0x80
const MAPPING = 0x03
const FILTERING = 0x0c
const FILTERING_SHIFT = 2
const FROM_OUTSIDE = 0x10

export class Mappings {
  readonly #table: FlowTable
  readonly #seed: number
  readonly #addresses: OutsideAddresses
  readonly #inside: HashIndex
  readonly #outside: HashIndex
  readonly #remotes: Remotes
  /** The ring: next and previous member, by flow. */
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #kind: Uint8Array
  /** The member that the indexes know, marked. */
  readonly #head: Uint8Array
  /** Mappings by protocol. */
  readonly #counts = new Int32Array(256)
  /** Told of the first flow of each mapping that begins. Its end: `remove`. */
  onBegin: (flow: number) => void = () => {}

  constructor(table: FlowTable, seed: number, addresses = new OutsideAddresses()) {
    const { capacity } = table.columns
    const index = (hashOf: (flow: number) => number): HashIndex => new HashIndex(new Int32Array(indexSlots(capacity)), capacity, hashOf)
    this.#table = table
    this.#seed = seed | 0
    this.#addresses = addresses
    this.#inside = index((flow) => this.#hashOfInside(flow))
    this.#outside = index((flow) => this.#hashOfOutside(flow))
    this.#remotes = new Remotes(table, seed, this)
    this.#next = new Int32Array(capacity)
    this.#previous = new Int32Array(capacity)
    this.#kind = new Uint8Array(capacity)
    this.#head = new Uint8Array(capacity)
  }

  /**
   * A flow whose mapping an inside endpoint may use again towards this remote, or -1.
   * @param meta `protocol | zone << 8` of the packet; @param ports as in Packet.ports
   * @param egress zone that it leaves to: the mapping's outside address must fit it
   */
  findInside(source: number, destination: number, ports: number, meta: number, mapping: number, egress = ZONE_INSIDE): number {
    if (mapping === ADDRESS_AND_PORT_DEPENDENT) return NONE
    const hash = this.#hashInside(source, ports >>> 16, mapping === ADDRESS_DEPENDENT ? destination : 0, meta, mapping)
    const { sides } = this.#table
    for (let slot = this.#inside.first(hash); slot >= 0; slot = this.#inside.next(slot, hash)) {
      const flow = this.#inside.numberAt(slot)
      const at = this.insideSide(flow) * SIDE_WORDS
      if (
        sides[at + SIDE_SOURCE] === source && sides[at + SIDE_PORTS]! >>> 16 === ports >>> 16 &&
        (sides[at + SIDE_META]! & META_KEY) === meta && (this.#kind[flow]! & MAPPING) === mapping &&
        (mapping === ENDPOINT_INDEPENDENT || sides[at + SIDE_DESTINATION] === destination) &&
        this.#addresses.fits(sides[(at ^ SIDE_WORDS) + SIDE_DESTINATION]!, egress)
      ) return flow
    }
    return NONE
  }

  /** A flow of the mapping that has this outside endpoint, or -1. */
  findOutside(address: number, port: number, protocol: number): number {
    const hash = this.#hashOutside(address, port, protocol)
    for (let slot = this.#outside.first(hash); slot >= 0; slot = this.#outside.next(slot, hash)) {
      const flow = this.#outside.numberAt(slot)
      if (this.#hasOutside(flow, address, port, protocol)) return flow
    }
    return NONE
  }

  /** Whether the mapping of `flow`, found by its outside endpoint, lets packets of `remote` in that belong to no flow. */
  admits(flow: number, remote: number): boolean {
    const filtering = (this.#kind[flow]! & FILTERING) >>> FILTERING_SHIFT
    return filtering === ADDRESS_DEPENDENT ? this.#remotes.has(flow, remote) : filtering === ENDPOINT_INDEPENDENT
  }

  /** Live mappings of a protocol: outside ports in use. */
  countOf(protocol: number): number {
    return this.#counts[protocol]!
  }

  /** Whether a mapping ends with this flow. */
  endsWith(flow: number): boolean {
    return this.#head[flow] === 1 && this.#heirOf(flow) === NONE
  }

  /** Index entries; none when no mapping lives. Looks at every slot: for checks, not for packets. */
  countEntries(): number {
    return this.#inside.count() + this.#outside.count() + this.#remotes.countEntries()
  }

  /** Whether a flow belongs to a mapping; others share ports, or have a forwarded one. */
  isMember(flow: number): boolean {
    return (this.#kind[flow]! & MEMBER) !== 0
  }

  /** The behaviour that a member was added with: `mapping | filtering << 2`. */
  behaviourOf(flow: number): number {
    return this.#kind[flow]! & (MAPPING | FILTERING)
  }

  /** The side on which packets of the inside endpoint arrive. Its source is the inside endpoint; the other side's destination the outside one. */
  insideSide(flow: number): number {
    return flow * 2 + ((this.#kind[flow]! & FROM_OUTSIDE) === 0 ? 0 : 1)
  }

  /**
   * Makes an open flow a member: of the mapping of `sibling`, or of a new one (-1).
   * @param behaviour `mapping | filtering << 2`
   */
  add(flow: number, sibling: number, behaviour: number, fromOutside: boolean): void {
    this.#kind[flow] = MEMBER | behaviour | (fromOutside ? FROM_OUTSIDE : 0)
    if (sibling < 0) {
      this.#counts[this.#protocolOf(flow)]!++
      this.#next[flow] = flow
      this.#previous[flow] = flow
      this.#enter(flow)
    } else {
      // Flows from inside come next after the head, so that one of them follows it as long as there are any.
      const before = fromOutside ? this.#previous[sibling]! : sibling
      const after = this.#next[before]!
      this.#next[before] = flow
      this.#previous[flow] = before
      this.#next[flow] = after
      this.#previous[after] = flow
    }
    if (isFilteredByAddress(behaviour)) this.#remotes.add(flow, fromOutside)
    if (sibling < 0) this.onBegin(flow)
  }

  /**
   * The flow ends; it must still have its keys. Returns true when a mapping ends with it: then the flows that wait for an
   * answer of the inside are closed first (`table.onClose` must come here for them, too).
   */
  remove(flow: number): boolean {
    const kind = this.#kind[flow]!
    if ((kind & MEMBER) === 0) return false
    if (isFilteredByAddress(kind)) this.#remotes.remove(flow)
    const isHead = this.#head[flow] === 1
    const heir = isHead ? this.#heirOf(flow) : NONE
    if (isHead) this.#leave(flow)
    if (isHead && heir === NONE) this.#closeOthers(flow)
    this.#kind[flow] = 0
    const next = this.#next[flow]!
    const previous = this.#previous[flow]!
    this.#next[previous] = next
    this.#previous[next] = previous
    if (heir !== NONE) this.#enter(heir)
    if (!isHead || heir !== NONE) return false
    this.#counts[this.#protocolOf(flow)]!--
    return true
  }

  /** Whether the inside wants the flow: it opened it, or has answered it. */
  isHeld(flow: number): boolean {
    return (this.#kind[flow]! & FROM_OUTSIDE) === 0 || isAnswered(this.#table, flow)
  }

  /** The next member that keeps the mapping alive without `flow`, or -1. */
  #heirOf(flow: number): number {
    let heir = this.#next[flow]!
    while (heir !== flow && !this.isHeld(heir)) heir = this.#next[heir]!
    return heir === flow ? NONE : heir
  }

  #closeOthers(flow: number): void {
    for (let other = this.#next[flow]!; other !== flow; ) {
      const after = this.#next[other]!
      this.#table.close(other)
      other = after
    }
  }

  #enter(flow: number): void {
    this.#head[flow] = 1
    if (this.#isReusable(flow)) this.#inside.insert(this.#hashOfInside(flow), flow)
    this.#outside.insert(this.#hashOfOutside(flow), flow)
  }

  #leave(flow: number): void {
    this.#head[flow] = 0
    if (this.#isReusable(flow)) this.#inside.remove(this.#hashOfInside(flow), flow)
    this.#outside.remove(this.#hashOfOutside(flow), flow)
  }

  /** Whether new flows may join the mapping with this head. A remote that came by itself is not the one that the mapping is for. */
  #isReusable(flow: number): boolean {
    const kind = this.#kind[flow]!
    return (kind & MAPPING) === ENDPOINT_INDEPENDENT || ((kind & MAPPING) === ADDRESS_DEPENDENT && (kind & FROM_OUTSIDE) === 0)
  }

  #hashInside(source: number, port: number, remote: number, meta: number, mapping: number): number {
    return hashWords(this.#seed, source, port, remote, meta | (mapping << 16))
  }

  #hashOutside(address: number, port: number, protocol: number): number {
    return hashWords(this.#seed, address, port, protocol, 0)
  }

  #protocolOf(flow: number): number {
    return this.#table.sides[flow * 2 * SIDE_WORDS + SIDE_META]! & 0xff
  }

  #hashOfInside(flow: number): number {
    const { sides } = this.#table
    const mapping = this.#kind[flow]! & MAPPING
    const at = this.insideSide(flow) * SIDE_WORDS
    const remote = mapping === ADDRESS_DEPENDENT ? sides[at + SIDE_DESTINATION]! : 0
    return this.#hashInside(sides[at + SIDE_SOURCE]!, sides[at + SIDE_PORTS]! >>> 16, remote, sides[at + SIDE_META]! & META_KEY, mapping)
  }

  #hashOfOutside(flow: number): number {
    const { sides } = this.#table
    const at = (this.insideSide(flow) ^ 1) * SIDE_WORDS
    return this.#hashOutside(sides[at + SIDE_DESTINATION]!, sides[at + SIDE_PORTS]! & 0xffff, sides[at + SIDE_META]! & 0xff)
  }

  #hasOutside(flow: number, address: number, port: number, protocol: number): boolean {
    const { sides } = this.#table
    const at = (this.insideSide(flow) ^ 1) * SIDE_WORDS
    return sides[at + SIDE_DESTINATION] === address && (sides[at + SIDE_PORTS]! & 0xffff) === port && (sides[at + SIDE_META]! & 0xff) === protocol
  }
}

const isFilteredByAddress = (behaviour: number): boolean => (behaviour & FILTERING) >>> FILTERING_SHIFT === ADDRESS_DEPENDENT
