/** The routes that a host has by its addresses alone: to itself, to the subnets on its links, and to their broadcast addresses. */
import { maskOf } from '../stack/wire/address.js'
import type { InterfaceAddress } from './source.js'
import type { PrefixRoutes, RouteInfo } from './types.js'
import { Origin, RouteType, Scope, Table } from './types.js'

/** An interface as routing sees it. */
export interface Device {
  /** From 1; 1 is the loopback. Routes name interfaces by it. */
  readonly number: number
  readonly name: string
  readonly up: boolean
  /** In the order in which they were given to the interface. */
  readonly addresses: readonly InterfaceAddress[]
}

export const LOOPBACK = 1

/** Subnets from this length on have no broadcast address (RFC 3021). */
const BROADCAST_BELOW = 31

const holds = (subnet: InterfaceAddress, address: number): boolean =>
  (((subnet.peer ?? subnet.address) ^ address) & maskOf(subnet.prefixLength)) === 0

/** All of them, as the kernel makes them. Of an interface that is down only its own addresses are known. */
export const connectedRoutes = (devices: readonly Device[]): readonly PrefixRoutes[] => {
  const made = new Map<string, { table: number; destination: number; length: number; routes: RouteInfo[] }>()
  const add = (type: RouteType, destination: number, length: number, device: number, source: number): void => {
    const table = type === RouteType.unicast ? Table.main : Table.local
    const key = `${table} ${destination}/${length}`
    let prefix = made.get(key)
    if (prefix === undefined) made.set(key, (prefix = { table, destination, length, routes: [] }))
    if (prefix.routes.some((route) => route.type === type && route.source === source && route.hops[0]!.device === device)) return
    const scope = type === RouteType.local ? Scope.host : Scope.link
    const hops = [{ gateway: null, device, weight: 1, onlink: false, ownGateway: false }]
    prefix.routes.push({ type, tos: 0, metric: 0, scope, origin: Origin.kernel, source, mtu: 0, mtuLocked: false, hops })
  }
  for (const { number, up, addresses } of devices) {
    for (const own of addresses) {
      const { address, prefixLength: length, primary } = own
      const source = primary ? address : addresses.find((other) => other.primary && other.prefixLength === length && holds(other, address))?.address ?? address
      add(RouteType.local, address, 32, number, source)
      const subnet = (own.peer ?? address) & maskOf(length)
      if (!up || !primary || subnet >>> 24 === 0 || (length === 32 && subnet === address)) continue
      add(number === LOOPBACK ? RouteType.local : RouteType.unicast, subnet, length, number, address)
      if (length < BROADCAST_BELOW) add(RouteType.broadcast, subnet | ~maskOf(length), 32, number, address)
    }
  }
  return [...made.values()]
}

/**
 * Which address the host's own packets leave from over a route that names none: of the interface the first primary one whose
 * subnet holds the gateway, else its first primary one; of an interface without addresses, any other's. 0 when there is none.
 *
 * @param scope of the route; addresses of the loopback serve only destinations on this host
 */
export const sourceFor = (devices: readonly Device[], device: number, gateway: number | null, scope: number): number => {
  const primariesOf = ({ addresses }: Device): readonly InterfaceAddress[] =>
    addresses.filter(({ primary, address }) => primary && (scope >= Scope.host || address >>> 24 !== 127))
  const own = devices.find(({ number }) => number === device)
  const primaries = own === undefined ? [] : primariesOf(own)
  const holding = gateway === null ? undefined : primaries.find((subnet) => holds(subnet, gateway))
  return (holding ?? primaries[0] ?? devices.filter(({ number }) => number !== LOOPBACK).flatMap(primariesOf)[0])?.address ?? 0
}
