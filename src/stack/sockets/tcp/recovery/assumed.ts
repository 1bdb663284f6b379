/** Without SACK: what duplicate acknowledgements say to have arrived out of order, a segment each (RFC 5681 3.2, 6582). */
export class Assumed {
  /** Bytes. */
  bytes = 0

  clear(): void {
    this.bytes = 0
  }

  /**
   * @param acked bytes acknowledged, of which `delivered` were not known to have arrived
   * @param flight bytes outstanding after it
   * @returns bytes newly delivered
   */
  acknowledged(acked: number, delivered: number, flight: number, mss: number): number {
    const before = this.bytes
    // The first segment of it was missing, the others are those that were assumed.
    const left = acked > mss ? before - (acked - mss) : before
    this.bytes = Math.max(0, Math.min(left, flight - mss))
    return Math.max(delivered - (before - this.bytes), Math.min(mss, acked))
  }

  /** @returns bytes newly delivered */
  duplicate(flight: number, mss: number): number {
    const before = this.bytes
    this.bytes = Math.max(before, Math.min(before + mss, flight - mss))
    return this.bytes - before
  }
}
