/**
 * Static forwards: outside ports that lead to an inside host, for everybody or for a prefix of senders. They are few and
 * asked only for packets that belong to no flow, so they are a list; the first that fits counts.
 */

export interface Forward {
  /** IP protocol number. */
  readonly protocol: number
  /** Outside address, int32; null for each of them. */
  readonly external: number | null
  readonly firstPort: number
  readonly lastPort: number
  /** Inside host, int32. */
  readonly address: number
  /** Inside port of the first outside port; the others follow. */
  readonly port: number
  /** Senders, as network and mask; 0 and 0 for everybody. */
  readonly from: number
  readonly fromMask: number
}

export class Forwards {
  #list: readonly Forward[]
  /** Inside endpoint of the forward that was found last. */
  address = 0
  port = 0

  constructor(list: readonly Forward[]) {
    this.#list = list
  }

  /** Sets the forwards anew; flows that they have opened stay. */
  replace(list: readonly Forward[]): void {
    this.#list = list
  }

  /** Looks for a forward of an outside endpoint for this sender; true when there is one, which `address` and `port` then tell. */
  find(protocol: number, external: number, port: number, sender: number): boolean {
    for (const forward of this.#list) {
      if (
        forward.protocol === protocol && port >= forward.firstPort && port <= forward.lastPort &&
        (forward.external === null || forward.external === external) && ((sender ^ forward.from) & forward.fromMask) === 0
      ) {
        this.address = forward.address
        this.port = forward.port + (port - forward.firstPort)
        return true
      }
    }
    return false
  }

  /** Whether an outside port is some forward's, and thus nobody else's. */
  has(protocol: number, external: number, port: number): boolean {
    return this.#list.length > 0 && this.#list.some((forward) =>
      forward.protocol === protocol && port >= forward.firstPort && port <= forward.lastPort &&
      (forward.external === null || forward.external === external))
  }
}
