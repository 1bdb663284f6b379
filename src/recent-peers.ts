/**
 * With whom the gateway's own sockets have exchanged datagrams of late, so that rules can tell an answer from a first packet: no flow
 * says so for them.
 *
 * Theory of operation. A table of slots, one tuple each (local end, remote end, protocol), and for each direction the second of its
 * latest packet. A tuple belongs into one slot; a newer one takes it from an older one. What is forgotten counts as new, as it does for
 * a flow that has expired. TCP needs none of this: its segments say what they are.
 */
import { hashWords } from './nat/hash-index.js'

/** A power of two. */
const SLOTS = 4096
/** Words of a slot: local address, remote address, ports, protocol, second of the latest packet out, and in. */
const WORDS = 6
/** Seconds. */
const MEMORY = 120
const NEVER = -MEMORY

export class RecentPeers {
  readonly #slots = new Int32Array(SLOTS * WORDS)
  readonly #seed: number

  /** @param seed secret */
  constructor(seed: number) {
    this.#seed = seed
  }

  /** Notes a packet that a socket sends. Returns whether it answers one. @param ports `local << 16 | remote`; @param now seconds */
  sent(local: number, remote: number, ports: number, protocol: number, now: number): boolean {
    const at = this.#slotOf(local, remote, ports, protocol)
    this.#slots[at + 4] = now
    return now - this.#slots[at + 5]! < MEMORY
  }

  /** Notes a packet for a socket. @param ports `local << 16 | remote`; @param now seconds */
  received(local: number, remote: number, ports: number, protocol: number, now: number): void {
    this.#slots[this.#slotOf(local, remote, ports, protocol) + 5] = now
  }

  /** Whether a packet from there answers one that a socket has sent. @param ports `local << 16 | remote`; @param now seconds */
  isAnswer(local: number, remote: number, ports: number, protocol: number, now: number): boolean {
    const at = this.#placeOf(local, remote, ports, protocol)
    return this.#isOf(at, local, remote, ports, protocol) && now - this.#slots[at + 4]! < MEMORY
  }

  #slotOf(local: number, remote: number, ports: number, protocol: number): number {
    const slots = this.#slots
    const at = this.#placeOf(local, remote, ports, protocol)
    if (this.#isOf(at, local, remote, ports, protocol)) return at
    slots[at] = local
    slots[at + 1] = remote
    slots[at + 2] = ports
    slots[at + 3] = protocol
    slots[at + 4] = NEVER
    slots[at + 5] = NEVER
    return at
  }

  #placeOf(local: number, remote: number, ports: number, protocol: number): number {
    return (hashWords(this.#seed, local, remote, ports, protocol) & (SLOTS - 1)) * WORDS
  }

  #isOf(at: number, local: number, remote: number, ports: number, protocol: number): boolean {
    const slots = this.#slots
    return slots[at] === local && slots[at + 1] === remote && slots[at + 2] === ports && slots[at + 3] === protocol
  }
}
