/** What a lookup asks of a set: filled from a packet and a rule, used again for the next. */

/** What sets look at in a packet. */
export interface PacketFacts {
  readonly source: number
  readonly destination: number
  readonly protocol: number
  /** Of ICMP, type and code (type * 256 + code) stand for both ports; of protocols without ports 0. */
  readonly sourcePort: number
  readonly destinationPort: number
  /** False for fragments behind the first: no element with a port holds them. */
  readonly hasPorts: boolean
  /** By InterfaceNames; NO_INTERFACE where there is none. */
  readonly inInterface: number
  readonly outInterface: number
  /** Bytes of the IPv4 packet. */
  readonly length: number
}

export interface CounterCondition {
  readonly compare: 'eq' | 'lt' | 'gt'
  readonly value: number
  readonly not: boolean
}

/** Options of `-m set`, by the names of the rules' model. */
export interface MatchOptions {
  /** Holds for what a `nomatch` element takes out of the set. */
  readonly returnNoMatch: boolean
  /** Whether the matching element counts the packet. */
  readonly updateCounters: boolean
  /** The same for elements of a list's members. */
  readonly updateSubcounters: boolean
  /** What the element must have counted, this packet included. */
  readonly packets: CounterCondition | null
  readonly bytes: CounterCondition | null
}

export const PLAIN_MATCH: MatchOptions = {
  returnNoMatch: false, updateCounters: true, updateSubcounters: true, packets: null, bytes: null,
}

export const holds = ({ compare, value, not }: CounterCondition, counted: number): boolean =>
  (compare === 'eq' ? counted === value : compare === 'lt' ? counted < value : counted > value) !== not

/** The parts of a packet that one set looks at, and what to do with the element that is found. */
export class SetQuery {
  address = 0
  /** `protocol << 16 | port` for sets with ports. */
  part = 0
  interface = 0
  /** Milliseconds. */
  now = 0
  length = 0
  updateCounters = false
  packets: CounterCondition | null = null
  bytes: CounterCondition | null = null
}
