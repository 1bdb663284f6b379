/**
 * Which external ports may be used, and the choice among them.
 *
 * A pool is a set of ports, kept twice: as a bitmap (may this one be used?) and, by class, as a dense list to draw from.
 * Classes are those of RFC 4787 REQ-3a: 0-1023 and 1024-65535; a port is only replaced by one of its class, unless the pool
 * has none of that class at all. Whether a port is in use is not kept here: uniqueness is of the whole reply tuple, so the flow table is asked.
 */
import { below, type RandomSource } from './random.js'

/** First port of the upper class. */
const UPPER_CLASS = 1024
/** Random draws before the whole class is searched. */
const DRAWS = 64

/** Whether a port is replaced by one below 1024. 0 is not: it is no port (RFC 4787 leaves it open). */
export const isLowerClass = (port: number): boolean => port < UPPER_CLASS && port !== 0

/** Tells whether a port is free towards the remote in question. */
export type IsFree = (port: number) => boolean

export class PortPool {
  readonly #allowed = new Uint8Array(65536)
  #lower: Uint16Array = new Uint16Array(0)
  #upper: Uint16Array = new Uint16Array(0)

  /** @param ports the ports that may be used, 1 to 65535 (0 is never allocated, and ignored here) */
  constructor(ports: Iterable<number>) {
    this.replace(ports)
  }

  /** Sets the pool anew; ports in use stay in use until their flows end. */
  replace(ports: Iterable<number>): void {
    this.#allowed.fill(0)
    for (const port of ports) if (port > 0) this.#allowed[port] = 1
    const collect = (from: number, to: number): Uint16Array => {
      const found: number[] = []
      for (let port = from; port < to; port++) if (this.#allowed[port] === 1) found.push(port)
      return Uint16Array.from(found)
    }
    this.#lower = collect(1, UPPER_CLASS)
    this.#upper = collect(UPPER_CLASS, 65536)
  }

  /** Ports that may be used. */
  get size(): number {
    return this.#lower.length + this.#upper.length
  }

  has(port: number): boolean {
    return this.#allowed[port] === 1
  }

  /**
   * A free port for a packet from source port `wanted`: that port itself when it is in the pool and free, otherwise a random
   * one of its class (RFC 6056 3.3.2; a port is randomised only when it has to change, RFC 4787 REQ-3). -1 when none is free.
   * Bounded by the size of the class.
   */
  choose(wanted: number, random: RandomSource, isFree: IsFree): number {
    if (wanted !== 0 && this.#allowed[wanted] === 1 && isFree(wanted)) return wanted
    const candidates = this.#candidatesFor(wanted)
    const size = candidates.length
    if (size === 0) return -1
    for (let draw = 0; draw < DRAWS; draw++) {
      const port = candidates[below(random, size)]!
      if (isFree(port)) return port
    }
    const start = below(random, size)
    for (let step = 0; step < size; step++) {
      const port = candidates[(start + step) % size]!
      if (isFree(port)) return port
    }
    return -1
  }

  #candidatesFor(wanted: number): Uint16Array {
    if (isLowerClass(wanted)) return this.#lower.length > 0 ? this.#lower : this.#upper
    return this.#upper.length > 0 ? this.#upper : this.#lower
  }
}
