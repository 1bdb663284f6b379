/** What of a rule can be looked up by hash: its key, and the shape of it. */
import type { Match, Range, RuleSpec } from '../model.js'
import { acts } from './compile-match.js'

/** Ports that a rule is entered under. */
const PORTS_MAX = 16

export interface Key {
  readonly source: number
  readonly sourceMask: number
  readonly destination: number
  readonly destinationMask: number
  /** 0: any */
  readonly protocol: number
  /** Null: any. */
  readonly sourcePorts: readonly number[] | null
  readonly destinationPorts: readonly number[] | null
}

const isPrefix = (mask: number): boolean => (~mask & (~mask + 1)) === 0

const portsIn = (ranges: readonly Range[]): number[] | null => {
  const [only] = ranges
  if (ranges.length === 1 && only!.first === only!.last) return [only!.first]
  const count = ranges.reduce((sum, { first, last }) => sum + Math.max(0, last - first + 1), 0)
  if (count === 0 || count > PORTS_MAX) return null
  return [...new Set(ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, index) => first + index)))]
}

interface Ports { source: number[] | null; destination: number[] | null }

const takePorts = (match: Match, ports: Ports): void => {
  if (match.module === 'tcp' || match.module === 'udp') {
    if (match.source?.not === false) ports.source ??= portsIn([match.source])
    if (match.destination?.not === false) ports.destination ??= portsIn([match.destination])
  } else if (match.module === 'multiport' && !match.not) {
    if (match.direction === 'source') ports.source ??= portsIn(match.ports)
    if (match.direction === 'destination') ports.destination ??= portsIn(match.ports)
  }
}

/** Ports in tests that nothing stands before that has to see other packets too. */
const portsOf = (matches: readonly Match[]): Ports => {
  const ports: Ports = { source: null, destination: null }
  for (const match of matches) {
    if (acts(match)) break
    takePorts(match, ports)
  }
  // A rule is entered once for each combination.
  if (ports.source !== null && ports.destination !== null && ports.source.length * ports.destination.length > PORTS_MAX) ports.source = null
  return ports
}

export const keyOf = ({ source, destination, protocol, matches }: RuleSpec): Key => {
  const hasSource = source !== null && !source.not && isPrefix(source.mask)
  const hasDestination = destination !== null && !destination.not && isPrefix(destination.mask)
  const number = protocol === null || protocol.not ? 0 : protocol.number
  const ports = number === 0 ? { source: null, destination: null } : portsOf(matches)
  return {
    source: hasSource ? source.address : 0,
    sourceMask: hasSource ? source.mask : 0,
    destination: hasDestination ? destination.address : 0,
    destinationMask: hasDestination ? destination.mask : 0,
    protocol: number,
    sourcePorts: ports.source,
    destinationPorts: ports.destination,
  }
}

const prefixLength = (mask: number): number => Math.clz32(~mask)

/** One number for a shape; 0 for one with nothing to look up. */
export const shapeOf = (key: Key): number =>
  (prefixLength(key.sourceMask) << 10) | (prefixLength(key.destinationMask) << 4) | (key.protocol === 0 ? 0 : 8) |
  (key.sourcePorts === null ? 0 : 2) | (key.destinationPorts === null ? 0 : 1)

/** Entries that a rule needs. */
export const combinations = ({ sourcePorts, destinationPorts }: Key): number => (sourcePorts?.length ?? 1) * (destinationPorts?.length ?? 1)
