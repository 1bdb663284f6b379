/**
 * Routing tables by number.
 *
 * A table is a {@link Fib}; its values are places in a list of route lists. Prefixes with equal routes share one list, so a table
 * of a million prefixes behind a few next hops is little more than its tree. Lists are counted, and given back with their last
 * prefix. Written by the one thread that owns it, between two packets; a lookup allocates nothing.
 */
import { Fib } from './fib.js'
import type { FibImage } from './fib.js'
import type { PrefixRoutes, RouteInfo } from './types.js'

/** Where routes are looked up. */
export interface RouteSource {
  /**
   * The routes of the longest prefix of at most `maxLength` bits that holds the address, null when there is none. The length of that
   * prefix is then in `foundLength`.
   */
  find(table: number, address: number, maxLength: number): readonly RouteInfo[] | null
  readonly foundLength: number
}

/** All tables, as plain data for another thread. */
export interface TablesImage {
  readonly tables: readonly (readonly [number, FibImage])[]
  readonly lists: readonly (readonly RouteInfo[])[]
  readonly users: Uint32Array
}

/** Equal for equal route lists. */
const keyOf = (routes: readonly RouteInfo[]): string => {
  let key = ''
  for (const { type, tos, metric, scope, origin, source, mtu, mtuLocked, hops } of routes) {
    key += `${type},${tos},${metric},${scope},${origin},${source},${mtu},${mtuLocked}`
    for (const { gateway, device, weight, onlink } of hops) key += `|${gateway},${device},${weight},${onlink}`
    key += ';'
  }
  return key
}

export class RouteTables implements RouteSource {
  readonly #tables = new Map<number, Fib>()
  /** Place 0 is not used. */
  readonly #lists: (readonly RouteInfo[])[] = [[]]
  #users: Uint32Array = new Uint32Array(64)
  readonly #placeOf = new Map<string, number>()
  readonly #free: number[] = []
  foundLength = 0

  /** @param image takes over tables that another thread has built */
  constructor(image?: TablesImage) {
    if (image === undefined) return
    for (const [number, fib] of image.tables) this.#tables.set(number, new Fib(fib))
    this.#lists = [...image.lists]
    this.#users = image.users
    this.#lists.forEach((routes, place) => {
      if (place === 0) return
      if (routes.length === 0) this.#free.push(place)
      else this.#placeOf.set(keyOf(routes), place)
    })
  }

  /** Prefixes in all tables. */
  get size(): number {
    let size = 0
    for (const fib of this.#tables.values()) size += fib.size
    return size
  }

  /** Bytes of the trees, without the route lists. */
  get bytes(): number {
    let bytes = 0
    for (const fib of this.#tables.values()) bytes += fib.bytes
    return bytes
  }

  /** For another thread; the arrays are not copied, and may be transferred. */
  image(): TablesImage {
    return { tables: [...this.#tables].map(([number, fib]) => [number, fib.image()] as const), lists: this.#lists, users: this.#users }
  }

  /** Sets all routes of one prefix; none removes it. */
  set({ table, destination, length, routes }: PrefixRoutes): void {
    let fib = this.#tables.get(table)
    const before = fib?.get(destination, length) ?? 0
    if (routes.length > 0) {
      if (fib === undefined) this.#tables.set(table, (fib = new Fib()))
      fib.set(destination, length, this.#take(routes))
    } else if (fib !== undefined) {
      fib.delete(destination, length)
      if (fib.size === 0) this.#tables.delete(table)
    }
    if (before !== 0) this.#release(before)
  }

  find(table: number, address: number, maxLength: number): readonly RouteInfo[] | null {
    const fib = this.#tables.get(table)
    if (fib === undefined) return null
    const place = fib.find(address, maxLength)
    if (place === 0) return null
    this.foundLength = fib.foundLength
    return this.#lists[place]!
  }

  #take(routes: readonly RouteInfo[]): number {
    const key = keyOf(routes)
    let place = this.#placeOf.get(key)
    if (place === undefined) {
      place = this.#free.pop() ?? this.#lists.length
      this.#lists[place] = routes
      this.#placeOf.set(key, place)
      if (place >= this.#users.length) {
        const grown = new Uint32Array(this.#users.length * 2)
        grown.set(this.#users)
        this.#users = grown
      }
    }
    this.#users[place]!++
    return place
  }

  #release(place: number): void {
    if (--this.#users[place]! > 0) return
    this.#placeOf.delete(keyOf(this.#lists[place]!))
    this.#lists[place] = []
    this.#free.push(place)
  }
}
