/**
 * Deterministic NAT (RFC 7422): which inside host has which outside address and ports is computed both ways, so that nobody
 * has to log it. Pure functions of the six values that its records hold: I, O, D, M, A, R.
 *
 * Hosts and outside addresses are taken in ascending order (A = 0, sequential). C hosts share an address; the ports of one,
 * but for the R reserved lowest, are cut into C + D equal parts: one for each host, the rest is for those that need more.
 *
 *     0 … R-1 reserved │ host 1 │ host 2 │ … │ host C │ overflow … 65535
 *
 * The formula printed in RFC 7422 for the staggered algorithm lets neighbours overlap and is not used.
 */
import { formatIpv4, parsePrefix } from '../stack/wire/address.js'
import { formatPool } from './pool.js'
import type { DeterministicSettings } from './settings.js'

const PORTS = 65536
/** Algorithm: sequential. */
const SEQUENTIAL = 0

/** Ports of an inside host. */
export interface PortAssignment {
  /** int32 */
  readonly inside: number
  readonly outside: number
  readonly first: number
  readonly last: number
}

/** What must be kept to tell later who had a port (RFC 7422 2.2 and 4). */
export interface DeterministicRecord {
  /** When it began to hold, ISO 8601. */
  readonly time: string
  /** Inside network with its length, and outside addresses. */
  readonly I: string
  readonly O: string
  readonly D: number
  readonly M: number
  readonly A: number
  readonly R: number
}

/** First assignable host of a network and their number: those of a subnet are without its own address and its broadcast address. */
const hostsOf = ({ address, length, mask }: { address: number; length: number; mask: number }): { first: number; count: number } => {
  const network = (address & mask) >>> 0
  const size = 2 ** (32 - length)
  return size > 2 ? { first: network + 1, count: size - 2 } : { first: network, count: size }
}

export class DeterministicPlan {
  readonly settings: DeterministicSettings
  readonly #outside: Int32Array
  readonly #places: ReadonlyMap<number, number>
  readonly #first: number
  /** Inside hosts. */
  readonly hosts: number
  /** Hosts of one outside address: the compression ratio C. */
  readonly hostsPerAddress: number
  /** Ports that each host has, 0 when there are too many hosts for as many ports. */
  readonly portsPerHost: number
  /** First port that is no host's own; those from there on are given when somebody needs more, if D is not 0. */
  readonly overflow: number

  /** @param settings checked ones; @param outside addresses, int32, one at least */
  constructor(settings: DeterministicSettings, outside: readonly number[]) {
    const { first, count } = hostsOf(parsePrefix(settings.inside)!)
    this.settings = settings
    this.#outside = Int32Array.from(outside.toSorted((a, b) => (a >>> 0) - (b >>> 0)))
    this.#places = new Map([...this.#outside].map((address, place) => [address, place]))
    this.#first = first
    this.hosts = count
    this.hostsPerAddress = Math.ceil(count / outside.length)
    this.portsPerHost = Math.floor((PORTS - settings.reserved) / (this.hostsPerAddress + settings.dynamic))
    this.overflow = settings.reserved + this.hostsPerAddress * this.portsPerHost
  }

  /** Ports beyond its own that a host may have, in blocks. */
  get portsBeyond(): number {
    const { dynamic, perHost } = this.settings
    if (dynamic === 0) return 0
    return perHost === 0 ? PORTS - this.overflow : Math.min(perHost - this.portsPerHost, PORTS - this.overflow)
  }

  /** A host's number, from 0 on, or -1 for what is none. */
  indexOf(inside: number): number {
    const index = (inside >>> 0) - this.#first
    return index >= 0 && index < this.hosts ? index : -1
  }

  /** The outside address of host number `index`. */
  addressOf(index: number): number {
    return this.#outside[Math.floor(index / this.hostsPerAddress)]!
  }

  /** The first of its `portsPerHost` ports. */
  firstPortOf(index: number): number {
    return this.settings.reserved + (index % this.hostsPerAddress) * this.portsPerHost
  }

  /** What an inside host has; null for what is none. */
  assignment(inside: number): PortAssignment | null {
    const index = this.indexOf(inside)
    return index < 0 ? null : this.#assignmentOf(index)
  }

  /** Whose a port (or an ICMP identifier) is; null when it is no host's own. */
  owner(outside: number, port: number): PortAssignment | null {
    const place = this.#places.get(outside)
    if (place === undefined || port < this.settings.reserved || port >= this.overflow) return null
    const index = place * this.hostsPerAddress + Math.floor((port - this.settings.reserved) / this.portsPerHost)
    return index < this.hosts ? this.#assignmentOf(index) : null
  }

  /** All of them, host by host. */
  *assignments(): Generator<PortAssignment> {
    for (let index = 0; index < this.hosts; index++) yield this.#assignmentOf(index)
  }

  /** Outside addresses, ascending. */
  get outside(): readonly number[] {
    return [...this.#outside]
  }

  /** What is to be kept from `time` on. */
  record(time: Date): DeterministicRecord {
    const { inside, dynamic, perHost, reserved } = this.settings
    const prefix = parsePrefix(inside)!
    return {
      time: time.toISOString(), I: `${formatIpv4(prefix.address & prefix.mask)}/${prefix.length}`, O: formatPool(this.outside),
      D: dynamic, M: perHost, A: SEQUENTIAL, R: reserved,
    }
  }

  #assignmentOf(index: number): PortAssignment {
    const first = this.firstPortOf(index)
    return { inside: (this.#first + index) | 0, outside: this.addressOf(index), first, last: first + this.portsPerHost - 1 }
  }
}

/** Why these settings cannot be had, or null. @param outside number of outside addresses, one at least */
export const deterministicFault = (settings: DeterministicSettings, outside: number): string | null => {
  const { count } = hostsOf(parsePrefix(settings.inside)!)
  const { reserved, dynamic, perHost } = settings
  const each = Math.floor((PORTS - reserved) / (Math.ceil(count / outside) + dynamic))
  if (each === 0) return `${count} hosts on ${outside} ${outside === 1 ? 'address' : 'addresses'} leave no port for each`
  if (perHost > 0 && perHost < each) return `perHost is ${perHost}, but each host has ${each} ports of its own`
  return null
}
