/**
 * Outside ports that rest: one that was given up is not given to another inside endpoint for a while (RFC 6888 REQ-8), so
 * that packets meant for its last owner reach nobody. Its last owner may have it again at once.
 *
 * Theory of operation
 *
 * All rest equally long, so they are on a list in the order of their release; an index finds them by address, protocol and
 * port. Where as many rest as may, the one that rests longest is anybody's again: a host that opens and gives up ports all
 * the time cannot keep all of them from the others. A port that its owner had again and gave up once more moves to the end.
 *
 * Costs: O(1) expected. Memory: 28 bytes a port that may rest, and 4 bytes an index slot with 1.25 to 2.5 slots each.
 */
import { HashIndex, hashWords, indexSlots } from './hash-index.js'

const NONE = -1

const WORDS = 7
const EXTERNAL = 0
/** `protocol << 16 | port` */
const PORT = 1
/** Whose it was: the inside address, and its port. */
const INSIDE = 2
const INSIDE_PORT = 3
/** Second from which it is anybody's. */
const UNTIL = 4
const PREVIOUS = 5
const NEXT = 6

export class PortHold {
  readonly #seconds: number
  readonly #most: number
  readonly #entries: Int32Array
  readonly #index: HashIndex
  #oldest = NONE
  #newest = NONE
  /** Places that were used before, by NEXT. */
  #free = NONE
  /** Places from here on were never used. */
  #fresh = 0

  /** @param seconds that a port rests; 0 switches it off; @param most ports that rest at a time, 0 switches it off, too */
  constructor(seconds: number, most = 65_536) {
    this.#seconds = most === 0 ? 0 : seconds
    this.#most = this.#seconds === 0 ? 0 : most
    this.#entries = new Int32Array(this.#most * WORDS)
    this.#index = new HashIndex(new Int32Array(indexSlots(this.#most)), this.#most, (place) => this.#hashOf(place))
  }

  /** An inside endpoint gives up an outside port. @param now seconds */
  release(external: number, protocol: number, port: number, insideAddress: number, insidePort: number, now: number): void {
    if (this.#seconds === 0) return
    const before = this.#find(external, protocol, port)
    if (before !== NONE) this.#forget(before)
    while (this.#oldest !== NONE && this.#entries[this.#oldest * WORDS + UNTIL]! <= now) this.#forget(this.#oldest)
    const place = this.#take()
    const at = place * WORDS
    const entries = this.#entries
    entries[at + EXTERNAL] = external
    entries[at + PORT] = (protocol << 16) | port
    entries[at + INSIDE] = insideAddress
    entries[at + INSIDE_PORT] = insidePort
    entries[at + UNTIL] = now + this.#seconds
    entries[at + PREVIOUS] = this.#newest
    entries[at + NEXT] = NONE
    if (this.#newest === NONE) this.#oldest = place
    else entries[this.#newest * WORDS + NEXT] = place
    this.#newest = place
    this.#index.insert(this.#hashOf(place), place)
  }

  /** Whether an inside endpoint may have the port. @param now seconds */
  isFree(external: number, protocol: number, port: number, insideAddress: number, insidePort: number, now: number): boolean {
    if (this.#oldest === NONE) return true
    const place = this.#find(external, protocol, port)
    if (place === NONE) return true
    const at = place * WORDS
    const entries = this.#entries
    return entries[at + UNTIL]! <= now || (entries[at + INSIDE] === insideAddress && entries[at + INSIDE_PORT] === insidePort)
  }

  /** A place for an entry; when all are taken, that of the oldest. */
  #take(): number {
    if (this.#free === NONE && this.#fresh < this.#most) return this.#fresh++
    if (this.#free === NONE) this.#forget(this.#oldest)
    const place = this.#free
    this.#free = this.#entries[place * WORDS + NEXT]!
    return place
  }

  #forget(place: number): void {
    const entries = this.#entries
    this.#index.remove(this.#hashOf(place), place)
    const previous = entries[place * WORDS + PREVIOUS]!
    const next = entries[place * WORDS + NEXT]!
    if (previous === NONE) this.#oldest = next
    else entries[previous * WORDS + NEXT] = next
    if (next === NONE) this.#newest = previous
    else entries[next * WORDS + PREVIOUS] = previous
    entries[place * WORDS + NEXT] = this.#free
    this.#free = place
  }

  #find(external: number, protocol: number, port: number): number {
    const wanted = (protocol << 16) | port
    const hash = hashWords(0, external, wanted, 0, 0)
    const index = this.#index
    for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) {
      const place = index.numberAt(slot)
      const at = place * WORDS
      if (this.#entries[at + EXTERNAL] === external && this.#entries[at + PORT] === wanted) return place
    }
    return NONE
  }

  #hashOf(place: number): number {
    const at = place * WORDS
    return hashWords(0, this.#entries[at + EXTERNAL]!, this.#entries[at + PORT]!, 0, 0)
  }
}
