/**
 * Static forwards: outside ports that lead to an inside host, for everybody or for a prefix of senders; of protocols without
 * ports, all of it; of ICMP, the echo requests. They are few and asked only for packets that belong to no flow, so they are a list; the first that fits counts.
 */

import { PROTOCOL_ICMP } from '../stack/wire/ipv4.js'

export interface Forward {
  /** IP protocol number. Where it has no ports, those below are 0; for ICMP they are the type of the queries that are forwarded. */
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
  /** Inside endpoint of the forward that `find` found last. */
  address = 0
  port = 0
  /** Outside port of the forward that `findInside` found last. */
  outsidePort = 0

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

  /**
   * Looks for a forward that leads this remote to an inside endpoint: what the endpoint sends there on its own leaves from the
   * outside port that `outsidePort` then tells. ICMP identifiers are no ports: they have none.
   * @param external outside address that it leaves from, int32; null for any
   */
  findInside(protocol: number, inside: number, port: number, external: number | null, remote: number): boolean {
    if (protocol === PROTOCOL_ICMP) return false
    for (const forward of this.#list) {
      const index = port - forward.port
      if (
        forward.protocol === protocol && forward.address === inside && index >= 0 && index <= forward.lastPort - forward.firstPort &&
        (external === null || forward.external === null || forward.external === external) && ((remote ^ forward.from) & forward.fromMask) === 0
      ) {
        this.outsidePort = forward.firstPort + index
        return true
      }
    }
    return false
  }

  /** Whether an outside port is some forward's, and thus nobody else's. ICMP identifiers never are. */
  has(protocol: number, external: number, port: number): boolean {
    return protocol !== PROTOCOL_ICMP && this.#list.length > 0 && this.#list.some((forward) =>
      forward.protocol === protocol && port >= forward.firstPort && port <= forward.lastPort &&
      (forward.external === null || forward.external === external))
  }
}
