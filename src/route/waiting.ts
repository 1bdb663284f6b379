/** Packets that wait for the Ethernet address of their next hop: a list a neighbour, bounded in length. */
import type { HeldPackets } from '../stack/held.js'
import { NO_BLOCK } from '../stack/held.js'

/** Packets that may wait for one neighbour. */
const PER_NEIGHBOUR = 64
const NEIGHBOURS_MAX = 65536

export class WaitingPackets {
  readonly held: HeldPackets
  readonly #first = new Int32Array(NEIGHBOURS_MAX).fill(NO_BLOCK)
  readonly #last = new Int32Array(NEIGHBOURS_MAX).fill(NO_BLOCK)
  readonly #count = new Uint8Array(NEIGHBOURS_MAX)

  constructor(held: HeldPackets) {
    this.held = held
  }

  /** Adds a packet to the neighbour's list; false when the list or the room is full. The last three come back with it. */
  add(link: number, at: number, length: number, owner: number, generation: number, identification: number): boolean {
    if (this.#count[link]! >= PER_NEIGHBOUR) return false
    const block = this.held.hold(at, length, owner, generation)
    if (block === NO_BLOCK) return false
    this.held.setIdentification(block, identification)
    if (this.#last[link] === NO_BLOCK) this.#first[link] = block
    else this.held.link(this.#last[link]!, block)
    this.#last[link] = block
    this.#count[link]!++
    return true
  }

  /** Takes the whole list off the neighbour: its first block, or NO_BLOCK. The caller follows `held.next` and releases. */
  takeAll(link: number): number {
    const first = this.#first[link]!
    this.#first[link] = NO_BLOCK
    this.#last[link] = NO_BLOCK
    this.#count[link] = 0
    return first
  }
}
