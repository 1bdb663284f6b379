/**
 * What tsnat's tables `main` and `local` follow of the kernel.
 *
 * Interfaces are tsnat's own: the loopback, the TUN, the WANs. Routes by a WAN keep their next hop. What the kernel routes by any other
 * interface (bridges, captured interfaces, containers) is reached through the kernel, so by the TUN: inside networks. What the kernel
 * routes into the TUN is the capture, and no way; nor are short prefixes by other interfaces, which are ways to everywhere and would send
 * the Internet's packets back where they come from.
 *
 * Without `everything` that is what forwarding needs: unicast routes, without the hints for the host's own packets. With it the whole main
 * table is there as far as tsnat has the words: types, TOS, preferred sources, MTU.
 */
import type { KernelNetwork } from '../host/kernel-routes.js'
import type { KernelHop, KernelRoute } from '../host/route-messages.js'
import type { Device } from '../route/connected.js'
import { connectedRoutes, LOOPBACK } from '../route/connected.js'
import type { InterfaceAddress } from '../route/source.js'
import type { NextHop, PrefixRoutes, RouteInfo } from '../route/types.js'
import { hasNoHop, Origin, RouteType, Scope, Table } from '../route/types.js'
import { defaultRoutes } from './default-routes.js'
import type { DefaultWan } from './default-routes.js'

/** A WAN as routing sees it. */
export interface TableWan extends DefaultWan {
  readonly name: string
  /** 0 while there is no interface of that name. */
  readonly ifindex: number
  /** Up, with a carrier. */
  readonly up: boolean
  /** The kernel does not have the addresses: their subnets are on the link all the same. */
  readonly owned: boolean
}

export interface TableLan {
  /** Number of the interface. */
  readonly number: number
  readonly name: string
  /** Of the TUN, in its namespace. */
  readonly ifindex: number
  /** tsnat's own. */
  readonly addresses: readonly InterfaceAddress[]
}

export interface TableSources {
  /** In the order of the configuration. */
  readonly wans: readonly TableWan[]
  readonly lan: TableLan
  /** Of the namespace of the WANs. */
  readonly kernel: KernelNetwork
  /** Of the namespace of the TUN; null when it is that of the WANs. */
  readonly inside: KernelNetwork | null
  /** Follow all of the main table, not only what forwarding needs. */
  readonly everything: boolean
}

export interface FollowedTables {
  readonly devices: readonly Device[]
  /** Tables `main` and `local`, each prefix once. */
  readonly routes: readonly PrefixRoutes[]
}

/** Destinations this short are ways to everywhere (VPN clients split the default route in two), not a network inside. */
const DEFAULT_LIKE = 1

const LOOPBACK_ADDRESS: InterfaceAddress = { address: 0x7f000001, prefixLength: 8, primary: true }

const devicesOf = ({ lan, wans }: Pick<TableSources, 'lan' | 'wans'>): Device[] => [
  { number: LOOPBACK, name: 'lo', up: true, addresses: [LOOPBACK_ADDRESS] },
  { number: lan.number, name: lan.name, up: true, addresses: lan.addresses },
  ...wans.map(({ number, name, up, addresses }) => ({ number, name, up, addresses })),
]

interface GatheredPrefix extends PrefixRoutes {
  readonly routes: RouteInfo[]
}

/** Gathers routes by table and prefix. */
class Gathered {
  readonly #tables = new Map<number, Map<number, GatheredPrefix>>([[Table.local, new Map()], [Table.main, new Map()]])

  add(table: number, destination: number, length: number, route: RouteInfo): void {
    const prefixes = this.#tables.get(table)!
    const key = keyOf(destination, length)
    const prefix = prefixes.get(key)
    if (prefix === undefined) prefixes.set(key, { table, destination, length, routes: [route] })
    else prefix.routes.push(route)
  }

  /** Whether table `main` has the prefix on the link of an interface. */
  hasLink(destination: number, length: number, device: number): boolean {
    const prefix = this.#tables.get(Table.main)!.get(keyOf(destination, length))
    return prefix?.routes.some(({ hops }) => hops[0]?.device === device && hops[0].gateway === null) ?? false
  }

  finish(): PrefixRoutes[] {
    const all = [...this.#tables.values()].flatMap((prefixes) => [...prefixes.values()])
    for (const { routes } of all) if (routes.length > 1) routes.sort((a, b) => b.tos - a.tos || a.metric - b.metric)
    return all
  }
}

const keyOf = (destination: number, length: number): number => (destination >>> 0) * 64 + length

/** What is in a namespace: the WANs, the TUN, or both. */
type Side = 'wan' | 'lan' | 'both'

/** Reads the routes of one namespace. */
class Translation {
  readonly #wans: ReadonlyMap<number, TableWan>
  readonly #lan: number
  readonly #side: Side
  readonly #everything: boolean
  /** Interfaces that lead nowhere: the TUN and the loopback. */
  readonly #nowhere: ReadonlySet<number>
  /** Addresses of the namespace. */
  readonly #own: ReadonlySet<number>

  constructor({ wans, lan, everything }: TableSources, network: KernelNetwork, side: Side) {
    this.#wans = new Map(side === 'lan' ? [] : wans.filter(({ ifindex }) => ifindex !== 0).map((wan) => [wan.ifindex, wan]))
    this.#lan = lan.number
    this.#side = side
    this.#everything = everything
    const loopback = network.links.find(({ name }) => name === 'lo')?.index ?? 0
    this.#nowhere = new Set([loopback, ...(side === 'wan' ? network.links.map(({ index }) => index) : [lan.ifindex])])
    this.#own = new Set(network.addresses.map(({ address }) => address))
  }

  /** Null for a route that has no meaning here. */
  route(route: KernelRoute): RouteInfo | null {
    const type = route.type as RouteType
    if (hasNoHop(type)) return this.#everything && this.#side !== 'lan' ? this.#info(route, route.source, []) : null
    const outward = route.hops.filter(({ ifindex, foreign, dead }) => this.#wans.has(ifindex) && !foreign && (this.#everything || !dead))
    if (outward.length > 0) return this.#outward(route, outward)
    if (type !== RouteType.unicast || route.tos !== 0 || route.length <= DEFAULT_LIKE) return null
    if (!route.hops.some(({ ifindex, dead }) => !dead && !this.#nowhere.has(ifindex) && !this.#wans.has(ifindex))) return null
    const hop = { gateway: null, device: this.#lan, weight: 1, onlink: false, ownGateway: false }
    return { ...this.#info(route, 0, [hop]), scope: Scope.link }
  }

  #outward(route: KernelRoute, outward: readonly KernelHop[]): RouteInfo | null {
    const { type, tos, source, origin } = route
    if (type !== RouteType.unicast && type !== RouteType.local && type !== RouteType.broadcast && type !== RouteType.multicast) return null
    if (!this.#everything && (type !== RouteType.unicast || tos !== 0)) return null
    const { owned, addresses } = this.#wans.get(outward[0]!.ifindex)!
    const said = this.#everything || (origin === Origin.kernel && addresses.some(({ address }) => address === source))
    return this.#info(route, said && !owned ? source : 0, outward.map((hop) => this.#hop(hop)))
  }

  #hop({ ifindex, gateway, weight, onlink }: KernelHop): NextHop {
    const ownGateway = gateway !== null && !onlink && this.#own.has(gateway)
    return { gateway, device: this.#wans.get(ifindex)!.number, weight, onlink, ownGateway }
  }

  #info({ type, tos, metric, scope, origin, mtu, mtuLocked }: KernelRoute, source: number, hops: readonly NextHop[]): RouteInfo {
    const size = this.#everything ? { mtu, mtuLocked } : { mtu: 0, mtuLocked: false }
    return { type: type as RouteType, tos, metric, scope, origin, source, ...size, hops }
  }
}

/** Interfaces, and the routes of all of them. */
export const followKernel = (sources: TableSources): FollowedTables => {
  const { wans, lan, kernel, inside } = sources
  const devices = devicesOf(sources)
  const gathered = new Gathered()
  const bySubnet = new Set([lan.number, ...wans.filter(({ owned }) => owned).map(({ number }) => number)])
  for (const { table, destination, length, routes } of connectedRoutes(devices)) {
    // The kernel says itself which subnets are on the links of the addresses that it has.
    for (const route of routes) if (table === Table.local || bySubnet.has(route.hops[0]!.device)) gathered.add(table, destination, length, route)
  }
  const defaults: RouteInfo[] = []
  const take = (network: KernelNetwork, side: Side): void => {
    const translation = new Translation(sources, network, side)
    for (const kernelRoute of network.routes) {
      const { destination, length } = kernelRoute
      const route = translation.route(kernelRoute)
      if (route === null) continue
      const [hop] = route.hops
      if (length === 0 && route.type === RouteType.unicast && route.tos === 0) defaults.push(route)
      else if (hop === undefined || hop.gateway !== null || !bySubnet.has(hop.device) || !gathered.hasLink(destination, length, hop.device)) {
        gathered.add(Table.main, destination, length, route)
      }
    }
  }
  take(kernel, inside === null ? 'both' : 'wan')
  if (inside !== null) take(inside, 'lan')
  for (const route of defaultRoutes(wans, defaults, sources.everything)) gathered.add(Table.main, 0, 0, route)
  return { devices, routes: gathered.finish() }
}
