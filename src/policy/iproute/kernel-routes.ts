/** Routes that are followed from somewhere else, the kernel's say, beneath what commands have changed. */
import type { PrefixRoutes, RouteInfo } from '../../route/types.js'
import type { IpChanges, IpState } from './state.js'
import { Draft } from './state.js'

const keyOf = ({ table, destination, length }: PrefixRoutes): string => `${table} ${destination}/${length}`
const byPrefix = (all: readonly PrefixRoutes[]): Map<string, PrefixRoutes> => new Map(all.map((prefix) => [keyOf(prefix), prefix]))

const textOf = ({ type, tos, metric, scope, origin, source, mtu, mtuLocked, hops }: RouteInfo): string =>
  [type, tos, metric, scope, origin, source, mtu, mtuLocked, ...hops.flatMap(({ gateway, device, weight, onlink }) => [gateway, device, weight, onlink])].join()

/** Whether one goes the way of the other: what commands would call the same route. */
const isLike = (a: RouteInfo, b: RouteInfo): boolean =>
  a.type === b.type && a.tos === b.tos && a.metric === b.metric && a.hops.length === b.hops.length
  && a.hops.every(({ gateway, device }, place) => gateway === b.hops[place]!.gateway && device === b.hops[place]!.device)

/** Highest TOS, then lowest metric; of equal ones those first that commands have made. */
const tryOrder = (a: RouteInfo, b: RouteInfo): number => b.tos - a.tos || a.metric - b.metric

/**
 * The state after routes that are followed have changed from `before` to `after`. Only what changed among them is touched: what commands
 * have added stays, and what they have deleted or replaced comes back only with its next change.
 */
export const withFollowedRoutes = (
  state: IpState, before: readonly PrefixRoutes[], after: readonly PrefixRoutes[],
): { state: IpState; changes: IpChanges } => {
  const draft = new Draft(state)
  const [old, wanted] = [byPrefix(before), byPrefix(after)]
  for (const key of new Set([...old.keys(), ...wanted.keys()])) {
    const { table, destination, length } = (wanted.get(key) ?? old.get(key))!
    const [was, is] = [old.get(key)?.routes ?? [], wanted.get(key)?.routes ?? []]
    const [wasTexts, isTexts] = [new Set(was.map(textOf)), new Set(is.map(textOf))]
    const current = draft.get(table, destination, length)
    const kept = current.filter((route) => isTexts.has(textOf(route)) || !wasTexts.has(textOf(route)))
    const added = is.filter((route) => !wasTexts.has(textOf(route)) && !kept.some((one) => isLike(one, route)))
    if (kept.length < current.length || added.length > 0) {
      draft.set({ table, destination, length, routes: [...kept, ...added].sort(tryOrder) })
    }
  }
  return draft.finish()
}
