/**
 * Packets that belong to no flow.
 *
 *     PREROUTING ─┬─► for the gateway itself ─► INPUT ─► a socket of its own, or own host
 *                 ├─► not to be tracked ─► route ─► FORWARD ─► POSTROUTING ─► out as it is
 *                 └─► admission: where to, as what? ─► TTL and MTU ─► FORWARD ─► POSTROUTING ─► the flow is opened ─► forward
 */
import { type Admission, ANY_PORT } from './admission.js'
import { type Attachment, numberOfZone, ZONE_LAN } from './attachment.js'
import type { Clock } from './clock.js'
import { Drop } from './drop.js'
import { type Epoch, UNDECIDED } from './epoch.js'
import { setTtl } from './hooks/changes.js'
import type { Hooks } from './hooks/hooks.js'
import type { Knocks } from './knocks.js'
import type { KnownFlows } from './known-flows.js'
import type { LocalPath } from './local-path.js'
import { type FlowTable, SIDE_HOP, SIDE_WORDS } from './nat/flow-table.js'
import { OWN_IDENTIFICATION } from './nat/identification.js'
import type { FlowEvents } from './nat/events.js'
import type { LimitSettings } from './nat/settings.js'
import { closeUnused } from './nat/track.js'
import type { NextHopQueue } from './next-hop-queue.js'
import type { OwnHost } from './own-host.js'
import type { PathCheck } from './path-check.js'
import type { Reports } from './reports.js'
import { STATE } from './policy/model.js'
import { ANY_ZONE, type Routing } from './routing.js'
import { isInvalidDestination, isInvalidSource } from './stack/address-class.js'
import type { Slab } from './stack/batch.js'
import { clampMss, MSS_OVERHEAD } from './stack/mss.js'
import type { Packet } from './stack/parse.js'
import { wireLength } from './stack/segment.js'
import { NO_SOCKET } from './stack/sockets/network.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import * as tcp from './stack/wire/tcp.js'
import { STAT_REFUSED } from './stats.js'
import type { Recorder } from './trace/recorder.js'
import type { Tracing } from './trace/tracing.js'

export interface NewFlowsParts {
  readonly slab: Slab
  readonly table: FlowTable
  readonly admission: Admission
  readonly hooks: Hooks
  readonly routing: Routing
  readonly epoch: Epoch
  readonly paths: PathCheck
  readonly queue: NextHopQueue
  readonly reports: Reports
  readonly tracing: Tracing
  readonly ownHost: OwnHost
  readonly lan: Attachment
  readonly local: LocalPath
  /** null where SYNs that nobody waits for are just dropped. */
  readonly knocks: Knocks | null
  readonly events: FlowEvents
  readonly clock: Clock
  readonly refusal: LimitSettings['refusal']
  readonly mssClamp: boolean
  /** stats.ts */
  readonly stats: Float64Array
}

/** Sends a packet of a flow on its way. Returns 0 or a drop code. */
export type Forward = (packet: Packet, side: number, from: Attachment) => number

/** In place of a side: a flow would be opened. */
const FORESEEN = 0x7fffffff

/** No resources is a passing state, hence the soft error by default (RFC 6888 REQ-8; RFC 5508 REQ-8 has the other). */
const REFUSAL_CODES: Readonly<Record<LimitSettings['refusal'], number>> = { 'host-unreachable': icmp4.CODE_HOST, prohibited: icmp4.CODE_ADMIN_PROHIBITED, silent: -1 }

/** Whether a packet was refused as it belongs to no flow and to no host inside. */
const isNobodys = (drop: number): boolean => drop === Drop['no-flow'] || drop === Drop['filtered'] || drop === Drop['to-gateway']

export class NewFlows {
  readonly #slab: Slab
  readonly #table: FlowTable
  readonly #admission: Admission
  readonly #hooks: Hooks
  readonly #routing: Routing
  readonly #epoch: Epoch
  readonly #paths: PathCheck
  readonly #queue: NextHopQueue
  readonly #reports: Reports
  readonly #tracing: Tracing
  readonly #ownHost: OwnHost
  readonly #lan: Attachment
  readonly #local: LocalPath
  readonly #knocks: Knocks | null
  readonly #events: FlowEvents
  readonly #clock: Clock
  /** ICMP code for who is refused at a limit, or -1 for none. */
  readonly #refusal: number
  readonly #mssClamp: boolean
  readonly #stats: Float64Array
  readonly #known: KnownFlows
  readonly #forward: Forward

  constructor(parts: NewFlowsParts, known: KnownFlows, forward: Forward) {
    this.#slab = parts.slab
    this.#table = parts.table
    this.#admission = parts.admission
    this.#hooks = parts.hooks
    this.#routing = parts.routing
    this.#epoch = parts.epoch
    this.#paths = parts.paths
    this.#queue = parts.queue
    this.#reports = parts.reports
    this.#tracing = parts.tracing
    this.#ownHost = parts.ownHost
    this.#lan = parts.lan
    this.#local = parts.local
    this.#knocks = parts.knocks
    this.#events = parts.events
    this.#clock = parts.clock
    this.#refusal = REFUSAL_CODES[parts.refusal]
    this.#mssClamp = parts.mssClamp
    this.#stats = parts.stats
    this.#known = known
    this.#forward = forward
  }

  /** A packet of no flow: for the gateway itself, the first of a new flow, or refused. @param isMoved its flow was closed for it */
  receive(packet: Packet, from: Attachment, isMoved = false): number {
    const hooks = this.#hooks
    if (!hooks.isIdle) {
      hooks.meetNew(packet, this.#stateOf(packet, from, isMoved))
      const stopped = hooks.arrive(packet, from)
      if (stopped !== 0) return stopped
      if (hooks.socket >= 0) {
        const drop = this.intercept(packet, from)
        if (drop >= 0) return drop
      }
      if (hooks.isUntracked) return this.passUntracked(packet, from)
    }
    if (this.#isForUs(packet, from)) return this.#receiveLocal(packet, from)
    const side = this.#open(packet, from, isMoved)
    if (side === FORESEEN) return 0
    if (side < 0) return this.#refuse(packet, from, -side)
    this.#knocks?.meet(packet, this.#table, side)
    const drop = this.#forward(packet, side, from)
    this.#known.fresh = -1
    if (drop !== 0) closeUnused(this.#table, side)
    this.#events.confirm(side >> 1)
    return drop
  }

  /** What rules know a packet as that belongs to no flow. */
  #stateOf(packet: Packet, from: Attachment, isMoved: boolean): number {
    if (this.#local.sockets?.isEstablished(packet, numberOfZone(from.zone)) === true) return STATE.ESTABLISHED
    return this.#admission.canOpen(packet, isMoved) ? STATE.NEW : STATE.INVALID
  }

  /** A packet that TPROXY has given to a socket. Returns 0 or a drop code; -1 when routes lead it elsewhere. */
  intercept(packet: Packet, from: Attachment): number {
    const { socket } = this.#hooks
    const words = this.#tracing.recorder === null ? null : this.#local.sockets!.describe(socket)
    if (words !== null) this.#tracing.recorder?.tproxy(words)
    return this.divert(packet, from)
  }

  /** Delivers a packet that rules have marked or given to a socket, if routes lead it here. Returns 0 or a drop code; -1 when they do not. */
  divert(packet: Packet, from: Attachment): number {
    const { hasDestination, destination } = this.#hooks
    if (!this.#local.isOpen) return -1
    const address = hasDestination ? destination.address : packet.destination
    const isHere = this.#admission.addresses.has(address) ||
      this.#local.isRoutedHere(packet, from, address, hasDestination ? destination.port : packet.ports & 0xffff)
    return isHere ? this.#receiveLocal(packet, from) : -1
  }

  /**
   * Whether a packet is the gateway's own. On the WAN's addresses only pings are, and what its sockets wait for, unless it is forwarded:
   * other ports may be somebody's mapping.
   */
  #isForUs(packet: Packet, from: Attachment): boolean {
    const { hasDestination, destination: asked } = this.#hooks
    if (hasDestination && asked.address === from.firstAddress) return true
    if (!hasDestination) {
      const isOurs = from.zone === ZONE_LAN || (packet.icmpType === icmp4.ECHO_REQUEST && !this.#admission.isForwarded(packet))
      if (isOurs && from.localAddresses.has(packet.destination)) return true
    }
    if (!this.#local.isOpen) return false
    const address = hasDestination ? asked.address : packet.destination
    if (hasDestination && this.#lan.localAddresses.has(address)) return true
    if (!this.#admission.addresses.has(address)) return false
    const port = hasDestination ? asked.port : packet.ports & 0xffff
    return this.#local.hasReceiver(packet, address, port, from) && !this.#admission.isForwarded(packet, address, port)
  }

  /** A packet for the gateway itself, which rules of PREROUTING have let arrive. Returns 0 or a drop code. */
  #receiveLocal(packet: Packet, from: Attachment): number {
    const stopped = this.#hooks.isIdle ? 0 : this.#askLocal(packet, from)
    if (stopped !== 0) return stopped
    if (this.#local.isOpen && packet.icmpType !== icmp4.ECHO_REQUEST) return this.#deliver(packet, from)
    this.#tracing.recorder?.local()
    return this.#ownHost.receive(packet, from)
  }

  /** A packet that INPUT has let pass goes to its socket. Returns 0 or a drop code. */
  #deliver(packet: Packet, from: Attachment): number {
    const { hasDestination, destination: asked, socket, source } = this.#hooks
    const local = this.#local
    if (isInvalidSource(packet.source) || this.#isOwn(packet.source)) return Drop['invalid-source']
    const address = hasDestination ? asked.address : packet.destination
    const port = hasDestination ? asked.port : packet.ports & 0xffff
    if (hasDestination && isInvalidDestination(address)) return Drop['invalid-destination']
    if (socket < 0 && !local.hasReceiver(packet, address, port, from)) {
      const isTcp = from.zone === ZONE_LAN && packet.protocol === ipv4.PROTOCOL_TCP
      // The stack says that nobody is there, but it cannot say so in the name of where the client wanted to go.
      if (isTcp && !hasDestination) return local.deliver(packet, from, NO_SOCKET)
      this.#tracing.recorder?.local()
      if (isTcp) this.#reports.reset(packet, from)
      return this.#ownHost.receive(packet, from)
    }
    if (!hasDestination && source.isNone && !local.sockets!.isFlows(packet)) return local.deliver(packet, from, socket)
    return this.#openLocal(packet, from, address, port)
  }

  #isOwn(address: number): boolean {
    return this.#lan.localAddresses.has(address) || this.#admission.addresses.has(address)
  }

  /** Opens the flow of a packet that NAT leads to a socket, and delivers it. Returns 0 or a drop code. */
  #openLocal(packet: Packet, from: Attachment, address: number, port: number): number {
    const admission = this.#admission
    const hooks = this.#hooks
    const { recorder } = this.#tracing
    const refused = admission.planLocal(packet, address, port, false) || admission.leaveAs()
    if (refused !== 0) return refused
    if (recorder !== null && recorder.isDry) return this.#foreseeLocal(packet, from, recorder)
    const side = admission.commit(packet, from, this.#clock.now)
    if (side < 0) {
      this.#tellRefused(packet, from)
      return -side
    }
    if (!hooks.isIdle) hooks.opened(side >> 1)
    recorder?.flow(side, true)
    const drop = this.#local.deliverOf(packet, side, from, hooks.socket, hooks.mark)
    if (drop !== 0) closeUnused(this.#table, side)
    this.#events.confirm(side >> 1)
    return drop
  }

  /** Tells what flow a packet for a socket would open. Returns 0 or a drop code. */
  #foreseeLocal(packet: Packet, from: Attachment, recorder: Recorder): number {
    const { source, destination, destinationPort } = this.#admission.rewrite
    const port = this.#admission.foresee(packet, from, this.#clock.now)
    if (port < 0) return -port
    if (destination !== packet.destination || destinationPort !== (packet.ports & 0xffff)) recorder.translation('destination', destination, destinationPort)
    if (source !== packet.source || port !== packet.ports >>> 16) recorder.translation('source', source, port === ANY_PORT ? null : port)
    const { sockets } = this.#local
    const row = this.#hooks.socket
    recorder.local(sockets!.describe(row >= 0 ? row : sockets!.find(packet, destination, destinationPort, numberOfZone(from.zone))))
    return 0
  }

  /** A flow was refused at a limit. */
  #tellRefused(packet: Packet, from: Attachment): void {
    this.#stats[STAT_REFUSED]!++
    if (this.#refusal >= 0) this.#reports.send(packet, from, icmp4.UNREACHABLE, this.#refusal)
  }

  /** INPUT, which sees the destination that rules have given the packet. Returns 0 or a drop code. */
  #askLocal(packet: Packet, from: Attachment): number {
    const { hasDestination, destination } = this.#hooks
    if (hasDestination) this.#hooks.redirected(destination.address, destination.port)
    return this.#hooks.local(packet, from)
  }

  /** A packet may open no flow. Pings of the WAN's own addresses are answered to the LAN, SYNs from the WAN held. */
  #refuse(packet: Packet, from: Attachment, drop: number): number {
    if (this.#local.isOpen && this.#isForUsAfterAll(packet, from, drop)) return this.#receiveLocal(packet, from)
    const isPing = from.zone === ZONE_LAN && drop === Drop['to-gateway'] && packet.icmpType === icmp4.ECHO_REQUEST
    if (!this.#hooks.isIdle && !isPing && isNobodys(drop) && this.#isOutside(packet)) {
      const stopped = this.#askLocal(packet, from)
      if (stopped !== 0) return stopped
    }
    if (from.zone !== ZONE_LAN) {
      if (this.#knocks !== null && !this.#tracing.isDry && this.#admission.addresses.has(packet.destination)) this.#knocks.hear(packet, drop, from)
      return drop
    }
    return isPing ? this.#receiveLocal(packet, from) : drop
  }

  /** Whether a packet that may open no flow is for the gateway itself, as routes say. Most of those that may have asked them. */
  #isForUsAfterAll(packet: Packet, from: Attachment, drop: number): boolean {
    if (from.zone === ZONE_LAN && drop === Drop['to-gateway']) return true
    if (drop !== Drop['no-flow'] && drop !== Drop['not-a-flow-opener'] && drop !== Drop['icmp-refused']) return false
    const { hasDestination, destination } = this.#hooks
    const address = hasDestination ? destination.address : packet.destination
    if (this.#admission.addresses.has(address)) return false
    return this.#local.isRoutedHere(packet, from, address, hasDestination ? destination.port : packet.ports & 0xffff)
  }

  /** Whether a packet goes to an outside address of the gateway, as rules of PREROUTING have left it. */
  #isOutside(packet: Packet): boolean {
    const { hasDestination, destination } = this.#hooks
    return this.#admission.addresses.has(hasDestination ? destination.address : packet.destination)
  }

  /** Opens a flow for a packet of none, which has met PREROUTING. Returns its original side, or -(drop code). */
  #open(packet: Packet, from: Attachment, isMoved: boolean): number {
    const admission = this.#admission
    const refused = admission.plan(packet, from, isMoved)
    if (refused !== 0) {
      if (from.zone === ZONE_LAN) this.#paths.tellOfNoWay(packet, from, refused)
      return -refused
    }
    const { egress } = admission
    this.#known.mtu = from.zone === ZONE_LAN && egress.zone !== ZONE_LAN ? this.#routing.mtu : egress.mtu
    const unfit = this.#paths.check(packet, from, this.#known.mtu)
    if (unfit !== 0) return -unfit
    if (!this.#hooks.isIdle) {
      const stopped = this.#askToPass(packet, from, egress)
      if (stopped !== 0) return -stopped
    }
    const { recorder } = this.#tracing
    if (recorder !== null && recorder.isDry) return this.#foresee(packet, from, recorder)
    const side = admission.commit(packet, from, this.#clock.now)
    if (side < 0) {
      this.#tellRefused(packet, from)
      return side
    }
    // It has met its rules: what comes of that is not looked for again with this packet.
    if (!this.#hooks.isIdle) this.#hooks.opened(side >> 1)
    recorder?.flow(side, true)
    const link = egress.zone === ZONE_LAN ? 0 : from.zone === ZONE_LAN ? this.#routing.link : egress.linkTo(admission.rewrite.destination)
    if (link < 0) {
      this.#table.close(side >> 1)
      this.#paths.tellOfNoWay(packet, from, Drop['no-route'])
      return -Drop['no-route']
    }
    this.#known.fresh = side
    const epoch = this.#hooks.isIdle && this.#known.mtu === egress.mtu ? this.#epoch.value : UNDECIDED
    const at = side * SIDE_WORDS + SIDE_HOP
    this.#table.sides[at] = (link << 16) | epoch
    if (from.zone === ZONE_LAN) this.#table.sides[at + SIDE_WORDS] = epoch
    return side
  }

  /** FORWARD and POSTROUTING, for a packet that is to open a flow. Returns 0 or a drop code. */
  #askToPass(packet: Packet, from: Attachment, to: Attachment): number {
    const hooks = this.#hooks
    const { destination, destinationPort } = this.#admission.rewrite
    hooks.redirected(destination, destinationPort)
    const stopped = hooks.pass(packet, -1, from, to)
    if (stopped !== 0) return stopped
    const held = hooks.leave(packet, from, to)
    return held !== 0 ? held : this.#admission.leaveAs()
  }

  /** Tells what flow a packet would open that may open one. Returns FORESEEN, or -(drop code). */
  #foresee(packet: Packet, from: Attachment, recorder: Recorder): number {
    const { view } = this.#slab
    const { rewrite, egress } = this.#admission
    const port = this.#admission.foresee(packet, from, this.#clock.now)
    if (port < 0) return port
    const { source, destination, destinationPort } = rewrite
    const isMoved = destination !== packet.destination || destinationPort !== (packet.ports & 0xffff)
    if (isMoved) recorder.translation('destination', destination, destinationPort)
    if (source !== packet.source || port !== packet.ports >>> 16) recorder.translation('source', source, port === ANY_PORT ? null : port)
    if ((packet.tcpFlags & tcp.SYN) !== 0 && this.#mssClamp) clampMss(view, packet, Math.min(from.mtu, this.#known.mtu) - MSS_OVERHEAD)
    setTtl(view, packet, packet.ttl - 1)
    recorder.rewritten(view, packet.at, packet.length)
    const isRouted = from.zone === ZONE_LAN && egress.zone !== ZONE_LAN
    recorder.sent(egress.zone, egress.neighbours === null ? null : isRouted ? this.#routing.nextHop : destination)
    return FORESEEN
  }

  /** A packet that rules keep from being tracked, after PREROUTING: routed as it is. Returns 0 or a drop code. */
  passUntracked(packet: Packet, from: Attachment): number {
    const hooks = this.#hooks
    if (this.#isForUs(packet, from)) return this.#receiveLocal(packet, from)
    if (this.#isOutside(packet)) return hooks.local(packet, from) || Drop['no-flow']
    const refused = this.#routing.find(packet, from, packet.destination, packet.ports & 0xffff, hooks.mark, ANY_ZONE)
    const { to } = this.#routing
    if (refused === Drop['to-gateway'] && this.#local.isOpen) return this.#receiveLocal(packet, from)
    if (from.zone !== ZONE_LAN && (refused !== 0 || to.zone !== ZONE_LAN)) return Drop['no-flow']
    if (refused !== 0) {
      this.#paths.tellOfNoWay(packet, from, refused)
      return refused
    }
    const link = to.zone === ZONE_LAN ? 0 : this.#routing.link
    if (link < 0) return Drop['no-route']
    const mtu = from.zone === ZONE_LAN ? this.#routing.mtu : to.mtu
    const unfit = this.#paths.check(packet, from, mtu)
    if (unfit !== 0) return unfit
    const { isDry } = this.#tracing
    if (link !== 0 && !isDry && !to.neighbours!.isReachable(link)) return this.#queue.add(packet, link, ~from.zone, 0, OWN_IDENTIFICATION, from, to)
    const stopped = hooks.pass(packet, -1, from, to)
    if (stopped !== 0) return stopped
    const held = hooks.leave(packet, from, to)
    if (held !== 0) return held
    setTtl(this.#slab.view, packet, packet.ttl - 1)
    this.#tracing.sent(packet.at, packet.length, to, link)
    if (isDry) return 0
    if (packet.length > mtu && wireLength(this.#slab.view, packet.at, packet.length) > mtu) {
      return to.egress.pushFragmented(packet.at, packet.length, mtu, link)
    }
    return to.egress.push(packet.at, packet.length, link)
  }
}
