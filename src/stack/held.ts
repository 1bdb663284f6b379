/**
 * Packets that wait: for the first fragment of their datagram, for the address of a next hop. They are copied out of the
 * receive region into a ring of the slab.
 *
 * Blocks are taken at the head and freed in any order; the tail moves over freed blocks, so a block that is held long keeps
 * the ring from wrapping past it. All holders have deadlines of seconds, which bounds that. Blocks form singly linked lists
 * by their `next` word; a list's owner keeps its head.
 *
 *     block     +4       +8      +12     +16      +20          +64
 *       │ size │ in use │ next │ length │ owner │ generation │ … │ headroom, packet
 */
import { HEADROOM, type Region, type Slab } from './batch.js'

const SIZE = 0
const IN_USE = 4
const NEXT = 8
const LENGTH = 12
const OWNER = 16
const GENERATION = 20

/** End of a list of held packets. */
export const NO_BLOCK = -1

export class HeldPackets {
  readonly #slab: Slab
  readonly #start: number
  readonly #end: number
  #head: number
  #tail: number
  #used = 0

  constructor(slab: Slab, region: Region) {
    this.#slab = slab
    this.#start = (region.start + 63) & ~63
    this.#end = region.end & ~63
    this.#head = this.#start
    this.#tail = this.#start
  }

  /** Bytes of the ring between tail and head. */
  get used(): number {
    return this.#used
  }

  /**
   * Copies the packet (and the headroom before it) into the ring; returns its block, or NO_BLOCK when there is no room.
   * @param owner whatever the caller wants to know again, as `generation`
   */
  hold(at: number, length: number, owner: number, generation: number): number {
    const size = (HEADROOM * 2 + length + 63) & ~63
    // A ring that has wrapped holds what lies between head and tail, so this is all that stops it from running into itself.
    if (this.#used + size > this.#end - this.#start) return NO_BLOCK
    if (this.#head + size > this.#end && !this.#wrap(size)) return NO_BLOCK
    const block = this.#head
    this.#write(block, size, 1)
    this.#slab.view.setInt32(block + LENGTH, length)
    this.#slab.view.setInt32(block + OWNER, owner)
    this.#slab.view.setInt32(block + GENERATION, generation)
    this.#slab.bytes.copyWithin(block + HEADROOM, at - HEADROOM, at + length)
    this.#head += size
    return block
  }

  /** Address of a held packet's IPv4 header. */
  packetAt(block: number): number {
    return block + HEADROOM * 2
  }

  lengthOf(block: number): number {
    return this.#slab.view.getInt32(block + LENGTH)
  }

  ownerOf(block: number): number {
    return this.#slab.view.getInt32(block + OWNER)
  }

  generationOf(block: number): number {
    return this.#slab.view.getInt32(block + GENERATION)
  }

  next(block: number): number {
    return this.#slab.view.getInt32(block + NEXT)
  }

  /** Links `block` before the list that starts at `next`. */
  link(block: number, next: number): void {
    this.#slab.view.setInt32(block + NEXT, next)
  }

  release(block: number): void {
    const { view } = this.#slab
    view.setInt32(block + IN_USE, 0)
    while (this.#used > 0) {
      if (this.#tail === this.#end) this.#tail = this.#start
      if (view.getInt32(this.#tail + IN_USE) !== 0) return
      const size = view.getInt32(this.#tail + SIZE)
      this.#tail += size
      this.#used -= size
    }
    this.#head = this.#start
    this.#tail = this.#start
  }

  /** Fills the rest of the ring with a free block and goes on at its start. */
  #wrap(size: number): boolean {
    if (this.#tail - this.#start < size) return false
    if (this.#head < this.#end) this.#write(this.#head, this.#end - this.#head, 0)
    this.#head = this.#start
    return true
  }

  #write(block: number, size: number, inUse: number): void {
    const { view } = this.#slab
    view.setInt32(block + SIZE, size)
    view.setInt32(block + IN_USE, inUse)
    view.setInt32(block + NEXT, NO_BLOCK)
    this.#used += size
  }
}
