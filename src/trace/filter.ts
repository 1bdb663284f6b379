/** Which packets are traced: by their own headers, as they come. */
import type { PacketHeaders } from './headers.js'

/** All that are given must fit; null fits everything. Plain data. */
export interface TraceFilter {
  /** Zone of the interface by which the packet comes. */
  readonly zone: number | null
  readonly protocol: number | null
  /** int32, masked already. */
  readonly source: { readonly address: number; readonly mask: number } | null
  readonly destination: { readonly address: number; readonly mask: number } | null
  readonly sourcePort: number | null
  readonly destinationPort: number | null
  readonly icmpType: number | null
}

export const EVERYTHING: TraceFilter = { zone: null, protocol: null, source: null, destination: null, sourcePort: null, destinationPort: null, icmpType: null }

const fits = <T>(wanted: T | null, value: T | null): boolean => wanted === null || wanted === value

const within = (network: TraceFilter['source'], address: number): boolean => network === null || (address & network.mask) === network.address

export const matchesFilter = (filter: TraceFilter, headers: PacketHeaders, zone: number): boolean =>
  fits(filter.zone, zone) && fits(filter.protocol, headers.protocol) && within(filter.source, headers.source) &&
  within(filter.destination, headers.destination) && fits(filter.sourcePort, headers.sourcePort) &&
  fits(filter.destinationPort, headers.destinationPort) && fits(filter.icmpType, headers.icmpType)
