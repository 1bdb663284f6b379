/** Words of routing: the numbers are those of linux/rtnetlink.h, so that nothing has to be translated at the netlink edge. */

/** What becomes of a packet that a route takes. */
export const RouteType = {
  /** To a next hop, or onto a link. */
  unicast: 1,
  /** To this host. */
  local: 2,
  broadcast: 3,
  multicast: 5,
  /** Dropped without a word. */
  blackhole: 6,
  /** Dropped, ICMP 3/1. */
  unreachable: 7,
  /** Dropped, ICMP 3/13. */
  prohibit: 8,
  /** As if the table had no route: the next rule decides. */
  throw: 9,
} as const
export type RouteType = (typeof RouteType)[keyof typeof RouteType]

/** How far away a destination is. Higher numbers are nearer; numbers between have no name. */
export const Scope = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const

/** Tables that everybody has. Others are 1 to 4294967295. */
export const Table = { default: 253, main: 254, local: 255 } as const

/** Who made a route or rule. */
export const Origin = { unspecified: 0, kernel: 2, boot: 3, static: 4 } as const

/** One of the ways that a route may take. */
export interface NextHop {
  /** int32, or null when destinations are on the link. */
  readonly gateway: number | null
  /** Number of the interface, from 1. 1 is the loopback. */
  readonly device: number
  /** 1-256: its share among the next hops of its route. */
  readonly weight: number
  /** The gateway is taken to be on the link, whatever the interface's addresses say. */
  readonly onlink: boolean
  /** The gateway is the host itself: destinations are on the link, as without a gateway. */
  readonly ownGateway: boolean
}

/** A route without its table and prefix. */
export interface RouteInfo {
  readonly type: RouteType
  /** 0, or the bits that a packet's TOS must have among 0x1c. */
  readonly tos: number
  /** uint32; of routes to one prefix with one TOS the lowest counts. */
  readonly metric: number
  readonly scope: number
  readonly origin: number
  /** Address that the host's own packets leave from; 0 when the route does not say. */
  readonly source: number
  /** Bytes, 0 when the route does not say. */
  readonly mtu: number
  /** Path MTU discovery does not go below `mtu`. */
  readonly mtuLocked: boolean
  /** Empty for the types that drop, and for throw. */
  readonly hops: readonly NextHop[]
}

/** All routes of one prefix in one table, in the order in which they are tried: highest TOS first, then lowest metric. */
export interface PrefixRoutes {
  readonly table: number
  /** int32, bits beyond the prefix 0. */
  readonly destination: number
  readonly length: number
  readonly routes: readonly RouteInfo[]
}

/** Types that have no next hop. */
export const hasNoHop = (type: RouteType): boolean =>
  type === RouteType.blackhole || type === RouteType.unreachable || type === RouteType.prohibit || type === RouteType.throw

/** Why a lookup gives no way: the kernel's error numbers. */
export const RouteError = {
  none: 0,
  /** EACCES: prohibit. */
  prohibited: 13,
  /** EINVAL: blackhole. */
  blackhole: 22,
  /** ENETUNREACH: no route at all, or a rule of type unreachable. */
  netUnreachable: 101,
  /** EHOSTUNREACH: a route of type unreachable. */
  hostUnreachable: 113,
} as const
export type RouteError = (typeof RouteError)[keyof typeof RouteError]

/** Code of the ICMP type 3 that answers a packet without a way (RFC 1812 5.2.7.1); -1 for none. */
export const icmpCodeOf = (error: RouteError): number => {
  if (error === RouteError.netUnreachable) return 0
  if (error === RouteError.hostUnreachable) return 1
  return error === RouteError.prohibited ? 13 : -1
}

/** The bits of TOS that routes and rules look at. */
export const TOS_MASK = 0x1c

/** What is looked up. One object is reused. */
export class RouteKey {
  source = 0
  destination = 0
  /** Number of the interface by which the packet came; 1, the loopback, for what the host itself sends. */
  input = 1
  /** Number of the interface that the sender has asked for; 0 for none. */
  output = 0
  mark = 0
  tos = 0
  protocol = 0
  /** 0 for protocols without ports. */
  sourcePort = 0
  destinationPort = 0
  /** Routes to farther destinations do not count. */
  scope: number = Scope.global
}
