import type { Rule } from '../../src/route/rules.js'
import { anyRule } from '../../src/route/rules.js'
import type { NextHop, PrefixRoutes, RouteInfo } from '../../src/route/types.js'
import { Origin, RouteKey, RouteType, Scope, Table } from '../../src/route/types.js'
import { parseIpv4, parsePrefix } from '../../src/stack/wire/address.js'

export const ip = (text: string): number => parseIpv4(text)!

export const hopVia = (gateway: string | null, device: number, weight = 1): NextHop =>
  ({ gateway: gateway === null ? null : ip(gateway), device, weight, onlink: false, ownGateway: false })

export const routeOf = (part: Partial<RouteInfo> = {}): RouteInfo => ({
  type: RouteType.unicast, tos: 0, metric: 0, scope: Scope.global, origin: Origin.static, source: 0, mtu: 0, mtuLocked: false, hops: [hopVia('10.0.0.254', 2)], ...part,
})

export const prefixOf = (prefix: string, table: number = Table.main, ...routes: RouteInfo[]): PrefixRoutes => {
  const { address, length } = parsePrefix(prefix)!
  return { table, destination: address, length, routes: routes.length === 0 ? [routeOf()] : routes }
}

export const ruleOf = (part: Partial<Rule>): Rule => ({ ...anyRule, ...part })

export const keyOf = (part: Partial<Omit<RouteKey, 'source' | 'destination'>> & { source?: string; destination?: string } = {}): RouteKey =>
  Object.assign(new RouteKey(), part, { source: ip(part.source ?? '0.0.0.0'), destination: ip(part.destination ?? '0.0.0.0') })
