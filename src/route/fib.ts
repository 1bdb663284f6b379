/**
 * Longest prefix match over typed arrays: one table of routes.
 *
 * A binary tree without one-way nodes. A node stands for a prefix; it carries a value, or it is where two prefixes part, or both.
 * So there are fewer than two nodes for each prefix that is stored, whatever the prefixes are. The root stands for 0.0.0.0/0 and
 * is always there; every node lies below the node of the longest shorter prefix that there is.
 *
 * From {@link INDEX_FROM} prefixes on, an index says for the upper 16 bits of an address where the walk begins: at the deepest
 * node of at most 16 bits that covers them. It changes with the nodes of at most 16 bits only; longer prefixes, the many, leave it
 * alone. What such a change costs grows with the part of the address space that the prefix covers: some nanoseconds for a /16, up to a
 * few milliseconds for a /1. The index never names the root, so that default routes come and go for nothing.
 *
 * A lookup is a few steps down; 16 bytes a node, four nodes a cache line. It allocates nothing. Adding allocates when the nodes
 * have to grow, by doubling.
 */
import { maskOf } from '../stack/wire/address.js'

/** A node: its prefix's address, children for the next bit 0 and 1, and `value << 6 | length`. */
const NODE_WORDS = 4
const LEFT = 1
const META = 3
const LENGTH_BITS = 6
const LENGTH_MASK = 63
const ROOT = 1

/** Values are 1 to this. */
export const FIB_VALUE_MAX = 0x3ffffff
/** Prefixes from which an index is worth its half megabyte. */
const INDEX_FROM = 4096
const INDEX_BITS = 16
const INDEX_SIZE = 1 << INDEX_BITS
const NODES_AT_FIRST = 16

const MASKS = Int32Array.from({ length: 33 }, (_, length) => maskOf(length))

/** What a table is made of. Plain data: can be sent to another thread, buffers transferred. */
export interface FibImage {
  readonly nodes: Int32Array
  /** By the upper 16 bits: the node where the walk begins, then the deepest node with a value on the way there, 0 for none but the root. */
  readonly index: Int32Array | null
  readonly count: number
  readonly free: number
  readonly size: number
}

export class Fib {
  #nodes: Int32Array
  #index: Int32Array | null
  /** Nodes in use and free ones, root and the unused node 0 included. */
  #count: number
  /** First free node; the next is in its LEFT. */
  #free: number
  #size: number
  /** Length of the prefix that {@link find} found. */
  foundLength = 0

  /** @param image takes over a table that another thread has built, with its arrays */
  constructor(image?: FibImage) {
    this.#nodes = image?.nodes ?? new Int32Array(NODES_AT_FIRST * NODE_WORDS)
    this.#index = image?.index ?? null
    this.#count = image?.count ?? ROOT + 1
    this.#free = image?.free ?? 0
    this.#size = image?.size ?? 0
  }

  /** Prefixes. */
  get size(): number {
    return this.#size
  }

  /** Bytes of its arrays, room to grow included. */
  get bytes(): number {
    return this.#nodes.byteLength + (this.#index?.byteLength ?? 0)
  }

  /** Its arrays, not copied. */
  image(): FibImage {
    return { nodes: this.#nodes, index: this.#index, count: this.#count, free: this.#free, size: this.#size }
  }

  /**
   * The value of the longest prefix of at most `maxLength` bits that holds the address, 0 when there is none. Its length is then in
   * {@link foundLength}: a caller who refuses what was found asks again with one bit less. @param maxLength -1 to 32
   */
  find(address: number, maxLength: number): number {
    const nodes = this.#nodes
    let node = ROOT
    let best = 0
    if (this.#index !== null && maxLength >= INDEX_BITS) {
      const at = (address >>> INDEX_BITS) << 1
      node = this.#index[at]!
      best = this.#index[at + 1]!
    }
    while (node !== 0) {
      const at = node * NODE_WORDS
      const meta = nodes[at + META]!
      const length = meta & LENGTH_MASK
      if (length > maxLength || ((address ^ nodes[at]!) & MASKS[length]!) !== 0) break
      if (meta >>> LENGTH_BITS !== 0) best = node
      if (length === 32) break
      node = nodes[at + LEFT + ((address >>> (31 - length)) & 1)]!
    }
    if (best === 0) {
      if (maxLength < 0) return 0
      // The root stands for the default route, with a value or 0.
      best = ROOT
    }
    const meta = nodes[best * NODE_WORDS + META]!
    this.foundLength = meta & LENGTH_MASK
    return meta >>> LENGTH_BITS
  }

  /** The value of exactly this prefix, 0 when there is none. Bits beyond the prefix must be 0. */
  get(prefix: number, length: number): number {
    const value = this.find(prefix, length)
    return value !== 0 && this.foundLength === length ? value : 0
  }

  /** Stores a value for a prefix, instead of the one it may have. Bits beyond the prefix must be 0. @param value 1 to FIB_VALUE_MAX */
  set(prefix: number, length: number, value: number): void {
    let node = ROOT
    for (;;) {
      const depth = this.#length(node)
      if (depth === length) return this.#setValue(node, value)
      const link = node * NODE_WORDS + LEFT + ((prefix >>> (31 - depth)) & 1)
      const child = this.#nodes[link]!
      if (child === 0) return this.#attach(link, this.#newNode(prefix, length, value))
      const key = this.#nodes[child * NODE_WORDS]!
      const childLength = this.#length(child)
      const common = Math.min(length, childLength, Math.clz32(prefix ^ key))
      if (common === childLength) node = child
      else return this.#insertAbove(link, child, common, prefix, length, value)
    }
  }

  /** Forgets a prefix; false when it was not there. */
  delete(prefix: number, length: number): boolean {
    let grandparentLink = 0
    let link = 0
    let node = ROOT
    while (this.#length(node) < length) {
      grandparentLink = link
      link = node * NODE_WORDS + LEFT + ((prefix >>> (31 - this.#length(node))) & 1)
      node = this.#nodes[link]!
      if (node === 0 || ((prefix ^ this.#nodes[node * NODE_WORDS]!) & MASKS[Math.min(length, this.#length(node))]!) !== 0) return false
    }
    if (this.#length(node) !== length || this.#nodes[node * NODE_WORDS + META]! >>> LENGTH_BITS === 0) return false
    this.#nodes[node * NODE_WORDS + META] = length
    this.#size--
    let changedLength = length
    if (node !== ROOT && this.#dissolve(link, node) && grandparentLink !== 0) {
      // The node had no children, and its parent has lost one: it may be of no use either.
      const parent = this.#nodes[grandparentLink]!
      const parentLength = this.#length(parent)
      if (this.#nodes[parent * NODE_WORDS + META]! >>> LENGTH_BITS === 0 && this.#childCount(parent) === 1) {
        this.#dissolve(grandparentLink, parent)
        changedLength = parentLength
      }
    }
    this.#refresh(prefix & MASKS[changedLength]!, changedLength)
    return true
  }

  #length(node: number): number {
    return this.#nodes[node * NODE_WORDS + META]! & LENGTH_MASK
  }

  #childCount(node: number): number {
    const at = node * NODE_WORDS + LEFT
    return Number(this.#nodes[at] !== 0) + Number(this.#nodes[at + 1] !== 0)
  }

  #setValue(node: number, value: number): void {
    const at = node * NODE_WORDS
    const meta = this.#nodes[at + META]!
    this.#nodes[at + META] = (value << LENGTH_BITS) | (meta & LENGTH_MASK)
    if (meta >>> LENGTH_BITS !== 0) return
    this.#size++
    this.#refresh(this.#nodes[at]!, meta & LENGTH_MASK)
  }

  /** Puts a new node with a value at a place where there was none. */
  #attach(link: number, node: number): void {
    this.#nodes[link] = node
    this.#size++
    this.#refresh(this.#nodes[node * NODE_WORDS]!, this.#length(node))
  }

  /** Puts a prefix above `child`, or beside it below a new node at the bit where the two part. */
  #insertAbove(link: number, child: number, common: number, prefix: number, length: number, value: number): void {
    const childKey = this.#nodes[child * NODE_WORDS]!
    const added = this.#newNode(prefix, length, value)
    const above = common === length ? added : this.#newNode(prefix & MASKS[common]!, common, 0)
    const at = above * NODE_WORDS + LEFT
    const childBit = (childKey >>> (31 - common)) & 1
    this.#nodes[at + childBit] = child
    if (above !== added) this.#nodes[at + 1 - childBit] = added
    this.#nodes[link] = above
    this.#size++
    this.#refresh(prefix & MASKS[common]!, common)
  }

  /** Takes out a node without value that has at most one child; true when it had none. One with two stays as the place where they part. */
  #dissolve(link: number, node: number): boolean {
    const children = this.#childCount(node)
    if (children === 2) return false
    const at = node * NODE_WORDS
    this.#nodes[link] = this.#nodes[at + LEFT]! | this.#nodes[at + LEFT + 1]!
    this.#nodes.fill(0, at, at + NODE_WORDS)
    this.#nodes[at + LEFT] = this.#free
    this.#free = node
    return children === 0
  }

  #newNode(prefix: number, length: number, value: number): number {
    let node = this.#free
    if (node !== 0) this.#free = this.#nodes[node * NODE_WORDS + LEFT]!
    else {
      node = this.#count++
      if (node * NODE_WORDS === this.#nodes.length) {
        const grown = new Int32Array(this.#nodes.length * 2)
        grown.set(this.#nodes)
        this.#nodes = grown
      }
    }
    const at = node * NODE_WORDS
    this.#nodes[at] = prefix
    this.#nodes[at + LEFT] = 0
    this.#nodes[at + LEFT + 1] = 0
    this.#nodes[at + META] = (value << LENGTH_BITS) | length
    return node
  }

  /** Brings the index up to date after nodes of at most 16 bits have changed within a prefix. */
  #refresh(prefix: number, length: number): void {
    if (this.#index === null) {
      if (this.#size < INDEX_FROM) return
      this.#index = new Int32Array(INDEX_SIZE * 2)
      this.#fill(ROOT, 0, 0, INDEX_SIZE)
      return
    }
    if (length > INDEX_BITS || length === 0) return
    let node = ROOT
    let best = 0
    while (this.#length(node) < length) {
      if (node !== ROOT && this.#nodes[node * NODE_WORDS + META]! >>> LENGTH_BITS !== 0) best = node
      const child = this.#nodes[node * NODE_WORDS + LEFT + ((prefix >>> (31 - this.#length(node))) & 1)]!
      if (child === 0 || this.#length(child) > length || ((prefix ^ this.#nodes[child * NODE_WORDS]!) & MASKS[this.#length(child)]!) !== 0) break
      node = child
    }
    const from = prefix >>> INDEX_BITS
    this.#fill(node, best, from, from + (1 << (INDEX_BITS - length)))
  }

  /** Lets the entries `from` to `to` - 1, which the node covers, begin at it or at the nodes below. @param best of the nodes above */
  #fill(node: number, best: number, from: number, to: number): void {
    const at = node * NODE_WORDS
    const own = node === ROOT || this.#nodes[at + META]! >>> LENGTH_BITS === 0 ? best : node
    let entry = from
    for (let child = LEFT; child <= LEFT + 1; child++) {
      const below = this.#nodes[at + child]!
      if (below === 0 || this.#length(below) > INDEX_BITS) continue
      const first = this.#nodes[below * NODE_WORDS]! >>> INDEX_BITS
      const last = first + (1 << (INDEX_BITS - this.#length(below)))
      if (last <= entry || first >= to) continue
      this.#write(node, own, entry, first)
      this.#fill(below, own, Math.max(first, from), Math.min(last, to))
      entry = Math.min(last, to)
    }
    this.#write(node, own, entry, to)
  }

  #write(node: number, best: number, from: number, to: number): void {
    for (let entry = from; entry < to; entry++) {
      this.#index![entry << 1] = node
      this.#index![(entry << 1) + 1] = best
    }
  }
}
