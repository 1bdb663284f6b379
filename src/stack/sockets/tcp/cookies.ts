/**
 * SYN cookies: a listener with too many handshakes goes on without memory of them (RFC 4987 3.6).
 *
 * Theory of operation. The SYN-ACK's number is the cookie: five bits that count periods of 64 s, three bits for the other's MSS, rounded
 * down to one of a few, and 24 bits of a keyed hash over these, the four-tuple and the other's number. The ACK of the handshake brings
 * it back. It is good in the period of its making and in the next. Window scale and SACK are known only if the other end has
 * timestamps: the lowest bits of ours say them, and come back in TSecr.
 */
import type { KeyedHash } from '../siphash.js'

const PERIOD = 64_000
const PERIODS = 32
const SIZES = [64, 256, 536, 1024, 1220, 1400, 1440, 1460] as const

/** Bits of a timestamp: window scale (15 for none), and SACK permitted. */
const STAMP_BITS = 5
const STAMP_MASK = (1 << STAMP_BITS) - 1
const SCALE_MASK = 15
const NO_SCALE = 15
const SACK_BIT = 16

/** Told apart from other uses of the hash. */
const COOKIE = 0x20000000

/** What remains of the other's SYN. */
export interface Remembered {
  mss: number
  /** -1 for none. */
  scale: number
  sack: boolean
}

const periodOf = (now: number): number => Math.floor(now / PERIOD) % PERIODS

export class Cookies {
  readonly #hash: KeyedHash
  /** The last cookie went out in this period; the ACKs of nobody are looked at when none did lately. */
  #usedAt = -Infinity

  constructor(hash: KeyedHash) {
    this.#hash = hash
  }

  #mac(period: number, size: number, source: number, sourcePort: number, destination: number, destinationPort: number, sequence: number): number {
    const salt = this.#hash.of(sequence, (period << 3) | size, COOKIE, destination)
    return this.#hash.of(source, destination, (sourcePort << 16) | destinationPort, salt) & 0xffffff
  }

  /** The number of the SYN-ACK. @param sequence of the SYN @param mss that it names */
  make(now: number, mss: number, source: number, sourcePort: number, destination: number, destinationPort: number, sequence: number): number {
    this.#usedAt = now
    let size = SIZES.length - 1
    while (size > 0 && SIZES[size]! > mss) size--
    const period = periodOf(now)
    return (period << 27) | (size << 24) | this.#mac(period, size, source, sourcePort, destination, destinationPort, sequence)
  }

  /** The other's MSS, if `cookie` is one of ours for the SYN with this number; else 0. */
  check(now: number, cookie: number, source: number, sourcePort: number, destination: number, destinationPort: number, sequence: number): number {
    if (now - this.#usedAt >= 2 * PERIOD) return 0
    const period = cookie >>> 27
    const size = (cookie >>> 24) & 7
    const current = periodOf(now)
    if (period !== current && (period + 1) % PERIODS !== current) return 0
    return (cookie & 0xffffff) === this.#mac(period, size, source, sourcePort, destination, destinationPort, sequence) ? SIZES[size]! : 0
  }
}

/** Our timestamp that says what the other end can, never later than `now`. @param scale -1 for none */
export const writeStamp = (now: number, scale: number, sack: boolean): number => {
  const said = (scale < 0 ? NO_SCALE : scale) | (sack ? SACK_BIT : 0)
  const stamp = (now & ~STAMP_MASK) | said
  return ((stamp - now) | 0) > 0 ? (stamp - (1 << STAMP_BITS)) | 0 : stamp
}

export const readStamp = (stamp: number, into: Remembered): void => {
  const scale = stamp & SCALE_MASK
  into.scale = scale === NO_SCALE ? -1 : scale
  into.sack = (stamp & SACK_BIT) !== 0
}
