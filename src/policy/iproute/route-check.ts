/** Makes a route from its words, and refuses what the kernel would: next hops that cannot be reached, sources that are not ours. */
import { LOOPBACK } from '../../route/connected.js'
import { DeadHops } from '../../route/hops.js'
import { RouteLookup, RouteResult } from '../../route/lookup.js'
import { readyRules } from '../../route/rules.js'
import type { NextHop, RouteInfo } from '../../route/types.js'
import { hasNoHop, Origin, RouteKey, RouteType, Scope, Table } from '../../route/types.js'
import { formatIpv4, maskOf } from '../../stack/wire/address.js'
import { refused } from './error.js'
import { PrefixMaps } from './prefix-map.js'
import type { RouteWords } from './route-words.js'
import { scopeOf, tableOf } from './route-words.js'
import type { Draft } from './state.js'

/** Bits of TOS that are not for routing (RFC 3168). */
const ECN = 3

export const checkTos = (tos: number): void => {
  if ((tos & ECN) !== 0) throw refused('Error: Invalid dsfield (tos): ECN bits must be 0.')
}

/** Lookups in a draft, as the host itself does them. */
export class DraftLookup {
  readonly #draft: Draft
  readonly #key = new RouteKey()
  readonly result = new RouteResult()
  #lookup: RouteLookup | null = null
  #rules: Draft['rules'] | null = null

  constructor(draft: Draft) {
    this.#draft = draft
  }

  /** Looks up an address, in the table first if it is another than main. @returns whether there is a way */
  reach(address: number, device: number, scope: number, table: number): boolean {
    const lookup = this.#prepare(address, device, scope)
    if (table !== Table.main && lookup.lookupTable(table, this.#key, this.result) === 0) return true
    return lookup.lookup(this.#key, this.result) === 0
  }

  #prepare(address: number, device: number, scope: number): RouteLookup {
    const { rules, devices } = this.#draft
    if (this.#lookup === null || this.#rules !== rules) {
      const ready = readyRules(rules, (name) => devices.find((each) => each.name === name)?.number ?? 0)
      this.#lookup = new RouteLookup(ready, new PrefixMaps(this.#draft.tables), new DeadHops(), 0)
      this.#rules = rules
    }
    this.#key.destination = address
    this.#key.input = LOOPBACK
    this.#key.output = device
    this.#key.scope = scope
    return this.#lookup
  }

  /** What kind of address it is by a table; unicast when that says nothing. */
  typeOf(address: number, table: number = Table.local): RouteType {
    const lookup = this.#prepare(address, 0, Scope.global)
    return lookup.lookupTable(table, this.#key, this.result) === 0 ? this.result.type : RouteType.unicast
  }
}

const isUp = (draft: Draft, device: number): boolean => draft.devices.some(({ number, up }) => number === device && up)

/** A next hop with its interface, which may follow from the gateway. */
const checkHop = (hop: NextHop, scope: number, table: number, draft: Draft, lookup: DraftLookup): NextHop => {
  const { gateway, device, onlink } = hop
  if (gateway === null) {
    if (device === 0) throw refused('RTNETLINK answers: No such device', 'write "dev" and an interface, or "via" and a gateway')
    if (!isUp(draft, device)) throw refused('Error: Device for nexthop is not up.')
    return hop
  }
  const invalid = (hint: string): Error => refused('Error: Nexthop has invalid gateway.', `${formatIpv4(gateway)} ${hint}`)
  if (onlink) {
    if (scope >= Scope.link) throw refused('Error: Nexthop has invalid scope.')
    if (device === 0) throw refused('Error: Nexthop device required for onlink.')
    if (!isUp(draft, device)) throw refused('Error: Nexthop device is not up.')
    if (lookup.typeOf(gateway) !== RouteType.unicast) throw invalid('is no other host\'s address')
    return hop
  }
  if (scope >= Scope.host || !lookup.reach(gateway, device, Math.max(scope + 1, Scope.link), table)) {
    throw invalid(device === 0 ? 'is on no link' : 'is not on the link of that interface')
  }
  const { type, device: found, route } = lookup.result
  if (type !== RouteType.unicast && type !== RouteType.local) throw invalid('is no host\'s address')
  if (!isUp(draft, found)) throw refused('RTNETLINK answers: Network is down')
  return { ...hop, device: found, ownGateway: route!.scope === Scope.host }
}

const checkHops = (words: RouteWords, type: RouteType, scope: number, draft: Draft, lookup: DraftLookup): NextHop[] => {
  const { hops } = words
  if (hasNoHop(type)) {
    if (hops.length > 0) throw refused('Error: Gateway, device and multipath can not be specified for this route type.')
    return []
  }
  if (hops.length === 0) throw refused('RTNETLINK answers: No such device', 'write "dev" and an interface, or "via" and a gateway')
  if (scope === Scope.host) {
    if (hops.length > 1) throw refused('Error: Route with host scope can not have multiple nexthops.')
    if (hops[0]!.gateway !== null) throw refused('Error: Route with host scope can not have a gateway.')
    if (hops[0]!.device === 0) throw refused('RTNETLINK answers: No such device', 'write "dev" and an interface')
    return [...hops]
  }
  return hops.map((hop) => checkHop(hop, scope, tableOf(words), draft, lookup))
}

/** Scope of the nearest destination that a type is for. */
const farthest = (type: RouteType): number => {
  if (type === RouteType.local) return Scope.host
  return type === RouteType.broadcast ? Scope.link : Scope.global
}

/** @throws IpError POLICY_REFUSED */
export const checkRoute = (words: RouteWords, draft: Draft, lookup: DraftLookup): RouteInfo => {
  const { address, length } = words.destination!
  if ((address & ~maskOf(length)) !== 0) {
    throw refused('Error: Invalid prefix for given prefix length.', `the network is ${formatIpv4(address & maskOf(length))}/${length}`)
  }
  const type = words.type ?? RouteType.unicast
  const scope = scopeOf(words)
  if (scope > Scope.host || scope < farthest(type)) throw refused('Error: Invalid scope.')
  const hops = checkHops(words, type, scope, draft, lookup)
  const { source } = words
  const isOwn = (): boolean => lookup.typeOf(source) === RouteType.local || lookup.typeOf(source, tableOf(words)) === RouteType.local
  if (source !== 0 && !(type === RouteType.local && address !== 0 && source === address) && !isOwn()) {
    throw refused('Error: Invalid prefsrc address.', `${formatIpv4(source)} is not an address of an interface`)
  }
  return {
    type, tos: words.tos, metric: words.metric ?? 0, scope, origin: words.origin ?? Origin.boot, source, mtu: words.mtu, mtuLocked: words.mtuLocked, hops,
  }
}

