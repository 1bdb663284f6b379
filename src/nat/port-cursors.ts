/** Where sequential choice of ports stands: the port given last, by outside address, protocol and class of ports. */

/** Classes of one protocol at most (port-pool.ts). */
const CLASSES = 8

export class PortCursors {
  /** A few bytes for each outside address and protocol that was ever used. */
  readonly #last = new Map<number, Uint16Array>()

  /** The port given last, or 0. */
  last(external: number, protocol: number, portClass: number): number {
    return this.#last.get(keyOf(external, protocol))?.[portClass] ?? 0
  }

  set(external: number, protocol: number, portClass: number, port: number): void {
    const key = keyOf(external, protocol)
    let column = this.#last.get(key)
    if (column === undefined) this.#last.set(key, (column = new Uint16Array(CLASSES)))
    column[portClass] = port
  }
}

/** Exact for addresses: the sum of a multiple of 256 and a protocol number. */
const keyOf = (external: number, protocol: number): number => (external >>> 0) * 256 + protocol
