/**
 * Room in the slab for packets that are made rather than received: ICMP errors, fragments, segments. Taken from the front,
 * freed all at once when every egress has been flushed.
 */
import { HEADROOM, type Region } from './batch.js'

export class Scratch {
  readonly #region: Region
  #next: number

  constructor(region: Region) {
    this.#region = region
    this.#next = region.start
  }

  /** Address for a packet of at most `length` bytes, with headroom before it, or -1 when the region is used up. */
  take(length: number): number {
    const at = (this.#next + HEADROOM + 63) & ~63
    if (at + length > this.#region.end) return -1
    this.#next = at + length
    return at
  }

  reset(): void {
    this.#next = this.#region.start
  }
}
