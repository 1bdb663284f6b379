/**
 * Neighbours on a link: the Ethernet address of each next hop, by a small index that flows and packets carry.
 *
 * Index 0 stands for "no address needed" (links without Ethernet). Other indices are given out once per address and never
 * reused while the gateway runs, so a flow's index stays right. An entry is unresolved, reachable or failed. Whoever needs an
 * unresolved one asks once; the answer comes through `learn` or `fail`, or a few seconds are up.
 */
import type { LinkAddresses } from '../stack/device/device.js'

/** Entries at most; the index has 16 bits in the flow table. */
const NEIGHBOURS_MAX = 65536

export const UNRESOLVED = 0
export const REACHABLE = 1
export const FAILED = 2

/** Milliseconds between two questions for one neighbour, also after it has failed. */
const ASK_AGAIN = 1000
/** Milliseconds after which a neighbour has failed if no answer came at all. Those who resolve give up earlier. */
const GIVE_UP = 5000

export class NeighbourTable implements LinkAddresses {
  readonly high = new Uint16Array(NEIGHBOURS_MAX)
  readonly low = new Int32Array(NEIGHBOURS_MAX)
  readonly #address = new Int32Array(NEIGHBOURS_MAX)
  readonly #state = new Uint8Array(NEIGHBOURS_MAX)
  readonly #asked = new Float64Array(NEIGHBOURS_MAX).fill(-Infinity)
  readonly #index = new Map<number, number>()
  /** Those asked for and not answered, with the time of the first question; oldest first. */
  readonly #unanswered = new Map<number, number>()
  readonly #ask: (address: number) => void
  #count = 1

  /** @param ask starts the resolution of an address; the answer comes later through `learn` or `fail` */
  constructor(ask: (address: number) => void) {
    this.#ask = ask
    this.#state[0] = REACHABLE
  }

  /** Index of an address, or -1 when no more can be given out. */
  indexOf(address: number): number {
    const known = this.#index.get(address)
    if (known !== undefined) return known
    if (this.#count === NEIGHBOURS_MAX) return -1
    const index = this.#count++
    this.#index.set(address, index)
    this.#address[index] = address
    return index
  }

  /** The address of an index, int32; null for 0. */
  addressOf(index: number): number | null {
    return index > 0 ? this.#address[index]! : null
  }

  isReachable(index: number): boolean {
    return this.#state[index] === REACHABLE
  }

  /** Asks for a neighbour that is not reachable, at most once a second. Returns its state. @param now milliseconds */
  request(index: number, now: number): number {
    if (now - this.#asked[index]! >= ASK_AGAIN) {
      this.#asked[index] = now
      this.#state[index] = UNRESOLVED
      if (!this.#unanswered.has(index)) this.#unanswered.set(index, now)
      this.#ask(this.#address[index]!)
    }
    return this.#state[index]!
  }

  /** Sets an address's Ethernet address; returns its index, or -1 when nobody has asked for it. */
  learn(address: number, high: number, low: number): number {
    const index = this.#index.get(address)
    if (index === undefined) return -1
    this.high[index] = high
    this.low[index] = low
    this.#state[index] = REACHABLE
    this.#unanswered.delete(index)
    return index
  }

  /** Nobody answered for the address; returns its index, or -1. It is not asked for again for a second. @param now milliseconds */
  fail(address: number, now: number): number {
    const index = this.#index.get(address)
    if (index !== undefined) this.#failed(index, now)
    return index ?? -1
  }

  /** Lets one neighbour fail for which no answer has come for too long; returns its index, or 0 when there is none. @param now milliseconds */
  failOverdue(now: number): number {
    if (this.#unanswered.size === 0) return 0
    for (const [index, since] of this.#unanswered) {
      if (now - since < GIVE_UP) break
      this.#failed(index, now)
      return index
    }
    return 0
  }

  /** Forgets every Ethernet address, as after a change of the interface. */
  forgetAll(): void {
    this.#state.fill(UNRESOLVED, 1)
    this.#asked.fill(-Infinity)
  }

  #failed(index: number, now: number): void {
    this.#state[index] = FAILED
    this.#asked[index] = now
    this.#unanswered.delete(index)
  }
}
