/** The gateway's interfaces, and the routes through them that the kernel has, as policy routing knows them. */
import type { Config } from '../config.js'
import { gatewayAddressOf } from '../host/lan-subnet.js'
import type { WanState } from '../host/wan-state.js'
import { type Device, LOOPBACK } from '../route/connected.js'
import type { InterfaceAddress } from '../route/source.js'
import type { PrefixRoutes, RouteInfo } from '../route/types.js'
import { Origin, RouteType, Scope, Table } from '../route/types.js'
import { maskOf, parsePrefix } from '../stack/wire/address.js'
import type { WanSettings } from '../worker-protocol.js'
import { ownedAddresses } from './outside-plan.js'

type LinkConfig = Pick<Config, 'lan' | 'lanAddress' | 'wan' | 'wanAddress'>

export interface Links {
  readonly devices: readonly Device[]
  readonly routes: readonly PrefixRoutes[]
}

const LAN_NUMBER = 2
const WAN_NUMBER = 3
const LOOPBACK_ADDRESS: InterfaceAddress = { address: 0x7f000001, prefixLength: 8, primary: true }

/** Names of the interfaces in the order of their numbers from 1 on. */
export const interfaceNames = ({ lan, wan }: LinkConfig): string[] => ['lo', lan, wan]

const wanAddresses = (state: WanState, config: LinkConfig): readonly InterfaceAddress[] =>
  ownedAddresses(config) ?? state.addresses.map(({ address, peer, prefixLength, primary }) =>
    ({ address, prefixLength, primary, ...(peer === address ? {} : { peer }) }))

type GivenRoute = Pick<RouteInfo, 'metric' | 'source' | 'mtu'> & {
  readonly destination: number; readonly prefixLength: number; readonly gateway: number | null
}

const routesOf = (state: WanState, settings: WanSettings, config: LinkConfig): GivenRoute[] => ownedAddresses(config) === null
  ? state.routes.map(({ source, mtu, ...route }) => ({ ...route, source: source ?? 0, mtu: mtu ?? 0 }))
  : settings.routes.map(({ destination, prefixLength, gateway }) => ({ destination, prefixLength, gateway, metric: 0, source: 0, mtu: 0 }))

const routeInfo = ({ gateway, metric, source, mtu }: GivenRoute): RouteInfo => ({
  type: RouteType.unicast, tos: 0, metric, scope: gateway === null ? Scope.link : Scope.global, origin: Origin.boot, source, mtu, mtuLocked: false,
  hops: [{ gateway, device: WAN_NUMBER, weight: 1, onlink: false, ownGateway: false }],
})

/** Routes by prefix. Subnets of the interface's own addresses are left out: it has them by its addresses. */
const followed = (routes: readonly GivenRoute[], addresses: readonly InterfaceAddress[]): PrefixRoutes[] => {
  const found = new Map<string, PrefixRoutes & { readonly routes: RouteInfo[] }>()
  for (const route of routes) {
    const { destination, prefixLength: length, gateway } = route
    const isConnected = addresses.some((own) => own.prefixLength === length && (((own.peer ?? own.address) ^ destination) & maskOf(length)) === 0)
    if (gateway === null && isConnected) continue
    const key = `${destination}/${length}`
    const prefix = found.get(key) ?? { table: Table.main, destination, length, routes: [] }
    found.set(key, prefix)
    prefix.routes.push(routeInfo(route))
  }
  return [...found.values()]
}

/** Everything that routing by policy begins with, and follows. */
export const linksOf = (state: WanState, settings: WanSettings, config: LinkConfig): Links => {
  const subnet = parsePrefix(config.lanAddress)!
  const lan = { address: gatewayAddressOf(subnet.address, subnet.length), prefixLength: subnet.length, primary: true }
  const addresses = wanAddresses(state, config)
  return {
    devices: [
      { number: LOOPBACK, name: 'lo', up: true, addresses: [LOOPBACK_ADDRESS] },
      { number: LAN_NUMBER, name: config.lan, up: true, addresses: [lan] },
      { number: WAN_NUMBER, name: config.wan, up: state.up, addresses },
    ],
    routes: followed(routesOf(state, settings, config), addresses),
  }
}
