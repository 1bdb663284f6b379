/** A WAN in the worker: its device with tap and faults around it, and ARP where its addresses are tsnat's alone. */
import { ZONE_WAN } from './attachment.js'
import { native } from './native.js'
import type { NeighbourTable } from './route/neighbours.js'
import { ARP_REGION, ArpEndpoint, type ArpListener } from './stack/arp-endpoint.js'
import type { Region, Slab } from './stack/batch.js'
import type { Device } from './stack/device/device.js'
import { FaultDevice } from './stack/device/fault.js'
import { PacketDevice } from './stack/device/packet.js'
import { PcapDevice } from './stack/device/pcap.js'
import { TunDevice } from './stack/device/tun.js'
import type { FaultSettings, WanHandle } from './worker-protocol.js'

export const withFaults = (device: Device, fault: FaultSettings | null, storage: Region): Device =>
  fault === null ? device : new FaultDevice(device, { ...fault, storage })

export interface WorkerWanOptions {
  /** 0 for the first WAN. */
  readonly index: number
  /** Addresses that tsnat answers ARP for; null: the kernel resolves. */
  readonly linkAddresses: readonly number[] | null
  readonly fault: FaultSettings | null
  /** Microseconds since 1970. */
  readonly wallClock: () => number
  readonly listener: ArpListener
}

export class WorkerWan {
  readonly #options: WorkerWanOptions
  #slab!: Slab
  #extra!: Region
  #neighbours!: NeighbourTable
  /** Where copies of its packets are taken; another one after each `open`. */
  tap!: PcapDevice
  arp: ArpEndpoint | null = null
  #kernelDropsFd = -1

  constructor(options: WorkerWanOptions) {
    this.#options = options
  }

  /** Hands over what `open` needs. @param extra bytes of the slab for faults and ARP */
  place(slab: Slab, extra: Region, neighbours: NeighbourTable): void {
    this.#slab = slab
    this.#extra = extra
    this.#neighbours = neighbours
  }

  /** The device of a handle; what was open before is closed by its owner. */
  open(handle: WanHandle): Device {
    const { index, linkAddresses, fault, wallClock, listener } = this.#options
    const { start, end } = this.#extra
    const sink = this.tap?.sink
    let device: Device
    this.arp = null
    this.#kernelDropsFd = -1
    if (handle.kind === 'packet') {
      const packet = new PacketDevice(handle.packet, this.#neighbours)
      this.#kernelDropsFd = packet.fd
      if (linkAddresses !== null && handle.packet.mac !== null) {
        this.arp = new ArpEndpoint(this.#slab, { start: end - ARP_REGION * 2, end }, packet, handle.packet.mac, linkAddresses, listener)
      }
      device = packet
    } else {
      device = new TunDevice(handle.plain)
    }
    this.tap = new PcapDevice(device, ZONE_WAN + index, wallClock)
    this.tap.sink = sink
    return withFaults(this.tap, fault, { start, end: end - ARP_REGION * 2 })
  }

  /** Packets that the kernel dropped since the last call, because the socket was full. */
  takeKernelDrops(): number {
    return this.#kernelDropsFd < 0 ? 0 : native().packetDrops(this.#kernelDropsFd)
  }

  forgetNeighbours(): void {
    this.#neighbours.forgetAll()
  }
}
