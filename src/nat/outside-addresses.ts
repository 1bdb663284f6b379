/**
 * Which outside addresses are on which WAN. A flow leaves by a WAN with an address of that WAN: with one of another, its replies would
 * come by the other, if its provider let the packets pass at all.
 */
import { ZONE_INSIDE } from './flow-table.js'

export class OutsideAddresses {
  #wans: readonly ReadonlySet<number>[] = []

  /** @param wans int32, of each WAN in the order of their zones, which begin behind {@link ZONE_INSIDE} */
  replace(wans: readonly ReadonlySet<number>[]): void {
    this.#wans = wans
  }

  /** Whether a flow that leaves to this zone may have the address. What goes back inside may have any; so may flows of the only WAN. */
  fits(address: number, zone: number): boolean {
    return zone === ZONE_INSIDE || this.#wans.length < 2 || this.#wans[zone - ZONE_INSIDE - 1]!.has(address)
  }
}
