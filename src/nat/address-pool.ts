/**
 * Which outside address an inside host gets, where there is a pool of them.
 *
 * Theory of operation
 *
 * The pool is the list of the configuration, which stays as it is; which of its addresses the WAN has at the moment is known
 * beside it. An inside host's place in the list is a hash of its address alone (`paired`: RFC 4787 REQ-2, RFC 6888 REQ-2), or of
 * its and the remote's address (`arbitrary`, as netfilter does). All protocols go by the same hash, so they share an address.
 * Where the address of that place is not there, or is full and another one may be taken, others follow from a second place
 * on. So a host comes back to its address when that comes back, and hosts of addresses that stay keep theirs.
 *
 * The hash has a fixed key: a host has the same address after a restart.
 */
import { hashWords } from './hash-index.js'
import type { POOLINGS } from './settings.js'

const FIRST_KEY = 0x5bd1e995
const SECOND_KEY = 0x1b873593
/** Addresses that are tried for one flow at most. */
const TRIES = 16

export class AddressPool {
  readonly #addresses: Int32Array
  /** Those that the WAN has at the moment, in the same order. */
  #present: Int32Array
  #presentSet: ReadonlySet<number> = new Set()
  readonly #isSoft: boolean
  readonly #byRemote: boolean

  /** @param addresses int32; null: no pool, the route says the address */
  constructor(addresses: readonly number[] | null, pooling: (typeof POOLINGS)[number]) {
    this.#addresses = Int32Array.from(addresses ?? [])
    this.#present = new Int32Array(0)
    this.#isSoft = pooling !== 'paired'
    this.#byRemote = pooling === 'arbitrary'
  }

  /** Addresses that flows may have at the moment; 1 where the route says it. */
  get size(): number {
    return this.isEmpty ? 1 : this.#present.length
  }

  /** There is no pool. */
  get isEmpty(): boolean {
    return this.#addresses.length === 0
  }

  /** An inside host has one address, whatever the remote. */
  get isFixed(): boolean {
    return this.isEmpty || !this.#byRemote
  }

  /** Tells which addresses the WAN has. Of the others none is given. */
  setPresent(addresses: ReadonlySet<number>): void {
    this.#present = this.#addresses.filter((address) => addresses.has(address))
    this.#presentSet = new Set(this.#present)
  }

  /** Whether an address is one of the pool's that the WAN has. */
  has(address: number): boolean {
    return this.#presentSet.has(address)
  }

  /** Addresses that may be tried for one flow, one after the other. */
  get tries(): number {
    return this.#isSoft ? Math.min(TRIES, this.#present.length) : 1
  }

  /**
   * The address of an inside host, or 0 when the pool has none at the moment.
   * @param attempt 0 for its own one, then others, below `tries`
   */
  choose(inside: number, remote: number, attempt: number): number {
    const present = this.#present
    const size = present.length
    if (size === 0) return 0
    const other = this.#byRemote ? remote : 0
    const home = this.#addresses[(hashWords(FIRST_KEY, inside, other, 0, 0) >>> 0) % this.#addresses.length]!
    const isHomePresent = size === this.#addresses.length || this.#presentSet.has(home)
    if (isHomePresent && attempt === 0) return home
    const start = (hashWords(SECOND_KEY, inside, other, 0, 0) >>> 0) % size
    let left = isHomePresent ? attempt - 1 : attempt
    for (let step = 0; step < size; step++) {
      const address = present[(start + step) % size]!
      if (address !== home && left-- === 0) return address
    }
    return 0
  }
}
