/**
 * A device without an outside: packets are pushed in by the program and those sent are kept in a list. For tests and for
 * a stack that runs alone. Unlike other devices it allocates for each packet.
 */
import { HEADROOM } from '../batch.js'
import type { Batch, Region, Slab } from '../batch.js'
import * as vnet from '../wire/vnet.js'
import { NO_OFFLOADS } from './device.js'
import type { Device, DeviceCounters, Offloads } from './device.js'

/** The virtio header of a packet, as an object. Offsets count from the IPv4 header. */
export interface VnetHeader {
  /** vnet.F_*. */
  flags: number
  /** vnet.GSO_*. */
  gsoType: number
  headerLength: number
  gsoSize: number
  checksumStart: number
  checksumOffset: number
}

export interface SentPacket {
  /** From the IPv4 header on. */
  bytes: Uint8Array
  vnet: VnetHeader
  /** Index of the neighbour, from Batch.link. */
  link: number
}

/** -errno of a device that was closed, as a TUN without its interface says it. */
const EBADFD = 77

const NO_VNET: VnetHeader = { flags: 0, gsoType: 0, headerLength: 0, gsoSize: 0, checksumStart: 0, checksumOffset: 0 }

const readVnet = (view: DataView, at: number): VnetHeader => ({
  flags: vnet.flags(view, at),
  gsoType: vnet.gsoType(view, at),
  headerLength: vnet.headerLength(view, at),
  gsoSize: vnet.gsoSize(view, at),
  checksumStart: vnet.checksumStart(view, at),
  checksumOffset: vnet.checksumOffset(view, at),
})

const writeVnet = (view: DataView, at: number, header: VnetHeader): void => {
  vnet.setFlags(view, at, header.flags)
  vnet.setGsoType(view, at, header.gsoType)
  vnet.setHeaderLength(view, at, header.headerLength)
  vnet.setGsoSize(view, at, header.gsoSize)
  vnet.setChecksumStart(view, at, header.checksumStart)
  vnet.setChecksumOffset(view, at, header.checksumOffset)
}

export interface MemoryDeviceOptions {
  name?: string
  /** What the device says it does for packets sent; it does nothing, the list shows them unfinished. Default: none. */
  offloads?: Offloads
}

export class MemoryDevice implements Device {
  readonly name: string
  readonly offloads: Offloads
  readonly fd = -1
  readonly counters: DeviceCounters = { sendErrors: 0, lastErrno: 0 }
  /** What was sent and not yet taken, oldest first. */
  sent: SentPacket[] = []
  #incoming: { bytes: Uint8Array; vnet: VnetHeader }[] = []
  #sendErrno = 0
  #gone = 0

  constructor(options: MemoryDeviceOptions = {}) {
    this.name = options.name ?? 'memory'
    this.offloads = options.offloads ?? NO_OFFLOADS
  }

  /** Packets pushed and not yet received. */
  get pending(): number {
    return this.#incoming.length
  }

  /** Queues a copy of a packet for `receive`. Fields of the virtio header that are not given are zero. */
  push(bytes: Uint8Array, header: Partial<VnetHeader> = {}): void {
    this.#incoming.push({ bytes: bytes.slice(), vnet: { ...NO_VNET, ...header } })
  }

  /** Takes the list of sent packets and begins a new one. */
  takeSent(): SentPacket[] {
    const taken = this.sent
    this.sent = []
    return taken
  }

  /** From now on every packet sent is lost with this errno; 0 ends that. */
  failSends(errno: number): void {
    this.#sendErrno = errno
  }

  /** From now on the device is gone: `receive` returns -errno, sends fail with it. */
  vanish(errno: number): void {
    this.#gone = errno
  }

  receive(slab: Slab, region: Region, batch: Batch): number {
    batch.clear()
    if (this.#gone !== 0) return -this.#gone
    let taken = 0
    let at = (region.start + HEADROOM + 63) & ~63
    while (taken < this.#incoming.length && !batch.full) {
      const { bytes, vnet: header } = this.#incoming[taken]!
      if (at + bytes.length > region.end) break
      slab.bytes.fill(0, at - HEADROOM, at)
      slab.bytes.set(bytes, at)
      writeVnet(slab.view, at - vnet.LENGTH, header)
      batch.push(at, bytes.length, 0)
      at = (at + bytes.length + HEADROOM + 63) & ~63
      taken++
    }
    this.#incoming.splice(0, taken)
    return batch.count
  }

  send(slab: Slab, batch: Batch): void {
    const errno = this.#gone || this.#sendErrno
    if (errno !== 0) {
      this.counters.sendErrors += batch.count
      if (batch.count > 0) this.counters.lastErrno = errno
    } else {
      for (let i = 0; i < batch.count; i++) {
        const at = batch.at[i]!
        const bytes = slab.bytes.slice(at, at + batch.length[i]!)
        this.sent.push({ bytes, vnet: readVnet(slab.view, at - vnet.LENGTH), link: batch.link[i]! })
      }
    }
    batch.clear()
  }

  /** Drops what was not received; the list of sent packets stays readable. */
  close(): void {
    this.#incoming = []
    this.#gone = EBADFD
  }
}
