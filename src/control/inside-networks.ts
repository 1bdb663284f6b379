/** Which networks tsnat's routing tables lead into the LAN. */
import type { Network } from '../host/guard-rules.js'
import type { IpChanges, IpState } from '../policy/iproute/index.js'
import { type RouteInfo, RouteType } from '../route/types.js'
import { maskOf } from '../stack/wire/address.js'
import { LAN_NUMBER } from './followed-routes.js'

const leadsInside = ({ type, hops }: RouteInfo): boolean => type === RouteType.unicast && hops.some(({ device }) => device === LAN_NUMBER)

/** Those of all tables, each once; ways to everywhere are no networks. */
export const insideNetworks = ({ tables }: Pick<IpState, 'tables'>): Network[] => {
  const found = new Map<string, Network>()
  for (const map of tables.values()) {
    for (const { destination, length, routes } of map.all()) {
      if (length > 0 && routes.some(leadsInside)) found.set(`${destination}/${length}`, { address: destination, mask: maskOf(length) })
    }
  }
  return [...found.values()]
}

/** Whether a change has made a network inside, or no longer inside. @param before the state that was changed */
export const changesInside = ({ tables }: Pick<IpState, 'tables'>, { routes }: Pick<IpChanges, 'routes'>): boolean =>
  routes.some(({ table, destination, length, routes: after }) =>
    (tables.get(table)?.get(destination, length).some(leadsInside) ?? false) !== after.some(leadsInside))
