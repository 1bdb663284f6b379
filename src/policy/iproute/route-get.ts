/** `ip route get`: where a packet would go, and why. */
import { LOOPBACK, sourceFor } from '../../route/connected.js'
import type { Device } from '../../route/connected.js'
import { DeadHops } from '../../route/hops.js'
import type { RouteStep } from '../../route/lookup.js'
import { RouteLookup, RouteResult } from '../../route/lookup.js'
import { readyRules } from '../../route/rules.js'
import { RouteError, RouteKey, RouteType, Scope, Table } from '../../route/types.js'
import { maskOf } from '../../stack/wire/address.js'
import { refused, syntaxError } from './error.js'
import { PrefixMaps } from './prefix-map.js'
import type { Printed } from './printed.js'
import type { RoutePrinter } from './route-print.js'
import { printRoute, printWayFound } from './route-print.js'
import { deviceNumber } from './route-words.js'
import type { IpState } from './state.js'
import { address, dsfield, numberIn, prefixOrNull, protocol, uint32 } from './values.js'
import type { Cursor } from './words.js'
import { exactly, orShort, readWords, refusedWords } from './words.js'

/** A lookup engine over a state. `seed` chooses among several next hops; give the data plane's to get its answers. */
export const lookupIn = (state: IpState, seed = 0): RouteLookup => {
  const dead = new DeadHops()
  for (const { number, up } of state.devices) if (!up) dead.setDevice(number, true)
  return new RouteLookup(readyRules(state.rules, (name) => state.devices.find((device) => device.name === name)?.number ?? 0), new PrefixMaps(state.tables), dead, seed)
}

const PROTOCOL_UDP = 17

interface Question {
  readonly key: RouteKey
  /** Without `iif` the host itself sends. */
  readonly forwarded: boolean
  readonly from: number | null
  /** The route itself is wanted, not what becomes of the packet. */
  readonly match: boolean
}

const readQuestion = (cursor: Cursor, { names, devices }: IpState): Question => {
  const key = new RouteKey()
  let destination: number | null = null
  let from: number | null = null
  let forwarded = false
  let match = false
  const setDestination = (value: { address: number; length: number } | null): boolean => {
    if (value === null || destination !== null) return false
    if (value.length !== 32) throw syntaxError('the destination must be an address', null)
    destination = value.address
    return true
  }
  readWords(cursor, 'ip route get', [
    exactly('tos', (at) => { key.tos = dsfield(at.take(), names) }),
    orShort('dsfield', (at) => { key.tos = dsfield(at.take(), names) }),
    orShort('from', (at) => { from = address(at.take()) }),
    orShort('iif', (at) => {
      key.input = deviceNumber(at.take(), devices)
      forwarded = true
    }),
    orShort('mark', (at) => { key.mark = uint32(at.take(), 'mark') | 0 }),
    orShort('oif', (at) => { key.output = deviceNumber(at.take(), devices) }),
    exactly('dev', (at) => { key.output = deviceNumber(at.take(), devices) }),
    orShort('fibmatch', () => { match = true }),
    orShort('ipproto', (at) => { key.protocol = protocol(at.take()) }),
    exactly('sport', (at) => { key.sourcePort = numberIn(at.take(), 'sport', 1, 65535) }),
    exactly('dport', (at) => { key.destinationPort = numberIn(at.take(), 'dport', 1, 65535) }),
    exactly('to', (at) => { setDestination(prefixOrNull(at.take())) }),
    ...refusedWords({
      uid: 'no rule can ask for the user', vrf: 'there are no VRFs', notify: 'routes are not watched', connected: 'give the source with "from"',
    }),
  ], (word) => setDestination(prefixOrNull(word)))
  if (destination === null) throw syntaxError('"ip route get" needs a destination address', null)
  key.destination = destination
  key.source = from ?? 0
  // The kernel makes up a UDP packet to ask with.
  if (key.protocol === 0) key.protocol = PROTOCOL_UDP
  // A packet that came in has not asked for an interface.
  if (forwarded) key.output = 0
  return { key, forwarded, from, match }
}

const answers: Readonly<Record<Exclude<RouteError, 0>, string>> = {
  [RouteError.prohibited]: 'Permission denied',
  [RouteError.blackhole]: 'Invalid argument',
  [RouteError.netUnreachable]: 'Network is unreachable',
  [RouteError.hostUnreachable]: 'No route to host',
}

const invalid = (why: string): Error => refused('RTNETLINK answers: Invalid argument', why)
const within = (value: number, prefix: number, length: number): boolean => ((value ^ prefix) & maskOf(length)) === 0
const isMulticast = (value: number): boolean => within(value, 0xe0000000, 4)

/** Sources that nobody may have, or that the host itself has (RFC 1812 5.3.7). */
const checkSource = (key: RouteKey, output: number, lookup: RouteLookup): void => {
  if (isMulticast(key.source) || key.source === -1) throw invalid('the source is no host\'s address')
  if (within(key.source, 0, 8) || within(key.source, 0x7f000000, 8)) throw invalid('the source cannot come from outside: write "from" and an address')
  const back = new RouteKey()
  const found = new RouteResult()
  back.source = key.destination
  back.destination = key.source
  back.input = output
  back.tos = key.tos
  back.protocol = key.protocol
  back.sourcePort = key.destinationPort
  back.destinationPort = key.sourcePort
  if (lookup.lookup(back, found) === RouteError.none && found.type !== RouteType.unicast) throw invalid('the source is an address of this host')
}

/** Whether an address is one of an interface, or local by a route. */
const isOwn = (address: number, { devices }: IpState, lookup: RouteLookup): boolean => {
  if (devices.some(({ addresses }) => addresses.some((each) => each.address === address))) return true
  const key = new RouteKey()
  const found = new RouteResult()
  key.destination = address
  return lookup.lookupTable(Table.local, key, found) === 0 && found.type === RouteType.local
}

/** Source that the host's own packet gets. */
const sourceOf = (from: number | null, result: RouteResult, devices: readonly Device[], destination: number): number => {
  if (from !== null) return 0
  if (result.source !== 0) return result.source
  return result.type === RouteType.local ? destination : sourceFor(devices, result.device, result.gateway, result.route!.scope)
}

/**
 * Reads the words, looks up, prints.
 *
 * @param trace takes what was looked at, when wanted
 * @throws IpError POLICY_REFUSED with the kernel's answer when there is no way
 */
export const getRoute = (cursor: Cursor, state: IpState, details: boolean, trace: RouteStep[] | null = null, seed = 0): Printed => {
  const { key, forwarded, from, match } = readQuestion(cursor, state)
  const { devices, names } = state
  const printer: RoutePrinter = { names, devices, details, left: {} }
  const lookup = lookupIn(state, seed)
  const result = new RouteResult()
  if (!forwarded && from !== null && !isOwn(from, state, lookup)) {
    throw refused(`RTNETLINK answers: ${answers[RouteError.netUnreachable]}`, 'the source is not an address of this host: write "iif" and an interface')
  }
  const error = lookup.lookup(key, result, trace)
  const way = { destination: key.destination, from, mark: key.mark >>> 0, input: forwarded ? key.input : 0 }
  if (error !== RouteError.none) {
    if (match || key.output === 0) throw refused(`RTNETLINK answers: ${answers[error]}`)
    // Somebody who asks for an interface gets it: the destination is taken to be on its link.
    const source = from === null ? sourceFor(devices, key.output, null, Scope.link) : 0
    return printWayFound({ ...way, type: RouteType.unicast, gateway: null, device: key.output, table: 0, source, route: null }, printer)
  }
  if (match) return printRoute(result.table, key.destination & maskOf(result.prefixLength), result.prefixLength, result.route!, printer)
  const { type, table, route } = result
  const toUs = type === RouteType.local || (type === RouteType.broadcast && forwarded)
  if (forwarded) checkSource(key, toUs ? LOOPBACK : result.device, lookup)
  return printWayFound({
    ...way, type, table, route, gateway: toUs ? null : result.gateway, device: toUs ? LOOPBACK : result.device,
    source: forwarded ? 0 : sourceOf(from, result, devices, key.destination),
  }, printer)
}

