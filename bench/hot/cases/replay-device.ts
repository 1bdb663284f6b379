/** A device that delivers the same packets again and again, and forgets what is sent. It allocates nothing for a packet. */
import { type Batch, HEADROOM, type Region, type Slab } from '../../../src/stack/batch.js'
import type { Device, DeviceCounters, Offloads } from '../../../src/stack/device/device.js'

/** Bytes restored before and behind the start of each packet: its virtio header, and all that translation changes. */
const BEFORE = 16
const BEHIND = 64
const WORDS = (BEFORE + BEHIND) / 4
const PER_BATCH = 64

export class ReplayDevice implements Device {
  readonly name = 'replay'
  readonly fd = -1
  readonly counters: DeviceCounters = { sendErrors: 0, lastErrno: 0 }
  readonly offloads: Offloads
  readonly #words: Int32Array
  readonly #heads: Int32Array
  readonly #length: number
  readonly #stride: number
  readonly #perBatch: number
  #next = 0
  sent = 0

  /**
   * @param packets all of one length; of each, the first 64 bytes count, the rest is that of the first one
   * @param vnet the virtio header of all of them, 10 bytes
   */
  constructor(slab: Slab, region: Region, packets: readonly Uint8Array[], vnet: Uint8Array, offloads: Offloads) {
    this.offloads = offloads
    this.#length = packets[0]?.length ?? 0
    this.#stride = (this.#length + HEADROOM + 63) & ~63
    this.#perBatch = Math.min(PER_BATCH, packets.length, Math.floor((region.end - region.start - HEADROOM) / this.#stride))
    this.#words = new Int32Array(slab.bytes.buffer)
    const heads = new Uint8Array(packets.length * WORDS * 4)
    packets.forEach((packet, index) => {
      heads.set(vnet, index * WORDS * 4 + BEFORE - vnet.length)
      heads.set(packet.subarray(0, BEHIND), index * WORDS * 4 + BEFORE)
    })
    this.#heads = new Int32Array(heads.buffer)
    for (let index = 0; index < this.#perBatch; index++) slab.bytes.set(packets[0]!, region.start + HEADROOM + index * this.#stride)
  }

  /** Packets of one call of `receive`. */
  get perBatch(): number {
    return this.#perBatch
  }

  receive(_slab: Slab, region: Region, batch: Batch): number {
    batch.clear()
    const words = this.#words
    const heads = this.#heads
    for (let index = 0; index < this.#perBatch; index++) {
      if (this.#next === heads.length) this.#next = 0
      const at = region.start + HEADROOM + index * this.#stride
      const to = (at - BEFORE) >> 2
      const from = this.#next
      for (let word = 0; word < WORDS; word++) words[to + word] = heads[from + word]!
      this.#next += WORDS
      batch.push(at, this.#length, 0)
    }
    return batch.count
  }

  send(_slab: Slab, batch: Batch): void {
    this.sent += batch.count
    batch.clear()
  }

  close(): void {}
}
