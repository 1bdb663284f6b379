/**
 * Which outside ports may be used, and the choice among them.
 *
 * A pool is a set of ports, kept twice: as a bitmap (may this one be used?) and, by class, as an ascending list to draw from.
 * A port is only replaced by one of its class, unless the pool has none of that class at all. Classes are those of RFC 4787
 * REQ-3a, or, where ports are shared as netfilter does it, netfilter's; query identifiers of ICMP have none. Whether a port
 * is in use is not kept here: uniqueness is of the whole reply tuple, so the flow table is asked.
 *
 * Every search is bounded: some draws, then each port of the class once (RFC 6056 3.3).
 */
import { below, type RandomSource } from '../stack/random.js'

/** First port of the upper class. */
const UPPER = 1024
/** Random draws before the whole class is searched. */
const DRAWS = 64

/** Classes that a port may be replaced from. */
export const CLASS_UPPER = 0
export const CLASS_LOWER = 1
/** Netfilter's two parts of the lower class: 1-511; and 600-1023, from which 512-1023 are replaced. */
export const CLASS_LOWEST = 2
export const CLASS_LOGIN = 3
export const CLASS_IDENTIFIER = 4

interface PortClass {
  readonly first: number
  readonly last: number
  /** Where to look when the pool has none of this class. */
  readonly instead: readonly number[]
}

const CLASSES: readonly PortClass[] = [
  { first: UPPER, last: 65535, instead: [CLASS_LOWER] },
  { first: 1, last: UPPER - 1, instead: [CLASS_UPPER] },
  { first: 1, last: 511, instead: [CLASS_LOWER, CLASS_UPPER] },
  { first: 600, last: UPPER - 1, instead: [CLASS_LOWER, CLASS_UPPER] },
  { first: 0, last: 65535, instead: [] },
]

/** The class of RFC 4787 REQ-3a. 0 is no port, and of the upper one (RFC 4787 leaves it open). */
export const classOfPort = (port: number): number => (port < UPPER && port !== 0 ? CLASS_LOWER : CLASS_UPPER)

/** The class of netfilter's search. */
export const netfilterClassOfPort = (port: number): number =>
  port >= UPPER || port === 0 ? CLASS_UPPER : port < 512 ? CLASS_LOWEST : CLASS_LOGIN

/** Tells whether a port is free towards the remote in question. */
export type IsFree = (port: number) => boolean

/** Neither parity is asked for. */
export const ANY_PARITY = -1

export class PortPool {
  readonly #allowed = new Uint8Array(65536)
  #classes: readonly Uint16Array[] = []
  #revision = 0
  #size = 0

  /** @param ports the ports that may be used, 1 to 65535 (0 is never allocated, and ignored here) */
  constructor(ports: Iterable<number>) {
    this.replace(ports)
  }

  /** Sets the pool anew; ports in use stay in use until their flows end. */
  replace(ports: Iterable<number>): void {
    this.#allowed.fill(0)
    for (const port of ports) if (port > 0) this.#allowed[port] = 1
    const isWhole = this.#allowed.indexOf(0, 1) < 0
    const found = CLASSES.map(({ first, last }) => {
      const list: number[] = []
      // Any identifier is one, 0 too; but a part of them is a part of 1 to 65535.
      for (let port = first; port <= last; port++) if (this.#allowed[port] === 1 || (port === 0 && isWhole)) list.push(port)
      return Uint16Array.from(list)
    })
    this.#classes = CLASSES.map(({ instead }, own) => [own, ...instead].map((one) => found[one]!).find(({ length }) => length > 0) ?? new Uint16Array(0))
    this.#size = this.#allowed.reduce((sum, one) => sum + one, 0)
    this.#revision++
  }

  /** Another one after each replacement. */
  get revision(): number {
    return this.#revision
  }

  /** Ports that may be used. */
  get size(): number {
    return this.#size
  }

  has(port: number): boolean {
    return this.#allowed[port] === 1
  }

  /** As `has`, for identifiers of ICMP queries, of which 0 is one. */
  hasIdentifier(identifier: number): boolean {
    return identifier === 0 ? this.#classes[CLASS_IDENTIFIER]![0] === 0 : this.has(identifier)
  }

  /**
   * A free port of a class, drawn at random (RFC 6056 3.3.2): first some draws, whose low bit is then set as `parity` asks;
   * then each port once, from a random one on. -1 when none is free. Where none of the parity is, one of the other is taken.
   * @param parity 0, 1 or ANY_PARITY
   */
  draw(portClass: number, parity: number, random: RandomSource, isFree: IsFree): number {
    const candidates = this.#classes[portClass]!
    const size = candidates.length
    if (size === 0) return -1
    for (let draw = 0; draw < DRAWS; draw++) {
      const drawn = candidates[below(random, size)]!
      const port = parity === ANY_PARITY ? drawn : (drawn & ~1) | parity
      if ((port === drawn || this.#allowed[port] === 1) && isFree(port)) return port
    }
    const port = search(candidates, below(random, size), parity, isFree)
    return port >= 0 || parity === ANY_PARITY ? port : search(candidates, below(random, size), parity ^ 1, isFree)
  }

  /** The next free port of a class after `last`, in ascending order and round again. -1 when none is free. */
  next(portClass: number, last: number, parity: number, isFree: IsFree): number {
    const candidates = this.#classes[portClass]!
    if (candidates.length === 0) return -1
    const start = firstAbove(candidates, last)
    const port = search(candidates, start, parity, isFree)
    return port >= 0 || parity === ANY_PARITY ? port : search(candidates, start, parity ^ 1, isFree)
  }

  /** As `draw`, from the allowed ports of a range. @param size 1 or more */
  drawWithin(first: number, size: number, parity: number, random: RandomSource, isFree: IsFree): number {
    for (let draw = 0; draw < DRAWS; draw++) {
      const drawn = first + below(random, size)
      const port = parity === ANY_PARITY ? drawn : (drawn & ~1) | parity
      if (port >= first && port < first + size && this.#allowed[port] === 1 && isFree(port)) return port
    }
    const start = below(random, size)
    let other = -1
    for (let step = 0; step < size; step++) {
      const port = first + ((start + step) % size)
      if (this.#allowed[port] === 0) continue
      if (parity === ANY_PARITY || (port & 1) === parity) {
        if (isFree(port)) return port
      } else if (other < 0 && isFree(port)) other = port
    }
    return other
  }
}

/** The first free port of a parity from a place in the list on, and round again; or -1. */
const search = (candidates: Uint16Array, start: number, parity: number, isFree: IsFree): number => {
  const size = candidates.length
  for (let step = 0; step < size; step++) {
    const port = candidates[(start + step) % size]!
    if ((parity === ANY_PARITY || (port & 1) === parity) && isFree(port)) return port
  }
  return -1
}

/** Where the first port above `port` stands in the list; 0 when there is none. */
const firstAbove = (candidates: Uint16Array, port: number): number => {
  let [low, high] = [0, candidates.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (candidates[middle]! > port) high = middle
    else low = middle + 1
  }
  return low === candidates.length ? 0 : low
}
