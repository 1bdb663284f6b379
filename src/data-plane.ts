/**
 * Puts the pipeline together from the settings that the main thread sends: memory, devices, tables. The worker's loop is in
 * worker.ts, the path of a packet in pipeline.ts.
 */
import { Attachment, ZONE_LAN, ZONE_WAN } from './attachment.js'
import { closeAddressesExcept } from './nat/expire.js'
import { Admission } from './admission.js'
import { behaviourColumn, ENDPOINT_INDEPENDENT } from './nat/behaviour.js'
import { FlowTable, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './nat/flow-table.js'
import { type Forward, Forwards } from './nat/forwards.js'
import { Mappings } from './nat/mappings.js'
import { PortHold } from './nat/port-hold.js'
import { FlowOpener } from './nat/open-flow.js'
import { PortPool } from './nat/port-pool.js'
import type { RandomSource } from './nat/random.js'
import { TcpTracker } from './nat/tcp-tracker.js'
import { timeoutColumn } from './nat/timeouts.js'
import { Pipeline } from './pipeline.js'
import { NeighbourTable } from './route/neighbours.js'
import { RouteTable } from './route/table.js'
import { WaitingPackets } from './route/waiting.js'
import { createSlab, type Region, type Slab } from './stack/batch.js'
import type { Device } from './stack/device/device.js'
import { FragmentTable } from './stack/fragments.js'
import { HeldPackets } from './stack/held.js'
import { Scratch } from './stack/scratch.js'
import { TokenBucket } from './stack/token-bucket.js'
import { PROTOCOL_TCP } from './stack/wire/ipv4.js'
import type { PortRange, WanSettings, WorkerSettings } from './worker-protocol.js'

/** Receive regions: small enough to stay in the cache, large enough for several superpackets. */
const RECEIVE_BYTES = 512 << 10
const SCRATCH_BYTES = 4 << 20
const WAITING_BYTES = 1 << 20
/** Extra room, for devices that need some of the slab. */
const EXTRA_BYTES = 16 << 20
/** ICMP errors that may be sent at once. */
const ERROR_BURST = 50

export type DataPlaneSettings = Pick<
  WorkerSettings,
  'table' | 'stats' | 'wanSettings' | 'ports' | 'forwards' | 'behaviour' | 'mssClamp'
> & {
  readonly lan: { readonly mtu: number; readonly address: number }
  /** Addresses that no kernel has: the gateway answers pings there. */
  readonly ownedAddresses?: readonly number[] | null
}

/** What the pieces need from outside: devices, chance, and somebody to resolve neighbours. */
export interface DataPlaneDevices {
  lan(slab: Slab, extra: Region): Device
  wan(slab: Slab, extra: Region, neighbours: NeighbourTable): Device
  /** The WAN has Ethernet addresses. */
  readonly wanHasNeighbours: boolean
  ask(address: number): void
  readonly random: RandomSource
}

export function* portsOf(ranges: readonly PortRange[]): Generator<number> {
  for (const [first, last] of ranges) for (let port = first; port <= last; port++) yield port
}

export class DataPlane {
  readonly slab: Slab
  readonly pipeline: Pipeline
  readonly table: FlowTable
  readonly neighbours: NeighbourTable
  readonly #routes = new RouteTable()
  readonly #ports: PortPool
  readonly #mappings: Mappings
  readonly #forwards: Forwards
  readonly #admission: Admission

  constructor(settings: DataPlaneSettings, devices: DataPlaneDevices) {
    const { nat, timeouts, limits } = settings.behaviour
    let end = 0
    const region = (size: number): Region => ({ start: end, end: (end += size) })
    const lanRegion = region(RECEIVE_BYTES)
    const wanRegion = region(RECEIVE_BYTES)
    const scratchRegion = region(SCRATCH_BYTES)
    const fragmentRegion = region(limits.fragmentBytes)
    const waitingRegion = region(WAITING_BYTES)
    const lanExtra = region(EXTRA_BYTES)
    const wanExtra = region(EXTRA_BYTES)
    const slab = createSlab(end)
    this.slab = slab

    const scratch = new Scratch(scratchRegion)
    this.neighbours = new NeighbourTable((address) => devices.ask(address))
    this.table = new FlowTable(settings.table, devices.random.next())
    this.#ports = new PortPool(portsOf(settings.ports))
    const lan = new Attachment({
      zone: ZONE_LAN, slab, region: lanRegion, scratch, device: devices.lan(slab, lanExtra),
      mtu: settings.lan.mtu, ownAddress: settings.lan.address, localAddresses: [settings.lan.address],
      routes: null, neighbours: null,
    })
    const wan = new Attachment({
      zone: ZONE_WAN, slab, region: wanRegion, scratch, device: devices.wan(slab, wanExtra, this.neighbours),
      mtu: settings.wanSettings.mtu, ownAddress: 0, localAddresses: settings.ownedAddresses ?? [],
      routes: this.#routes, neighbours: devices.wanHasNeighbours ? this.neighbours : null,
    })
    this.#mappings = new Mappings(this.table, devices.random.next())
    this.#forwards = new Forwards(settings.forwards)
    const hold = new PortHold(nat.ports.hold)
    this.table.onClose = (flow) => this.#endMapping(flow, hold)
    const opener = new FlowOpener({
      table: this.table, mappings: this.#mappings, ports: this.#ports, forwards: this.#forwards, hold,
      keepIdentifiers: settings.ownedAddresses !== null, random: devices.random,
    })
    this.#admission = new Admission({
      lan, wan, table: this.table, mappings: this.#mappings, forwards: this.#forwards, opener, behaviours: behaviourColumn(nat),
      pickup: nat.tcp.pickup,
    })
    const idleTimes = timeoutColumn(timeouts)
    const fragmentHeld = new HeldPackets(slab, fragmentRegion)
    this.pipeline = new Pipeline({
      slab, scratch, lan, wan,
      table: this.table,
      admission: this.#admission,
      fragments: new FragmentTable(fragmentHeld, timeouts.fragments, devices.random.next()),
      held: fragmentHeld,
      waiting: new WaitingPackets(new HeldPackets(slab, waitingRegion)),
      errorLimit: new TokenBucket(limits.icmpErrorsPerSecond, ERROR_BURST),
      tcpTracker: new TcpTracker(this.table, nat.tcp, idleTimes),
      timeouts: idleTimes,
      mssClamp: settings.mssClamp,
      stats: settings.stats,
    })
    this.setWan(settings.wanSettings)
  }

  /** The WAN's addresses, routes, MTU or state changed. Flows of addresses that are gone end. */
  setWan(settings: WanSettings): void {
    const { wan } = this.pipeline
    wan.up = settings.up
    wan.mtu = settings.mtu
    this.#routes.replace(settings.routes)
    this.#admission.addresses = new Set(settings.addresses)
    closeAddressesExcept(this.table, this.#admission.addresses)
  }

  /** A flow ends. When its mapping ends with it, the outside port rests, if strangers could have sent to it (RFC 6888 REQ-8). */
  #endMapping(flow: number, hold: PortHold): void {
    const side = this.#mappings.insideSide(flow) * SIDE_WORDS
    const isOpen = this.#mappings.behaviourOf(flow) >>> 2 === ENDPOINT_INDEPENDENT
    if (!this.#mappings.remove(flow) || !isOpen) return
    const { sides } = this.table
    const protocol = sides[side + SIDE_META]! & 0xff
    if (protocol === PROTOCOL_TCP) return
    const outside = side ^ SIDE_WORDS
    hold.release(sides[outside + SIDE_DESTINATION]!, protocol, sides[outside + SIDE_PORTS]! & 0xffff, sides[side + SIDE_SOURCE]!, sides[side + SIDE_PORTS]! >>> 16, this.table.now)
  }

  /** The gateways of default routes will be needed: they are asked for before a burst of packets has to wait. */
  askForGateways({ routes }: WanSettings): void {
    if (this.pipeline.wan.neighbours === null) return
    for (const { prefixLength, gateway } of routes) {
      if (prefixLength !== 0 || gateway === null) continue
      const link = this.neighbours.indexOf(gateway)
      if (link > 0 && !this.neighbours.isReachable(link)) this.neighbours.request(link, this.pipeline.now)
    }
  }

  setPorts(ports: readonly PortRange[], forwards: readonly Forward[]): void {
    this.#ports.replace(portsOf(ports))
    this.#forwards.replace(forwards)
  }

  learnNeighbour(address: number, high: number, low: number): void {
    const link = this.neighbours.learn(address, high, low)
    if (link > 0) this.pipeline.releaseWaiting(link)
  }

  /** @param now milliseconds */
  failNeighbour(address: number, now: number): void {
    const link = this.neighbours.fail(address, now)
    if (link > 0) this.pipeline.releaseWaiting(link)
  }

  /** Closes flows given as pairs of index and generation; a flow that has another generation by now is left alone. Returns those closed. */
  closeFlows(pairs: Int32Array): Int32Array {
    const closed: number[] = []
    for (let index = 0; index + 1 < pairs.length; index += 2) {
      const flow = pairs[index]!
      const generation = pairs[index + 1]!
      if (flow < this.table.used && this.table.isLive(flow) && this.table.generationOf(flow) === generation) {
        this.table.close(flow)
        closed.push(flow, generation)
      }
    }
    return Int32Array.from(closed)
  }
}
