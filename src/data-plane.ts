/**
 * Puts the pipeline together from the settings that the main thread sends: memory, devices, tables. The worker's loop is in
 * worker.ts, the path of a packet in pipeline.ts.
 */
import { Attachment, numberOfZone, ZONE_LAN, ZONE_WAN, zoneOfNumber } from './attachment.js'
import { closeAddresses } from './nat/expire.js'
import { Admission } from './admission.js'
import { AddressPool } from './nat/address-pool.js'
import { behaviourColumn, ENDPOINT_INDEPENDENT } from './nat/behaviour.js'
import { EndpointChooser } from './nat/choose-endpoint.js'
import { DeterministicPlan } from './nat/deterministic.js'
import { createEventRing } from './nat/event-ring.js'
import { FlowEvents } from './nat/events.js'
import { FlowTable, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS, ZONE_INSIDE } from './nat/flow-table.js'
import { type Forward, Forwards } from './nat/forwards.js'
import { Hairpins } from './nat/hairpins.js'
import { RoomMaker } from './nat/make-room.js'
import { Identifications } from './nat/identification.js'
import { Mappings } from './nat/mappings.js'
import { OutsideAddresses } from './nat/outside-addresses.js'
import { PortHold } from './nat/port-hold.js'
import { FlowOpener } from './nat/open-flow.js'
import { parsePool } from './nat/pool.js'
import { FIRST_BLOCK, PortBlocks } from './nat/port-blocks.js'
import { PortPool } from './nat/port-pool.js'
import type { RandomSource } from './nat/random.js'
import { Rules } from './nat/rules.js'
import type { PortSettings } from './nat/settings.js'
import { Sources } from './nat/sources.js'
import { timeoutColumn } from './nat/timeouts.js'
import { Tracker } from './nat/track.js'
import { Clock } from './clock.js'
import { Epoch } from './epoch.js'
import { HookEnvironment } from './hooks/environment.js'
import { Hooks } from './hooks/hooks.js'
import { createLogRing, LOG_RING_MIN, RuleLog } from './hooks/log-ring.js'
import { Knocks } from './knocks.js'
import type { OpenDelivery } from './local-delivery.js'
import { LocalFlows } from './local-flows.js'
import { NextHopQueue } from './next-hop-queue.js'
import { OwnHost } from './own-host.js'
import { OwnFlows } from './own-flows.js'
import { OwnSockets } from './own-sockets.js'
import { OwnTraffic } from './own-traffic.js'
import { Pipeline } from './pipeline.js'
import { OutsidePorts } from './outside-ports.js'
import { PolicyPlane } from './policy-plane.js'
import { RecentPeers } from './recent-peers.js'
import { Reports } from './reports.js'
import { Routing } from './routing.js'
import { NeighbourTable } from './route/neighbours.js'
import { RouteTable } from './route/table.js'
import { UnsolicitedSyns } from './nat/unsolicited-syns.js'
import { WaitingPackets } from './route/waiting.js'
import { createSlab, type Region, type Slab } from './stack/batch.js'
import type { Device } from './stack/device/device.js'
import { FragmentTable } from './stack/fragments.js'
import { HeldPackets } from './stack/held.js'
import type { SocketTable } from './stack/sockets/socket-table.js'
import { Scratch } from './stack/scratch.js'
import { TokenBucket } from './stack/token-bucket.js'
import { PROTOCOL_TCP } from './stack/wire/ipv4.js'
import { LiveTrace, type TraceRequest } from './trace/live.js'
import { Recorder, type RecorderSources } from './trace/recorder.js'
import type { Trace } from './trace/steps.js'
import { Tracing } from './trace/tracing.js'
import type { DeadFlows, PortRange, WanSettings, WorkerSettings } from './worker-protocol.js'

/** Receive regions: small enough to stay in the cache, large enough for several superpackets. */
const RECEIVE_BYTES = 512 << 10
const SCRATCH_BYTES = 4 << 20
const WAITING_BYTES = 1 << 20
/** SYNs that nobody waits for. */
const SYN_BYTES = 64 << 10
/** Packets of the gateway's own sockets, in one turn. */
const SOCKET_BYTES = 2 << 20
/** Extra room, for devices that need some of the slab. */
const EXTRA_BYTES = 16 << 20
/** ICMP errors that may be sent at once. */
const ERROR_BURST = 50

export type DataPlaneSettings = Pick<
  WorkerSettings,
  'table' | 'stats' | 'ports' | 'forwards' | 'behaviour' | 'mssClamp'
> & {
  readonly lan: { readonly mtu: number; readonly address: number }
  readonly wans: readonly {
    readonly settings: WanSettings
    /** Addresses that no kernel has: the gateway answers pings there. */
    readonly ownedAddresses?: readonly number[] | null
  }[]
  /** Default `reset`. */
  readonly deadFlows?: DeadFlows
  /** event-ring.ts; absent: nobody ever listens. */
  readonly events?: SharedArrayBuffer
  /** Absent: lo, tun0, eth0. */
  readonly policy?: { readonly interfaces: readonly string[]; readonly seed: number }
  /** hooks/log-ring.ts; absent: nobody ever reads what rules log. */
  readonly logs?: SharedArrayBuffer
  /** The sockets of the gateway's own; null or absent: it has none. */
  readonly sockets?: SocketTable | null
  /** From which they choose their own ports. Default: from all. */
  readonly socketPorts?: PortRange
}

/** What the pieces need from outside: devices, chance, and somebody to resolve neighbours. */
export interface DataPlaneDevices {
  lan(slab: Slab, extra: Region): Device
  /** @param index 0 for the first WAN */
  wan(index: number, slab: Slab, extra: Region, neighbours: NeighbourTable): Device
  /** The WAN has Ethernet addresses. */
  wanHasNeighbours(index: number): boolean
  /** Somebody on the link of a WAN is to be found out. */
  ask(index: number, address: number): void
  readonly random: RandomSource
  /** Where packets for the gateway's own sockets go; absent: there are none. */
  readonly openDelivery?: OpenDelivery
  /** Writes the time, in milliseconds and their fractions, to the first place; absent: the time of the turn will do. */
  readClock?(clock: Float64Array): void
}

export function* portsOf(ranges: readonly PortRange[]): Generator<number> {
  for (const [first, last] of ranges) for (let port = first; port <= last; port++) yield port
}

/** Ports of a block beyond those that deterministic NAT gives, where nothing is said of blocks. */
const OVERFLOW_BLOCK = 64

/** Where port blocks begin, their size and how many a host may have; null where there are none. */
const blockPlan = ({ blockSize, blocksPerHost }: PortSettings, plan: DeterministicPlan | null): { first: number; size: number; perHost: number } | null => {
  if (plan === null) return blockSize === 0 ? null : { first: FIRST_BLOCK, size: blockSize, perHost: blocksPerHost }
  const size = blockSize === 0 ? OVERFLOW_BLOCK : blockSize
  const perHost = Math.floor(plan.portsBeyond / size)
  return perHost === 0 ? null : { first: plan.overflow, size, perHost }
}

export class DataPlane {
  readonly slab: Slab
  readonly pipeline: Pipeline
  readonly table: FlowTable
  /** Rules, sets, routing by policy. */
  readonly policy: PolicyPlane<HookEnvironment>
  readonly tracing: Tracing
  /** Finds the flow of what a socket sends. */
  readonly localFlows: LocalFlows
  /** Takes what the gateway's own sockets send; null without any. */
  readonly own: OwnTraffic | null
  readonly #epoch = new Epoch()
  /** Of each WAN, as told last. */
  readonly #wanSettings: WanSettings[]
  readonly #ports: PortPool
  readonly #addresses: AddressPool
  readonly #chooser: EndpointChooser
  /** Port blocks; null where ports are given one by one. */
  readonly blocks: PortBlocks | null
  /** Where hooks write what rules log. */
  readonly ruleLog: RuleLog
  readonly #outside = new OutsideAddresses()
  readonly #mappings: Mappings
  readonly #events: FlowEvents
  readonly #forwards: Forwards
  readonly #admission: Admission
  readonly #forgetsWhenDown: boolean

  constructor(settings: DataPlaneSettings, devices: DataPlaneDevices) {
    const { nat, timeouts, limits } = settings.behaviour
    this.#forgetsWhenDown = nat.forgetWhenDown
    let end = 0
    const region = (size: number): Region => ({ start: end, end: (end += size) })
    const lanRegion = region(RECEIVE_BYTES)
    const wanRegions = settings.wans.map(() => region(RECEIVE_BYTES))
    const scratchRegion = region(SCRATCH_BYTES)
    const fragmentRegion = region(limits.fragmentBytes)
    const waitingRegion = region(WAITING_BYTES)
    const synRegion = region(SYN_BYTES)
    const socketRegion = region(devices.openDelivery === undefined ? 0 : SOCKET_BYTES)
    const lanExtra = region(EXTRA_BYTES)
    const wanExtras = settings.wans.map(() => region(EXTRA_BYTES))
    const slab = createSlab(end)
    this.slab = slab

    const scratch = new Scratch(scratchRegion)
    this.table = new FlowTable(settings.table, devices.random.next())
    this.#ports = new PortPool(portsOf(settings.ports))
    const lan = new Attachment({
      zone: ZONE_LAN, slab, region: lanRegion, scratch, device: devices.lan(slab, lanExtra),
      mtu: settings.lan.mtu, ownAddress: settings.lan.address, localAddresses: [settings.lan.address],
      routes: null, neighbours: null, waiting: null,
    })
    const waiting = new HeldPackets(slab, waitingRegion)
    this.#wanSettings = settings.wans.map((wan) => wan.settings)
    const wans = settings.wans.map(({ settings: { mtu }, ownedAddresses }, index) => {
      const neighbours = new NeighbourTable((address) => devices.ask(index, address))
      const device = devices.wan(index, slab, wanExtras[index]!, neighbours)
      const isEthernet = devices.wanHasNeighbours(index)
      return new Attachment({
        zone: ZONE_WAN + index, slab, region: wanRegions[index]!, scratch, device, mtu, ownAddress: 0, localAddresses: ownedAddresses ?? [],
        routes: new RouteTable(), neighbours: isEthernet ? neighbours : null, waiting: isEthernet ? new WaitingPackets(waiting) : null,
      })
    })
    const attachments = [lan, ...wans]
    const { stats } = settings
    const clock = new Clock()
    const limit = new TokenBucket(limits.icmpErrorsPerSecond, ERROR_BURST)
    const idle = timeoutColumn(timeouts)
    const peers = new RecentPeers(devices.random.next())
    const sockets = settings.sockets == null ? null : new OwnSockets({
      table: settings.sockets, view: slab.view, flows: this.table, peers, clock, firstAddress: (iface) => attachments[zoneOfNumber(iface)]?.firstAddress ?? 0,
    })
    this.policy = new PolicyPlane({
      interfaces: settings.policy?.interfaces ?? ['lo', 'tun0', 'eth0'],
      seed: settings.policy?.seed ?? devices.random.next(),
      environment: (parts) => new HookEnvironment({ parts, view: slab.view, table: this.table, clock, random: devices.random, zones: attachments.length, sockets }),
    })
    this.tracing = new Tracing({ view: slab.view, table: this.table, attachments, rules: this.policy.evaluator })
    const { tracing } = this
    const reports = new Reports({ slab, scratch, limit, clock, stats, tracing })
    this.ruleLog = new RuleLog(settings.logs ?? createLogRing(LOG_RING_MIN), (clock) => {
      if (devices.readClock === undefined) clock[0] = this.pipeline.now
      else devices.readClock(clock)
    })
    const hooks = new Hooks({ slab, log: this.ruleLog, table: this.table, policy: this.policy, reports, timeouts: idle, random: devices.random, tracing })
    const routing = new Routing(slab, this.policy.router, attachments, tracing)
    this.policy.onChange = () => {
      this.#epoch.next()
      hooks.rulesChanged()
    }
    this.policy.onCount = () => hooks.settle(0, this.table.used)
    this.#mappings = new Mappings(this.table, devices.random.next(), this.#outside)
    this.#forwards = new Forwards(settings.forwards)
    const hold = new PortHold(nat.ports.hold, nat.ports.holdMax)
    const sources = new Sources(this.table, limits, devices.random.next())
    const rules = new Rules(nat.rules, nat, limits.flows)
    const hairpins = new Hairpins(this.table, this.#mappings, idle, devices.random.next())
    const room = new RoomMaker(this.table, sources)
    const events = new FlowEvents(settings.events ?? createEventRing(1), this.table, this.#mappings, () => this.pipeline.now)
    this.#events = events
    this.table.onReclass = (flow, before, after) => sources.reclassed(flow, before, after)
    this.table.onClose = (flow) => {
      hooks.flowEnds(flow)
      events.end(flow)
      sources.closed(flow)
      rules.closed(flow)
      hairpins.closed(flow)
      this.#endMapping(flow, hold)
    }
    this.table.onChange = (flow, before) => {
      sources.changed(flow, before)
      events.change(flow, before)
      hooks.flowChanged(flow)
    }
    this.#mappings.onBegin = (flow) => events.mapping(true, flow)
    const pool = nat.pool === null ? null : parsePool(nat.pool)!
    this.#addresses = new AddressPool(pool, nat.pooling)
    const deterministic = nat.deterministic === null ? null : new DeterministicPlan(nat.deterministic, pool ?? this.#wanSettings[0]!.addresses)
    const plan = blockPlan(nat.ports, deterministic)
    this.blocks = plan === null ? null : new PortBlocks({ ...plan, hold: nat.ports.hold, ports: this.#ports, random: devices.random })
    if (this.blocks !== null) this.blocks.onBlock = (event, inside, outside, first, last) => events.block(event === 'assigned', inside, outside, first, last)
    const outsidePorts = settings.sockets == null ? null : new OutsidePorts({ sockets: settings.sockets, ports: this.#ports, chosen: settings.socketPorts ?? [1, 65535], table: this.table, mappings: this.#mappings, forwards: this.#forwards })
    this.#chooser = new EndpointChooser({
      others: outsidePorts,
      table: this.table, mappings: this.#mappings, ports: this.#ports, addresses: this.#addresses, forwards: this.#forwards, hold,
      blocks: this.blocks, deterministic, parity: nat.ports.parity,
      keepIdentifiers: settings.wans.every(({ ownedAddresses }) => ownedAddresses !== null), random: devices.random,
    })
    const opener = new FlowOpener({ table: this.table, mappings: this.#mappings, chooser: this.#chooser, random: devices.random })
    this.#admission = new Admission({
      attachments, hooks, routing, table: this.table, mappings: this.#mappings, forwards: this.#forwards, opener, chooser: this.#chooser, pool: this.#addresses,
      behaviours: behaviourColumn(nat, nat.ports.selection), rules, sources, hairpins, room, ports: this.#ports, limits,
      passOthers: nat.otherProtocols === 'by-address', pickup: nat.tcp.pickup,
    })
    if (sockets !== null) this.#chooser.isConnected = (packet, remote, remotePort, own, ownPort) => sockets.isTaken(packet, remote, remotePort, own, ownPort)
    const tracker = new Tracker(this.table, nat.tcp, idle)
    this.localFlows = new LocalFlows(slab, this.table, tracker, clock)
    const queue = new NextHopQueue(waiting, reports, clock, tracing)
    const delivery = devices.openDelivery?.(slab, socketRegion) ?? null
    const flows = new OwnFlows({ clock, attachments, hooks, table: this.table, local: this.localFlows, opener })
    this.own = delivery === null || outsidePorts === null ? null : new OwnTraffic({
      slab, clock, hooks, routing, sockets: settings.sockets!, delivery, outsidePorts, peers, flows, stats,
    })
    const syns = nat.tcp.unsolicitedSyn === 'hold' ? new UnsolicitedSyns(new HeldPackets(slab, synRegion)) : null
    const fragmentHeld = new HeldPackets(slab, fragmentRegion)
    this.pipeline = new Pipeline({
      slab, scratch, clock, stats, lan, wans, attachments,
      table: this.table,
      admission: this.#admission,
      own: this.own,
      hooks, routing, tracing, epoch: this.#epoch, deadFlows: settings.deadFlows ?? 'reset',
      events, hairpins, sources, room, rules, reports, queue,
      ownHost: new OwnHost(slab, reports, queue, tracing),
      knocks: syns === null ? null : new Knocks(slab, syns, attachments, reports, clock),
      fragments: new FragmentTable(fragmentHeld, timeouts.fragments, devices.random.next()),
      held: fragmentHeld,
      identifications: new Identifications(devices.random),
      tracker, sockets, delivery,
      localFlows: this.localFlows,
      timeouts: idle,
      refusal: limits.refusal,
      verifiesSums: nat.verifyChecksums,
      mssClamp: settings.mssClamp,
    })
    this.pipeline.onSecond = (second) => {
      this.blocks?.expire(second)
      this.policy.sweep()
    }
    this.#wanSettings.forEach((wan, index) => this.setWan(index, wan))
  }

  /**
   * A WAN's addresses, routes, MTU or state changed. Flows of addresses that no WAN has any more end; all flows of its addresses, if
   * so configured, with the interface.
   */
  setWan(index: number, settings: WanSettings): void {
    const wan = this.pipeline.wans[index]!
    wan.up = settings.up
    wan.mtu = settings.mtu
    wan.routes!.replace(settings.routes)
    wan.addresses = settings.addresses
    wan.sources = settings.sources ?? null
    this.policy.router.setDeviceDead(numberOfZone(wan.zone), !settings.up)
    this.#epoch.next()
    const before = this.#admission.addresses
    this.#wanSettings[index] = settings
    this.#admission.addresses = new Set(this.#wanSettings.flatMap(({ addresses }) => addresses))
    const byWan = this.#wanSettings.map((one) => new Set(one.addresses))
    this.#outside.replace(byWan)
    this.#addresses.setPresent(this.#admission.addresses, byWan)
    const kept = this.#wanSettings.filter(({ enabled, up }) => !this.#forgetsWhenDown || (enabled ?? up))
    const stay = new Set(kept.flatMap(({ addresses }) => addresses))
    closeAddresses(this.table, new Set([...before, ...settings.addresses].filter((address) => !stay.has(address))))
  }

  /** A flow ends. When its mapping ends with it, the outside port rests, if strangers could have sent to it (RFC 6888 REQ-8). */
  #endMapping(flow: number, hold: PortHold): void {
    const mappings = this.#mappings
    const side = mappings.insideSide(flow) * SIDE_WORDS
    const isMember = mappings.isMember(flow)
    const isOpen = isMember && mappings.behaviourOf(flow) >>> 2 === ENDPOINT_INDEPENDENT
    this.#chooser.forget(flow)
    // A flow that shares its port holds it alone.
    const ends = isMember ? mappings.remove(flow) : this.table.zoneOf(flow * 2) === ZONE_INSIDE
    if (!ends) return
    if (isMember) this.#events.mapping(false, flow)
    const { sides, now } = this.table
    const outside = side ^ SIDE_WORDS
    const inside = sides[side + SIDE_SOURCE]!
    const external = sides[outside + SIDE_DESTINATION]!
    const port = sides[outside + SIDE_PORTS]! & 0xffff
    this.#chooser.end(inside, external, port, now)
    const protocol = sides[side + SIDE_META]! & 0xff
    if (isOpen && protocol !== PROTOCOL_TCP) hold.release(external, protocol, port, inside, sides[side + SIDE_PORTS]! >>> 16, now)
  }

  /** The gateways of default routes will be needed: they are asked for before a burst of packets has to wait. */
  askForGateways(index: number, { routes }: WanSettings): void {
    const { neighbours } = this.pipeline.wans[index]!
    if (neighbours === null) return
    for (const { prefixLength, gateway } of routes) {
      if (prefixLength !== 0 || gateway === null) continue
      const link = neighbours.indexOf(gateway)
      if (link > 0 && !neighbours.isReachable(link)) neighbours.request(link, this.pipeline.now)
    }
  }

  /** Traces packets as they pass, until told otherwise; null ends it. */
  traceLive(request: TraceRequest | null): void {
    this.tracing.live = request === null ? null : new LiveTrace(this.#traceSources(), request)
  }

  /** What would become of a packet from a zone? Changes nothing. @param mark that it comes with; @param isNew as if no flow had its tuple */
  explain(bytes: Uint8Array, zone: number, mark: number, isNew: boolean): Trace {
    const { lan, wans } = this.pipeline
    return this.pipeline.explainer.explain(new Recorder(this.#traceSources()), bytes, zone === ZONE_LAN ? lan : wans[zone - ZONE_WAN]!, mark, isNew)
  }

  /** As they are at each packet. */
  #traceSources(): RecorderSources {
    const { policy, pipeline, table } = this
    return {
      table,
      get ruleset() { return policy.evaluator.ruleset },
      get now() { return pipeline.now },
    }
  }

  setPorts(ports: readonly PortRange[], forwards: readonly Forward[]): void {
    this.#ports.replace(portsOf(ports))
    this.#forwards.replace(forwards)
  }

  /** @param index of the WAN that it is on the link of */
  learnNeighbour(index: number, address: number, high: number, low: number): void {
    const wan = this.pipeline.wans[index]!
    const link = wan.neighbours?.learn(address, high, low) ?? -1
    if (link > 0) this.pipeline.releaseWaiting(wan, link)
  }

  /** @param index of the WAN that it is on the link of; @param now milliseconds */
  failNeighbour(index: number, address: number, now: number): void {
    const wan = this.pipeline.wans[index]!
    const link = wan.neighbours?.fail(address, now) ?? -1
    if (link > 0) this.pipeline.releaseWaiting(wan, link)
  }

  /** Closes flows given as pairs of index and generation; a flow that has another generation by now is left alone. Returns those closed. */
  closeFlows(pairs: Int32Array): Int32Array {
    const closed: number[] = []
    this.#events.isRequested = true
    for (let index = 0; index + 1 < pairs.length; index += 2) {
      const flow = pairs[index]!
      const generation = pairs[index + 1]!
      if (flow < this.table.used && this.table.isLive(flow) && this.table.generationOf(flow) === generation) {
        this.table.close(flow)
        closed.push(flow, generation)
      }
    }
    this.#events.isRequested = false
    return Int32Array.from(closed)
  }
}
