/** Addresses and sizes of the test bed, bed.ts. */

/** The gateway's on the WAN, and on the LAN. */
export const OUTSIDE = '203.0.113.1'
export const OWN_INSIDE = '10.77.0.1'
/** Next hops: where 10.0.0.0/8 is, and where everything else is. */
export const INSIDE_ROUTER = '10.77.0.2'
export const OUTSIDE_ROUTER = '203.0.113.9'

/** Bytes. */
export const LAN_MTU = 1500
export const WAN_MTU = 1400

export type Side = 'lan' | 'wan'

/** Addresses that only the sequence of this number uses: `host` 0-199 inside, 0-3 outside. */
export const insideAddress = (sequence: number, host: number): string => `10.${100 + (sequence >> 8)}.${sequence & 255}.${10 + host}`
export const remoteAddress = (sequence: number, host: number): string =>
  `198.${18 + (sequence >> 14)}.${(sequence >> 6) & 255}.${(sequence & 63) * 4 + host}`
