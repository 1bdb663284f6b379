/**
 * Messages of rtnetlink, to and from plain objects.
 *
 * Messages are written with the encoders of package `netlink`. For reading, only its decoders of the fixed headers are
 * used: those of attributes throw on lengths that they do not know, and one strange attribute of a newer kernel would hide
 * a whole dump. Here unknown attributes are passed over, and a known one of the wrong length counts as absent.
 */
import { AttrStream, parseAttributes, rt } from 'netlink'
import type { ifla, StreamData } from 'netlink'
import type { Mac } from '../stack/wire/address.js'
import { decodeKernelRoute } from './route-messages.js'
import type { InterfaceAddress, Link, Neighbour, NeighbourState, Route, RouteRequest, RouteType, Rule } from './rtnetlink-types.js'

export const AF_INET = 2
const attributesOf = (bytes: Buffer): Map<number, Buffer> => {
  const found = new Map<number, Buffer>()
  parseAttributes(bytes, ({ type, data }) => found.set(type, data))
  return found
}

/** Integers in attributes have the machine's byte order. */
const view = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1
const uint32 = (bytes: Buffer | undefined): number | null => (bytes?.length === 4 ? view(bytes).getUint32(0, littleEndian) : null)
const ipv4 = (bytes: Buffer | undefined): number | null => (bytes?.length === 4 ? bytes.readInt32BE(0) : null)
const text = (bytes: Buffer | undefined): string | null => bytes?.toString('utf8').replace(/\0.*$/s, '') ?? null
const mac = (bytes: Buffer | undefined): Mac | null =>
  bytes?.length === 6 ? { high: bytes.readUInt16BE(0), low: bytes.readInt32BE(2) } : null

const putIpv4 = (address: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(address, 0)
  return bytes
}

const putInt32 = (value: number): Buffer => Buffer.from(Int32Array.of(value).buffer)

const encode = (...parts: StreamData[]): Buffer => {
  const stream = new AttrStream()
  for (const part of parts) stream.emit(part)
  return Buffer.concat(stream.bufs)
}

// linux/if_link.h
const IFLA_ADDRESS = 1
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_STATS64 = 23
/** Of struct rtnl_link_stats64: 64-bit numbers, of which this is the eighth. */
const TX_DROPPED = 56

/** @returns null for a message that is no link */
export const decodeLink = (bytes: Buffer): Link | null => {
  if (bytes.length < rt.__LENGTH_Link) return null
  const { type, index = 0, flags = {} } = rt.parseLink(bytes.subarray(0, rt.__LENGTH_Link))
  const attributes = attributesOf(bytes.subarray(rt.__LENGTH_Link))
  const name = text(attributes.get(IFLA_IFNAME))
  if (name === null) return null
  return {
    index,
    name,
    ethernet: type === 'ETHER',
    up: flags.up === true,
    carrier: flags.lowerUp === true,
    mtu: uint32(attributes.get(IFLA_MTU)) ?? 0,
    mac: mac(attributes.get(IFLA_ADDRESS)),
  }
}

/** Packets to be sent that the interface dropped since it was made; 0 where the message does not say. */
export const decodeTxDropped = (bytes: Buffer): number => {
  const statistics = attributesOf(bytes.subarray(rt.__LENGTH_Link)).get(IFLA_STATS64)
  return statistics === undefined || statistics.length < TX_DROPPED + 8 ? 0 : Number(view(statistics).getBigUint64(TX_DROPPED, littleEndian))
}

export const encodeLink = (data: rt.Link, attributes: ifla.LinkAttrs): Buffer => {
  const stream = new AttrStream()
  rt.formatLinkMessage({ kind: 'link', data, attrs: attributes }, stream)
  return Buffer.concat(stream.bufs)
}

// linux/if_addr.h
const IFA_ADDRESS = 1
const IFA_LOCAL = 2

export const decodeAddress = (bytes: Buffer): InterfaceAddress | null => {
  if (bytes.length < rt.__LENGTH_Address) return null
  const header = rt.parseAddress(bytes.subarray(0, rt.__LENGTH_Address))
  const attributes = attributesOf(bytes.subarray(rt.__LENGTH_Address))
  const peer = ipv4(attributes.get(IFA_ADDRESS))
  const address = ipv4(attributes.get(IFA_LOCAL)) ?? peer
  if (header.family !== AF_INET || address === null) return null
  return {
    ifindex: header.index ?? 0,
    address,
    peer: peer ?? address,
    prefixLength: header.prefixlen ?? 32,
    primary: header.flags?.secondary !== true,
    scope: header.scope ?? 0,
  }
}

export const encodeAddress = (ifindex: number, address: number, prefixLength: number): Buffer => {
  const bytes = putIpv4(address)
  const broadcast = prefixLength <= 30 ? { broadcast: putIpv4(address | (0xffffffff >>> prefixLength)) } : {}
  return encode(
    rt.formatAddress({ family: AF_INET, prefixlen: prefixLength, index: ifindex }),
    rt.formatAddressAttrs({ local: bytes, address: bytes, ...broadcast }),
  )
}

const ROUTE_TYPES: Readonly<Record<number, RouteType>> = { 1: 'unicast', 2: 'local', 6: 'blackhole', 7: 'unreachable', 8: 'prohibit', 9: 'throw' }
const NO_HOP = { ifindex: 0, gateway: null, dead: false, foreign: false }

/** One route for each next hop; none for a message that is no IPv4 route. */
export const decodeRoute = (bytes: Buffer): Route[] => {
  const route = decodeKernelRoute(bytes)
  if (route === null) return []
  const { table, destination, length: prefixLength, source, metric, mtu, tos, hops } = route
  const type = ROUTE_TYPES[route.type] ?? 'other'
  const common = { table, type, destination, prefixLength, source: source === 0 ? null : source, metric, mtu: mtu === 0 ? null : mtu, tos }
  return (hops.length === 0 ? [NO_HOP] : hops).map(({ ifindex, gateway, dead, foreign }) => ({ ...common, ifindex, gateway, usable: !dead && !foreign }))
}

const REQUEST_TYPES = { unicast: 'UNICAST', unreachable: 'UNREACHABLE', throw: 'THROW' } as const

/** @param adding false when a route is to be removed: scope and protocol then match any */
export const encodeRoute = (route: RouteRequest, adding: boolean): Buffer => {
  const { table, type, destination, prefixLength, ifindex, gateway, metric } = route
  const scope = !adding ? 'NOWHERE' : type === 'unicast' && gateway === undefined ? 'LINK' : 'UNIVERSE'
  return encode(
    rt.formatRoute({
      family: AF_INET,
      dstLen: prefixLength,
      table: table < 256 ? table : 0,
      ...(adding ? { protocol: 'STATIC' as const } : {}),
      scope,
      type: REQUEST_TYPES[type],
    }),
    rt.formatRouteAttrs({
      table,
      ...(prefixLength === 0 ? {} : { dst: putIpv4(destination) }),
      ...(ifindex === undefined ? {} : { oif: ifindex }),
      ...(gateway === undefined ? {} : { gateway: putIpv4(gateway) }),
      ...(metric === undefined ? {} : { priority: metric }),
    }),
  )
}

// linux/fib_rules.h
const FRA_SRC = 2
const FRA_IFNAME = 3
const FRA_PRIORITY = 6
const FRA_FWMARK = 10
const FRA_SUPPRESS_PREFIXLEN = 14
const FRA_TABLE = 15
const FRA_FWMASK = 16
const FRA_OIFNAME = 17
/** RTPROT_STATIC: set by an administrator or a program in their name. */
const PROTOCOL_STATIC = 4

export const decodeRule = (bytes: Buffer): Rule | null => {
  if (bytes.length < rt.__LENGTH_Rule) return null
  const header = rt.parseRule(bytes.subarray(0, rt.__LENGTH_Rule))
  if (header.family !== AF_INET) return null
  const attributes = attributesOf(bytes.subarray(rt.__LENGTH_Rule))
  const source = ipv4(attributes.get(FRA_SRC))
  const inputInterface = text(attributes.get(FRA_IFNAME))
  const outputInterface = text(attributes.get(FRA_OIFNAME))
  const mark = uint32(attributes.get(FRA_FWMARK))
  const suppress = uint32(attributes.get(FRA_SUPPRESS_PREFIXLEN))
  return {
    priority: uint32(attributes.get(FRA_PRIORITY)) ?? 0,
    table: uint32(attributes.get(FRA_TABLE)) ?? header.table ?? 0,
    ...(source === null ? {} : { source: { address: source, prefixLength: header.srcLen ?? 32 } }),
    ...(inputInterface === null ? {} : { inputInterface }),
    ...(outputInterface === null ? {} : { outputInterface }),
    ...(mark === null ? {} : { mark: { value: mark, mask: uint32(attributes.get(FRA_FWMASK)) ?? 0xffffffff } }),
    ...(header.flags?.invert === true ? { invert: true } : {}),
    ...(suppress === null || suppress === 0xffffffff ? {} : { suppressPrefixLength: suppress }),
  }
}

export const encodeRule = (rule: Rule): Buffer => {
  const { priority, table, source, inputInterface, outputInterface, mark, invert, suppressPrefixLength } = rule
  return encode(
    rt.formatRule({
      family: AF_INET,
      srcLen: source?.prefixLength ?? 0,
      table: table < 256 ? table : 0,
      action: 'toTbl',
      flags: invert === true ? { invert: true } : {},
    }),
    rt.formatRuleAttrs({
      priority,
      table,
      protocol: PROTOCOL_STATIC,
      ...(source === undefined ? {} : { src: putIpv4(source.address) }),
      ...(inputInterface === undefined ? {} : { iifname: inputInterface }),
      ...(outputInterface === undefined ? {} : { oifname: outputInterface }),
      ...(mark === undefined ? {} : { fwmark: mark.value >>> 0, fwmask: mark.mask >>> 0 }),
      ...(suppressPrefixLength === undefined ? {} : { suppressPrefixlen: putInt32(suppressPrefixLength) }),
    }),
  )
}

// linux/neighbour.h
const NDA_DST = 1
const NDA_LLADDR = 2
const NEIGHBOUR_STATES: readonly NeighbourState[] =
  ['permanent', 'noarp', 'reachable', 'stale', 'delay', 'probe', 'failed', 'incomplete']

export const decodeNeighbour = (bytes: Buffer): Neighbour | null => {
  if (bytes.length < rt.__LENGTH_Neighbor) return null
  const header = rt.parseNeighbor(bytes.subarray(0, rt.__LENGTH_Neighbor))
  const attributes = attributesOf(bytes.subarray(rt.__LENGTH_Neighbor))
  const address = ipv4(attributes.get(NDA_DST))
  if (header.family !== AF_INET || address === null) return null
  const flags = header.state ?? {}
  const state = NEIGHBOUR_STATES.find((name) => name in flags) ?? 'none'
  const hasMac = state !== 'failed' && state !== 'incomplete' && state !== 'none'
  return { ifindex: header.ifindex ?? 0, address, mac: hasMac ? mac(attributes.get(NDA_LLADDR)) : null, state }
}

/** @param use ask the kernel to resolve the address, as if it had a packet to send (NTF_USE) */
export const encodeNeighbour = (ifindex: number, address: number, use: boolean): Buffer =>
  encode(
    rt.formatNeighbor({ family: AF_INET, ifindex, state: {}, flags: use ? { use: true } : {} }),
    rt.formatNeighborAttrs({ dst: putIpv4(address) }),
  )
