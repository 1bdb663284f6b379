/**
 * What `ip rule` and `ip route` change: rules, tables, beside the interfaces that they name.
 *
 * A state is immutable. Commands work on a {@link Draft}, which copies a table when it is first written; so a file of a million
 * commands copies a table once, and a file with one bad line leaves the state as it was.
 */
import { connectedRoutes } from '../../route/connected.js'
import type { Device } from '../../route/connected.js'
import type { Rule } from '../../route/rules.js'
import { defaultRules } from '../../route/rules.js'
import type { PrefixRoutes, RouteInfo } from '../../route/types.js'
import { Table } from '../../route/types.js'
import { refused } from './error.js'
import type { Names } from './names.js'
import { builtInNames } from './names.js'
import { PrefixMap } from './prefix-map.js'

/** Limits of memory: prefixes in all tables, tables, rules. */
export const PREFIXES_MAX = 4_000_000
export const TABLES_MAX = 4096
export const RULES_MAX = 65_536

export interface IpState {
  readonly devices: readonly Device[]
  readonly names: Names
  /** In the order in which they are tried. */
  readonly rules: readonly Rule[]
  /** In the order in which they were made. */
  readonly tables: ReadonlyMap<number, PrefixMap>
  readonly prefixes: number
}

/** What a change means for the data plane. */
export interface IpChanges {
  /** All prefixes that have changed, each with all its routes; none means that the prefix is gone. */
  readonly routes: readonly PrefixRoutes[]
  readonly rules: boolean
}

export class Draft {
  readonly devices: readonly Device[]
  readonly names: Names
  readonly #before: IpState
  #rules: readonly Rule[]
  readonly #tables: Map<number, PrefixMap>
  #prefixes: number
  /** Tables that are this draft's own, with what was written in them. */
  readonly #written = new Map<number, Map<string, { destination: number; length: number }>>()

  constructor(state: IpState, devices = state.devices) {
    this.#before = state
    this.devices = devices
    this.names = state.names
    this.#rules = state.rules
    this.#tables = new Map(state.tables)
    this.#prefixes = state.prefixes
  }

  get rules(): readonly Rule[] {
    return this.#rules
  }

  /** @throws IpError POLICY_REFUSED when they are too many */
  setRules(rules: readonly Rule[]): void {
    if (rules.length > RULES_MAX) throw refused('RTNETLINK answers: No buffer space available', `at most ${RULES_MAX} rules can be held`)
    this.#rules = rules
  }

  get tables(): ReadonlyMap<number, PrefixMap> {
    return this.#tables
  }

  get(table: number, destination: number, length: number): readonly RouteInfo[] {
    return this.#tables.get(table)?.get(destination, length) ?? []
  }

  /** Makes an empty table where there is none. @throws IpError POLICY_REFUSED when they are too many */
  makeTable(table: number): void {
    if (this.#tables.has(table)) return
    if (this.#tables.size >= TABLES_MAX) throw refused('RTNETLINK answers: No buffer space available', `at most ${TABLES_MAX} tables can be held`)
    this.#tables.set(table, new PrefixMap())
  }

  /** Sets all routes of a prefix. @throws IpError POLICY_REFUSED when there are too many */
  set({ table, destination, length, routes }: PrefixRoutes): void {
    const before = this.#tables.get(table)
    if (routes.length > 0 && this.#prefixes >= PREFIXES_MAX && (before?.get(destination, length).length ?? 0) === 0) {
      throw refused('RTNETLINK answers: No buffer space available', `at most ${PREFIXES_MAX} prefixes can be held`)
    }
    let written = this.#written.get(table)
    if (written === undefined) {
      this.makeTable(table)
      this.#tables.set(table, new PrefixMap(before))
      this.#written.set(table, (written = new Map<string, { destination: number; length: number }>()))
    }
    const map = this.#tables.get(table)!
    this.#prefixes -= map.size
    map.set(destination, length, routes)
    this.#prefixes += map.size
    written.set(`${destination}/${length}`, { destination, length })
  }

  /** The draft is of no use afterwards. */
  finish(): { state: IpState; changes: IpChanges } {
    const routes: PrefixRoutes[] = []
    for (const [table, written] of this.#written) {
      const map = this.#tables.get(table)!
      for (const { destination, length } of written.values()) routes.push({ table, destination, length, routes: map.get(destination, length) })
    }
    const rules = this.#rules !== this.#before.rules
    if (!rules && routes.length === 0 && this.devices === this.#before.devices) return { state: this.#before, changes: { routes, rules } }
    const state = { devices: this.devices, names: this.names, rules: this.#rules, tables: this.#tables, prefixes: this.#prefixes }
    return { state, changes: { routes, rules } }
  }
}

/** The rules that everybody has, and the routes that the interfaces have by their addresses. */
export const initialState = (devices: readonly Device[], names = builtInNames): IpState => {
  const tables = new Map([[Table.local, new PrefixMap()], [Table.main, new PrefixMap()]])
  const draft = new Draft({ devices, names, rules: defaultRules(), tables, prefixes: 0 })
  for (const prefix of connectedRoutes(devices)) draft.set(prefix)
  return draft.finish().state
}

/** Prefix by prefix what connected routes there are. */
const byPrefix = (devices: readonly Device[]): Map<string, PrefixRoutes> =>
  new Map(connectedRoutes(devices).map((prefix) => [`${prefix.table} ${prefix.destination}/${prefix.length}`, prefix]))

const isIn = (route: RouteInfo, routes: readonly RouteInfo[]): boolean =>
  routes.some(({ type, origin, source, hops }) => type === route.type && origin === route.origin && source === route.source && hops[0]!.device === route.hops[0]?.device)

/** Drops the routes to interfaces that the state had and the draft has no longer. */
export const dropRoutesOf = (draft: Draft, state: IpState): void => {
  const numbers = new Set(draft.devices.map(({ number }) => number))
  if (state.devices.every(({ number }) => numbers.has(number))) return
  for (const [table, map] of state.tables) {
    for (const { destination, length, routes } of map.all()) {
      const kept = routes.filter(({ hops }) => hops.every(({ device }) => numbers.has(device)))
      if (kept.length < routes.length) draft.set({ table, destination, length, routes: kept })
    }
  }
}

/**
 * The state after interfaces or their addresses have changed: connected routes come and go with them, and routes to interfaces that
 * are gone are dropped. Routes to an interface that is down stay, and are dead until it is up. Rules stay; those that name an
 * interface must be made ready again.
 */
export const withDevices = (state: IpState, devices: readonly Device[]): { state: IpState; changes: IpChanges } => {
  const draft = new Draft(state, devices)
  dropRoutesOf(draft, state)
  const before = byPrefix(state.devices)
  const after = byPrefix(devices)
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    const { table, destination, length } = (after.get(key) ?? before.get(key))!
    const old = before.get(key)?.routes ?? []
    const wanted = after.get(key)?.routes ?? []
    const current = draft.get(table, destination, length)
    const kept = current.filter((route) => !isIn(route, old) || isIn(route, wanted))
    const added = wanted.filter((route) => !isIn(route, old) && !isIn(route, current))
    if (kept.length < current.length || added.length > 0) draft.set({ table, destination, length, routes: [...kept, ...added].sort(tryOrder) })
  }
  return draft.finish()
}

/** Order of the routes of one prefix: highest TOS, then lowest metric. */
export const tryOrder = (a: RouteInfo, b: RouteInfo): number => b.tos - a.tos || a.metric - b.metric

/** Everything, for a data plane that has nothing yet. */
export const allRoutes = (state: IpState): readonly PrefixRoutes[] =>
  [...state.tables].flatMap(([table, map]) => [...map.all()].map((prefix) => ({ table, ...prefix })))
