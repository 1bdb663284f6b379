/**
 * Flows from one inside host to the outside endpoint of another. Such a flow uses the mapping of the host that it leads to
 * without being one of its members; while the two talk, that mapping must stay (RFC 4787 REQ-6: what the host sends back is
 * outbound traffic of its mapping). So when the last member of a mapping is over, it is asked here first. A flow that stays only
 * for another's sake keeps no third one: two that lead to each other end when nobody uses them.
 */
import { FLOW_SEEN, FLOW_WORDS, type FlowTable, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_WORDS, ZONE_INSIDE } from './flow-table.js'
import { HashIndex, hashWords, indexSlots } from './hash-index.js'
import type { Mappings } from './mappings.js'
import { isAnswered } from './track.js'

export class Hairpins {
  readonly #table: FlowTable
  readonly #mappings: Mappings
  readonly #timeouts: Int32Array
  readonly #seed: number
  /** Flows by the outside endpoint that they lead to. */
  readonly #index: HashIndex
  /** When a flow was last kept, in seconds: what was not seen after that is not in use. */
  readonly #keptAt: Int32Array

  /** @param timeouts idle seconds by class */
  constructor(table: FlowTable, mappings: Mappings, timeouts: Int32Array, seed: number) {
    const { capacity } = table.columns
    this.#table = table
    this.#mappings = mappings
    this.#timeouts = timeouts
    this.#seed = seed | 0
    this.#index = new HashIndex(new Int32Array(indexSlots(capacity)), capacity, (flow) => this.#hashOf(flow * 2))
    this.#keptAt = new Int32Array(capacity)
  }

  /** A flow was opened. */
  opened(flow: number): void {
    if (!this.#isHairpin(flow)) return
    this.#keptAt[flow] = -1
    this.#index.insert(this.#hashOf(flow * 2), flow)
  }

  /** A flow ends; it must still have its keys. */
  closed(flow: number): void {
    if (this.#isHairpin(flow)) this.#index.remove(this.#hashOf(flow * 2), flow)
  }

  /**
   * Whether the mapping that would end with `flow` is in use by another inside host, and its own has answered that. The
   * caller then treats the flow as seen at `now` (s).
   */
  keeps(flow: number, now: number): boolean {
    if (!this.#mappings.endsWith(flow)) return false
    const outside = this.#mappings.insideSide(flow) ^ 1
    const hash = this.#hashOf(outside)
    const index = this.#index
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const other = index.numberAt(slot)
      if (other === flow || !this.#isToSame(other * 2, outside) || !isAnswered(this.#table, other) || !this.#isUsed(other, now)) continue
      this.#keptAt[flow] = now
      return true
    }
    return false
  }

  /** Whether the flow is not over, by a packet of its own and not because it was kept. */
  #isUsed(flow: number, now: number): boolean {
    const seen = this.#table.flows[flow * FLOW_WORDS + FLOW_SEEN]!
    return seen !== this.#keptAt[flow] && now - seen <= this.#timeouts[this.#table.classOf(flow)]!
  }

  #isHairpin(flow: number): boolean {
    return this.#table.zoneOf(flow * 2) === ZONE_INSIDE && this.#table.egressOf(flow * 2) === ZONE_INSIDE
  }

  /** Whether packets of two sides are addressed to one endpoint. */
  #isToSame(one: number, two: number): boolean {
    const { sides } = this.#table
    const [a, b] = [one * SIDE_WORDS, two * SIDE_WORDS]
    return sides[a + SIDE_DESTINATION] === sides[b + SIDE_DESTINATION] &&
      ((sides[a + SIDE_PORTS]! ^ sides[b + SIDE_PORTS]!) & 0xffff) === 0 && ((sides[a + SIDE_META]! ^ sides[b + SIDE_META]!) & 0xff) === 0
  }

  #hashOf(side: number): number {
    const { sides } = this.#table
    const at = side * SIDE_WORDS
    return hashWords(this.#seed, sides[at + SIDE_DESTINATION]!, sides[at + SIDE_PORTS]! & 0xffff, sides[at + SIDE_META]! & 0xff, 0)
  }
}
