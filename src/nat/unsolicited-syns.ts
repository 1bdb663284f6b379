/**
 * SYNs from outside that nobody waits for. They are held for six seconds: when the inside opens the same connection within
 * that time, it is a simultaneous open, and the SYN is forgotten without a word; otherwise its sender is told that nobody is
 * there (RFC 5382 REQ-4). A RST or an error at once would end the connection attempt of the other end.
 *
 * A queue in order of arrival. When it is full the oldest is dropped silently.
 */
import { type HeldPackets, NO_BLOCK } from '../stack/held.js'
import type { Packet } from '../stack/parse.js'

/** Milliseconds. */
const HOLD = 6000
/** SYNs held at most, a power of two. */
const CAPACITY = 256

const WORDS = 4
const SOURCE = 0
const DESTINATION = 1
const PORTS = 2
/** NO_BLOCK once it is forgotten. */
const BLOCK = 3

export class UnsolicitedSyns {
  /** Where they are kept. */
  readonly held: HeldPackets
  readonly #entries = new Int32Array(CAPACITY * WORDS)
  readonly #deadlines = new Float64Array(CAPACITY)
  /** Places of the oldest and of the next to come, growing without end. */
  #head = 0
  #tail = 0

  constructor(held: HeldPackets) {
    this.held = held
  }

  /**
   * Holds a SYN. One that is held already keeps its deadline. Returns whether it is held now and no other had to be dropped for it.
   * @param zone that it came from, the owner of its block; @param now milliseconds
   */
  hold(packet: Packet, zone: number, now: number): boolean {
    if (this.#find(packet.source, packet.destination, packet.ports) >= 0) return false
    const isFull = this.#tail - this.#head === CAPACITY
    if (isFull) this.#drop(this.#head++)
    const block = this.held.hold(packet.at, packet.length, zone, 0)
    if (block === NO_BLOCK) return false
    const place = this.#tail++ & (CAPACITY - 1)
    const at = place * WORDS
    this.#entries[at + SOURCE] = packet.source
    this.#entries[at + DESTINATION] = packet.destination
    this.#entries[at + PORTS] = packet.ports
    this.#entries[at + BLOCK] = block
    this.#deadlines[place] = now + HOLD
    return !isFull
  }

  /** The inside opened the connection whose packets from outside have this tuple. */
  forget(source: number, destination: number, ports: number): void {
    const place = this.#find(source, destination, ports)
    if (place >= 0) this.#drop(place)
  }

  /** Takes the oldest SYN whose time is over: its block, to be released by the caller, or NO_BLOCK. @param now milliseconds */
  takeDue(now: number): number {
    while (this.#head < this.#tail) {
      const place = this.#head & (CAPACITY - 1)
      const block = this.#entries[place * WORDS + BLOCK]!
      if (block !== NO_BLOCK && this.#deadlines[place]! > now) return NO_BLOCK
      this.#head++
      if (block !== NO_BLOCK) return block
    }
    return NO_BLOCK
  }

  #find(source: number, destination: number, ports: number): number {
    for (let place = this.#head; place < this.#tail; place++) {
      const at = (place & (CAPACITY - 1)) * WORDS
      const entries = this.#entries
      if (entries[at + PORTS] === ports && entries[at + SOURCE] === source && entries[at + DESTINATION] === destination && entries[at + BLOCK] !== NO_BLOCK) return place
    }
    return -1
  }

  #drop(place: number): void {
    const at = (place & (CAPACITY - 1)) * WORDS + BLOCK
    if (this.#entries[at] !== NO_BLOCK) this.held.release(this.#entries[at]!)
    this.#entries[at] = NO_BLOCK
  }
}
