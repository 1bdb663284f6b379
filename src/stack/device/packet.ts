/**
 * An AF_PACKET socket on an interface. It is bound to ETH_P_ALL, because such taps see packets before an ingress hook can
 * drop them, and hears only what its filter lets through; what this host sends out of the interface is not heard.
 *
 * Virtio headers are always on: what comes in may be a superpacket (of the peer's veth, or joined by GRO) or have an
 * unfinished checksum, and nothing else would say so. Whether such packets may go out is a matter of `offload`.
 *
 * On Ethernet the virtio header moves between `at - 24` (before the Ethernet header, as the socket has it) and `at - 10`
 * (canonical); on interfaces without link header the two are the same. There the socket is SOCK_RAW too, as the kernel has
 * no virtio header for SOCK_DGRAM, and each packet is sent with an address, which names its protocol.
 */
import { native, WRITE_ERRNO, WRITE_FAILED } from '../../native.js'
import type { Batch, Region, Slab } from '../batch.js'
import * as ethernet from '../wire/ethernet.js'
import * as vnet from '../wire/vnet.js'
import { type Device, type DeviceCounters, type LinkAddresses, NO_OFFLOADS, type Offloads } from './device.js'

/** With PACKET_VNET_HDR the kernel completes and segments in software what the interface cannot. */
const ALL_OFFLOADS: Offloads = { checksum: true, tcp: true, udp: true }
const SOCKET_BUFFER = 8 << 20

export interface PacketOptions {
  readonly name: string
  readonly ifindex: number
  /** The interface's own address; null on interfaces without Ethernet headers. */
  readonly mac: { high: number; low: number } | null
  /** Classic BPF program (filter.ts). */
  readonly filter: Uint8Array
  /** false: nothing is left to the kernel and the interface; checksums are completed and superpackets cut before sending. */
  readonly offload: boolean
}

export interface PacketHandle extends PacketOptions {
  readonly fd: number
}

/** @throws Error with `code` EPERM, ENODEV, ENETDOWN */
export const openPacket = (options: PacketOptions): PacketHandle => {
  const fd = native().packetOpen(options.ifindex, false, true, options.filter, SOCKET_BUFFER)
  return { ...options, fd }
}

/** Takes ARP frames out of a batch. `at` is the address of the ARP packet. */
export interface ArpReceiver {
  receiveArp(slab: Slab, at: number, length: number): void
}

export class PacketDevice implements Device {
  readonly name: string
  readonly fd: number
  readonly offloads: Offloads
  readonly counters: DeviceCounters = { sendErrors: 0, lastErrno: 0 }
  /** Hears ARP frames that the filter lets through. */
  arp: ArpReceiver | null = null
  readonly #linkLength: number
  /** Bytes before the IPv4 header, as the socket has them. */
  readonly #before: number
  /** The interface index when packets are sent without Ethernet header, else 0. */
  readonly #addressed: number
  readonly #mac: { high: number; low: number }
  readonly #links: LinkAddresses
  readonly #result = new Int32Array(3)
  readonly #native = native()

  constructor(handle: PacketHandle, links: LinkAddresses) {
    this.name = handle.name
    this.fd = handle.fd
    this.offloads = handle.offload ? ALL_OFFLOADS : NO_OFFLOADS
    this.#linkLength = handle.mac === null ? 0 : ethernet.LENGTH
    this.#before = vnet.LENGTH + this.#linkLength
    this.#addressed = handle.mac === null ? handle.ifindex : 0
    this.#mac = handle.mac ?? { high: 0, low: 0 }
    this.#links = links
  }

  receive(slab: Slab, region: Region, batch: Batch): number {
    const count = this.#native.readBatch(this.fd, true, slab.bytes, region.start, region.end, this.#before, batch.at, batch.length, batch.limit)
    batch.count = count > 0 ? count : 0
    const { view } = slab
    let kept = 0
    for (let index = 0; index < batch.count; index++) {
      const at = batch.at[index]!
      if (this.#linkLength !== 0 && ethernet.type(view, at - ethernet.LENGTH) !== ethernet.TYPE_IPV4) {
        if (ethernet.type(view, at - ethernet.LENGTH) === ethernet.TYPE_ARP) this.arp?.receiveArp(slab, at, batch.length[index]!)
        continue
      }
      if (this.#linkLength !== 0) vnet.copy(view, at - this.#before, at - vnet.LENGTH, -ethernet.LENGTH)
      batch.at[kept] = at
      batch.length[kept] = batch.length[index]!
      kept++
    }
    batch.count = kept
    return count
  }

  send(slab: Slab, batch: Batch): void {
    if (this.#linkLength !== 0) this.#writeLinkHeaders(slab, batch)
    this.#write(slab, batch)
  }

  /** Sends frames whose Ethernet header is already written at `at - 14`, and whose virtio header at `at - 24`. */
  sendFrames(slab: Slab, batch: Batch): void {
    this.#write(slab, batch)
  }

  close(): void {
    this.#native.close(this.fd)
  }

  #writeLinkHeaders(slab: Slab, batch: Batch): void {
    const { view } = slab
    const { high, low } = this.#links
    for (let index = 0; index < batch.count; index++) {
      const at = batch.at[index]!
      const link = batch.link[index]!
      vnet.copy(view, at - vnet.LENGTH, at - this.#before, ethernet.LENGTH)
      ethernet.write(view, at - ethernet.LENGTH, high[link]!, low[link]!, this.#mac.high, this.#mac.low, ethernet.TYPE_IPV4)
    }
  }

  #write(slab: Slab, batch: Batch): void {
    this.#native.writeBatch(this.fd, true, slab.bytes, this.#before, batch.at, batch.length, batch.count, this.#result, this.#addressed)
    if (this.#result[WRITE_FAILED] !== 0) {
      this.counters.sendErrors += this.#result[WRITE_FAILED]!
      this.counters.lastErrno = this.#result[WRITE_ERRNO]!
    }
    batch.clear()
  }
}
