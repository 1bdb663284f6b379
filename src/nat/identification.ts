/**
 * New IPv4 IDs for packets that leave with another source than they came with.
 *
 * Inside hosts choose their IDs without knowing of one another. Once they share an outside address, two of their datagrams may
 * be on the way to one host with one ID, and their fragments be joined to one (RFC 7857 9). So what is or may be fragmented
 * gets an ID of the gateway's, one that comes again only when the others have been used towards that destination with that
 * protocol (RFC 6864 5.3). 0 is left out: a raw socket takes it for none, and the kernel gives each fragment another (raw(7)).
 * What is neither, that is, DF alone is set, keeps its own: nobody looks at it (RFC 6864 4.1).
 *
 * An ID is a counter plus an offset. Both depend on (source, destination, protocol) by a keyed hash: destinations share one of
 * the counters, but each sees it from another offset, so that none can tell from its own IDs what others are sent (RFC 7739 5.3,
 * which has this for IPv6).
 *
 * Memory: 8 KiB.
 */
import * as checksum from '../stack/wire/checksum.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import { type FlowTable, SIDE_DESTINATION, SIDE_SOURCE, SIDE_WORDS } from './flow-table.js'
import { hashWords } from './hash-index.js'
import type { RandomSource } from '../stack/random.js'

const COUNTERS = 4096

/** In place of an ID: the packet keeps its own. */
export const OWN_IDENTIFICATION = -1

export class Identifications {
  /** The ID that the datagram in hand leaves with, when that was decided before: by its first fragment, or before it waited. */
  decided = OWN_IDENTIFICATION
  readonly #counters = new Uint16Array(COUNTERS)
  readonly #seed: number

  constructor(random: RandomSource) {
    this.#seed = random.next() | 0
    for (let counter = 0; counter < COUNTERS; counter++) this.#counters[counter] = random.next()
  }

  /**
   * The first of `count` consecutive IDs for what comes on `side` of a flow and leaves as `protocol`; OWN_IDENTIFICATION where
   * the source stays.
   */
  choose(table: FlowTable, side: number, protocol: number, count: number): number {
    const { sides } = table
    const to = (side ^ 1) * SIDE_WORDS
    const source = sides[to + SIDE_DESTINATION]!
    if (source === sides[side * SIDE_WORDS + SIDE_SOURCE]) return OWN_IDENTIFICATION
    return this.take(source, sides[to + SIDE_SOURCE]!, protocol, count)
  }

  /** The first of `count` consecutive IDs, addresses as they are outside. */
  take(source: number, destination: number, protocol: number, count: number): number {
    const hash = hashWords(this.#seed, source, destination, protocol, 0)
    const counter = hash & (COUNTERS - 1)
    let first = (this.#counters[counter]! + (hash >>> 16)) & 0xffff
    if (first === 0 || first + count > 0x10000) first = 1
    this.#counters[counter] = first + count - (hash >>> 16)
    return first
  }
}

/** Gives the packet at `at` another ID; its header checksum goes along. */
export const setIdentification = (view: DataView, at: number, identification: number): void => {
  const delta = checksum.delta16(ipv4.identification(view, at), identification)
  ipv4.setIdentification(view, at, identification)
  ipv4.setChecksum(view, at, checksum.update(ipv4.checksum(view, at), delta))
}
