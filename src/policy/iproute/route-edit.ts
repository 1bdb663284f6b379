/** Changes of one prefix's routes, with the meaning that the kernel gives to each verb. */
import type { NextHop, RouteInfo } from '../../route/types.js'
import { formatPrefix } from '../../stack/wire/address.js'
import { refused } from './error.js'
import { nameOf } from './names.js'
import type { DraftLookup } from './route-check.js'
import { checkRoute, checkTos } from './route-check.js'
import type { RouteWords } from './route-words.js'
import { tableOf } from './route-words.js'
import type { Draft } from './state.js'

/** What a verb does with a route that has the same prefix, TOS and metric, and with one that is new. */
export interface Verb {
  readonly create: boolean
  readonly exclusive: boolean
  readonly replace: boolean
  /** Behind those of the same metric; before them otherwise. */
  readonly append: boolean
}

const verb = (part: Partial<Verb>): Verb => ({ create: true, exclusive: false, replace: false, append: false, ...part })

export const routeVerbs = {
  add: verb({ exclusive: true }),
  change: verb({ create: false, replace: true }),
  replace: verb({ replace: true }),
  prepend: verb({}),
  append: verb({ append: true }),
  test: verb({ create: false, exclusive: true }),
}

const sameHop = (a: NextHop, b: NextHop): boolean => a.gateway === b.gateway && a.device === b.device && a.weight === b.weight && a.onlink === b.onlink

/** Of two routes to one prefix with one TOS and metric, whether they lead the same way. */
export const sameRoute = (a: RouteInfo, b: RouteInfo): boolean =>
  a.type === b.type && a.scope === b.scope && a.origin === b.origin && a.source === b.source && a.mtu === b.mtu && a.mtuLocked === b.mtuLocked
  && a.hops.length === b.hops.length && a.hops.every((hop, place) => sameHop(hop, b.hops[place]!))

/** @throws IpError POLICY_REFUSED; the draft is as it was, but for the table, which is there now */
export const putRoute = ({ create, exclusive, replace, append }: Verb, words: RouteWords, draft: Draft, lookup: DraftLookup): void => {
  const table = tableOf(words)
  checkTos(words.tos)
  draft.makeTable(table)
  const added = checkRoute(words, draft, lookup)
  const { address: destination, length } = words.destination!
  const routes = [...draft.get(table, destination, length)]
  const here = `table ${nameOf(draft.names, 'tables', table)} has ${formatPrefix(destination, length)}`
  const exists = (): Error => refused('RTNETLINK answers: File exists', `${here} with this metric already`)
  // The first that is not tried before the new one.
  const found = routes.findIndex(({ tos, metric }) => tos < added.tos || (tos === added.tos && metric >= added.metric))
  const first = found < 0 ? routes.length : found
  const isEqual = (route: RouteInfo | undefined): boolean => route?.tos === added.tos && route.metric === added.metric
  let behind = first
  while (isEqual(routes[behind])) behind++
  if (behind > first) {
    if (exclusive) throw exists()
    const same = routes.slice(first, behind).findIndex((route) => sameRoute(route, added))
    if (replace) {
      if (same > 0) throw exists()
      if (same < 0) draft.set({ table, destination, length, routes: routes.with(first, added) })
      return
    }
    if (same >= 0) throw exists()
  }
  if (!create) throw refused('RTNETLINK answers: No such file or directory', `${here} with this metric not yet`)
  draft.set({ table, destination, length, routes: routes.toSpliced(append ? behind : first, 0, added) })
}

/** Whether a next hop is one that was written, as far as it was. */
const fitsHop = (hop: NextHop, { gateway, device }: NextHop): boolean => (device === 0 || hop.device === device) && (gateway === null || hop.gateway === gateway)

const fits = (route: RouteInfo, words: RouteWords): boolean => {
  const { type, tos, scope, metric, source, origin, mtu, hops, multipath } = words
  if (route.tos !== tos || (type !== null && route.type !== type) || (scope !== null && route.scope !== scope)) return false
  if ((metric !== null && metric !== 0 && route.metric !== metric) || (source !== 0 && route.source !== source)) return false
  if ((origin !== null && origin !== 0 && route.origin !== origin) || (mtu !== 0 && route.mtu !== mtu)) return false
  if (!multipath) return hops.length === 0 || (route.hops.length > 0 && fitsHop(route.hops[0]!, hops[0]!))
  return hops.length === route.hops.length && hops.every((hop, place) => fitsHop(route.hops[place]!, hop) && (hop.weight === 1 || hop.weight === route.hops[place]!.weight))
}

/** Removes the first route that fits what was written. @throws IpError POLICY_REFUSED when there is none */
export const deleteRoute = (words: RouteWords, draft: Draft): void => {
  checkTos(words.tos)
  const table = tableOf(words)
  const { address: destination, length } = words.destination!
  if (!draft.tables.has(table)) throw refused('Error: FIB table does not exist.')
  const routes = draft.get(table, destination, length)
  const place = routes.findIndex((route) => fits(route, words))
  if (place < 0) {
    throw refused('RTNETLINK answers: No such process', `table ${nameOf(draft.names, 'tables', table)} has no such route to ${formatPrefix(destination, length)}`)
  }
  draft.set({ table, destination, length, routes: routes.toSpliced(place, 1) })
}
