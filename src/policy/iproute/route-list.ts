/** `ip route show` and `ip route flush`: which routes are meant. */
import type { RouteInfo, RouteType } from '../../route/types.js'
import { Table } from '../../route/types.js'
import { maskOf } from '../../stack/wire/address.js'
import type { Word } from './error.js'
import { refused, syntaxError, unsupported } from './error.js'
import type { Printed } from './printed.js'
import type { PrefixMap } from './prefix-map.js'
import type { RoutePrinter } from './route-print.js'
import { printRoute } from './route-print.js'
import { deviceNumber, routeTypes } from './route-words.js'
import type { Draft, IpState } from './state.js'
import type { PrefixValue } from './values.js'
import { dsfield, origin, prefix, prefixOrNull, scope, table } from './values.js'
import type { Cursor } from './words.js'
import { abbreviates, exactly, orShort, readWords } from './words.js'

interface Selection {
  /** Null: all. */
  table: number | null
  tos: number | null
  origin: number | null
  scope: number | null
  type: RouteType | null
  device: number | null
  gateway: PrefixValue | null
  source: PrefixValue | null
  /** Prefixes within this one. */
  root: PrefixValue | null
  /** Prefixes around this one. */
  match: PrefixValue | null
  /** The routing cache, which is always empty. */
  cached: boolean
}

const typeOf = (word: Word): RouteType => {
  const type = routeTypes.get(word.text)
  if (type === undefined) throw syntaxError(`"${word.text}" is not a type of route`, word, `known are: ${[...routeTypes.keys()].join(', ')}`)
  return type
}

const readSelection = (cursor: Cursor, where: string, state: Pick<IpState, 'names' | 'devices'>): Selection => {
  const { names, devices } = state
  const selection: Selection = {
    table: Table.main, tos: null, origin: null, scope: null, type: null, device: null, gateway: null, source: null, root: null, match: null, cached: false,
  }
  const orAll = <T>(at: Cursor, read: (word: Word) => T): T | null => (at.takeIf('all') ? null : read(at.take()))
  const setPrefix = (at: Cursor, word: Word): void => {
    if (abbreviates(word.text, 'root')) selection.root = prefix(at.take())
    else if (abbreviates(word.text, 'match')) selection.match = prefix(at.take())
    else selection.root = selection.match = prefix(abbreviates(word.text, 'exact') ? at.take() : word)
  }
  readWords(cursor, where, [
    orShort('table', (at) => {
      if (at.takeIf('cache')) selection.cached = true
      else selection.table = orAll(at, (word) => table(word, names))
    }),
    orShort('cached', () => { selection.cached = true }),
    orShort('cloned', () => { selection.cached = true }),
    exactly('tos', (at) => { selection.tos = dsfield(at.take(), names) }),
    orShort('dsfield', (at) => { selection.tos = dsfield(at.take(), names) }),
    orShort('protocol', (at) => { selection.origin = orAll(at, (word) => origin(word, names)) }),
    orShort('scope', (at) => { selection.scope = orAll(at, (word) => scope(word, names)) }),
    orShort('type', (at) => { selection.type = typeOf(at.take()) }),
    exactly('dev', (at) => { selection.device = deviceNumber(at.take(), devices) }),
    exactly('oif', (at) => { selection.device = deviceNumber(at.take(), devices) }),
    exactly('via', (at) => {
      at.takeIf('inet')
      selection.gateway = prefix(at.take())
    }),
    exactly('src', (at) => { selection.source = prefix(at.take()) }),
    ...['realms', 'from', 'mark', 'iif', 'vrf'].map((word) => exactly(word, (_, given) => { throw unsupported(given, 'no IPv4 route has it') })),
    orShort('to', (at) => { setPrefix(at, at.take()) }),
    orShort('root', (at, word) => { setPrefix(at, word) }),
    orShort('match', (at, word) => { setPrefix(at, word) }),
    orShort('exact', (at, word) => { setPrefix(at, word) }),
  ], (word) => {
    if (prefixOrNull(word) === null) return false
    setPrefix(cursor, word)
    return true
  })
  return selection
}

const within = (address: number, outer: PrefixValue): boolean => ((address ^ outer.address) & maskOf(outer.length)) === 0

const selectsPrefix = ({ root, match }: Selection, destination: number, length: number): boolean =>
  (root === null || (length >= root.length && within(destination, root)))
  && (match === null || (length <= match.length && within(match.address, { address: destination, length })))

const selects = ({ tos, origin: wanted, scope: near, type, device, gateway, source }: Selection, route: RouteInfo): boolean => {
  const single = route.hops.length === 1 ? route.hops[0]! : null
  return (tos === null || route.tos === tos) && (wanted === null || route.origin === wanted) && (near === null || route.scope === near)
    && (type === null || route.type === type) && (device === null || single?.device === device)
    && (gateway === null || within(single?.gateway ?? 0, gateway)) && (source === null || within(route.source, source))
}

/** Tables in the order in which the kernel lists them: by the lower eight bits of the number, of equal ones the newest first. */
const tablesOf = (tables: ReadonlyMap<number, PrefixMap>, wanted: number | null): [number, PrefixMap][] => {
  if (wanted === null) return [...tables].reverse().sort(([a], [b]) => (a & 0xff) - (b & 0xff))
  const map = tables.get(wanted)
  if (map === undefined) throw refused('Error: ipv4: FIB table does not exist.')
  return [[wanted, map]]
}

export const listRoutes = (cursor: Cursor, state: IpState, details: boolean): readonly Printed[] => {
  const selection = readSelection(cursor, 'ip route show', state)
  if (selection.cached) return []
  const isHost = (value: PrefixValue | null): boolean => value?.length === 32
  const printer: RoutePrinter = {
    names: state.names, devices: state.devices, details,
    left: {
      tos: selection.tos !== null, gateway: isHost(selection.gateway), device: selection.device !== null,
      table: selection.table !== null, origin: selection.origin !== null, scope: selection.scope !== null, source: isHost(selection.source),
    },
  }
  const printed: Printed[] = []
  for (const [number, map] of tablesOf(state.tables, selection.table)) {
    for (const { destination, length, routes } of map.sorted()) {
      if (!selectsPrefix(selection, destination, length)) continue
      for (const route of routes) if (selects(selection, route)) printed.push(printRoute(number, destination, length, route, printer))
    }
  }
  return printed
}

export const flushRoutes = (cursor: Cursor, draft: Draft): void => {
  if (cursor.done) throw syntaxError('"ip route flush" requires arguments', null, 'write e.g. "table main"')
  const selection = readSelection(cursor, 'ip route flush', draft)
  if (selection.cached) return
  for (const [number, map] of tablesOf(draft.tables, selection.table)) {
    for (const { destination, length, routes } of [...map.sorted()]) {
      if (!selectsPrefix(selection, destination, length)) continue
      const kept = routes.filter((route) => !selects(selection, route))
      if (kept.length < routes.length) draft.set({ table: number, destination, length, routes: kept })
    }
  }
}

