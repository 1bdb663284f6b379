/**
 * The tap: wraps a device and, while a sink is set, copies every packet that passes into it. Without a sink it costs one
 * comparison a batch; with one, each packet costs a copy and a short-lived view on its bytes. Packets are copied as raw
 * IPv4 (LINKTYPE_IPV4), as they are at the device: superpackets whole, and unfinished checksums unfinished.
 */
import type { Batch, Region, Slab } from '../batch.js'
import { DIRECTION_IN, DIRECTION_OUT } from './capture-ring.js'
import type { CaptureProducer } from './capture-ring.js'
import type { Device, DeviceCounters, Offloads } from './device.js'

export class PcapDevice implements Device {
  readonly name: string
  readonly offloads: Offloads
  readonly fd: number
  readonly counters: DeviceCounters
  /** Where copies go; undefined: nowhere. May be changed between batches. */
  sink: CaptureProducer | undefined
  readonly #inner: Device
  readonly #side: number
  readonly #now: () => number

  /**
   * @param side number that the records carry, 0 … SIDES-1
   * @param now microseconds since 1970, read once a batch
   */
  constructor(inner: Device, side: number, now: () => number) {
    this.name = inner.name
    this.offloads = inner.offloads
    this.fd = inner.fd
    this.counters = inner.counters
    this.#inner = inner
    this.#side = side
    this.#now = now
  }

  receive(slab: Slab, region: Region, batch: Batch): number {
    const result = this.#inner.receive(slab, region, batch)
    if (this.sink !== undefined && batch.count > 0) this.#copy(this.sink, slab, batch, DIRECTION_IN)
    return result
  }

  send(slab: Slab, batch: Batch): void {
    if (this.sink !== undefined && batch.count > 0) this.#copy(this.sink, slab, batch, DIRECTION_OUT)
    this.#inner.send(slab, batch)
  }

  close(): void {
    this.#inner.close()
  }

  #copy(sink: CaptureProducer, slab: Slab, batch: Batch, direction: number): void {
    const timestamp = this.#now()
    for (let i = 0; i < batch.count; i++) sink.write(slab.bytes, batch.at[i]!, batch.length[i]!, this.#side, direction, timestamp)
  }
}
