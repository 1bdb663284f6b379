/** Links, addresses, routes, policy rules and neighbours as plain objects. Addresses are int32. */
import type { Mac } from '../stack/wire/address.js'

/** Routing table `main`. */
export const TABLE_MAIN = 254

export interface Link {
  index: number
  name: string
  /** Frames have Ethernet headers (ARPHRD_ETHER). */
  ethernet: boolean
  /** Administratively up (IFF_UP). */
  up: boolean
  /** There is a carrier (IFF_LOWER_UP). */
  carrier: boolean
  mtu: number
  /** Null where the link has no 6-byte address. */
  mac: Mac | null
}

export interface InterfaceAddress {
  ifindex: number
  /** The host's own address, int32. */
  address: number
  /** The other end of a point-to-point address, otherwise the same as `address`. The subnet is this one's. */
  peer: number
  prefixLength: number
  /** Not a secondary one, i.e. eligible as a source address. */
  primary: boolean
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  scope: number
}

export type RouteType = 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'prohibit' | 'throw' | 'other'

export interface Route {
  table: number
  type: RouteType
  destination: number
  prefixLength: number
  /** 0 where there is none (types without a device). */
  ifindex: number
  /** IPv4 next hop; null when the destination is on the link. */
  gateway: number | null
  /** Preferred source address. */
  source: number | null
  metric: number
  mtu: number | null
  tos: number
  /** The next hop is dead, or reached through an IPv6 gateway: unusable here. */
  usable: boolean
}

/** A route to be added or removed. */
export interface RouteRequest {
  table: number
  type: 'unicast' | 'unreachable' | 'throw'
  destination: number
  prefixLength: number
  ifindex?: number
  gateway?: number
  metric?: number
}

/** A policy rule, as it is added, removed, recorded in the journal, and read back. */
export interface Rule {
  priority: number
  /** Table that is looked up; 0 for rules with other actions. */
  table: number
  source?: { address: number; prefixLength: number }
  inputInterface?: string
  outputInterface?: string
  mark?: { value: number; mask: number }
  /** The rule applies to what does not match. */
  invert?: boolean
  /** Results with a prefix this short or shorter do not count. */
  suppressPrefixLength?: number
}

export type NeighbourState = 'none' | 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'failed' | 'noarp' | 'permanent'

export interface Neighbour {
  ifindex: number
  address: number
  mac: Mac | null
  state: NeighbourState
}
