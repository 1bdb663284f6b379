/** What tsnat needs to know of the WAN interface, as one plain object, read from the kernel. */
import type { Mac } from '../stack/wire/address.js'
import type { Rtnetlink } from './rtnetlink.js'
import { TABLE_MAIN } from './rtnetlink-types.js'
import type { Route } from './rtnetlink-types.js'

export interface WanAddress {
  /** int32. */
  address: number
  /** The other end of a point-to-point address, otherwise `address`; with `prefixLength` it gives the subnet. */
  peer: number
  prefixLength: number
  /** Eligible as a source; a secondary address never is. */
  primary: boolean
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  scope: number
}

export interface WanRoute {
  destination: number
  prefixLength: number
  /** Null when the destination is on the link. */
  gateway: number | null
  /** Preferred source address of the route. */
  source: number | null
  metric: number
  /** MTU of the route in bytes, when it has one. */
  mtu: number | null
}

export interface WanState {
  name: string
  /** 0 while there is no interface of that name; then `up` is false and the lists are empty. */
  ifindex: number
  /** Administratively up, with a carrier. */
  up: boolean
  /** Administratively up, whatever its carrier. */
  enabled: boolean
  mtu: number
  /** Packets on it have Ethernet headers. */
  ethernet: boolean
  mac: Mac | null
  /** In the kernel's order, primary ones of a subnet before its secondary ones. */
  addresses: WanAddress[]
  /** Unicast routes of the main table out of this interface: longest prefix first, then lowest metric. */
  routes: WanRoute[]
}

export const absentState = (name: string): WanState =>
  ({ name, ifindex: 0, up: false, enabled: false, mtu: 0, ethernet: false, mac: null, addresses: [], routes: [] })

const routeOf = ({ destination, prefixLength, gateway, source, metric, mtu }: Route): WanRoute =>
  ({ destination, prefixLength, gateway, source, metric, mtu })

const byPreference = (a: WanRoute, b: WanRoute): number =>
  b.prefixLength - a.prefixLength || (a.destination >>> 0) - (b.destination >>> 0) || a.metric - b.metric

/** Routes for one TOS only are left out: tsnat routes by destination here. */
const leadsOut = (route: Route, ifindex: number): boolean =>
  route.ifindex === ifindex && route.table === TABLE_MAIN && route.type === 'unicast' && route.usable && route.tos === 0

/** Reads the whole state. @throws NetlinkError */
export const readWanState = async (rtnetlink: Rtnetlink, name: string): Promise<WanState> => {
  const link = await rtnetlink.link(name)
  if (link === null) return absentState(name)
  const addresses = await rtnetlink.addresses()
  const routes = await rtnetlink.routes()
  return {
    name,
    ifindex: link.index,
    up: link.up && link.carrier,
    enabled: link.up,
    mtu: link.mtu,
    ethernet: link.ethernet,
    mac: link.mac,
    addresses: addresses
      .filter(({ ifindex }) => ifindex === link.index)
      .map(({ address, peer, prefixLength, primary, scope }) => ({ address, peer, prefixLength, primary, scope })),
    routes: routes
      .filter((route) => leadsOut(route, link.index))
      .map(routeOf)
      .sort(byPreference),
  }
}
