/** What sockets of UDP and of ICMP have in common beyond one socket: which row is whose, and who has something to read. */
import { getRandomValues } from 'node:crypto'
import type { DatagramEndpoint } from './datagram-endpoint.js'
import type { DatagramHost } from './datagram.js'

export class DatagramProtocol<Endpoint extends DatagramEndpoint> {
  readonly host: DatagramHost
  readonly protocol: number
  readonly #byRow = new Map<number, Endpoint>()
  /** Have something to read that their users do not know of. */
  readonly #readable: Endpoint[] = []
  /** Found no room to send. */
  readonly #waiting = new Set<Endpoint>()
  readonly #identifications = getRandomValues(new Uint16Array(256))

  constructor(host: DatagramHost, protocol: number) {
    this.host = host
    this.protocol = protocol
  }

  /** All sockets that have a port. */
  get endpoints(): Iterable<Endpoint> {
    return this.#byRow.values()
  }

  has(row: number): boolean {
    return this.#byRow.has(row)
  }

  at(row: number): Endpoint | undefined {
    return this.#byRow.get(row)
  }

  /** Users are told what has come. */
  settle(): void {
    if (this.#readable.length === 0) return
    for (const endpoint of this.#readable.splice(0)) endpoint.announce()
  }

  /** network.ts says what this and the following mean. */
  path(row: number, source: number, mtu: number): void {
    this.#byRow.get(row)?.pathChosen(source, mtu)
  }

  taken(row: number): void {
    this.#byRow.get(row)?.portTaken()
  }

  refused(row: number, errno: number): void {
    this.#byRow.get(row)?.refused(errno)
  }

  room(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const endpoint of waiting) endpoint.events.onDrain()
  }

  /** The following are for endpoints. */
  enter(row: number, endpoint: Endpoint): void {
    this.#byRow.set(row, endpoint)
  }

  leave(row: number, endpoint: Endpoint): void {
    this.#byRow.delete(row)
    this.#waiting.delete(endpoint)
  }

  noteReadable(endpoint: Endpoint): void {
    this.#readable.push(endpoint)
  }

  noteWaiting(endpoint: Endpoint): void {
    this.#waiting.add(endpoint)
  }

  /** The ID of the next packet between two ends (RFC 6864). Each of some sequences is shared by what a keyed hash puts together. */
  identification(source: number, destination: number): number {
    const place = this.host.table.flowHash(source, this.protocol, destination, 0) >>> 24
    return (this.#identifications[place] = (this.#identifications[place]! + 1) & 0xffff)
  }

}
