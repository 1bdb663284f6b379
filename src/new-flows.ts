/**
 * Packets that belong to no flow.
 *
 *     PREROUTING ─┬─► for the gateway itself: new-local.ts
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
import { closeUnused } from './nat/track.js'
import type { NewLocal } from './new-local.js'
import type { NextHopQueue } from './next-hop-queue.js'
import type { PathCheck } from './path-check.js'
import { STATE } from './policy/model.js'
import { ANY_ZONE, type Routing } from './routing.js'
import type { Slab } from './stack/batch.js'
import { clampMss, MSS_OVERHEAD } from './stack/mss.js'
import type { Packet } from './stack/parse.js'
import { wireLength } from './stack/segment.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as tcp from './stack/wire/tcp.js'
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
  readonly tracing: Tracing
  readonly local: LocalPath
  readonly newLocal: NewLocal
  /** null where SYNs that nobody waits for are just dropped. */
  readonly knocks: Knocks | null
  readonly events: FlowEvents
  readonly clock: Clock
  readonly mssClamp: boolean
}

/** Sends a packet of a flow on its way. Returns 0 or a drop code. */
export type Forward = (packet: Packet, side: number, from: Attachment) => number

/** In place of a side: a flow would be opened. */
const FORESEEN = 0x7fffffff

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
  readonly #tracing: Tracing
  readonly #local: LocalPath
  readonly #own: NewLocal
  readonly #knocks: Knocks | null
  readonly #events: FlowEvents
  readonly #clock: Clock
  readonly #mssClamp: boolean
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
    this.#tracing = parts.tracing
    this.#local = parts.local
    this.#own = parts.newLocal
    this.#knocks = parts.knocks
    this.#events = parts.events
    this.#clock = parts.clock
    this.#mssClamp = parts.mssClamp
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
        const drop = this.#own.intercept(packet, from)
        if (drop >= 0) return drop
      }
      if (hooks.isUntracked) return this.passUntracked(packet, from)
    }
    if (this.#own.isFor(packet, from)) return this.#own.receive(packet, from)
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

  /** A packet may open no flow. Pings of the WAN's own addresses are answered to the LAN, SYNs from the WAN held. */
  #refuse(packet: Packet, from: Attachment, drop: number): number {
    if (this.#local.isOpen && this.#own.isForAfterAll(packet, from, drop)) return this.#own.receive(packet, from)
    const isPing = from.zone === ZONE_LAN && drop === Drop['to-gateway'] && packet.icmpType === icmp4.ECHO_REQUEST
    if (!this.#hooks.isIdle && !isPing && isNobodys(drop) && this.#own.isOutside(packet)) {
      const stopped = this.#own.ask(packet, from)
      if (stopped !== 0) return stopped
    }
    if (from.zone !== ZONE_LAN) {
      if (this.#knocks !== null && !this.#tracing.isDry && this.#admission.addresses.has(packet.destination)) this.#knocks.hear(packet, drop, from)
      return drop
    }
    return isPing ? this.#own.receive(packet, from) : drop
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
      this.#paths.tellOfLimit(packet, from)
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
    recorder.translations(packet, source, port === ANY_PORT ? null : port, destination, destinationPort)
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
    if (this.#own.isFor(packet, from)) return this.#own.receive(packet, from)
    if (this.#own.isOutside(packet)) return hooks.local(packet, from) || Drop['no-flow']
    const refused = this.#routing.find(packet, from, packet.destination, packet.ports & 0xffff, hooks.mark, ANY_ZONE)
    const { to } = this.#routing
    if (refused === Drop['to-gateway'] && this.#local.isOpen) return this.#own.receive(packet, from)
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
