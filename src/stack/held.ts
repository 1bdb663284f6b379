/**
 * Packets that wait: for the first fragment of their datagram, for the address of a next hop. They are copied out of the
 * receive region into a region of their own.
 *
 * Theory of operation
 *
 * The region is tiled with blocks up to a frontier; memory behind it is untouched. A block begins with its size and whether
 * it is in use. To hold a packet, a rover goes on from where it stopped last, round and round: it puts free neighbours
 * together and steps over what is in use, so that a block that is held long costs others nothing but its own room. It gives
 * up after STEPS blocks in use, and goes on from there next time. Blocks are freed in any order, in one write.
 *
 * Blocks form singly linked lists by their `next` word; a list's owner keeps its head.
 *
 *     block     +4       +8      +12     +16      +20          +24              +64
 *       │ size │ in use │ next │ length │ owner │ generation │ identification │ … │ headroom, packet
 */
import { HEADROOM, type Region, type Slab } from './batch.js'

const SIZE = 0
const IN_USE = 4
const NEXT = 8
const LENGTH = 12
const OWNER = 16
const GENERATION = 20
const IDENTIFICATION = 24

/** Blocks in use that a search for room steps over at most. */
const STEPS = 256

/** End of a list of held packets. */
export const NO_BLOCK = -1

export class HeldPackets {
  readonly #slab: Slab
  readonly #start: number
  readonly #end: number
  #frontier: number
  #rover: number
  #used = 0

  constructor(slab: Slab, region: Region) {
    this.#slab = slab
    this.#start = (region.start + 63) & ~63
    this.#end = region.end & ~63
    this.#frontier = this.#start
    this.#rover = this.#start
  }

  /** Bytes of the blocks in use. */
  get used(): number {
    return this.#used
  }

  /** Bytes of the blocks that can be in use. */
  get capacity(): number {
    return this.#end - this.#start
  }

  /** Bytes that a packet takes. */
  sizeFor(length: number): number {
    return (HEADROOM * 2 + length + 63) & ~63
  }

  /**
   * Copies the packet (and the headroom before it) into the region; returns its block, or NO_BLOCK when there is no room.
   * @param owner whatever the caller wants to know again, as `generation`
   */
  hold(at: number, length: number, owner: number, generation: number): number {
    const size = this.sizeFor(length)
    const block = this.#find(size)
    if (block === NO_BLOCK) return NO_BLOCK
    const { view, bytes } = this.#slab
    view.setInt32(block + SIZE, size)
    view.setInt32(block + IN_USE, 1)
    view.setInt32(block + NEXT, NO_BLOCK)
    view.setInt32(block + LENGTH, length)
    view.setInt32(block + OWNER, owner)
    view.setInt32(block + GENERATION, generation)
    bytes.copyWithin(block + HEADROOM, at - HEADROOM, at + length)
    this.#rover = block + size
    this.#used += size
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

  /** As last set; undefined before. */
  identificationOf(block: number): number {
    return this.#slab.view.getInt32(block + IDENTIFICATION)
  }

  setIdentification(block: number, identification: number): void {
    this.#slab.view.setInt32(block + IDENTIFICATION, identification)
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
    this.#used -= view.getInt32(block + SIZE)
    if (this.#used > 0) return
    // Nothing is held: the memory touched last is used again first.
    this.#frontier = this.#start
    this.#rover = this.#start
  }

  /** A free place of `size` bytes, taken out of the tiling, or NO_BLOCK. */
  #find(size: number): number {
    if (this.#used + size > this.capacity) return NO_BLOCK
    let block = this.#rover
    let steps = STEPS
    let rounds = 0
    while (steps > 0 && rounds < 2) {
      if (block === this.#frontier) {
        if (block + size <= this.#end) {
          this.#frontier = block + size
          return block
        }
        block = this.#start
        rounds++
        continue
      }
      const room = this.#roomAt(block, size)
      if (block + room === this.#frontier) {
        this.#frontier = block
      } else if (room >= size) {
        this.#split(block, room, size)
        return block
      } else {
        if (room === 0) steps--
        block += this.#slab.view.getInt32(block + SIZE)
      }
    }
    this.#rover = block
    return NO_BLOCK
  }

  /** Bytes free at a block, together with free blocks behind it as far as they are wanted; 0 when it is in use. */
  #roomAt(block: number, wanted: number): number {
    const { view } = this.#slab
    if (view.getInt32(block + IN_USE) !== 0) return 0
    let size = view.getInt32(block + SIZE)
    while (size < wanted && block + size < this.#frontier && view.getInt32(block + size + IN_USE) === 0) {
      size += view.getInt32(block + size + SIZE)
    }
    view.setInt32(block + SIZE, size)
    return size
  }

  /** Leaves what a free block has more than `size` as a free block behind it. */
  #split(block: number, room: number, size: number): void {
    if (room === size) return
    const { view } = this.#slab
    view.setInt32(block + size + SIZE, room - size)
    view.setInt32(block + size + IN_USE, 0)
  }
}
