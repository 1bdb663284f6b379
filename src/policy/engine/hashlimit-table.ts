/**
 * The buckets of `-m hashlimit`: one for each combination of addresses and ports that the mode tells apart. Rules that give the same
 * name share a table; how it limits is said by the rule that comes first.
 *
 * Three kinds of buckets, as in xt_hashlimit:
 *
 * - packets: credit in microseconds; it grows with the time up to `period * burst`, a packet costs `period`;
 * - bytes: credit in bytes; it grows by the rate, up to that of one second; a packet costs its length in steps of 16. A burst is a
 *   number of times that empty credit is filled at once;
 * - rate-match: what came in an interval is summed up. Above the burst, or when the interval before had more than the rate, a packet is
 *   over the limit.
 *
 * A bucket that no packet asked for `expire` milliseconds is forgotten: it begins anew. In a full table, room is made by forgetting
 * such buckets; when there is none, the packet is dropped, whatever the rule says.
 */
import { HASHLIMIT_MODE, type HashlimitMatch } from '../model.js'
import { KeyedEntries } from './keyed-entries.js'
import { LATER_FRAGMENT, type PacketMeta } from './packet-meta.js'

export const UNDER = 0
export const OVER = 1
export const FULL = 2

/** What the kernel takes on a machine with more than 1 GiB. */
const DEFAULT_SIZE = 8192
const SIZE_MAX = 1 << 20
const ENTRIES_PER_SLOT = 8
/** Entries looked at for one to forget. */
const SWEEP = 64
const CHUNK_BITS = 4
const US_PER_MS = 1000
const US_PER_SECOND = 1_000_000
/** Protocols whose ports count: TCP, UDP, DCCP, SCTP, UDP-Lite. */
const PORTED: ReadonlySet<number> = new Set([6, 17, 33, 132, 136])

const maskOf = (length: number): number => (length === 0 ? 0 : -1 << (32 - length))

/** Milliseconds after which a bucket is forgotten when nothing is said: not before it is full again. */
const usualExpiry = ({ rate }: HashlimitMatch): number => {
  if (rate.unit === 'bytes') return rate.burst === null ? 15_000 : 60_000
  return Math.max(1000, Math.ceil((rate.period * rate.burst) / US_PER_MS))
}

/** The same as it holds: where an interval is measured, not before the next one is over. */
const expiryOf = (match: HashlimitMatch): number =>
  Math.max(match.expire ?? usualExpiry(match), match.rateMatch ? match.rateInterval * 2000 : 0)

const entriesMax = ({ tableSize, tableMax }: HashlimitMatch): number => {
  const size = Math.min(tableSize ?? DEFAULT_SIZE, SIZE_MAX) || DEFAULT_SIZE
  return Math.min(tableMax === null || tableMax === 0 ? size * ENTRIES_PER_SLOT : Math.max(tableMax, size), SIZE_MAX)
}

/** All that says how a table limits, as text. */
export const settingsOf = (match: HashlimitMatch): string => JSON.stringify({ ...match, above: false })

export class HashlimitTable {
  readonly settings: string
  readonly #isBytes: boolean
  readonly #isRateMatch: boolean
  readonly #mode: number
  readonly #sourceMask: number
  readonly #destinationMask: number
  readonly #expire: number
  /** Of a packet, in packet mode. */
  readonly #cost: number
  readonly #cap: number
  /** Credit that comes in a millisecond. */
  readonly #gain: number
  readonly #refills: number
  /** rate-match: milliseconds, units a second, and units in an interval. */
  readonly #interval: number
  readonly #rate: number
  readonly #burst: number
  readonly #entries: KeyedEntries
  /** Credit; of rate-match, what came in this interval. */
  #credit = new Float64Array(0)
  #at = new Float64Array(0)
  #expires = new Float64Array(0)
  /** Refills that are left; of rate-match, whether the interval before was over the rate. */
  #extra = new Float64Array(0)
  #swept = 0

  constructor(match: HashlimitMatch, seed: number) {
    const { rate, mode } = match
    this.settings = settingsOf(match)
    this.#isBytes = rate.unit === 'bytes'
    this.#isRateMatch = match.rateMatch
    this.#mode = mode
    this.#sourceMask = (mode & HASHLIMIT_MODE.srcip) === 0 ? 0 : maskOf(match.sourcePrefix)
    this.#destinationMask = (mode & HASHLIMIT_MODE.dstip) === 0 ? 0 : maskOf(match.destinationPrefix)
    this.#expire = expiryOf(match)
    this.#interval = match.rateInterval * 1000
    if (rate.unit === 'bytes') {
      this.#cost = 0
      this.#cap = rate.bytes
      this.#gain = rate.bytes / 1000
      this.#refills = rate.burst === null ? 0 : Math.ceil(rate.burst / rate.bytes)
      this.#rate = rate.bytes
      this.#burst = rate.bytes * Math.max(1, this.#refills)
    } else {
      this.#cost = rate.period
      this.#cap = rate.period * rate.burst
      this.#gain = US_PER_MS
      this.#refills = 0
      this.#rate = Math.floor(US_PER_SECOND / rate.period)
      this.#burst = rate.burst + this.#rate
    }
    this.#entries = new KeyedEntries(seed, entriesMax(match), (capacity) => this.#grow(capacity))
  }

  /** Buckets, those included that may be forgotten. */
  get size(): number {
    return this.#entries.count
  }

  /** UNDER or OVER the limit, or FULL. @param isDry it only asks */
  take(packet: PacketMeta, now: number, isDry: boolean): number {
    const ports = this.#ports(packet)
    if (ports < 0) return FULL
    const source = packet.source & this.#sourceMask
    const destination = packet.destination & this.#destinationMask
    let entry = this.#entries.find(source, destination, ports | 0)
    if (entry < 0) {
      if (isDry) return UNDER
      entry = this.#add(source, destination, ports | 0, now)
      if (entry < 0) return FULL
    } else if (!isDry && now >= this.#expires[entry]!) this.#begin(entry, now)
    if (!isDry) this.#expires[entry] = now + this.#expire
    if (this.#isRateMatch) return this.#takeRate(entry, packet.length, now, isDry)
    const credit = Math.min(this.#cap, this.#credit[entry]! + (now - this.#at[entry]!) * this.#gain)
    return this.#isBytes ? this.#takeBytes(entry, packet.length, credit, now, isDry) : this.#takePacket(entry, credit, now, isDry)
  }

  /** `source << 16 | destination` as uint32, as far as they count; -1: the packet should have ports, and has none. */
  #ports(packet: PacketMeta): number {
    const mode = this.#mode & (HASHLIMIT_MODE.srcport | HASHLIMIT_MODE.dstport)
    if (mode === 0 || !PORTED.has(packet.protocol)) return 0
    if (packet.fragment === LATER_FRAGMENT) return -1
    const source = (mode & HASHLIMIT_MODE.srcport) === 0 ? 0 : packet.sourcePort
    return source * 65536 + ((mode & HASHLIMIT_MODE.dstport) === 0 ? 0 : packet.destinationPort)
  }

  #takePacket(entry: number, credit: number, now: number, isDry: boolean): number {
    const passes = credit >= this.#cost
    if (!isDry) {
      this.#at[entry] = now
      this.#credit[entry] = passes ? credit - this.#cost : credit
    }
    return passes ? UNDER : OVER
  }

  #takeBytes(entry: number, length: number, filled: number, now: number, isDry: boolean): number {
    const cost = Math.min(((length >>> CHUNK_BITS) + 1) << CHUNK_BITS, this.#cap)
    const refills = filled < cost && this.#extra[entry]! > 0
    const credit = refills ? this.#cap : filled
    const passes = credit >= cost
    if (!isDry) {
      this.#at[entry] = now
      if (refills) this.#extra[entry]!--
      this.#credit[entry] = passes ? credit - cost : credit
    }
    return passes ? UNDER : OVER
  }

  #takeRate(entry: number, length: number, now: number, isDry: boolean): number {
    const passed = now - this.#at[entry]!
    let sum = this.#credit[entry]!
    let wasOver = this.#extra[entry]!
    if (passed >= this.#interval) {
      wasOver = sum * this.#interval > passed * this.#rate ? 1 : 0
      sum = 0
    }
    sum += this.#isBytes ? length : 1
    if (!isDry) {
      if (passed >= this.#interval) this.#at[entry] = now
      this.#credit[entry] = sum
      this.#extra[entry] = wasOver
    }
    return wasOver === 0 && sum <= this.#burst ? UNDER : OVER
  }

  #add(source: number, destination: number, ports: number, now: number): number {
    let entry = this.#entries.add(source, destination, ports)
    if (entry < 0 && this.#sweep(now)) entry = this.#entries.add(source, destination, ports)
    if (entry >= 0) this.#begin(entry, now)
    return entry
  }

  #begin(entry: number, now: number): void {
    this.#at[entry] = now
    this.#credit[entry] = this.#isRateMatch ? 0 : this.#cap
    this.#extra[entry] = this.#isRateMatch ? 0 : this.#refills
  }

  /** Forgets some buckets that nobody asked for long; whether there were any. */
  #sweep(now: number): boolean {
    const before = this.#entries.count
    for (let looked = 0; looked < SWEEP; looked++) {
      this.#swept = this.#swept + 1 < this.#entries.end ? this.#swept + 1 : 0
      if (this.#entries.isUsed(this.#swept) && now >= this.#expires[this.#swept]!) this.#entries.remove(this.#swept)
    }
    return this.#entries.count < before
  }

  #grow(capacity: number): void {
    const grown = (old: Float64Array): Float64Array<ArrayBuffer> => {
      const column = new Float64Array(capacity)
      column.set(old)
      return column
    }
    this.#credit = grown(this.#credit)
    this.#at = grown(this.#at)
    this.#expires = grown(this.#expires)
    this.#extra = grown(this.#extra)
  }
}
