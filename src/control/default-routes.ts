/**
 * The default routes out of the WANs: which there are, and which is taken before which.
 *
 * As long as nothing is configured of any WAN, they are the kernel's. A gateway, metric or weight in the configuration makes them tsnat's
 * to arrange: each WAN's own, by its metric, those with weights as one route over several. Of equal metrics those of earlier WANs come first.
 */
import type { InterfaceAddress } from '../route/source.js'
import type { NextHop, RouteInfo } from '../route/types.js'
import { Origin, RouteType, Scope } from '../route/types.js'
import { maskOf } from '../stack/wire/address.js'

/** What of a WAN decides about default routes. */
export interface DefaultWan {
  /** Number of the interface. */
  readonly number: number
  readonly addresses: readonly InterfaceAddress[]
  /** Configured next hop, int32; null: the kernel's. */
  readonly gateway: number | null
  /** 1-256, its share of new flows; null: none is configured. */
  readonly weight: number | null
  /** uint32; null: the kernel's. */
  readonly metric: number | null
}

const isConfigured = ({ gateway, weight, metric }: DefaultWan): boolean => gateway !== null || weight !== null || metric !== null

/** Where a route stands among equals: at its first WAN. */
const placeOf = (route: RouteInfo, wans: readonly DefaultWan[]): number =>
  Math.min(...route.hops.map(({ device }) => wans.findIndex(({ number }) => number === device)))

/** The kernel's default routes by this WAN alone; of a route over several, its part. */
const ownOf = ({ number }: DefaultWan, kernel: readonly RouteInfo[]): RouteInfo[] =>
  kernel.flatMap((route) => {
    const hops = route.hops.filter(({ device }) => device === number)
    return hops.length === 0 ? [] : [{ ...route, hops }]
  })

const byGateway = ({ number, addresses, gateway }: DefaultWan, metric: number): RouteInfo => {
  const onlink = !addresses.some(({ address, peer = address, prefixLength }) => ((peer ^ gateway!) & maskOf(prefixLength)) === 0)
  const hops = [{ gateway, device: number, weight: 1, onlink, ownGateway: false }]
  return { type: RouteType.unicast, tos: 0, metric, scope: Scope.global, origin: Origin.static, source: 0, mtu: 0, mtuLocked: false, hops }
}

/** Several routes of one WAN each become one over all of them, at the metric of the best. */
const join = (shares: readonly { route: RouteInfo; weight: number }[]): RouteInfo[] => {
  if (shares.length < 2) return shares.map(({ route }) => route)
  const hops = shares.flatMap(({ route, weight }): NextHop[] => [{ ...route.hops[0]!, weight }])
  const metric = Math.min(...shares.map(({ route }) => route.metric))
  return [{ ...shares[0]!.route, metric, origin: Origin.static, source: 0, mtu: 0, mtuLocked: false, hops }]
}

/**
 * @param wans in the order of the configuration
 * @param kernel the kernel's default routes by WANs, for any TOS, in its order
 * @param faithful keep the order of the kernel among equal metrics
 * @returns in the order in which they are tried
 */
export const defaultRoutes = (wans: readonly DefaultWan[], kernel: readonly RouteInfo[], faithful: boolean): RouteInfo[] => {
  const order = (a: RouteInfo, b: RouteInfo): number => a.metric - b.metric || placeOf(a, wans) - placeOf(b, wans)
  if (!wans.some(isConfigured)) return faithful ? [...kernel] : kernel.toSorted(order)
  const shared = wans.some(({ weight }) => weight !== null)
  const shares: { route: RouteInfo; weight: number }[] = []
  const others: RouteInfo[] = []
  let highest = -1
  for (const wan of wans) {
    const { gateway, metric, weight } = wan
    const own = ownOf(wan, kernel)
    // One that nobody gave a metric comes behind those of the WANs before it.
    const lowest = own[0]?.metric ?? highest + 1
    const routes = gateway === null ? own : [byGateway(wan, lowest)]
    const placed = metric === null ? routes : routes.map((route) => ({ ...route, metric: metric + route.metric - lowest }))
    highest = Math.max(highest, ...placed.map((route) => route.metric))
    const [best, ...rest] = placed
    // Among WANs with weights, one that names only a metric stands for itself.
    if (best !== undefined && shared && (weight !== null || metric === null)) {
      shares.push({ route: best, weight: weight ?? 1 })
      others.push(...rest)
    } else others.push(...placed)
  }
  return [...join(shares), ...others].sort(order)
}
