/**
 * Counts the changes of rules and routes. A side of a flow keeps its next hop with the epoch in which that was decided; as long as
 * the epoch is the same, its packets ask nobody. After a change each flow asks again, with its next packet.
 */

/** A side keeps the epoch in 16 bits. */
const EPOCHS = 0xffff

/** Of what was never decided, or has to be decided for each packet. No epoch has this number. */
export const UNDECIDED = 0

/** Bits of SIDE_HOP that hold the epoch. */
export const EPOCH_MASK = 0xffff

export class Epoch {
  /** 1 to 65535. */
  value = 1

  next(): void {
    this.value = this.value === EPOCHS ? 1 : this.value + 1
  }
}
