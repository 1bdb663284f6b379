/**
 * The way out of one interface: packets are queued in the form that its device can take, and sent as a batch.
 */
import { Drop } from '../drop.js'
import { Batch, type Slab } from './batch.js'
import type { Device } from './device/device.js'
import type { Scratch } from './scratch.js'
import { completeChecksum, fragment, segment, segmentType } from './segment.js'
import * as vnet from './wire/vnet.js'

export class Egress {
  readonly #slab: Slab
  readonly #device: Device
  readonly #scratch: Scratch
  /** Waiting to be sent. */
  readonly batch: Batch
  /** Segments that are to be fragmented. */
  readonly #segments: Batch
  packets = 0
  bytes = 0

  constructor(slab: Slab, device: Device, scratch: Scratch, capacity: number) {
    this.#slab = slab
    this.#device = device
    this.#scratch = scratch
    this.batch = new Batch(capacity)
    this.#segments = new Batch(capacity)
  }

  /** Queues a packet that fits the MTU. Returns 0 or a drop code. */
  push(at: number, length: number, link: number): number {
    const { view } = this.#slab
    const header = at - vnet.LENGTH
    if (this.batch.full) this.flush()
    this.packets++
    this.bytes += length
    if (view.getUint16(header) === 0) {
      // Neither flags nor a GSO type: nothing to complete, nothing to cut.
      this.batch.push(at, length, link)
      return 0
    }
    const { offloads } = this.#device
    const type = segmentType(view, at)
    if ((type === vnet.GSO_TCPV4 && !offloads.tcp) || (type === vnet.GSO_UDP_L4 && !offloads.udp)) {
      let done = segment(this.#slab, at, length, 0, this.#scratch, this.batch, link)
      while (done >= 0 && done < length) {
        this.flush()
        done = segment(this.#slab, at, length, done, this.#scratch, this.batch, link)
      }
      return done < 0 ? Drop['scratch-full'] : 0
    }
    if (!offloads.checksum) completeChecksum(this.#slab, at, length)
    this.batch.push(at, length, link)
    return 0
  }

  /** Queues a packet longer than `mtu` in fragments; a superpacket is cut into its segments first. Returns 0 or a drop code. */
  pushFragmented(at: number, length: number, mtu: number, link: number): number {
    this.packets++
    this.bytes += length
    const type = segmentType(this.#slab.view, at)
    if (type !== vnet.GSO_TCPV4 && type !== vnet.GSO_UDP_L4) return this.#fragment(at, length, mtu, link)
    let done = 0
    do {
      this.#segments.clear()
      done = segment(this.#slab, at, length, done, this.#scratch, this.#segments, link)
      for (let index = 0; index < this.#segments.count; index++) {
        const drop = this.#fragment(this.#segments.at[index]!, this.#segments.length[index]!, mtu, link)
        if (drop !== 0) return drop
      }
    } while (done >= 0 && done < length)
    return done < 0 ? Drop['scratch-full'] : 0
  }

  /** Queues a packet, in fragments where it is longer than `mtu`. Not for superpackets. Returns 0 or a drop code. */
  pushWithin(at: number, length: number, mtu: number, link: number): number {
    return length > mtu ? this.pushFragmented(at, length, mtu, link) : this.push(at, length, link)
  }

  flush(): void {
    if (this.batch.count > 0) this.#device.send(this.#slab, this.batch)
  }

  #fragment(at: number, length: number, mtu: number, link: number): number {
    if (fragment(this.#slab, at, length, mtu, this.#scratch, this.batch, link)) return 0
    this.flush()
    return fragment(this.#slab, at, length, mtu, this.#scratch, this.batch, link) ? 0 : Drop['scratch-full']
  }
}
