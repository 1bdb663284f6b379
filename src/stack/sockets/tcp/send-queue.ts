/**
 * The bytes of a connection that were written and not yet acknowledged, from SND.UNA on.
 *
 * Theory of operation. Chunks are kept by reference in the order they were written, each with its distance from the first byte of the
 * connection, a plain number that does not wrap; so the chunk of a sequence number is found by halving. Small writes are copied into a
 * block that they share: a program that writes byte by byte costs neither an object a byte nor a search over all of them. Chunks that
 * are acknowledged are skipped by moving `#head`, and the arrays are cut when half of them is skipped.
 */

import { copyBytes } from '../../copy.js'

/** Writes below this are copied into a shared block, in bytes. */
const SMALL = 1024
const BLOCK = 16384
const NOTHING = new Uint8Array(0)

export class SendQueue {
  #chunks: Uint8Array[] = []
  /** Distance of each chunk's first byte from the first byte of the connection. */
  #offsets: number[] = []
  #head = 0
  #start: number
  /** Distances of `#start` and of the end. */
  #acknowledged = 0
  #written = 0
  /** The block that small writes go to, and how much of it is used; the last chunk is its front part. */
  #block: Uint8Array | null = null
  #used = 0

  /** @param first sequence number of the first byte, int32 */
  constructor(first: number) {
    this.#start = first | 0
  }

  /** Sequence number of the first byte that is not acknowledged, int32. */
  get start(): number {
    return this.#start
  }

  /** Sequence number after the last byte, int32. */
  get end(): number {
    return (this.#start + this.length) | 0
  }

  get length(): number {
    return this.#written - this.#acknowledged
  }

  /** Adds bytes, which must not be changed until they are acknowledged. */
  append(bytes: Uint8Array): void {
    const length = bytes.length
    if (length === 0) return
    if (length < SMALL) this.#appendSmall(bytes)
    else {
      this.#block = null
      this.#chunks.push(bytes)
      this.#offsets.push(this.#written)
    }
    this.#written += length
  }

  /** Copies bytes into `target`; all of them must be in the queue. @param from sequence number of the first */
  copy(from: number, length: number, target: Uint8Array, at: number): void {
    if (length <= 0) return
    let offset = this.#acknowledged + ((from - this.#start) | 0)
    const end = offset + length
    for (let index = this.#indexOf(offset); offset < end && index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index]!
      const skip = offset - this.#offsets[index]!
      const count = Math.min(chunk.length - skip, end - offset)
      copyBytes(chunk, skip, count, target, at)
      at += count
      offset += count
    }
  }

  /** Forgets what lies before a sequence number. One before `start` changes nothing, one after `end` counts as `end`. */
  acknowledge(seq: number): void {
    const count = Math.min((seq - this.#start) | 0, this.length)
    if (count <= 0) return
    this.#start = (this.#start + count) | 0
    this.#acknowledged += count
    if (this.#acknowledged === this.#written) {
      this.#chunks.length = 0
      this.#offsets.length = 0
      this.#head = 0
      this.#block = null
      return
    }
    while (this.#offsets[this.#head]! + this.#chunks[this.#head]!.length <= this.#acknowledged) {
      this.#chunks[this.#head] = NOTHING
      this.#head++
    }
    if (this.#head >= 32 && this.#head * 2 >= this.#chunks.length) {
      this.#chunks.splice(0, this.#head)
      this.#offsets.splice(0, this.#head)
      this.#head = 0
    }
  }

  #appendSmall(bytes: Uint8Array): void {
    const block = this.#block
    if (block !== null && this.#used + bytes.length <= block.length) {
      const last = this.#chunks.length - 1
      block.set(bytes, this.#used)
      this.#used += bytes.length
      this.#chunks[last] = block.subarray(0, this.#used)
      return
    }
    // The first of a row is kept as it is copied; only when more follow, a block pays.
    const previous = this.#chunks.length - 1
    const shared = new Uint8Array(previous >= this.#head && this.#chunks[previous]!.length < SMALL ? BLOCK : bytes.length)
    shared.set(bytes)
    this.#block = shared
    this.#used = bytes.length
    this.#chunks.push(shared.subarray(0, bytes.length))
    this.#offsets.push(this.#written)
  }

  /** The chunk that a distance lies in. */
  #indexOf(offset: number): number {
    let low = this.#head
    let high = this.#chunks.length - 1
    if (low <= high && offset - this.#offsets[low]! < this.#chunks[low]!.length) return low
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.#offsets[middle]! <= offset) low = middle
      else high = middle - 1
    }
    return low
  }
}
