/**
 * A TUN device: packets of the kernel's IP layer, without link header. With IFF_VNET_HDR the 10-byte virtio header that the
 * kernel puts before each packet is the canonical form already.
 */
import { native, WRITE_ERRNO, WRITE_FAILED } from '../../native.js'
import type { Batch, Region, Slab } from '../batch.js'
import * as vnet from '../wire/vnet.js'
import { type Device, type DeviceCounters, NO_OFFLOADS, type Offloads } from './device.js'

const TUN_F_CSUM = 0x01
const TUN_F_TSO4 = 0x02
const TUN_F_TSO6 = 0x04
const TUN_F_USO4 = 0x20
const TUN_F_USO6 = 0x40

/** Masks to try, best first. The kernel takes both USO flags or none (6.2 and later), and TSO only with CSUM. */
const OFFLOAD_TRIES = [
  TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6,
  TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
  TUN_F_CSUM,
  0,
]

export interface TunHandle {
  readonly fd: number
  readonly name: string
  readonly vnetHeader: boolean
  readonly offloads: Offloads
}

/**
 * Opens (and thereby creates) a TUN in the calling thread's network namespace. It vanishes when the descriptor is closed.
 * @param offload false opens it without virtio headers: one plain packet a read
 * @throws Error with `code` EPERM, ENOENT (no /dev/net/tun), EBUSY (in use)
 */
export const openTun = (name: string, offload: boolean): TunHandle => {
  const opened = native().tunOpen(name, offload, offload ? OFFLOAD_TRIES : [])
  // What the kernel may send us is also what it takes from us: csum and GSO fields are honoured on write in any case.
  const offloads = offload
    ? { checksum: (opened.offloads & TUN_F_CSUM) !== 0, tcp: (opened.offloads & TUN_F_TSO4) !== 0, udp: (opened.offloads & TUN_F_USO4) !== 0 }
    : NO_OFFLOADS
  return { fd: opened.fd, name: opened.name, vnetHeader: offload, offloads }
}

export class TunDevice implements Device {
  readonly name: string
  readonly fd: number
  readonly offloads: Offloads
  readonly counters: DeviceCounters = { sendErrors: 0, lastErrno: 0 }
  readonly #before: number
  readonly #result = new Int32Array(3)
  readonly #native = native()

  constructor(handle: TunHandle) {
    this.name = handle.name
    this.fd = handle.fd
    this.offloads = handle.offloads
    this.#before = handle.vnetHeader ? vnet.LENGTH : 0
  }

  receive(slab: Slab, region: Region, batch: Batch): number {
    const count = this.#native.readBatch(this.fd, false, slab.bytes, region.start, region.end, this.#before, batch.at, batch.length, batch.limit)
    batch.count = count > 0 ? count : 0
    if (this.#before === 0) for (let index = 0; index < batch.count; index++) vnet.clear(slab.view, batch.at[index]! - vnet.LENGTH)
    return count
  }

  send(slab: Slab, batch: Batch): void {
    this.#native.writeBatch(this.fd, false, slab.bytes, this.#before, batch.at, batch.length, batch.count, this.#result, 0)
    if (this.#result[WRITE_FAILED] !== 0) {
      this.counters.sendErrors += this.#result[WRITE_FAILED]!
      this.counters.lastErrno = this.#result[WRITE_ERRNO]!
    }
    batch.clear()
  }

  close(): void {
    this.#native.close(this.fd)
  }
}
