/**
 * How often ICMP errors may be sent: as Linux, BURST at once and RATE a second to all together, and 6 at once and one a second to one
 * address. Addresses share places by a keyed hash, so that memory is fixed.
 */
import { TokenBucket } from '../../token-bucket.js'
import type { PortHash } from '../ports.js'

const RATE = 1000
const BURST = 50
const TARGET_RATE = 1
const TARGET_BURST = 6
const PLACES = 1024

export class ErrorRate {
  readonly #all = new TokenBucket(RATE, BURST)
  readonly #hash: PortHash
  readonly #tokens = new Float64Array(PLACES).fill(TARGET_BURST)
  readonly #at = new Float64Array(PLACES)

  constructor(hash: PortHash) {
    this.#hash = hash
  }

  /** Whether an error may be sent to `address` now, in milliseconds. */
  take(address: number, now: number): boolean {
    const place = this.#hash.of(address, 0, 0, 0) & (PLACES - 1)
    const tokens = Math.min(TARGET_BURST, this.#tokens[place]! + ((now - this.#at[place]!) * TARGET_RATE) / 1000)
    this.#tokens[place] = tokens
    this.#at[place] = now
    if (tokens < 1 || !this.#all.take(now)) return false
    this.#tokens[place] = tokens - 1
    return true
  }
}
