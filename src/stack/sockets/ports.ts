/**
 * Ephemeral ports after RFC 6056.
 *
 * A connection to a remote end takes the next port of a sequence of its own (algorithm 4, "double hash"): where the sequence starts is
 * a keyed hash of local and remote end, and one of COUNTERS counters, which another keyed hash chooses, says how far it has come. So a
 * port is not used again towards the same end before all others were (the other end may be in TIME_WAIT), and who does not
 * know the secret cannot tell one sequence from another. Sockets without a remote end get ports at random (algorithm 2).
 *
 * Never chosen: ports that an unconnected socket has, listening or only bound (RFC 6056 3.2), and those with which the connection would be
 * another's. The search ends when every port was tried once: memory is fixed, and so is the time, some milliseconds at worst.
 */
import type { PortRange } from '../port-range.js'
import { below, type RandomSource } from '../random.js'
import type { SocketTable } from './socket-table.js'

/** A keyed hash of four words, at least 128 bits of key (RFC 6056 3.3.3), int32. */
export interface PortHash {
  of(a: number, b: number, c: number, d: number): number
}

/** The widest there is (RFC 6056 3.2). */
export const EPHEMERAL_PORTS: PortRange = [1024, 65535]

const COUNTERS = 4096
/** Random ports that are tried before all are, one by one. */
const DRAWS = 64
const NONE = -1

/** Told apart in the hash from the protocol's number. */
const SECOND_HASH = 0x100

/** A hash, taken as a fraction of 2^32, of `bound`. No remainder is taken: of 2^32 hashes, each result has as many as any other, but for one. */
const scale = (hash: number, bound: number): number => Math.floor(((hash >>> 0) / 0x1_0000_0000) * bound)

export class EphemeralPorts {
  readonly #table: SocketTable
  readonly #hash: PortHash
  readonly #random: RandomSource
  readonly #lowest: number
  readonly #size: number
  readonly #counters = new Uint32Array(COUNTERS)

  constructor(table: SocketTable, hash: PortHash, random: RandomSource, [lowest, highest]: PortRange = EPHEMERAL_PORTS) {
    this.#table = table
    this.#hash = hash
    this.#random = random
    this.#lowest = lowest
    this.#size = highest - lowest + 1
    for (let index = 0; index < COUNTERS; index++) this.#counters[index] = random.next()
  }

  /**
   * A port for a connection to this remote end; -1 when all are taken.
   * @param local 0 as long as routes have not chosen it: the port is free at all own addresses then
   */
  choose(protocol: number, local: number, remote: number, remotePort: number): number {
    const offset = scale(this.#hash.of(local, remote, remotePort, protocol), this.#size)
    const counter = scale(this.#hash.of(local, remote, remotePort, protocol | SECOND_HASH), COUNTERS)
    for (let tries = 0; tries < this.#size; tries++) {
      const port = this.#lowest + ((offset + this.#counters[counter]!++) % this.#size)
      if (this.#isFree(protocol, port, local, remote, remotePort)) return port
    }
    return NONE
  }

  /** A port that no socket has, for one without a remote end; -1 when there is none. */
  draw(protocol: number): number {
    const { ports } = this.#table
    for (let tries = 0; tries < DRAWS; tries++) {
      const port = this.#lowest + below(this.#random, this.#size)
      if (ports.first(protocol, port) === NONE) return port
    }
    const start = below(this.#random, this.#size)
    for (let tries = 0; tries < this.#size; tries++) {
      const port = this.#lowest + ((start + tries) % this.#size)
      if (ports.first(protocol, port) === NONE) return port
    }
    return NONE
  }

  #isFree(protocol: number, port: number, local: number, remote: number, remotePort: number): boolean {
    const table = this.#table
    const { ports } = table
    if (ports.bound(protocol, port) > 0) return false
    for (let index = ports.first(protocol, port); index !== NONE; index = ports.next(index)) {
      if (table.remoteAddressOf(index) !== remote || table.remotePortOf(index) !== remotePort) continue
      const address = table.localAddressOf(index)
      if (address === local || address === 0 || local === 0) return false
    }
    return true
  }
}
