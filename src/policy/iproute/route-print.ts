/** Routes as `ip route show` and `ip route get` print them. */
import type { Device } from '../../route/connected.js'
import { LOOPBACK } from '../../route/connected.js'
import type { NextHop, RouteInfo, RouteType } from '../../route/types.js'
import { Origin, RouteType as Type, Scope, Table } from '../../route/types.js'
import { formatIpv4, formatPrefix } from '../../stack/wire/address.js'
import type { Names } from './names.js'
import { dsfieldName, nameOf } from './names.js'
import type { Json } from './printed.js'
import { Printed } from './printed.js'

/** Columns that a listing leaves out, since all its entries have the same there. */
export interface Left {
  readonly tos?: boolean
  readonly gateway?: boolean
  readonly device?: boolean
  readonly table?: boolean
  readonly origin?: boolean
  readonly scope?: boolean
  readonly source?: boolean
}

export interface RoutePrinter {
  readonly names: Names
  readonly devices: readonly Device[]
  readonly details: boolean
  readonly left: Left
}

const typeNames = new Map<number, string>(Object.entries(Type).map(([name, type]) => [type, name]))

const typeName = (type: RouteType, names: Names): string => (names.numeric ? String(type) : typeNames.get(type)!)

/** As the kernel names one that is gone. */
export const deviceName = (devices: readonly Device[], device: number): string => devices.find(({ number }) => number === device)?.name ?? `if${device}`

const destinationText = (destination: number, length: number): string => {
  if (length === 32) return formatIpv4(destination)
  return length === 0 && destination === 0 ? 'default' : formatPrefix(destination, length)
}

const flagsOf = ({ device, onlink }: NextHop, devices: readonly Device[]): string[] => {
  const isUp = devices.some(({ number, up }) => number === device && up)
  return [...(isUp ? [] : ['dead']), ...(onlink ? ['onlink'] : []), ...(isUp ? [] : ['linkdown'])]
}

const printFlags = (flags: readonly string[]): string => flags.map((flag) => `${flag} `).join('')

const printHops = (printed: Printed, hops: readonly NextHop[], devices: readonly Device[]): void => {
  const entries: Json[] = []
  let text = ''
  for (const hop of hops) {
    const gateway = hop.gateway === null ? null : formatIpv4(hop.gateway)
    const dev = deviceName(devices, hop.device)
    const flags = flagsOf(hop, devices)
    text += `\n\tnexthop ${gateway === null ? '' : `via ${gateway} `}dev ${dev} weight ${hop.weight} ${printFlags(flags)}`
    entries.push({ ...(gateway === null ? {} : { gateway }), dev, weight: hop.weight, flags })
  }
  printed.add(text, 'nexthops', entries)
}

const printMtu = (printed: Printed, { mtu, mtuLocked }: RouteInfo): void => {
  if (mtu !== 0) printed.add(`mtu ${mtuLocked ? 'lock ' : ''}${mtu} `, 'metrics', [{ mtu }])
}

/** `via`, `dev`, of a route with one next hop. */
const printWay = (printed: Printed, gateway: number | null, device: number, { devices, left }: RoutePrinter): void => {
  if (gateway !== null && left.gateway !== true) printed.add(`via ${formatIpv4(gateway)} `, 'gateway', formatIpv4(gateway))
  if (device !== 0 && left.device !== true) printed.add(`dev ${deviceName(devices, device)} `, 'dev', deviceName(devices, device))
}

const printTable = (printed: Printed, table: number, { names, details, left }: RoutePrinter): void => {
  if (left.table === true || (table === Table.main && !details)) return
  printed.add(`table ${nameOf(names, 'tables', table)} `, 'table', nameOf(names, 'tables', table))
}

const printType = (printed: Printed, type: RouteType, { names, details }: RoutePrinter): void => {
  if (type !== Type.unicast || details) printed.add(`${typeName(type, names)} `, 'type', typeName(type, names))
}

const printTos = (printed: Printed, tos: number, { names, left }: RoutePrinter): void => {
  if (tos !== 0 && left.tos !== true) printed.add(`tos ${dsfieldName(names, tos)} `, 'tos', dsfieldName(names, tos))
}

/** An entry of a table. */
export const printRoute = (table: number, destination: number, length: number, route: RouteInfo, printer: RoutePrinter): Printed => {
  const { names, devices, details, left } = printer
  const printed = new Printed()
  printType(printed, route.type, printer)
  printed.add(`${destinationText(destination, length)} `, 'dst', destinationText(destination, length))
  printTos(printed, route.tos, printer)
  const single = route.hops.length === 1 ? route.hops[0]! : null
  if (single !== null) printWay(printed, single.gateway, single.device, printer)
  printTable(printed, table, printer)
  if ((route.origin !== Origin.boot || details) && left.origin !== true) {
    printed.add(`proto ${nameOf(names, 'origins', route.origin)} `, 'protocol', nameOf(names, 'origins', route.origin))
  }
  if ((route.scope !== Scope.global || details) && left.scope !== true) {
    printed.add(`scope ${nameOf(names, 'scopes', route.scope)} `, 'scope', nameOf(names, 'scopes', route.scope))
  }
  if (route.source !== 0 && left.source !== true) printed.add(`src ${formatIpv4(route.source)} `, 'prefsrc', formatIpv4(route.source))
  if (route.metric !== 0) printed.add(`metric ${route.metric} `, 'metric', route.metric)
  const flags = single === null ? [] : flagsOf(single, devices)
  printed.add(printFlags(flags), 'flags', flags)
  printMtu(printed, route)
  if (route.hops.length > 1) printHops(printed, route.hops, devices)
  return printed
}

/** What `ip route get` has found. */
export interface FoundWay {
  readonly type: RouteType
  readonly destination: number
  /** Null for what the host itself sends without a source. */
  readonly from: number | null
  readonly gateway: number | null
  readonly device: number
  readonly table: number
  /** Source that the host's own packet gets, 0 when it has one. */
  readonly source: number
  readonly mark: number
  /** 0 for what the host itself sends. */
  readonly input: number
  readonly route: RouteInfo | null
}

export const printWayFound = (way: FoundWay, printer: RoutePrinter): Printed => {
  const { type, destination, from, gateway, device, table, source, mark, input, route } = way
  const printed = new Printed()
  printType(printed, type, printer)
  printed.add(`${formatIpv4(destination)} `, 'dst', formatIpv4(destination))
  if (from !== null) printed.add(`from ${formatIpv4(from)} `, 'from', formatIpv4(from))
  if (route !== null) printTos(printed, route.tos, printer)
  printWay(printed, gateway, device, printer)
  if (table !== 0) printTable(printed, table, printer)
  if (source !== 0) printed.add(`src ${formatIpv4(source)} `, 'prefsrc', formatIpv4(source))
  printed.add('', 'flags', [])
  if (mark !== 0) printed.add(`mark ${mark >= 16 ? `0x${mark.toString(16)}` : mark} `, 'mark', mark)
  if (input === 0) printed.add('uid 0 ', 'uid', 0)
  const cache = [
    ...(type === Type.local || type === Type.broadcast || (device === LOOPBACK && input === 0) ? ['local'] : []), ...(type === Type.multicast ? ['mc'] : []), ...(type === Type.broadcast ? ['brd'] : []),
  ]
  printed.add(`\n    cache ${cache.length === 0 ? '' : `<${cache.join(',')}> `}`, 'cache', cache)
  if (route !== null) printMtu(printed, route)
  if (input !== 0) printed.add(`iif ${deviceName(printer.devices, input)} `, 'iif', deviceName(printer.devices, input))
  return printed
}
