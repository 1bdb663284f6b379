/**
 * Blocks of ports: an inside host gets contiguous outside ports by the block, so that one line of log tells about all of
 * them (RFC 6888 REQ-14), and cannot take more than its share.
 *
 * Theory of operation
 *
 * The ports of an outside address, from a first one on, are cut into blocks of one size. A block belongs to at most one inside
 * host, for all protocols alike; no port of it is given to another one. A host gets its first block with its first mapping
 * and another one, while it may, when its blocks have no free port. Both the block among the free ones and the port in it are
 * drawn at random: whoever knows one port of a host has a block to guess in, not the next port (RFC 6056). Blocks of which less
 * than half of the ports may be used are not given.
 *
 *     block    owner (inside address, 0 for none), users: mappings (or flows, where ports are shared) that have a port of it
 *     index    finds the blocks of a host
 *     resting  blocks that belong to somebody and have no user, with the time when they are anybody's; soonest first
 *
 * A block without user is resting, always; that lasts as long as a port rests (port-hold.ts). Memory: 8 bytes a block and its
 * share of an index, for each outside address that ever gave one; bounded by the pool. Costs: a mapping asks the blocks of its
 * host; a new block is drawn, or searched once through all.
 */
import { HashIndex, hashWords, indexSlots } from './hash-index.js'
import { type IsFree, type PortPool } from './port-pool.js'
import { below, type RandomSource } from '../stack/random.js'

/** First port that is given by the block, where nobody has other wishes. */
export const FIRST_BLOCK = 1024

const PORTS = 65536
const NOBODY = 0
const DRAWS = 32

/** A block was given to an inside host, or taken back. Addresses are int32; `now` is in seconds. */
export type OnBlock = (event: 'assigned' | 'released', inside: number, outside: number, first: number, last: number, now: number) => void

export interface PortBlocksParts {
  /** First port of the first block. */
  readonly first: number
  /** Ports of a block. */
  readonly size: number
  /** Blocks of one inside host at one address at most. */
  readonly perHost: number
  /** Seconds that a block without mapping rests. */
  readonly hold: number
  readonly ports: PortPool
  readonly random: RandomSource
}

interface Column {
  readonly owner: Int32Array
  readonly users: Int32Array
  readonly index: HashIndex
}

export class PortBlocks {
  readonly #first: number
  readonly #size: number
  readonly #perHost: number
  readonly #hold: number
  readonly #ports: PortPool
  readonly #random: RandomSource
  readonly #seed: number
  /** Blocks of an address. */
  readonly #count: number
  readonly #columns = new Map<number, Column>()
  /** By outside address and block: the second from which it is anybody's. */
  readonly #resting = new Map<number, number>()
  /** Blocks that are worth giving, for a revision of the ports. */
  readonly #usable: Uint8Array
  #revision = -1
  onBlock: OnBlock = () => {}

  constructor({ first, size, perHost, hold, ports, random }: PortBlocksParts) {
    this.#first = first
    this.#size = size
    this.#perHost = perHost
    this.#hold = hold
    this.#ports = ports
    this.#random = random
    this.#seed = random.next()
    this.#count = Math.floor((PORTS - first) / size)
    this.#usable = new Uint8Array(this.#count)
  }

  /**
   * A free port for an inside host, of one of its blocks or of a new one; -1 when it has all the blocks that it may and they are full,
   * or when no block is left.
   * @param now seconds
   */
  choose(outside: number, inside: number, parity: number, isFree: IsFree, now: number): number {
    const column = this.#columnOf(outside)
    const hash = this.#hash(inside)
    let count = 0
    for (let slot = column.index.first(hash); slot >= 0; slot = column.index.next(slot, hash)) {
      const block = column.index.numberAt(slot)
      if (column.owner[block] !== inside) continue
      count++
      const port = this.#draw(block, parity, isFree)
      if (port >= 0) return port
    }
    if (count >= this.#perHost) return -1
    const block = this.#freeBlock(column)
    if (block < 0) return -1
    column.owner[block] = inside
    column.index.insert(hash, block)
    this.#rest(outside, block, now)
    this.#tell('assigned', outside, block, inside, now)
    return this.#draw(block, parity, isFree)
  }

  /** Something of the inside host has a port from now on. */
  begin(outside: number, port: number, inside: number): void {
    const column = this.#columns.get(outside)
    const block = this.#blockOf(port)
    if (column === undefined || block < 0 || column.owner[block] !== inside) return
    if (column.users[block]!++ === 0) this.#resting.delete(keyOf(outside, block))
  }

  /** It has it no longer. */
  end(outside: number, port: number, inside: number, now: number): void {
    const column = this.#columns.get(outside)
    const block = this.#blockOf(port)
    if (column === undefined || block < 0 || column.owner[block] !== inside || column.users[block] === 0) return
    if (--column.users[block]! === 0) this.#rest(outside, block, now)
  }

  /** Takes blocks back that have rested. @param now seconds, not going back */
  expire(now: number): void {
    for (const [key, until] of this.#resting) {
      if (until > now) return
      this.#resting.delete(key)
      const block = key % PORTS
      const outside = Math.floor(key / PORTS) | 0
      const column = this.#columns.get(outside)!
      const inside = column.owner[block]!
      column.index.remove(this.#hash(inside), block)
      column.owner[block] = NOBODY
      this.#tell('released', outside, block, inside, now)
    }
  }

  /** Whose a port is at the moment: an inside address, or 0. */
  ownerOf(outside: number, port: number): number {
    const block = this.#blockOf(port)
    return block < 0 ? NOBODY : (this.#columns.get(outside)?.owner[block] ?? NOBODY)
  }

  #rest(outside: number, block: number, now: number): void {
    this.#resting.set(keyOf(outside, block), now + this.#hold)
  }

  #tell(event: 'assigned' | 'released', outside: number, block: number, inside: number, now: number): void {
    const first = this.#first + block * this.#size
    this.onBlock(event, inside, outside, first, first + this.#size - 1, now)
  }

  #draw(block: number, parity: number, isFree: IsFree): number {
    return this.#ports.drawWithin(this.#first + block * this.#size, this.#size, parity, this.#random, isFree)
  }

  #freeBlock({ owner }: Column): number {
    this.#judge()
    const count = this.#count
    if (count === 0) return -1
    const isFree = (block: number): boolean => owner[block] === NOBODY && this.#usable[block] === 1
    for (let draw = 0; draw < DRAWS; draw++) {
      const block = below(this.#random, count)
      if (isFree(block)) return block
    }
    const start = below(this.#random, count)
    for (let step = 0; step < count; step++) {
      const block = (start + step) % count
      if (isFree(block)) return block
    }
    return -1
  }

  /** Finds out which blocks are worth giving, after the ports changed. */
  #judge(): void {
    if (this.#revision === this.#ports.revision) return
    this.#revision = this.#ports.revision
    for (let block = 0; block < this.#count; block++) {
      let allowed = 0
      for (let port = this.#first + block * this.#size, end = port + this.#size; port < end; port++) if (this.#ports.has(port)) allowed++
      this.#usable[block] = allowed * 2 >= this.#size ? 1 : 0
    }
  }

  #columnOf(outside: number): Column {
    let column = this.#columns.get(outside)
    if (column === undefined) {
      const owner = new Int32Array(this.#count)
      const index = new HashIndex(new Int32Array(indexSlots(this.#count)), this.#count, (block) => this.#hash(owner[block]!))
      column = { owner, users: new Int32Array(this.#count), index }
      this.#columns.set(outside, column)
    }
    return column
  }

  #blockOf(port: number): number {
    const block = Math.floor((port - this.#first) / this.#size)
    return port >= this.#first && block < this.#count ? block : -1
  }

  #hash(inside: number): number {
    return hashWords(this.#seed, inside, 0, 0, 0)
  }
}

/** Exact: below 2^48. */
const keyOf = (outside: number, block: number): number => (outside >>> 0) * PORTS + block
