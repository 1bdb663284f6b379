/**
 * Routes and next hop objects, as rtnetlink lists them.
 *
 * One object a route, with all that tsnat knows to use or to print. Read by hand rather than with the decoders of package `netlink`:
 * a routing daemon has hundreds of thousands of routes. Unknown attributes are passed over; a known one of the wrong length
 * counts as absent.
 */
import type { NextHop, RouteInfo } from '../route/types.js'
import { hasNoHop, RouteType } from '../route/types.js'

const AF_INET = 2
const AF_INET6 = 10
// struct rtmsg of linux/rtnetlink.h
const ROUTE_HEADER = 12
const RTA_DST = 1
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_PRIORITY = 6
const RTA_PREFSRC = 7
const RTA_METRICS = 8
const RTA_MULTIPATH = 9
const RTA_TABLE = 15
const RTA_VIA = 18
const RTA_ENCAP = 22
const RTA_NH_ID = 30
const RTAX_LOCK = 1
const RTAX_MTU = 2
// struct rtnexthop
const HOP_HEADER = 8
const RTNH_F_DEAD = 1
const RTNH_F_ONLINK = 4
// struct nhmsg and struct nexthop_grp of linux/nexthop.h
const OBJECT_HEADER = 8
const NHA_ID = 1
const NHA_GROUP = 2
const NHA_BLACKHOLE = 4
const NHA_OIF = 5
const NHA_GATEWAY = 6
const NHA_ENCAP = 8
const MEMBER_SIZE = 8
const WEIGHT_MAX = 256

/** NLA_F_NESTED and NLA_F_NET_BYTEORDER stand above. */
const TYPE_MASK = 0x3fff

/** One of the ways of a route. */
export interface KernelHop extends Pick<NextHop, 'gateway' | 'weight' | 'onlink'> {
  readonly ifindex: number
  /** Its interface is down (RTNH_F_DEAD). */
  readonly dead: boolean
  /** Not for tsnat: by an IPv6 gateway, or encapsulated. */
  readonly foreign: boolean
}

/** A route as the kernel has it. Numbers are those of linux/rtnetlink.h. */
export interface KernelRoute extends Pick<RouteInfo, 'tos' | 'metric' | 'scope' | 'origin' | 'source' | 'mtu' | 'mtuLocked'> {
  readonly table: number
  /** RTN_*; may be one that `RouteType` does not have. */
  readonly type: number
  /** int32, bits beyond the prefix 0. */
  readonly destination: number
  readonly length: number
  /** Number of the next hop object that the ways are from; 0 for none. */
  readonly object: number
  /** None for types without a way, and for a route of a next hop object that the message does not spell out. */
  readonly hops: readonly KernelHop[]
}

/** A next hop object (`ip nexthop`). */
export interface NextHopObject {
  readonly id: number
  readonly blackhole: boolean
  /** Null for a group. */
  readonly hop: KernelHop | null
  /** Of a group: numbers and weights of its members. */
  readonly members: readonly { readonly id: number; readonly weight: number }[]
}

/** Integers have the machine's byte order, addresses the network's. */
const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Attributes one after the other: `next` goes to one, which is then in `type`, `at` and `length`. */
class Attributes {
  readonly #view: DataView
  readonly #end: number
  #next: number
  type = 0
  /** Where its payload begins. */
  at = 0
  /** Bytes of payload. */
  length = 0

  constructor(view: DataView, start: number, end: number) {
    this.#view = view
    this.#next = start
    this.#end = end
  }

  next(): boolean {
    const start = this.#next
    if (start + 4 > this.#end) return false
    const length = this.#view.getUint16(start, littleEndian)
    if (length < 4 || start + length > this.#end) return false
    this.type = this.#view.getUint16(start + 2, littleEndian) & TYPE_MASK
    this.at = start + 4
    this.length = length - 4
    this.#next = start + ((length + 3) & ~3)
    return true
  }

  /** The number in it; `absent` when it is none. */
  uint32(absent: number): number {
    return this.length === 4 ? this.#view.getUint32(this.at, littleEndian) : absent
  }

  /** The address in it, null when it is none. */
  ipv4(): number | null {
    return this.length === 4 ? this.#view.getInt32(this.at) : null
  }
}

/** Struct rtnexthop, one after the other, each with attributes of its own. */
const decodeHops = (view: DataView, start: number, end: number): KernelHop[] => {
  const hops: KernelHop[] = []
  for (let at = start; at + HOP_HEADER <= end;) {
    const length = view.getUint16(at, littleEndian)
    if (length < HOP_HEADER || at + length > end) break
    const flags = view.getUint8(at + 2)
    let gateway: number | null = null
    let foreign = false
    for (const each = new Attributes(view, at + HOP_HEADER, at + length); each.next();) {
      if (each.type === RTA_GATEWAY) gateway = each.ipv4()
      else if (each.type === RTA_VIA || each.type === RTA_ENCAP) foreign = true
    }
    const ifindex = view.getInt32(at + 4, littleEndian)
    hops.push({ ifindex, gateway, weight: view.getUint8(at + 3) + 1, onlink: (flags & RTNH_F_ONLINK) !== 0, dead: (flags & RTNH_F_DEAD) !== 0, foreign })
    at += (length + 3) & ~3
  }
  return hops
}

/** @returns null for a message that is no IPv4 route */
export const decodeKernelRoute = (bytes: Uint8Array): KernelRoute | null => {
  if (bytes.length < ROUTE_HEADER || bytes[0] !== AF_INET) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const flags = view.getUint32(8, littleEndian)
  let table = bytes[4]!
  let destination = 0
  let metric = 0
  let source = 0
  let mtu = 0
  let mtuLocked = false
  let object = 0
  let ifindex = 0
  let gateway: number | null = null
  let foreign = false
  let hops: KernelHop[] | null = null
  for (const each = new Attributes(view, ROUTE_HEADER, bytes.length); each.next();) {
    switch (each.type) {
      case RTA_TABLE: table = each.uint32(table); break
      case RTA_DST: destination = each.ipv4() ?? 0; break
      case RTA_PRIORITY: metric = each.uint32(0); break
      case RTA_PREFSRC: source = each.ipv4() ?? 0; break
      case RTA_NH_ID: object = each.uint32(0); break
      case RTA_OIF: ifindex = each.uint32(0); break
      case RTA_GATEWAY: gateway = each.ipv4(); break
      case RTA_VIA: case RTA_ENCAP: foreign = true; break
      case RTA_MULTIPATH: hops = decodeHops(view, each.at, each.at + each.length); break
      case RTA_METRICS:
        for (const one = new Attributes(view, each.at, each.at + each.length); one.next();) {
          if (one.type === RTAX_MTU) mtu = one.uint32(0)
          else if (one.type === RTAX_LOCK) mtuLocked = (one.uint32(0) & (1 << RTAX_MTU)) !== 0
        }
    }
  }
  const single = { ifindex, gateway, weight: 1, onlink: (flags & RTNH_F_ONLINK) !== 0, dead: (flags & RTNH_F_DEAD) !== 0, foreign }
  return {
    table, type: bytes[7]!, destination, length: bytes[1]!, tos: bytes[3]!, metric, scope: bytes[6]!, origin: bytes[5]!, source, mtu, mtuLocked, object,
    hops: hasNoHop(bytes[7] as RouteType) ? [] : hops ?? (ifindex === 0 ? [] : [single]),
  }
}

/** Body of the request that lists all next hop objects: a struct nhmsg. */
export const nextHopObjectsRequest = (): Buffer => Buffer.alloc(OBJECT_HEADER)

/** @returns null for a message that is no next hop object */
export const decodeNextHopObject = (bytes: Uint8Array): NextHopObject | null => {
  if (bytes.length < OBJECT_HEADER) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const flags = view.getUint32(4, littleEndian)
  let id = 0
  let ifindex = 0
  let gateway: number | null = null
  let blackhole = false
  let encapsulated = false
  const members: { id: number; weight: number }[] = []
  for (const each = new Attributes(view, OBJECT_HEADER, bytes.length); each.next();) {
    switch (each.type) {
      case NHA_ID: id = each.uint32(0); break
      case NHA_OIF: ifindex = each.uint32(0); break
      case NHA_GATEWAY: gateway = each.ipv4(); break
      case NHA_BLACKHOLE: blackhole = true; break
      case NHA_ENCAP: encapsulated = true; break
      case NHA_GROUP:
        for (let at = each.at; at + MEMBER_SIZE <= each.at + each.length; at += MEMBER_SIZE) {
          const weight = (view.getUint8(at + 5) << 8 | view.getUint8(at + 4)) + 1
          members.push({ id: view.getUint32(at, littleEndian), weight: Math.min(weight, WEIGHT_MAX) })
        }
    }
  }
  if (id === 0) return null
  const foreign = encapsulated || bytes[0] === AF_INET6
  const hop = { ifindex, gateway, weight: 1, onlink: (flags & RTNH_F_ONLINK) !== 0, dead: (flags & RTNH_F_DEAD) !== 0, foreign }
  return { id, blackhole, hop: members.length > 0 || blackhole ? null : hop, members }
}

/** Spells out the ways of routes that name only their next hop object (sysctl nexthop_compat_mode 0). */
export const withNextHops = (routes: readonly KernelRoute[], objects: readonly NextHopObject[]): KernelRoute[] => {
  const byId = new Map(objects.map((object) => [object.id, object]))
  const hopsOf = (id: number): KernelHop[] => {
    const object = byId.get(id)
    if (object === undefined) return []
    if (object.hop !== null) return [object.hop]
    return object.members.flatMap((member) => {
      const hop = byId.get(member.id)?.hop
      return hop == null ? [] : [{ ...hop, weight: member.weight }]
    })
  }
  return routes.map((route) => (needsNextHop(route) ? { ...route, hops: hopsOf(route.object) } : route))
}

/** Whether a route names a next hop object and does not say what that is. */
export const needsNextHop = ({ object, hops, type }: KernelRoute): boolean => object !== 0 && hops.length === 0 && type === RouteType.unicast
