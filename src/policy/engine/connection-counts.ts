/**
 * The flows that one `-m connlimit` has seen, by address or prefix, to count those that are still there.
 *
 * An entry is the original tuple of a flow, under the address that it counts for. Counting walks the entries of the address and drops
 * those whose flows are over, so that a count costs time in proportion to it. A packet of no flow yet counts, and its entry goes at the
 * next count when no flow came of it. Each count looks at a few other entries too, so that addresses that nobody asks for again do not
 * fill the memory.
 */
import type { Environment } from './environment.js'
import { KeyedEntries } from './keyed-entries.js'
import type { PacketMeta } from './packet-meta.js'

const ENTRIES_MAX = 1 << 20
const TUPLE_WORDS = 4
/** Other entries looked at in a count. */
const SWEEP = 2

export class ConnectionCounts {
  readonly #environment: Pick<Environment, 'isConnected'>
  readonly #entries: KeyedEntries
  #tuples = new Int32Array(0)
  #swept = 0

  constructor(environment: Pick<Environment, 'isConnected'>, seed: number) {
    this.#environment = environment
    this.#entries = new KeyedEntries(seed, ENTRIES_MAX, (capacity) => {
      const tuples = new Int32Array(capacity * TUPLE_WORDS)
      tuples.set(this.#tuples)
      this.#tuples = tuples
    })
  }

  /** Flows that have been counted and not been found to be over yet. */
  get size(): number {
    return this.#entries.count
  }

  /**
   * Flows that the address has, that of the packet included; -1 when there is no room for one more.
   * @param isTracked whether the packet has a flow; else its own addresses and ports stand for it
   * @param isDry it only asks: the packet is counted, and not remembered
   */
  count(address: number, packet: PacketMeta, isTracked: boolean, isDry: boolean): number {
    const source = isTracked ? packet.originalSource : packet.source
    const destination = isTracked ? packet.originalDestination : packet.destination
    const ports = isTracked
      ? (packet.originalSourcePort << 16) | packet.originalDestinationPort
      : (packet.sourcePort << 16) | packet.destinationPort
    const protocol = isTracked ? packet.flowProtocol : packet.protocol
    let total = 0
    let isKnown = false
    let entry = this.#entries.find(address, 0, 0)
    while (entry >= 0) {
      const next = this.#entries.nextAlike(entry)
      if (this.#is(entry, source, destination, ports, protocol)) {
        isKnown = true
        total++
      } else if (this.#isOpen(entry)) total++
      else this.#entries.remove(entry)
      entry = next
    }
    this.#sweep(source, destination, ports, protocol)
    if (isKnown) return total
    if (!isDry && !this.#add(address, source, destination, ports, protocol)) return -1
    return total + 1
  }

  #is(entry: number, source: number, destination: number, ports: number, protocol: number): boolean {
    const tuples = this.#tuples
    const at = entry * TUPLE_WORDS
    return tuples[at] === source && tuples[at + 1] === destination && tuples[at + 2] === ports && tuples[at + 3] === protocol
  }

  #isOpen(entry: number): boolean {
    const tuples = this.#tuples
    const at = entry * TUPLE_WORDS
    return this.#environment.isConnected(tuples[at]!, tuples[at + 1]!, tuples[at + 2]!, tuples[at + 3]!)
  }

  #add(address: number, source: number, destination: number, ports: number, protocol: number): boolean {
    const entry = this.#entries.add(address, 0, 0)
    if (entry < 0) return false
    const tuples = this.#tuples
    const at = entry * TUPLE_WORDS
    tuples[at] = source
    tuples[at + 1] = destination
    tuples[at + 2] = ports
    tuples[at + 3] = protocol
    return true
  }

  #sweep(source: number, destination: number, ports: number, protocol: number): void {
    for (let looked = 0; looked < SWEEP; looked++) {
      this.#swept = this.#swept + 1 < this.#entries.end ? this.#swept + 1 : 0
      const entry = this.#swept
      if (this.#entries.isUsed(entry) && !this.#is(entry, source, destination, ports, protocol) && !this.#isOpen(entry)) this.#entries.remove(entry)
    }
  }
}
