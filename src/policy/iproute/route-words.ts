/** Words of `ip route add` and its like. */
import type { NextHop, RouteType } from '../../route/types.js'
import { RouteType as Type, Scope, Table } from '../../route/types.js'
import type { Device } from '../../route/connected.js'
import type { Word } from './error.js'
import { noDevice, syntaxError, unsupported } from './error.js'
import type { Names } from './names.js'
import type { Cursor } from './words.js'
import { exactly, orShort, readWords, refusedWords } from './words.js'
import { address, dsfield, numberIn, origin, prefix, prefixOrNull, scope, table, uint32 } from './values.js'

export const routeTypes: ReadonlyMap<string, RouteType> = new Map(Object.entries(Type))

/** A route as it was written; what was not written is null. */
export interface RouteWords {
  type: RouteType | null
  /** Null only while it is read. */
  destination: { address: number; length: number } | null
  tos: number
  table: number | null
  origin: number | null
  scope: number | null
  metric: number | null
  source: number
  mtu: number
  mtuLocked: boolean
  /** Device 0: not written. */
  hops: NextHop[]
  /** Written with `nexthop`. */
  multipath: boolean
}

export const deviceNumber = (word: Word, devices: readonly Device[]): number => {
  const device = devices.find(({ name }) => name === word.text)
  if (device === undefined) throw noDevice(word)
  return device.number
}

/** More is taken as this, as the kernel does. */
const MTU_MAX = 65520

const TCP = 'it is for the TCP connections of the host itself, and the gateway has none of its own'
const refusedInRoutes = refusedWords({
  advmss: TCP, rtt: TCP, rttvar: TCP, rto_min: TCP, reordering: TCP, window: TCP, cwnd: TCP, initcwnd: TCP, initrwnd: TCP, ssthresh: TCP, quickack: TCP,
  congctl: TCP, features: TCP, fastopen_no_cookie: TCP, hoplimit: 'packets that are forwarded keep their TTL; use -j TTL to change it',
  realms: 'nothing reads realms; use marks', from: 'IPv4 routes have no source prefix; use a rule with "from"', as: 'use -j NETMAP to translate addresses',
  encap: 'no encapsulation is done', nhid: 'there are no next hop objects; write "via" and "dev"', 'ttl-propagate': 'it is for MPLS', vrf: 'there are no VRFs; use "table"',
  pref: 'it is for IPv6', expires: 'it is for IPv6',
})

const refuseType = (word: Word): void => {
  if (['nat', 'anycast', 'multicast', 'xresolve'].includes(word.text)) throw unsupported(word, `routes are of the types ${[...routeTypes.keys()].filter((type) => type !== 'multicast').join(', ')}`)
}

const noHop: NextHop = { gateway: null, device: 0, weight: 1, onlink: false, ownGateway: false }

/** `via [inet] ADDRESS`. */
const viaOf = (cursor: Cursor): number => {
  cursor.takeIf('inet')
  return address(cursor.take())
}

/** The words of `nexthop`, up to the next one. */
const readNextHop = (cursor: Cursor, devices: readonly Device[]): NextHop => {
  let hop = noHop
  while (!cursor.done && cursor.word.text !== 'nexthop') {
    const word = cursor.take()
    if (word.text === 'via') hop = { ...hop, gateway: viaOf(cursor) }
    else if (word.text === 'dev') hop = { ...hop, device: deviceNumber(cursor.take(), devices) }
    else if (word.text === 'weight') hop = { ...hop, weight: numberIn(cursor.take(), 'weight', 1, 256) }
    else if (word.text === 'onlink') hop = { ...hop, onlink: true }
    else throw syntaxError(`"${word.text}" is not a word of nexthop`, word, 'known are: via, dev, weight, onlink, nexthop')
  }
  return hop
}

/** @param where names the command in errors; @param devices those that `dev` may name */
export const readRoute = (cursor: Cursor, where: string, names: Names, devices: readonly Device[]): RouteWords => {
  const route: RouteWords = {
    type: null, destination: null, tos: 0, table: null, origin: null, scope: null, metric: null, source: 0, mtu: 0, mtuLocked: false, hops: [], multipath: false,
  }
  let single: NextHop | null = null
  const setHop = (part: Partial<NextHop>): void => {
    single = { ...(single ?? noHop), ...part }
  }
  const setDestination = (word: Word): void => {
    if (route.destination !== null) throw syntaxError(`"${word.text}" is a second destination`, word, 'a route has one')
    route.destination = prefix(word)
  }
  const typed = (word: Word): Word => {
    refuseType(word)
    const type = routeTypes.get(word.text)
    if (type === undefined) return word
    route.type = type
    return cursor.take()
  }
  const metric = (at: Cursor): void => { route.metric = uint32(at.take(), 'metric') }
  readWords(cursor, where, [
    exactly('src', (at) => { route.source = address(at.take()) }),
    exactly('via', (at) => { setHop({ gateway: viaOf(at) }) }),
    exactly('tos', (at) => { route.tos = dsfield(at.take(), names) }),
    orShort('dsfield', (at) => { route.tos = dsfield(at.take(), names) }),
    orShort('metric', metric),
    orShort('priority', metric),
    exactly('preference', metric),
    exactly('scope', (at) => { route.scope = scope(at.take(), names) }),
    exactly('mtu', (at) => {
      route.mtuLocked = at.takeIf('lock')
      route.mtu = Math.min(MTU_MAX, numberIn(at.take(), 'mtu', 68, 65535))
    }),
    exactly('onlink', () => { setHop({ onlink: true }) }),
    exactly('nexthop', (at) => {
      route.multipath = true
      route.hops.push(readNextHop(at, devices))
    }),
    orShort('protocol', (at) => { route.origin = origin(at.take(), names) }),
    orShort('table', (at) => { route.table = table(at.take(), names) }),
    exactly('dev', (at) => { setHop({ device: deviceNumber(at.take(), devices) }) }),
    exactly('oif', (at) => { setHop({ device: deviceNumber(at.take(), devices) }) }),
    exactly('to', (at) => { setDestination(typed(at.take())) }),
    ...refusedInRoutes,
  ], (word) => {
    const destination = typed(word)
    if (destination === word && prefixOrNull(word) === null) return false
    setDestination(destination)
    return true
  })
  if (route.destination === null) throw syntaxError(`${where} needs a destination`, null, 'write a prefix, an address, or "default"')
  if (single !== null && route.multipath) throw syntaxError('"via", "dev" and "onlink" belong behind "nexthop" where there are several', null)
  if (single !== null) route.hops.push(single)
  return route
}

/** The table that is meant: that of the host itself for routes to it. */
export const tableOf = ({ table: given, type }: RouteWords): number =>
  given ?? (type === Type.local || type === Type.broadcast ? Table.local : Table.main)

/** The scope that is meant when none is written. */
export const scopeOf = ({ scope: given, type, hops, multipath }: RouteWords): number => {
  if (given !== null) return given
  if (type === Type.local) return Scope.host
  if (type === Type.broadcast) return Scope.link
  const viaGateway = multipath || hops.some(({ gateway }) => gateway !== null)
  return (type ?? Type.unicast) === Type.unicast && !viaGateway ? Scope.link : Scope.global
}
