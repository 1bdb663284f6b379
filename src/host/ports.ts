/**
 * Which ports tsnat may use beside the host's own kernel on a shared address.
 *
 * The kernel chooses ports for the host's own connections from `ip_local_port_range`, except those in
 * `ip_local_reserved_ports`. tsnat takes the upper part of that range and reserves it, and leaves out every port that a
 * socket of the host holds already.
 */
import { readFileSync } from 'node:fs'
import type { NetworkNamespace } from './namespace.js'
import { parseKernelPorts, portSet, subtractPorts } from './port-set.js'
import type { PortRange, PortSet } from './port-set.js'
import { readSysctl } from './sysctl.js'

export const PORT_RANGE_KEY = 'net/ipv4/ip_local_port_range'
export const RESERVED_PORTS_KEY = 'net/ipv4/ip_local_reserved_ports'

/** For flows from source ports below 1024, which must keep such a port: these the kernel's own NAT does not use either. */
const LOW_PORTS: PortRange = { first: 512, last: 599 }
/** Share of the local port range that stays with the kernel. */
const KERNEL_SHARE = 0.15
/** The boundary falls on a multiple of this many ports, counted from the start of the range. */
const GRANULE = 1024
/** Ports on either side of the local range that are used when it cannot be reserved. */
const BESIDE = 16384
const PORT_MAX = 65535
const PORT_MIN = 1024

/** The range from which the kernel of the namespace chooses ports; the kernel's default when it cannot be read. */
export const localPortRange = (namespace: NetworkNamespace): PortRange => {
  const match = /^(\d+)\s+(\d+)$/.exec(readSysctl(namespace, PORT_RANGE_KEY) ?? '')
  return match === null ? { first: 32768, last: 60999 } : { first: Number(match[1]), last: Number(match[2]) }
}

/** Ports that the kernel of the namespace keeps off by itself. */
export const reservedPorts = (namespace: NetworkNamespace): PortSet =>
  parseKernelPorts(readSysctl(namespace, RESERVED_PORTS_KEY) ?? '')

/**
 * The ports to use on a shared address when none are given: 512-599 and the upper 85 % of the local port range; for
 * 32768-60999 that is 36864-60999.
 * @param reservable whether `ip_local_reserved_ports` can be written; if not, ports beside the local range are taken, which
 *   the kernel does not choose by itself
 */
export const defaultPorts = (local: PortRange, reservable: boolean): PortSet => {
  if (!reservable) {
    const below = { first: Math.max(PORT_MIN, local.first - BESIDE), last: local.first - 1 }
    const above = { first: local.last + 1, last: Math.min(PORT_MAX, local.last + BESIDE) }
    return portSet([LOW_PORTS, ...[below, above].filter(({ first, last }) => first <= last)])
  }
  const size = local.last - local.first + 1
  const kept = Math.floor((size * KERNEL_SHARE) / GRANULE) * GRANULE || Math.ceil(size * KERNEL_SHARE)
  return portSet([LOW_PORTS, { first: Math.max(PORT_MIN, local.first + kept), last: local.last }])
}

/** Ranges of a set at most: a guard of so many is set in one message of the size that every kernel takes. */
const RANGES_MAX = 2048

/**
 * What remains of the allowed ports beside those that are held. Where held ports cut it into very many pieces, the
 * smallest are left out.
 */
export const usablePorts = (allowed: PortSet, held: PortSet): PortSet => {
  const left = subtractPorts(allowed, held)
  if (left.length <= RANGES_MAX) return left
  return portSet(left.toSorted((a, b) => (b.last - b.first) - (a.last - a.first)).slice(0, RANGES_MAX))
}

/** Protocols with ports, by the names that the kernel has for them. */
export const PORT_PROTOCOLS = ['tcp', 'udp', 'udplite', 'sctp'] as const
export type PortProtocol = (typeof PORT_PROTOCOLS)[number]

/** Ports by protocol, such as those that sockets of the host hold. */
export type HostPorts = Readonly<Record<PortProtocol, PortSet>>

const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1
/** A word of an address in /proc/net/tcp and its like, which print it as an integer of the machine. */
const word = (hex: string): number => {
  const value = parseInt(hex, 16)
  if (!littleEndian) return value | 0
  return ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)
}

/** `::ffff:a.b.c.d` has these words before the IPv4 address. */
const MAPPED = [0, 0, 0xffff]

/** The IPv4 address that a socket of a listing receives on: 0 for any; null when only IPv6 reaches it. */
const ipv4Of = (hex: string): number | null => {
  if (hex.length === 8) return word(hex)
  const words = [0, 8, 16, 24].map((at) => word(hex.slice(at, at + 8)))
  if (words.every((value) => value === 0)) return 0
  return MAPPED.every((value, i) => words[i] === value) ? words[3]! : null
}

/**
 * Ports in one of the listings: those of sockets bound to any address or to one in `addresses`, in any state but TIME_WAIT.
 * Exported for its tests.
 */
export const portsInListing = (listing: string, addresses: ReadonlySet<number>): PortRange[] => {
  const TIME_WAIT = '06'
  const found: PortRange[] = []
  for (const line of listing.split('\n').slice(1)) {
    const match = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /.exec(line)
    if (match === null || match[3] === TIME_WAIT) continue
    const address = ipv4Of(match[1]!)
    const port = parseInt(match[2]!, 16)
    if (port !== 0 && address !== null && (address === 0 || addresses.has(address))) found.push({ first: port, last: port })
  }
  return found
}

/**
 * Local ports in a listing of SCTP endpoints or associations, whatever addresses they are bound to. Its first line names the
 * columns. Exported for its tests.
 */
export const portsInSctpListing = (listing: string): PortRange[] => {
  const [heading = '', ...lines] = listing.split('\n')
  const column = heading.trim().split(/\s+/).indexOf('LPORT')
  const ports = lines.map((line) => Number(line.trim().split(/\s+/)[column])).filter((port) => port >= 1 && port <= PORT_MAX)
  return ports.map((port) => ({ first: port, last: port }))
}

const readListing = (name: string): string => {
  try {
    return readFileSync(`/proc/thread-self/net/${name}`, 'utf8')
  } catch {
    // A kernel without that protocol, e.g. with IPv6 switched off.
    return ''
  }
}

/** Whether a socket of the host has a port on one of these addresses, or on any. @param protocol of those with ports */
export const isHeldPort = (namespace: NetworkNamespace, protocol: PortProtocol, port: number, addresses: Iterable<number>): boolean => {
  const wanted = new Set(addresses)
  const listings = namespace.run(() => [protocol, `${protocol}6`].map(readListing))
  return listings.some((listing) => portsInListing(listing, wanted).some(({ first }) => first === port))
}

/**
 * Ports of the host that replies on these addresses may belong to: listeners, connections, bound sockets.
 * @param addresses the addresses that tsnat shares with the host, int32
 */
export const hostPorts = (namespace: NetworkNamespace, addresses: Iterable<number>): HostPorts => {
  const wanted = new Set(addresses)
  const read = (names: readonly string[]): PortSet => {
    const listings = namespace.run(() => names.map(readListing))
    return portSet(listings.flatMap((listing) => portsInListing(listing, wanted)))
  }
  const sctp = namespace.run(() => ['sctp/eps', 'sctp/assocs'].map(readListing))
  return {
    tcp: read(['tcp', 'tcp6']),
    udp: read(['udp', 'udp6']),
    udplite: read(['udplite', 'udplite6']),
    sctp: portSet(sctp.flatMap(portsInSctpListing)),
  }
}
