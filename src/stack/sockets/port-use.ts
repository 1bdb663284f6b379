/**
 * Which rows of the socket table have a local port, whatever their address: what binding and the choice of ports ask.
 *
 * Theory of operation. For each protocol and port there is a doubly linked list of rows, whose head is found without hashing, and how
 * many of the rows are connected and how many are not. Only the thread that writes the table has it. 16 bytes a port and protocol, of
 * memory that is touched where ports are used, and 8 a row. Each step is O(1).
 */
import * as ipv4 from '../wire/ipv4.js'

const NONE = -1
const PORTS = 65536

/** The place of a port. Protocols other than TCP and UDP share one space. */
const placeOf = (protocol: number, port: number): number =>
  (protocol === ipv4.PROTOCOL_TCP ? 0 : protocol === ipv4.PROTOCOL_UDP ? PORTS : 2 * PORTS) + port

export class PortUse {
  readonly #heads = new Int32Array(3 * PORTS).fill(NONE)
  readonly #connected = new Int32Array(3 * PORTS)
  readonly #bound = new Int32Array(3 * PORTS)
  readonly #open = new Int32Array(3 * PORTS)
  /** Told when a port gets its first row that packets come for, and when it has lost its last. */
  onBound: (protocol: number, port: number, isBound: boolean) => void = () => {}
  readonly #next: Int32Array
  readonly #previous: Int32Array

  constructor(capacity: number) {
    this.#next = new Int32Array(capacity)
    this.#previous = new Int32Array(capacity)
  }

  /** @param isOpen packets come for it: its address is neither one of loopback nor somebody else's */
  add(row: number, protocol: number, port: number, isConnected: boolean, isOpen: boolean): void {
    const place = placeOf(protocol, port)
    const head = this.#heads[place]!
    this.#next[row] = head
    this.#previous[row] = NONE
    if (head !== NONE) this.#previous[head] = row
    this.#heads[place] = row
    this.#count(place, isConnected, 1)
    if (isOpen && ++this.#open[place]! === 1) this.onBound(protocol, port, true)
  }

  /** With the same arguments as `add`. */
  remove(row: number, protocol: number, port: number, isConnected: boolean, isOpen: boolean): void {
    const place = placeOf(protocol, port)
    const next = this.#next[row]!
    const previous = this.#previous[row]!
    if (previous === NONE) this.#heads[place] = next
    else this.#next[previous] = next
    if (next !== NONE) this.#previous[next] = previous
    this.#count(place, isConnected, -1)
    if (isOpen && --this.#open[place]! === 0) this.onBound(protocol, port, false)
  }

  /** The first row with this local port, -1 when there is none. */
  first(protocol: number, port: number): number {
    return this.#heads[placeOf(protocol, port)]!
  }

  /** The row after this one with the same protocol and local port, or -1. */
  next(row: number): number {
    return this.#next[row]!
  }

  /** Rows with this local port that are not connected. */
  bound(protocol: number, port: number): number {
    return this.#bound[placeOf(protocol, port)]!
  }

  /** Rows with this local port that are connected. */
  connected(protocol: number, port: number): number {
    return this.#connected[placeOf(protocol, port)]!
  }

  #count(place: number, isConnected: boolean, by: number): void {
    if (isConnected) this.#connected[place]! += by
    else this.#bound[place]! += by
  }
}
