/**
 * Datagrams that a socket has received and its user has not read.
 *
 * Each counts with its bytes and DATAGRAM_COST, as memory is taken by empty ones too; what would be more than the buffer is dropped. Its
 * user is told once that there is something, and again only when he has found the queue empty.
 */
import { type Datagram, DATAGRAM_COST } from './datagram.js'

export class DatagramQueue {
  /** Datagrams that found the buffer full. */
  dropped = 0
  readonly #size: number
  readonly #datagrams: Datagram[] = []
  #cost = 0
  #isAnnounced = false

  /** @param size bytes */
  constructor(size: number) {
    this.#size = size
  }

  /** Bytes that wait to be read. */
  get readable(): number {
    return this.#cost - this.#datagrams.length * DATAGRAM_COST
  }

  /** Returns whether the user is to be told. */
  push(datagram: Datagram): boolean {
    const cost = datagram.data.length + DATAGRAM_COST
    // As in Linux, one datagram fits into whatever buffer there is.
    if (this.#cost > 0 && this.#cost + cost > this.#size) {
      this.dropped++
      return false
    }
    this.#datagrams.push(datagram)
    this.#cost += cost
    if (this.#isAnnounced) return false
    this.#isAnnounced = true
    return true
  }

  /** The oldest, or null. */
  shift(): Datagram | null {
    const datagram = this.#datagrams.shift()
    if (datagram === undefined) {
      this.#isAnnounced = false
      return null
    }
    this.#cost -= datagram.data.length + DATAGRAM_COST
    return datagram
  }

  clear(): void {
    this.#datagrams.length = 0
    this.#cost = 0
  }
}
