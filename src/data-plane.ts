/**
 * Puts the pipeline together from the settings that the main thread sends: memory, devices, tables. The worker's loop is in
 * worker.ts, the path of a packet in pipeline.ts.
 */
import { Admission } from './admission.js'
import { Attachment, numberOfZone, ZONE_LAN, ZONE_WAN, zoneOfNumber } from './attachment.js'
import { Clock } from './clock.js'
import { layOut } from './data-plane-memory.js'
import { Epoch } from './epoch.js'
import { HookEnvironment } from './hooks/environment.js'
import { Hooks } from './hooks/hooks.js'
import { createLogRing, LOG_RING_MIN, RuleLog } from './hooks/log-ring.js'
import { Knocks } from './knocks.js'
import type { OpenDelivery } from './local-delivery.js'
import { LocalFlows } from './local-flows.js'
import { behaviourColumn } from './nat/behaviour.js'
import { closeAddresses } from './nat/expire.js'
import type { FlowTable } from './nat/flow-table.js'
import { Identifications } from './nat/identification.js'
import { Nat } from './nat/nat.js'
import { UnsolicitedSyns } from './nat/unsolicited-syns.js'
import { NextHopQueue } from './next-hop-queue.js'
import { OutsidePorts } from './outside-ports.js'
import { OwnEgress } from './own-egress.js'
import { OwnFlows } from './own-flows.js'
import { OwnHost } from './own-host.js'
import { OwnSockets } from './own-sockets.js'
import { OwnTraffic } from './own-traffic.js'
import { Pipeline } from './pipeline.js'
import { PolicyPlane } from './policy-plane.js'
import { RecentPeers } from './recent-peers.js'
import { Reports } from './reports.js'
import { Routing } from './routing.js'
import { NeighbourTable } from './route/neighbours.js'
import { RouteTable } from './route/table.js'
import { WaitingPackets } from './route/waiting.js'
import type { Region, Slab } from './stack/batch.js'
import type { Device } from './stack/device/device.js'
import { FragmentTable } from './stack/fragments.js'
import { HeldPackets } from './stack/held.js'
import type { PortRange } from './stack/port-range.js'
import type { RandomSource } from './stack/random.js'
import type { SocketTable } from './stack/sockets/socket-table.js'
import { Scratch } from './stack/scratch.js'
import { TokenBucket } from './stack/token-bucket.js'
import { LiveTrace, type TraceRequest } from './trace/live.js'
import { Recorder, type RecorderSources } from './trace/recorder.js'
import type { Trace } from './trace/steps.js'
import { Tracing } from './trace/tracing.js'
import type { DeadFlows, WanSettings, WorkerSettings } from './worker-protocol.js'

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

export class DataPlane {
  readonly slab: Slab
  readonly pipeline: Pipeline
  readonly table: FlowTable
  /** The flow table and all that follows it. */
  readonly nat: Nat
  /** Rules, sets, routing by policy. */
  readonly policy: PolicyPlane<HookEnvironment>
  readonly tracing: Tracing
  /** Takes what the gateway's own sockets send; null without any. */
  readonly own: OwnTraffic | null
  readonly #epoch = new Epoch()
  /** Of each WAN, as told last. */
  readonly #wanSettings: WanSettings[]
  readonly #admission: Admission
  readonly #forgetsWhenDown: boolean

  constructor(settings: DataPlaneSettings, devices: DataPlaneDevices) {
    const { nat, timeouts, limits } = settings.behaviour
    this.#forgetsWhenDown = nat.forgetWhenDown
    const memory = layOut(settings.wans.length, limits.fragmentBytes, devices.openDelivery !== undefined)
    const { slab } = memory
    this.slab = slab

    const scratch = new Scratch(memory.scratch)
    const clock = new Clock()
    this.#wanSettings = settings.wans.map((wan) => wan.settings)
    this.nat = new Nat({
      memory: settings.table, behaviour: settings.behaviour, ports: settings.ports, forwards: settings.forwards, events: settings.events,
      addresses: this.#wanSettings[0]!.addresses, keepIdentifiers: settings.wans.every(({ ownedAddresses }) => ownedAddresses !== null),
      random: devices.random, clock,
    })
    const { table, mappings, forwards, chooser, opener, sources, rules, hairpins, room, events, tracker } = this.nat
    this.table = table
    const lan = new Attachment({
      zone: ZONE_LAN, slab, region: memory.lan.received, scratch, device: devices.lan(slab, memory.lan.extra),
      mtu: settings.lan.mtu, ownAddress: settings.lan.address, localAddresses: [settings.lan.address],
      routes: null, neighbours: null, waiting: null,
    })
    const waiting = new HeldPackets(slab, memory.waiting)
    const wans = settings.wans.map(({ settings: { mtu }, ownedAddresses }, index) => {
      const neighbours = new NeighbourTable((address) => devices.ask(index, address))
      const { received, extra } = memory.wans[index]!
      const device = devices.wan(index, slab, extra, neighbours)
      const isEthernet = devices.wanHasNeighbours(index)
      return new Attachment({
        zone: ZONE_WAN + index, slab, region: received, scratch, device, mtu, ownAddress: 0, localAddresses: ownedAddresses ?? [],
        routes: new RouteTable(), neighbours: isEthernet ? neighbours : null, waiting: isEthernet ? new WaitingPackets(waiting) : null,
      })
    })
    const attachments = [lan, ...wans]
    const { stats } = settings
    const limit = new TokenBucket(limits.icmpErrorsPerSecond, ERROR_BURST)
    const peers = new RecentPeers(devices.random.next())
    const sockets = settings.sockets == null ? null : new OwnSockets({
      table: settings.sockets, view: slab.view, flows: table, peers, clock, firstAddress: (iface) => attachments[zoneOfNumber(iface)]?.firstAddress ?? 0,
    })
    this.policy = new PolicyPlane({
      interfaces: settings.policy?.interfaces ?? ['lo', 'tun0', 'eth0'],
      seed: settings.policy?.seed ?? devices.random.next(),
      environment: (parts) => new HookEnvironment({ parts, view: slab.view, table, clock, random: devices.random, zones: attachments.length, sockets }),
    })
    this.tracing = new Tracing({ view: slab.view, table, attachments, rules: this.policy.evaluator })
    const { tracing } = this
    const reports = new Reports({ slab, scratch, limit, clock, stats, tracing })
    const log = new RuleLog(settings.logs ?? createLogRing(LOG_RING_MIN), (time) => {
      if (devices.readClock === undefined) time[0] = clock.now
      else devices.readClock(time)
    })
    const hooks = new Hooks({ slab, log, table, policy: this.policy, reports, timeouts: this.nat.timeouts, random: devices.random, tracing })
    const routing = new Routing(slab, this.policy.router, attachments, tracing)
    this.policy.onChange = () => {
      this.#epoch.next()
      hooks.rulesChanged()
    }
    this.policy.onCount = () => hooks.settle(0, table.used)
    this.nat.onFlowEnds = (flow) => hooks.flowEnds(flow)
    this.nat.onFlowChange = (flow) => hooks.flowChanged(flow)
    const outsidePorts = settings.sockets == null ? null : new OutsidePorts({
      sockets: settings.sockets, ports: this.nat.ports, chosen: settings.socketPorts ?? [1, 65535], table, mappings, forwards,
    })
    chooser.others = outsidePorts
    if (sockets !== null) chooser.isConnected = (packet, remote, remotePort, own, ownPort) => sockets.isTaken(packet, remote, remotePort, own, ownPort)
    this.#admission = new Admission({
      attachments, hooks, routing, table, mappings, forwards, opener, chooser, pool: this.nat.addresses,
      behaviours: behaviourColumn(nat, nat.ports.selection), rules, sources, hairpins, room, ports: this.nat.ports, limits,
      passOthers: nat.otherProtocols === 'by-address', pickup: nat.tcp.pickup,
    })
    const localFlows = new LocalFlows(slab, table, tracker, clock)
    const queue = new NextHopQueue(waiting, reports, clock, tracing)
    const delivery = devices.openDelivery?.(slab, memory.sockets) ?? null
    const flows = new OwnFlows({ clock, attachments, hooks, table, local: localFlows, opener })
    const egress = delivery === null ? null : new OwnEgress(slab, clock, delivery)
    this.own = delivery === null || egress === null || outsidePorts === null ? null : new OwnTraffic({
      slab, clock, hooks, routing, sockets: settings.sockets!, delivery, outsidePorts, peers, flows, egress, stats,
    })
    const syns = nat.tcp.unsolicitedSyn === 'hold' ? new UnsolicitedSyns(new HeldPackets(slab, memory.syns)) : null
    const fragmentHeld = new HeldPackets(slab, memory.fragments)
    this.pipeline = new Pipeline({
      slab, scratch, clock, stats, lan, wans, attachments,
      table,
      admission: this.#admission,
      ownEgress: egress,
      hooks, routing, tracing, epoch: this.#epoch, deadFlows: settings.deadFlows ?? 'reset',
      events, hairpins, sources, room, rules, reports, queue,
      ownHost: new OwnHost(slab, reports, queue, tracing),
      knocks: syns === null ? null : new Knocks(slab, syns, attachments, reports, clock),
      fragments: new FragmentTable(fragmentHeld, timeouts.fragments, devices.random.next()),
      held: fragmentHeld,
      identifications: new Identifications(devices.random),
      tracker, sockets, delivery, localFlows,
      timeouts: this.nat.timeouts,
      refusal: limits.refusal,
      verifiesSums: nat.verifyChecksums,
      mssClamp: settings.mssClamp,
    })
    this.pipeline.onSecond = (second) => {
      this.nat.blocks?.expire(second)
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
    this.nat.setAddresses(this.#admission.addresses, byWan)
    const kept = this.#wanSettings.filter(({ enabled, up }) => !this.#forgetsWhenDown || (enabled ?? up))
    const stay = new Set(kept.flatMap(({ addresses }) => addresses))
    closeAddresses(this.table, new Set([...before, ...settings.addresses].filter((address) => !stay.has(address))))
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
}
