/**
 * A state that follows routes of somebody else: what they gain is added, what they lose is removed, and what was edited here stays.
 *
 * Only differences between what was followed before and what is now count. So a route that was deleted here stays deleted, and one that
 * was replaced stays replaced, until the other side changes it.
 */
import type { Device } from '../../route/connected.js'
import type { PrefixRoutes, RouteInfo } from '../../route/types.js'
import { sameRoute } from './route-edit.js'
import type { IpChanges, IpState } from './state.js'
import { Draft, dropRoutesOf, tryOrder } from './state.js'

const isEqual = (a: RouteInfo, b: RouteInfo): boolean => a === b || (a.tos === b.tos && a.metric === b.metric && sameRoute(a, b))
const isIn = (route: RouteInfo, routes: readonly RouteInfo[]): boolean => routes.some((each) => isEqual(each, route))
const areEqual = (a: readonly RouteInfo[], b: readonly RouteInfo[]): boolean => a.length === b.length && a.every((route, place) => isEqual(route, b[place]!))

/** Within a table. */
const keyOf = ({ destination, length }: PrefixRoutes): number => (destination >>> 0) * 64 + length

/** By table and prefix. */
const byPrefix = (prefixes: readonly PrefixRoutes[]): Map<number, Map<number, PrefixRoutes>> => {
  const tables = new Map<number, Map<number, PrefixRoutes>>()
  for (const prefix of prefixes) {
    let table = tables.get(prefix.table)
    if (table === undefined) tables.set(prefix.table, (table = new Map<number, PrefixRoutes>()))
    table.set(keyOf(prefix), prefix)
  }
  return tables
}

const merge = (current: readonly RouteInfo[], before: readonly RouteInfo[], after: readonly RouteInfo[]): readonly RouteInfo[] => {
  if (areEqual(current, before)) return after
  const kept = current.filter((route) => !isIn(route, before) || isIn(route, after))
  const added = after.filter((route) => !isIn(route, before) && !isIn(route, current))
  return [...kept, ...added].sort(tryOrder)
}

/**
 * @param devices all interfaces from now on; routes to others are dropped
 * @param before what was followed until now, each prefix once
 * @param after what is followed from now on
 * @throws IpError POLICY_REFUSED when there are too many prefixes
 */
export const withFollowed = (
  state: IpState, devices: readonly Device[], before: readonly PrefixRoutes[], after: readonly PrefixRoutes[],
): { state: IpState; changes: IpChanges } => {
  const draft = new Draft(state, devices)
  dropRoutesOf(draft, state)
  const old = byPrefix(before)
  const change = ({ table, destination, length }: PrefixRoutes, from: readonly RouteInfo[], to: readonly RouteInfo[]): void => {
    if (areEqual(from, to)) return
    const current = draft.get(table, destination, length)
    const routes = merge(current, from, to)
    if (!areEqual(current, routes)) draft.set({ table, destination, length, routes })
  }
  for (const prefix of after) {
    const table = old.get(prefix.table)
    const key = keyOf(prefix)
    change(prefix, table?.get(key)?.routes ?? [], prefix.routes)
    table?.delete(key)
  }
  for (const table of old.values()) for (const prefix of table.values()) change(prefix, prefix.routes, [])
  return draft.finish()
}
