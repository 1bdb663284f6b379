/**
 * One of the gateway's interfaces, as the pipeline has it: a device, the batch it receives into, the way out, and what is
 * known of the network behind it.
 */
import { ZONE_INSIDE, ZONE_SELF } from './nat/flow-table.js'
import type { NeighbourTable } from './route/neighbours.js'
import type { InterfaceAddress } from './route/source.js'
import type { RouteTable } from './route/table.js'
import type { WaitingPackets } from './route/waiting.js'
import { Batch, type Region, type Slab } from './stack/batch.js'
import type { Device } from './stack/device/device.js'
import { Egress } from './stack/egress.js'
import type { Scratch } from './stack/scratch.js'
import { maskOf } from './stack/wire/address.js'

/** Zones: which network a packet arrives from. They are part of a flow's keys, and places in the list of attachments. */
export const ZONE_LAN = ZONE_INSIDE
/** Zone of the first WAN; those of the others follow. */
export const ZONE_WAN = 1
/** The gateway itself has no attachment. */
export { ZONE_SELF }

/** Rules and routes count interfaces from the loopback on, which is 1. */
const FIRST_NUMBER = 2
/** The number that rules and routes know an interface by; of the gateway itself, that of the loopback. */
export const numberOfZone = (zone: number): number => (zone + FIRST_NUMBER) & 0xff
export const zoneOfNumber = (number: number): number => number - FIRST_NUMBER

/** Packets received in one turn at most. */
const RECEIVE_BATCH = 64
/** Packets queued for sending before a flush is forced. */
const SEND_BATCH = 512

export interface AttachmentOptions {
  readonly zone: number
  readonly slab: Slab
  /** Where packets are received to. */
  readonly region: Region
  readonly scratch: Scratch
  readonly device: Device
  readonly mtu: number
  /** The gateway's own address on a LAN; 0 on the WAN, where flows' external addresses serve. */
  readonly ownAddress: number
  /** Addresses at which the gateway answers pings. */
  readonly localAddresses: Iterable<number>
  /** null on the LAN: everything that leaves there goes to the kernel behind the TUN. */
  readonly routes: RouteTable | null
  /** Of this link alone: hosts of one address on two links are two neighbours. null where none are needed. */
  readonly neighbours: NeighbourTable | null
  /** Packets that wait for a neighbour of this link; null where there are none. */
  readonly waiting: WaitingPackets | null
}

export class Attachment {
  readonly zone: number
  readonly region: Region
  readonly received = new Batch(RECEIVE_BATCH)
  readonly localAddresses: ReadonlySet<number>
  readonly routes: RouteTable | null
  readonly neighbours: NeighbourTable | null
  readonly waiting: WaitingPackets | null
  readonly #slab: Slab
  readonly #scratch: Scratch
  device: Device
  egress: Egress
  mtu: number
  ownAddress: number
  /** Of a WAN: addresses that flows may have. */
  addresses: readonly number[] = []
  /** Those of them that are chosen for what leaves; null: as `routes` say. */
  sources: readonly InterfaceAddress[] | null = null
  up = true
  rxPackets = 0
  rxBytes = 0

  constructor(options: AttachmentOptions) {
    this.zone = options.zone
    this.region = options.region
    this.localAddresses = new Set(options.localAddresses)
    this.routes = options.routes
    this.neighbours = options.neighbours
    this.waiting = options.waiting
    this.device = options.device
    this.mtu = options.mtu
    this.ownAddress = options.ownAddress
    this.#slab = options.slab
    this.#scratch = options.scratch
    this.egress = new Egress(options.slab, options.device, options.scratch, SEND_BATCH)
  }

  /** The neighbour index for a destination behind this interface; 0 where none is needed, -1 without route. */
  linkTo(destination: number): number {
    if (this.routes === null) return 0
    const route = this.routes.lookup(destination)
    if (route === undefined) return -1
    return this.neighbours === null ? 0 : this.neighbours.indexOf(route.gateway ?? destination)
  }

  /** The address that packets for the gateway itself come to here; 0 for none. */
  get firstAddress(): number {
    return this.ownAddress !== 0 ? this.ownAddress : (this.addresses[0] ?? 0)
  }

  /**
   * The address that a masqueraded flow gets whose next hop is this one: the first primary one whose subnet holds the next hop, else the
   * first primary one, else 0. Secondary addresses are never taken.
   */
  sourceFor(nextHop: number): number {
    if (this.ownAddress !== 0) return this.ownAddress
    if (this.sources === null) return this.routes?.lookup(nextHop)?.source ?? 0
    let first = 0
    for (let index = 0; index < this.sources.length; index++) {
      const { address, peer, prefixLength, primary } = this.sources[index]!
      if (!primary) continue
      if ((((peer ?? address) ^ nextHop) & maskOf(prefixLength)) === 0) return address
      if (first === 0) first = address
    }
    return first
  }

  /** Whether a neighbour can be sent to now; if not, it is asked for, so that it can be soon. @param link -1 for no way; @param now milliseconds */
  canReach(link: number, now: number): boolean {
    if (link <= 0) return link === 0
    if (this.neighbours!.isReachable(link)) return true
    this.neighbours!.request(link, now)
    return false
  }

  /** Exchanges the device, as when an interface came back under a new index. The old one is closed. */
  replaceDevice(device: Device): void {
    this.device.close()
    this.device = device
    const { packets, bytes } = this.egress
    this.egress = new Egress(this.#slab, device, this.#scratch, SEND_BATCH)
    this.egress.packets = packets
    this.egress.bytes = bytes
  }
}
