/**
 * Outside ports that rest: one that was given up is not given to another inside endpoint for a while (RFC 6888 REQ-8), so
 * that packets meant for its last owner reach nobody. Its last owner may have it again at once.
 *
 * One column of 65536 entries for each outside address and protocol that ever gave up a port.
 */

interface Column {
  /** Second from which the port is anybody's. */
  readonly until: Int32Array
  /** Whose it was: the inside address, and its port. */
  readonly address: Int32Array
  readonly port: Uint16Array
}

const PORTS = 65536

export class PortHold {
  readonly #seconds: number
  readonly #columns = new Map<number, Column>()

  /** @param seconds that a port rests; 0 switches it off */
  constructor(seconds: number) {
    this.#seconds = seconds
  }

  /** An inside endpoint gives up an outside port. @param now seconds */
  release(external: number, protocol: number, port: number, insideAddress: number, insidePort: number, now: number): void {
    if (this.#seconds === 0) return
    const key = keyOf(external, protocol)
    let column = this.#columns.get(key)
    if (column === undefined) {
      column = { until: new Int32Array(PORTS), address: new Int32Array(PORTS), port: new Uint16Array(PORTS) }
      this.#columns.set(key, column)
    }
    column.until[port] = now + this.#seconds
    column.address[port] = insideAddress
    column.port[port] = insidePort
  }

  /** Whether an inside endpoint may have the port. @param now seconds */
  isFree(external: number, protocol: number, port: number, insideAddress: number, insidePort: number, now: number): boolean {
    const column = this.#columns.get(keyOf(external, protocol))
    if (column === undefined || column.until[port]! <= now) return true
    return column.address[port] === insideAddress && column.port[port] === insidePort
  }
}

/** Exact for addresses: the sum of a multiple of 256 and a protocol number. */
const keyOf = (external: number, protocol: number): number => (external >>> 0) * 256 + protocol
