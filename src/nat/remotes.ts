/**
 * Whom mappings have sent to: what address dependent filtering goes by (RFC 4787 5).
 *
 * Flows of one mapping to one remote address form a ring; an index finds one of them, the holder, by outside endpoint and
 * remote address. One entry a ring, not a flow: a scan of all ports of one address would make one run of the index out of all
 * its flows. The holder is a flow that the inside wants (it opened it, or has answered it). When the last such flow ends, the
 * ring is forgotten: the address is not admitted any more, until the inside sends there again.
 */
import { type FlowTable, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_WORDS } from './flow-table.js'
import { HashIndex, hashWords, indexSlots } from './hash-index.js'

const NONE = -1
/** What a flow is here. */
const LISTED = 1
const HOLDER = 2

/** What must be known of the members of mappings. */
export interface Members {
  /** The side on which packets of the inside endpoint arrive. */
  insideSide(flow: number): number
  /** Whether the inside wants the flow. */
  isHeld(flow: number): boolean
}

export class Remotes {
  readonly #table: FlowTable
  readonly #seed: number
  readonly #members: Members
  readonly #index: HashIndex
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #role: Uint8Array

  constructor(table: FlowTable, seed: number, members: Members) {
    const { capacity } = table.columns
    this.#table = table
    this.#seed = seed | 0
    this.#members = members
    this.#index = new HashIndex(new Int32Array(indexSlots(capacity)), capacity, (flow) => this.#hash(flow, this.#remoteOf(flow)))
    this.#next = new Int32Array(capacity)
    this.#previous = new Int32Array(capacity)
    this.#role = new Uint8Array(capacity)
  }

  /** Whether the mapping of `flow` has sent to `remote`. */
  has(flow: number, remote: number): boolean {
    const holder = this.#holderOf(flow, remote)
    return holder !== NONE && this.#members.isHeld(holder)
  }

  /** Adds an open flow. One that came from outside counts once it is answered, if the inside wants another one until then. */
  add(flow: number, fromOutside: boolean): void {
    const holder = this.#holderOf(flow, this.#remoteOf(flow))
    if (holder === NONE) {
      if (fromOutside) return
      this.#next[flow] = flow
      this.#previous[flow] = flow
      this.#role[flow] = LISTED
      this.#appoint(flow)
      return
    }
    // Flows from inside come next after the holder, so that one of them follows it as long as there are any.
    const before = fromOutside ? this.#previous[holder]! : holder
    const after = this.#next[before]!
    this.#next[before] = flow
    this.#previous[flow] = before
    this.#next[flow] = after
    this.#previous[after] = flow
    this.#role[flow] = LISTED
  }

  /** The flow ends; it must still have its keys. */
  remove(flow: number): void {
    const role = this.#role[flow]!
    if ((role & LISTED) === 0) return
    if ((role & HOLDER) !== 0) {
      this.#index.remove(this.#hash(flow, this.#remoteOf(flow)), flow)
      let heir = this.#next[flow]!
      while (heir !== flow && !this.#members.isHeld(heir)) heir = this.#next[heir]!
      // Without one the ring stays, but nobody finds it any more.
      if (heir !== flow) this.#appoint(heir)
    }
    this.#role[flow] = 0
    const next = this.#next[flow]!
    const previous = this.#previous[flow]!
    this.#next[previous] = next
    this.#previous[next] = previous
  }

  /** Index entries. Looks at every slot: for checks, not for packets. */
  countEntries(): number {
    return this.#index.count()
  }

  #appoint(flow: number): void {
    this.#role[flow]! |= HOLDER
    this.#index.insert(this.#hash(flow, this.#remoteOf(flow)), flow)
  }

  #holderOf(flow: number, remote: number): number {
    const hash = this.#hash(flow, remote)
    const index = this.#index
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const holder = index.numberAt(slot)
      if (this.#isSameMapping(flow, holder) && this.#remoteOf(holder) === remote) return holder
    }
    return NONE
  }

  #isSameMapping(flow: number, other: number): boolean {
    const { sides } = this.#table
    const [one, two] = [this.#outsideAt(flow), this.#outsideAt(other)]
    return sides[one + SIDE_DESTINATION] === sides[two + SIDE_DESTINATION] &&
      ((sides[one + SIDE_PORTS]! ^ sides[two + SIDE_PORTS]!) & 0xffff) === 0 && ((sides[one + SIDE_META]! ^ sides[two + SIDE_META]!) & 0xff) === 0
  }

  /** Where the side lies that is addressed to the outside endpoint. */
  #outsideAt(flow: number): number {
    return (this.#members.insideSide(flow) ^ 1) * SIDE_WORDS
  }

  #remoteOf(flow: number): number {
    return this.#table.sides[this.#members.insideSide(flow) * SIDE_WORDS + SIDE_DESTINATION]!
  }

  #hash(flow: number, remote: number): number {
    const { sides } = this.#table
    const at = this.#outsideAt(flow)
    return hashWords(this.#seed, sides[at + SIDE_DESTINATION]!, sides[at + SIDE_PORTS]! & 0xffff, sides[at + SIDE_META]! & 0xff, remote)
  }
}
