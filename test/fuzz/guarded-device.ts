/**
 * A device like MemoryDevice that surrounds what it delivers with junk and can tell whether any byte outside a packet was
 * written. Two gateways fed the same through devices with different junk must send the same: what is outside is not read.
 */
import { type Batch, HEADROOM, type Region, type Slab } from '../../src/stack/batch.js'
import type { Device, DeviceCounters, Offloads } from '../../src/stack/device/device.js'
import type { SentPacket, VnetHeader } from '../../src/stack/device/memory.js'
import * as vnet from '../../src/stack/wire/vnet.js'
import { u16, writeVnet } from '../stack/support.js'

export interface Incoming {
  readonly bytes: Uint8Array
  readonly vnet: VnetHeader
}

const readVnet = (view: DataView, at: number): VnetHeader => ({
  flags: vnet.flags(view, at), gsoType: vnet.gsoType(view, at), headerLength: vnet.headerLength(view, at),
  gsoSize: vnet.gsoSize(view, at), checksumStart: vnet.checksumStart(view, at), checksumOffset: vnet.checksumOffset(view, at),
})

/** Junk behind the last packet of a batch. */
const TAIL = 256

export class GuardedDevice implements Device {
  readonly name = 'guarded'
  readonly fd = -1
  readonly offloads: Offloads
  readonly counters: DeviceCounters = { sendErrors: 0, lastErrno: 0 }
  sent: SentPacket[] = []
  #incoming: Incoming[] = []
  readonly #junk: number
  #slab: Slab | null = null
  #start = 0
  #before: Uint8Array = new Uint8Array(0)
  /** [from, to) of what may be written, in order. */
  #open: (readonly [number, number])[] = []

  constructor(offloads: Offloads, junk: number) {
    this.offloads = offloads
    this.#junk = junk
  }

  get pending(): number {
    return this.#incoming.length
  }

  push(packet: Incoming): void {
    this.#incoming.push(packet)
  }

  receive(slab: Slab, region: Region, batch: Batch): number {
    batch.clear()
    this.#slab = slab
    this.#start = region.start
    this.#open = []
    let at = (region.start + HEADROOM + 63) & ~63
    let used = region.start
    while (this.#incoming.length > 0 && batch.count < batch.limit) {
      const { bytes, vnet: header } = this.#incoming[0]!
      if (at + bytes.length + TAIL > region.end) break
      this.#incoming.shift()
      slab.bytes.fill(this.#junk, used, at + bytes.length + TAIL)
      slab.bytes.set(bytes, at)
      writeVnet(slab.view, at - vnet.LENGTH, header)
      const datagram = bytes.length < 20 ? 0 : Math.min(bytes.length, u16(bytes, 2))
      this.#open.push([at - vnet.LENGTH, at + datagram])
      batch.push(at, bytes.length, 0)
      used = at + bytes.length
      at = (used + HEADROOM + 63) & ~63
    }
    this.#before = slab.bytes.slice(region.start, Math.min(region.end, used + TAIL))
    return batch.count
  }

  /** Addresses written outside packets since the last `receive`, as a text; '' when there are none. */
  trespass(): string {
    if (this.#slab === null) return ''
    let from = this.#start
    for (const [start, end] of [...this.#open, [this.#start + this.#before.length, 0] as const]) {
      const now = this.#slab.bytes.subarray(from, start)
      const then = this.#before.subarray(from - this.#start, start - this.#start)
      if (Buffer.compare(now, then) !== 0) {
        const offset = now.findIndex((byte, index) => byte !== then[index])
        return `byte ${from + offset}, ${start - from - offset} before the next packet, was written`
      }
      from = end
    }
    return ''
  }

  send(slab: Slab, batch: Batch): void {
    for (let index = 0; index < batch.count; index++) {
      const at = batch.at[index]!
      this.sent.push({ bytes: slab.bytes.slice(at, at + batch.length[index]!), vnet: readVnet(slab.view, at - vnet.LENGTH), link: batch.link[index]! })
    }
    batch.clear()
  }

  takeSent(): SentPacket[] {
    const taken = this.sent
    this.sent = []
    return taken
  }

  close(): void {
    this.#incoming = []
  }
}
