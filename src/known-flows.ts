/**
 * Packets of known flows that have to ask again, as rules or routes have changed since their side was decided, or as what came out
 * of the rules is not the same for all of them.
 *
 *     PREROUTING ─► route ─► TTL and MTU of the way ─► FORWARD ─► POSTROUTING ─► next hop, stored with the epoch if it is for all
 *
 * A flow keeps its exit as long as that leads to its destination, because its address there is known to the other end. When it does
 * not, and another one does, what is not a connection moves there as a new flow, and of connections their inside ends are told.
 */
import type { Attachment } from './attachment.js'
import { ZONE_LAN } from './attachment.js'
import { Drop } from './drop.js'
import { type Epoch, UNDECIDED } from './epoch.js'
import type { Hooks } from './hooks/hooks.js'
import { type FlowTable, SIDE_DESTINATION, SIDE_HOP, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './nat/flow-table.js'
import { isAnswered } from './nat/track.js'
import type { PathCheck } from './path-check.js'
import type { Reports } from './reports.js'
import { ANY_ZONE, type Routing } from './routing.js'
import type { Packet } from './stack/parse.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import type { Tracing } from './trace/tracing.js'
import type { DeadFlows } from './worker-protocol.js'

export interface KnownFlowsParts {
  readonly table: FlowTable
  readonly hooks: Hooks
  readonly routing: Routing
  readonly epoch: Epoch
  readonly paths: PathCheck
  readonly reports: Reports
  readonly tracing: Tracing
  /** What becomes of TCP flows whose link cannot be used any more. */
  readonly deadFlows: DeadFlows
}

/** Where packets go that belong to their flow no longer. Both return 0 or a drop code. */
export interface OtherWays {
  /** The packet's flow was closed: it may open another. @param isTracked it may do so whatever it is */
  reopen(packet: Packet, from: Attachment, isTracked: boolean): number
  /** Rules say that it is not to be tracked; it has met PREROUTING. */
  passUntracked(packet: Packet, from: Attachment): number
  /** TPROXY gave it to a socket. -1: it goes on, as routes lead it elsewhere. */
  intercept(packet: Packet, from: Attachment): number
  /** It has met PREROUTING and has a mark; goes to the gateway itself if routes lead there. -1: it goes on. */
  divert(packet: Packet, from: Attachment): number
}

export class KnownFlows {
  readonly #table: FlowTable
  readonly #hooks: Hooks
  readonly #routing: Routing
  readonly #epoch: Epoch
  readonly #paths: PathCheck
  readonly #reports: Reports
  readonly #tracing: Tracing
  readonly #deadFlows: DeadFlows
  readonly #otherWays: OtherWays
  /** The side that the packet in hand has just been decided for, or -1. */
  fresh = -1
  /** Bytes that the packet that was decided last may have. */
  mtu = 0

  constructor(parts: KnownFlowsParts, otherWays: OtherWays) {
    this.#table = parts.table
    this.#hooks = parts.hooks
    this.#routing = parts.routing
    this.#epoch = parts.epoch
    this.#paths = parts.paths
    this.#reports = parts.reports
    this.#tracing = parts.tracing
    this.#deadFlows = parts.deadFlows
    this.#otherWays = otherWays
  }

  /**
   * A packet of a side that has to ask again: its rules, its route or both. What comes out is stored with the side, if it is the same for
   * its next packets. Returns the link to its next hop, or ~(drop code): ~0 when the packet went another way.
   */
  decide(packet: Packet, side: number, from: Attachment, to: Attachment): number {
    const hooks = this.#hooks
    const { sides } = this.#table
    const at = side * SIDE_WORDS + SIDE_HOP
    // It opened the flow, or has waited for its next hop: its rules have been asked.
    if (this.fresh === side) return sides[at]! >>> 16
    if (!hooks.isIdle) {
      hooks.meetKnown(packet, side)
      const stopped = hooks.arrive(packet, from)
      if (stopped !== 0) return ~stopped
      // What NAT takes back to an inside host is that host's, whatever TPROXY found at the address that it came to.
      if (hooks.socket >= 0 && packet.destination === sides[(side ^ 1) * SIDE_WORDS + SIDE_SOURCE]!) {
        const drop = this.#otherWays.intercept(packet, from)
        if (drop >= 0) return ~drop
      }
      if (hooks.isUntracked) return ~this.#otherWays.passUntracked(packet, from)
    }
    const link = this.#route(packet, side, from, to)
    if (link < 0) return link
    let isStored = this.mtu === to.mtu
    if (!hooks.isIdle) {
      const unfit = this.#paths.check(packet, from, this.mtu)
      if (unfit !== 0) return ~unfit
      const stopped = hooks.pass(packet, side, from, to)
      if (stopped !== 0) return ~stopped
      const held = hooks.leave(packet, from, to)
      if (held !== 0) return ~held
      isStored = !this.#tracing.isDry && hooks.store(packet, side) && isStored
    }
    if (this.#tracing.isDry) return link
    sides[at] = (link << 16) | (isStored ? this.#epoch.value : UNDECIDED)
    return link
  }

  /**
   * Looks up the way of a packet of a known flow again. What comes from inside on the flow's own side is routed; replies, and what came
   * in from a WAN, go where the flow goes. Returns the link to the next hop, or ~(drop code): ~0 when the packet went another way.
   */
  #route(packet: Packet, side: number, from: Attachment, to: Attachment): number {
    const table = this.#table
    const other = (side ^ 1) * SIDE_WORDS
    const destination = table.sides[other + SIDE_SOURCE]!
    this.mtu = to.mtu
    if (to.zone === ZONE_LAN) return 0
    if (from.zone !== ZONE_LAN || (side & 1) !== 0) {
      const link = to.linkTo(destination)
      if (link >= 0) return link
      this.#reports.send(packet, from, icmp4.UNREACHABLE, icmp4.CODE_NET)
      return ~Drop['no-route']
    }
    if (this.#hooks.mark !== 0 && destination === packet.destination) {
      const drop = this.#otherWays.divert(packet, from)
      if (drop >= 0) return ~drop
    }
    // As long as the flow's own link leads there, it stays: its address there is known to the other end.
    const port = table.sides[other + SIDE_PORTS]! >>> 16
    const refused = this.#routing.find(packet, from, destination, port, this.#hooks.mark, to.zone)
    if (refused === 0) {
      this.mtu = this.#routing.mtu
      return this.#routing.link < 0 ? ~Drop['no-route'] : this.#routing.link
    }
    if (refused === Drop['no-route'] && this.#routing.find(packet, from, destination, port, this.#hooks.mark, ANY_ZONE) === 0) {
      return ~this.#moveAway(packet, side, from)
    }
    this.#paths.tellOfNoWay(packet, from, refused)
    return ~refused
  }

  /** The link of a flow leads nowhere any more, another one does. Returns 0 or a drop code. */
  #moveAway(packet: Packet, side: number, from: Attachment): number {
    const flow = side >> 1
    const { sides } = this.#table
    const isTranslated = sides[side * SIDE_WORDS + SIDE_SOURCE] !== sides[(side ^ 1) * SIDE_WORDS + SIDE_DESTINATION]
    const isConnected = packet.protocol === ipv4.PROTOCOL_TCP && isAnswered(this.#table, flow)
    if (isConnected && isTranslated) {
      if (this.#deadFlows === 'leave') return Drop['link-dead']
      if (this.#deadFlows === 'reset') this.#reports.reset(packet, from)
      else this.#reports.send(packet, from, icmp4.UNREACHABLE, icmp4.CODE_HOST)
      if (!this.#tracing.isDry) this.#table.close(flow)
      return Drop['link-dead']
    }
    // Nobody has to be told: the next packets have another address outside, as if they were the first.
    if (!this.#tracing.isDry) this.#table.close(flow)
    return this.#otherWays.reopen(packet, from, !isTranslated)
  }
}
