/**
 * Routes by longest prefix.
 *
 * One hash map a prefix length, asked from the longest that has routes to the shortest. Looked up when a flow opens or when
 * the routes changed under a flow, never for each packet. `generation` changes with every replacement: flows keep the one
 * they were routed by.
 */

export interface Route {
  /** Network address, int32, host bits zero. */
  readonly destination: number
  readonly prefixLength: number
  /** Next hop, or null when the destination is on the link. */
  readonly gateway: number | null
  /** Address that flows over this route leave from, 0 when there is none. */
  readonly source: number
}

/**
 * Whether `destination`, found by `route`, is the broadcast address of the subnet that the route leads to. Only those on the
 * link are known (RFC 2644); subnets of one or two addresses have none (RFC 3021).
 */
export const isDirectedBroadcast = (route: Route, destination: number): boolean =>
  route.gateway === null && route.prefixLength < 31 && (destination | maskOf(route.prefixLength)) === -1

const maskOf = (length: number): number => (length === 0 ? 0 : -1 << (32 - length))

export class RouteTable {
  #byLength: { mask: number; routes: Map<number, Route> }[] = []
  #generation = 1

  /** 1 to 65535; never 0, which flows use for "not routed yet". */
  get generation(): number {
    return this.#generation
  }

  /** Replaces all routes. Of two routes to one prefix the first counts. */
  replace(routes: readonly Route[]): void {
    const byLength = new Map<number, Map<number, Route>>()
    for (const route of routes) {
      let same = byLength.get(route.prefixLength)
      if (same === undefined) byLength.set(route.prefixLength, (same = new Map<number, Route>()))
      if (!same.has(route.destination)) same.set(route.destination, route)
    }
    this.#byLength = [...byLength]
      .sort(([a], [b]) => b - a)
      .map(([length, same]) => ({ mask: maskOf(length), routes: same }))
    this.#generation = this.#generation === 0xffff ? 1 : this.#generation + 1
  }

  /** The most specific route to `destination`, or undefined. */
  lookup(destination: number): Route | undefined {
    for (const { mask, routes } of this.#byLength) {
      const route = routes.get(destination & mask)
      if (route !== undefined) return route
    }
    return undefined
  }
}
