/**
 * How much may be sent during a recovery: as much as makes what is in flight shrink evenly to the threshold (RFC 6937), and grow to it
 * again like in slow start when more was lost.
 */
export class Reduction {
  #delivered = 0
  #sent = 0
  #size = 0

  /** @param size bytes in flight before the loss */
  begin(size: number): void {
    this.#delivered = 0
    this.#sent = 0
    this.#size = size
  }

  sent(bytes: number): void {
    this.#sent += bytes
  }

  /**
   * The window after an acknowledgement.
   * @param delivered bytes that it says to have arrived, cumulatively or by SACK
   * @param least bytes that may leave at least
   * @param safe it moves SND.UNA on, and no further loss was found with it: more than was delivered may be sent
   */
  window(delivered: number, pipe: number, threshold: number, mss: number, least: number, safe: boolean): number {
    this.#delivered += delivered
    let allowed: number
    if (pipe > threshold) allowed = Math.ceil((this.#delivered * threshold) / this.#size) - this.#sent
    else {
      const limit = Math.max(this.#delivered - this.#sent, delivered) + (safe ? mss : 0)
      allowed = Math.min(threshold - pipe, limit)
    }
    // What was found lost first leaves at once.
    if (this.#sent === 0 && allowed < mss) allowed = mss
    return pipe + (allowed > least ? allowed : least)
  }
}
