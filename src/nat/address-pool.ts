/**
 * Which outside address an inside host gets, where there is a pool of them.
 *
 * Theory of operation
 *
 * The pool is the list of the configuration, which stays as it is; which of its addresses the WAN has at the moment is known
 * beside it. An inside host's place in the list is a hash of its address alone (`paired`: RFC 4787 REQ-2, RFC 6888 REQ-2), or of
 * its and the remote's address (`arbitrary`, as netfilter does). All protocols go by the same hash, so they share an address.
 * Where the address of that place is not there, or is full and another one may be taken, others follow from a second place
 * on. Where there are several WANs, only those of the way out count. So a host comes back to its address when that comes back, and hosts of addresses that stay keep theirs.
 *
 * The hash has a fixed key: a host has the same address after a restart.
 */
import { ZONE_INSIDE } from './flow-table.js'
import { hashWords } from './hash-index.js'
import type { POOLINGS } from './settings.js'

const FIRST_KEY = 0x5bd1e995
const SECOND_KEY = 0x1b873593
/** Addresses that are tried for one flow at most. */
const TRIES = 16

/** Addresses of the pool, in its order. */
interface Present {
  readonly list: Int32Array
  readonly set: ReadonlySet<number>
}

export class AddressPool {
  readonly #addresses: Int32Array
  /** Those that there are at the moment. */
  #present: Present
  /** Those that each WAN has, by place. */
  #presentOf: readonly Present[] = []
  readonly #isSoft: boolean
  readonly #byRemote: boolean

  /** @param addresses int32; null: no pool, the route says the address */
  constructor(addresses: readonly number[] | null, pooling: (typeof POOLINGS)[number]) {
    this.#addresses = Int32Array.from(addresses ?? [])
    this.#present = { list: new Int32Array(0), set: new Set() }
    this.#isSoft = pooling !== 'paired'
    this.#byRemote = pooling === 'arbitrary'
  }

  /** Addresses that flows may have at the moment; 1 where the route says it. */
  get size(): number {
    return this.isEmpty ? 1 : this.#present.list.length
  }

  /** There is no pool. */
  get isEmpty(): boolean {
    return this.#addresses.length === 0
  }

  /** An inside host has one address, whatever the remote. */
  get isFixed(): boolean {
    return this.isEmpty || !this.#byRemote
  }

  /**
   * Tells which addresses there are. Of the others none is given.
   * @param wans those of each of several WANs; of a single one all are there
   */
  setPresent(addresses: ReadonlySet<number>, wans: readonly ReadonlySet<number>[] = []): void {
    const among = (there: ReadonlySet<number>): Present => {
      const list = this.#addresses.filter((address) => there.has(address))
      return { list, set: new Set(list) }
    }
    this.#present = among(addresses)
    this.#presentOf = wans.length < 2 ? [] : wans.map(among)
  }

  /** Whether an address is one of the pool's that a flow to this zone may have. */
  has(address: number, zone = ZONE_INSIDE): boolean {
    return this.#presentAt(zone).set.has(address)
  }

  /** Addresses that may be tried for one flow, one after the other. */
  get tries(): number {
    return this.#isSoft ? Math.min(TRIES, this.#present.list.length) : 1
  }

  /**
   * The address of an inside host, or 0 when the pool has none at the moment.
   * @param attempt 0 for its own one, then others, below `tries`
   * @param zone that the flow leaves to
   */
  choose(inside: number, remote: number, attempt: number, zone = ZONE_INSIDE): number {
    const { list: present, set } = this.#presentAt(zone)
    const size = present.length
    if (size === 0) return 0
    const other = this.#byRemote ? remote : 0
    const home = this.#addresses[(hashWords(FIRST_KEY, inside, other, 0, 0) >>> 0) % this.#addresses.length]!
    const isHomePresent = size === this.#addresses.length || set.has(home)
    if (isHomePresent && attempt === 0) return home
    const start = (hashWords(SECOND_KEY, inside, other, 0, 0) >>> 0) % size
    let left = isHomePresent ? attempt - 1 : attempt
    for (let step = 0; step < size; step++) {
      const address = present[(start + step) % size]!
      if (address !== home && left-- === 0) return address
    }
    return 0
  }

  /** What goes back inside may have any address. */
  #presentAt(zone: number): Present {
    return zone === ZONE_INSIDE || this.#presentOf.length === 0 ? this.#present : this.#presentOf[zone - ZONE_INSIDE - 1]!
  }
}
