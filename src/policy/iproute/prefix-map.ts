/** One routing table of the control plane: route lists by prefix, copied on writing so that states are immutable. */
import { maskOf } from '../../stack/wire/address.js'
import type { RouteSource } from '../../route/tables.js'
import type { RouteInfo } from '../../route/types.js'

/** Sorts as the kernel lists prefixes: by address, of equal ones the longest first. */
const keyOf = (destination: number, length: number): number => (destination >>> 0) * 64 + 32 - length

export interface PrefixEntry {
  readonly destination: number
  readonly length: number
  readonly routes: readonly RouteInfo[]
}

const entryOf = (key: number, routes: readonly RouteInfo[]): PrefixEntry => ({ destination: Math.floor(key / 64) | 0, length: 32 - (key % 64), routes })

export class PrefixMap {
  readonly #routes: Map<number, readonly RouteInfo[]>
  /** How many prefixes there are of each length. */
  readonly #lengths: Uint32Array
  /** Length of the prefix that {@link find} found. */
  foundLength = 0

  constructor(from?: PrefixMap) {
    this.#routes = new Map(from === undefined ? [] : from.#routes)
    this.#lengths = from === undefined ? new Uint32Array(33) : from.#lengths.slice()
  }

  /** Prefixes. */
  get size(): number {
    return this.#routes.size
  }

  /** The routes of exactly this prefix. */
  get(destination: number, length: number): readonly RouteInfo[] {
    return this.#routes.get(keyOf(destination, length)) ?? []
  }

  set(destination: number, length: number, routes: readonly RouteInfo[]): void {
    const key = keyOf(destination, length)
    const had = this.#routes.has(key)
    if (routes.length > 0) {
      this.#routes.set(key, routes)
      if (!had) this.#lengths[length]!++
    } else if (this.#routes.delete(key)) this.#lengths[length]!--
  }

  /** The routes of the longest prefix of at most `maxLength` bits that holds the address. */
  find(address: number, maxLength: number): readonly RouteInfo[] | null {
    for (let length = maxLength; length >= 0; length--) {
      if (this.#lengths[length] === 0) continue
      const routes = this.#routes.get(keyOf(address & maskOf(length), length))
      if (routes === undefined) continue
      this.foundLength = length
      return routes
    }
    return null
  }

  /** In any order. */
  *all(): Generator<PrefixEntry> {
    for (const [key, routes] of this.#routes) yield entryOf(key, routes)
  }

  /** In the order in which the kernel lists them. */
  *sorted(): Generator<PrefixEntry> {
    for (const key of Float64Array.from(this.#routes.keys()).sort()) yield entryOf(key, this.#routes.get(key)!)
  }
}

/** The tables of a state, to be looked up in. */
export class PrefixMaps implements RouteSource {
  readonly #tables: ReadonlyMap<number, PrefixMap>
  foundLength = 0

  constructor(tables: ReadonlyMap<number, PrefixMap>) {
    this.#tables = tables
  }

  find(table: number, address: number, maxLength: number): readonly RouteInfo[] | null {
    const map = this.#tables.get(table)
    const routes = map?.find(address, maxLength) ?? null
    if (routes !== null) this.foundLength = map!.foundLength
    return routes
  }
}
