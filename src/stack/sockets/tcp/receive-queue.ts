/**
 * What has arrived of a connection: bytes in order for the reader, bytes that came before their turn, and what the sender is told of
 * them (SACK, RFC 2018; duplicates, RFC 2883).
 *
 * Theory of operation. Bytes in order wait as chunks. What is out of order lies in islands, sorted by sequence number: an island is a
 * range without holes, with its chunks. Islands neither touch nor overlap, and begin above `next`. No byte is held twice: of what
 * arrives, only what is missing is kept. An island is found by halving; there are at most ISLANDS of them, further ones are not kept
 * (the sender will send them again, since they are never reported). Chunks below SMALL bytes are put together, so that a sender of
 * single bytes cannot make this side hold an object for each.
 */

const ISLANDS = 512
/** Neighbours below this are put together, in bytes. */
const SMALL = 512
const BLOCK = 4096
const NOTHING = new Uint8Array(0)

/** Chunks in their order. The last may be the front part of a block with room behind it. */
class Chunks {
  #list: Uint8Array[] = []
  #head = 0
  #block: Uint8Array | null = null

  push(bytes: Uint8Array): void {
    const list = this.#list
    const at = list.length - 1
    const last = at >= this.#head ? list[at]! : null
    if (last === null || bytes.length >= SMALL) {
      list.push(bytes)
      this.#block = null
      return
    }
    const total = last.length + bytes.length
    if (this.#block !== null && total <= BLOCK) {
      this.#block.set(bytes, last.length)
      list[at] = this.#block.subarray(0, total)
    } else if (last.length < SMALL) {
      const block = new Uint8Array(BLOCK)
      block.set(last)
      block.set(bytes, last.length)
      list[at] = block.subarray(0, total)
      this.#block = block
    } else {
      list.push(bytes)
      this.#block = null
    }
  }

  /** Puts a chunk before the others. */
  unshift(bytes: Uint8Array): void {
    const list = this.#list
    const first = this.#head < list.length ? list[this.#head]! : null
    if (first !== null && bytes.length < SMALL && first.length < SMALL) {
      const both = new Uint8Array(bytes.length + first.length)
      both.set(bytes)
      both.set(first, bytes.length)
      list[this.#head] = both
      if (this.#head === list.length - 1) this.#block = null
    } else if (this.#head > 0) list[--this.#head] = bytes
    else list.unshift(bytes)
  }

  /** Appends another's chunks; the other must not be used any more. */
  join(other: Chunks): void {
    for (let i = other.#head; i < other.#list.length; i++) this.push(other.#list[i]!)
  }

  shift(): Uint8Array | null {
    if (this.#head === this.#list.length) return null
    const bytes = this.#list[this.#head]!
    this.#list[this.#head] = NOTHING
    this.#head++
    if (this.#head === this.#list.length) {
      this.#list.length = 0
      this.#head = 0
      this.#block = null
    } else if (this.#head >= 64 && this.#head * 2 >= this.#list.length) {
      this.#list.splice(0, this.#head)
      this.#head = 0
    }
    return bytes
  }
}

interface Island {
  left: number
  right: number
  chunks: Chunks
  /** Grows with each arrival: the island that was touched last has the greatest. */
  touched: number
}

export class ReceiveQueue {
  #next: number
  #readable = 0
  #held = 0
  readonly #ready = new Chunks()
  readonly #islands: Island[] = []
  #arrivals = 0
  /** The duplicate that is to be reported, once; none when both are equal. */
  #duplicateLeft = 0
  #duplicateRight = 0

  /** @param next RCV.NXT, int32 */
  constructor(next: number) {
    this.#next = next | 0
  }

  /** Sequence number after the last byte in order, int32. */
  get next(): number {
    return this.#next
  }

  /** Bytes in order that were not read. */
  get readable(): number {
    return this.#readable
  }

  /** Bytes that are held out of order. */
  get held(): number {
    return this.#held
  }

  /** True when something is out of order: an acknowledgement has blocks to carry. */
  get gaps(): boolean {
    return this.#islands.length > 0
  }

  /** A duplicate is waiting to be reported by the next `blocks`. */
  get hasDuplicate(): boolean {
    return this.#duplicateLeft !== this.#duplicateRight
  }

  /**
   * Takes bytes, and the ownership of them. What is there already is not kept again, but reported as a duplicate. That they are within
   * the window is the caller's matter.
   */
  insert(seq: number, bytes: Uint8Array): void {
    const length = bytes.length
    if (length === 0) return
    let left = seq | 0
    const right = (left + length) | 0
    const old = (this.#next - left) | 0
    if (old > 0) {
      this.duplicate(left, old >= length ? right : this.#next)
      if (old >= length) return
      left = this.#next
    }
    if (left === this.#next && (this.#islands.length === 0 || ((this.#islands[0]!.left - right) | 0) > 0)) {
      this.#ready.push(left === (seq | 0) ? bytes : bytes.subarray(length - ((right - left) | 0)))
      this.#readable += (right - left) | 0
      this.#next = right
      return
    }
    this.#insertAhead(left, right, bytes, seq | 0)
    const first = this.#islands[0]
    if (first !== undefined && first.left === this.#next) {
      this.#islands.shift()
      this.#ready.join(first.chunks)
      const count = (first.right - first.left) | 0
      this.#readable += count
      this.#held -= count
      this.#next = first.right
    }
  }

  /** Notes that a range came which was there already, for D-SACK; `insert` does it by itself. Only one is kept until it is reported. */
  duplicate(left: number, right: number): void {
    this.#duplicateLeft = left | 0
    this.#duplicateRight = right | 0
  }

  /** The next bytes in order; null when there are none. */
  read(): Uint8Array | null {
    const bytes = this.#ready.shift()
    if (bytes !== null) this.#readable -= bytes.length
    return bytes
  }

  /**
   * SACK blocks: a duplicate that was not reported yet (RFC 2883 4), then the block that something arrived in last, then the others as
   * they were touched (RFC 2018 4). The duplicate counts as reported then.
   * @param target gets pairs of left and right edge, int32
   * @param max blocks at most
   * @returns the number of blocks
   */
  blocks(target: Int32Array, max: number): number {
    let count = 0
    if (max > 0 && this.#duplicateLeft !== this.#duplicateRight) {
      target[0] = this.#duplicateLeft
      target[1] = this.#duplicateRight
      this.#duplicateLeft = this.#duplicateRight
      count = 1
    }
    let before = Infinity
    const islands = this.#islands
    while (count < max) {
      let best: Island | null = null
      for (let i = 0; i < islands.length; i++) {
        const island = islands[i]!
        if (island.touched < before && (best === null || island.touched > best.touched)) best = island
      }
      if (best === null) break
      target[2 * count] = best.left
      target[2 * count + 1] = best.right
      before = best.touched
      count++
    }
    return count
  }

  /** Forgets what is out of order. Allowed before it is acknowledged (RFC 2018 8), for want of memory. */
  renege(): void {
    this.#islands.length = 0
    this.#held = 0
    this.#duplicateLeft = this.#duplicateRight
  }

  /** @param base sequence number of bytes[0] */
  #insertAhead(left: number, right: number, bytes: Uint8Array, base: number): void {
    const islands = this.#islands
    // The islands from `first` up to `last` touch or overlap the range.
    const first = this.#firstReaching(left)
    let last = first
    while (last < islands.length && ((islands[last]!.left - right) | 0) <= 0) last++
    this.#arrivals++
    if (first === last) {
      if (islands.length >= ISLANDS && left !== this.#next) return
      const chunks = new Chunks()
      this.#keep(chunks, left, right, bytes, base)
      islands.splice(first, 0, { left, right, chunks, touched: this.#arrivals })
      return
    }
    let noted = false
    const merged = islands[first]!
    const mergedLeft = merged.left
    const before = (mergedLeft - left) | 0
    if (before > 0) {
      merged.chunks.unshift(before === bytes.length ? bytes : bytes.subarray((left - base) | 0, (mergedLeft - base) | 0))
      merged.left = left
      this.#held += before
    }
    for (let i = first; i < last; i++) {
      const each = islands[i]!
      if (i > first) {
        this.#keep(merged.chunks, merged.right, each.left, bytes, base)
        merged.chunks.join(each.chunks)
        merged.right = each.right
      }
      if (noted) continue
      const from = i === first ? mergedLeft : each.left
      const low = ((left - from) | 0) > 0 ? left : from
      const high = ((right - each.right) | 0) < 0 ? right : each.right
      if (((high - low) | 0) > 0) {
        // The lowest duplicate is reported, unless one below `next` is already: RFC 2883 4, rule 5.
        if (this.#duplicateLeft === this.#duplicateRight) this.duplicate(low, high)
        noted = true
      }
    }
    if (((right - merged.right) | 0) > 0) {
      this.#keep(merged.chunks, merged.right, right, bytes, base)
      merged.right = right
    }
    merged.touched = this.#arrivals
    if (last - first > 1) islands.splice(first + 1, last - first - 1)
  }

  #keep(chunks: Chunks, left: number, right: number, bytes: Uint8Array, base: number): void {
    const length = (right - left) | 0
    if (length <= 0) return
    const at = (left - base) | 0
    chunks.push(length === bytes.length ? bytes : bytes.subarray(at, at + length))
    this.#held += length
  }

  /** Index of the first island whose right edge is at `seq` or after it. */
  #firstReaching(seq: number): number {
    const islands = this.#islands
    let low = 0
    let high = islands.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (((islands[middle]!.right - seq) | 0) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
