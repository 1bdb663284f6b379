/**
 * The hooks of netfilter: where packets meet the rules.
 *
 *     arrive   PREROUTING   raw ─► (flow) ─► mangle ─► nat: where it goes     before it is routed
 *     local    INPUT        mangle ─► filter                                  it is for the gateway itself
 *     pass     FORWARD      mangle ─► filter                                  it is for somebody else; its TTL counts as lowered
 *     leave    POSTROUTING  mangle ─► nat: what it leaves as                  before it is sent
 *
 * What the gateway itself sends meets `own` (own-hooks.ts).
 *
 * `meet…` begins a packet; then its hooks are called in order. Each returns 0, or the drop code of a packet that must not go on, whose
 * sender was told if a rule said so. Rules see a packet as the kernel's do: from `pass` on with its new destination, and with the source
 * that it came with until it has left.
 *
 * A packet of a flow need not meet the rules when what comes out is known: `store` says whether it may be kept with its side. What is
 * kept is that packets of the side pass as they are. Whatever else comes out of rules (a drop, another TOS) is worked out for each.
 */
import type { Attachment } from '../attachment.js'
import { Drop } from '../drop.js'
import { EPOCH_MASK } from '../epoch.js'
import { type FlowTable, SIDE_HOP, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from '../nat/flow-table.js'
import type { PolicyPlane } from '../policy-plane.js'
import {
  ACCEPT, AFTER_TRACKING, ALL_TABLES, DEPENDS_PACKET, DEPENDS_SETS, NO_SOCKET as NO_SOCKET_VERDICT, type Outcome, type PacketMeta, REJECT, TPROXY,
} from '../policy/engine/index.js'
import { STATE } from '../policy/model.js'
import type { Reports } from '../reports.js'
import { MSS_OVERHEAD } from '../stack/mss.js'
import { LATER_FRAGMENT, type Packet } from '../stack/parse.js'
import { NO_SOCKET } from '../stack/sockets/network.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'
import { describeFlow, describeNoFlow, natStates } from './describe.js'
import type { HookEnvironment } from './environment.js'
import type { DestinationRequest, SourceRequest } from './nat-request.js'
import { OwnHooks } from './own-hooks.js'
import { FORWARD, INPUT, PacketInHand, type PacketInHandParts, POSTROUTING, PREROUTING } from './packet-in-hand.js'
import { StoredPaths } from './paths.js'

/** Flags of segments that are told apart by more than their flow: those of a stored outcome have none of them. */
const WATCHED = tcp.FIN | tcp.SYN | tcp.RST | tcp.URG | tcp.ECE | tcp.CWR
/** What an outcome depends on and that nobody tells when it changes. */
const UNTOLD = DEPENDS_PACKET | DEPENDS_SETS

export interface HooksParts extends PacketInHandParts {
  readonly reports: Reports
  /** Idle seconds by timeout class. */
  readonly timeouts: Int32Array
}

export class Hooks {
  /** Of what the gateway itself sends. */
  readonly own: OwnHooks
  readonly #table: FlowTable
  readonly #policy: PolicyPlane<HookEnvironment>
  readonly #reports: Reports
  readonly #timeouts: Int32Array
  readonly #hand: PacketInHand
  readonly #meta: PacketMeta
  readonly #outcome: Outcome
  readonly #paths: StoredPaths
  /** No rule is there: the hooks need not be called. */
  isIdle = true
  /** Flags of TCP segments that meet the rules whatever is stored. */
  watchedFlags = 0
  /** Mark that packets come with, uint32. */
  #arrivalMark = 0

  constructor(parts: HooksParts) {
    this.#table = parts.table
    this.#policy = parts.policy
    this.#reports = parts.reports
    this.#timeouts = parts.timeouts
    this.#hand = new PacketInHand(parts)
    this.#hand.onMark = (flow) => this.flowChanged(flow)
    this.#meta = this.#hand.meta
    this.#outcome = this.#hand.outcome
    this.#paths = new StoredPaths(parts.table, parts.policy.evaluator.ruleset)
    this.own = new OwnHooks(parts.slab, this.#hand)
  }

  /** Other rules are in use. */
  rulesChanged(): void {
    const policy = this.#policy
    this.isIdle = policy.isIdle
    this.#reports.rules = policy.isIdle ? null : this.own
    this.watchedFlags = policy.isIdle ? 0 : WATCHED
    this.#paths.use(policy.evaluator.ruleset)
    this.#hand.forget()
  }

  /** What rules said of the destination of the packet in hand. */
  get destination(): DestinationRequest {
    return this.#hand.destination
  }

  /** Whether they said something. */
  get hasDestination(): boolean {
    return this.#hand.hasDestination
  }

  /** Where it goes: as they said, else as it says. */
  addressOf(packet: Packet): number {
    return this.#hand.hasDestination ? this.#hand.destination.address : packet.destination
  }

  /** The same of the port. */
  portOf(packet: Packet): number {
    return this.#hand.hasDestination ? this.#hand.destination.port : packet.ports & 0xffff
  }

  /** What they said of its source. */
  get source(): SourceRequest {
    return this.#hand.source
  }

  /** Only what rules say is translated: none of tsnat's own masquerade. */
  get rulesTranslate(): boolean {
    return this.#policy.hasPostroutingNat
  }

  /** The packet is not to be tracked, said the table raw. */
  get isUntracked(): boolean {
    return this.#outcome.notrack
  }

  /** Row of the socket that TPROXY gave the packet in hand to, or NO_SOCKET. */
  get socket(): number {
    return this.isIdle ? NO_SOCKET : this.#outcome.socket
  }

  /** What routing has to know of the packet in hand, beside its header. */
  get mark(): number {
    return this.isIdle ? this.#arrivalMark : this.#outcome.mark
  }

  /** Until `endDry` nothing is counted or logged, and packets come with this mark. */
  beginDry(mark: number): void {
    this.#outcome.isDry = true
    this.#arrivalMark = mark
  }

  endDry(): void {
    this.#outcome.isDry = false
    this.#arrivalMark = 0
  }

  /** A packet of no flow. @param state of STATE: NEW if it may open one, what its socket knows it as, or INVALID */
  meetNew(packet: Packet, state: number): void {
    this.#hand.begin(packet, -1, this.#arrivalMark)
    describeNoFlow(packet, this.#meta, state)
  }

  /** A packet of a known flow. */
  meetKnown(packet: Packet, side: number): void {
    this.#paths.settle(side)
    this.#hand.begin(packet, side, this.#arrivalMark)
    describeFlow(this.#meta, this.#table, side, false, this.#timeouts)
  }

  /** An ICMP error about a packet of the other side. */
  meetRelated(packet: Packet, side: number): void {
    this.#hand.begin(packet, -1, this.#arrivalMark)
    this.#hand.flow = side >> 1
    describeFlow(this.#meta, this.#table, side, true, this.#timeouts)
  }

  /** PREROUTING. */
  arrive(packet: Packet, from: Attachment): number {
    const hand = this.#hand
    const { notrack } = hand.run(PREROUTING, ALL_TABLES, packet, from, null)
    if (notrack) describeNoFlow(packet, this.#meta, STATE.UNTRACKED)
    hand.takeDestination(packet, from.firstAddress)
    hand.apply(packet)
    return this.#judge(packet, from)
  }

  /** The packet goes to this address and port from now on. For a packet that opens a flow. */
  redirected(address: number, port: number): void {
    const meta = this.#meta
    meta.destination = meta.replySource = address
    if (meta.protocol !== ipv4.PROTOCOL_ICMP) {
      if (meta.hasPorts) meta.destinationPort = port
      meta.replySourcePort = port
    }
    meta.state |= natStates(meta)
  }

  /** The packet of a known flow goes where its flow does. */
  #redirectKnown(packet: Packet, side: number): void {
    const meta = this.#meta
    const { sides } = this.#table
    const to = (side ^ 1) * SIDE_WORDS
    meta.destination = sides[to + SIDE_SOURCE]!
    if (meta.hasPorts && packet.protocol !== ipv4.PROTOCOL_ICMP) meta.destinationPort = sides[to + SIDE_PORTS]! >>> 16
  }

  /** INPUT. @param side of its flow; -1 for one that opens a flow, or has none */
  local(packet: Packet, from: Attachment, side = -1): number {
    if (side >= 0) this.#redirectKnown(packet, side)
    this.#hand.run(INPUT, AFTER_TRACKING, packet, from, null)
    this.#hand.takeSource(packet)
    this.#hand.apply(packet)
    return this.#judge(packet, from)
  }

  /** FORWARD. @param side of its flow; -1 for one that opens a flow, or has none */
  pass(packet: Packet, side: number, from: Attachment, to: Attachment): number {
    if (side >= 0) this.#redirectKnown(packet, side)
    this.#outcome.ttl = packet.ttl - 1
    this.#meta.ttl = packet.ttl - 1
    this.#outcome.pathMss = Math.min(from.mtu, to.mtu) - MSS_OVERHEAD
    this.#hand.run(FORWARD, AFTER_TRACKING, packet, from, to)
    return this.#judge(packet, from)
  }

  /** POSTROUTING. */
  leave(packet: Packet, from: Attachment, to: Attachment): number {
    const hand = this.#hand
    hand.run(POSTROUTING, AFTER_TRACKING, packet, null, to)
    hand.takeSource(packet)
    hand.apply(packet, 1)
    hand.clamp(packet)
    return this.#judge(packet, from)
  }

  /** A flow was opened by the packet in hand. */
  opened(flow: number): void {
    this.#hand.saveMark(flow)
  }

  /**
   * What came out for the packet in hand, of this side, is done. Returns true when later ones need not ask: they pass as they are, and
   * count for the rules that this one met.
   */
  store(packet: Packet, side: number): boolean {
    const outcome = this.#outcome
    const isPlain = (outcome.depends & UNTOLD) === 0 && (packet.tcpFlags & WATCHED) === 0 && packet.fragment !== LATER_FRAGMENT &&
      outcome.tosKeep === 0xff && outcome.tosFlip === 0 && outcome.ttlSet < 0 && outcome.ttlDelta === 0
    return isPlain && this.#paths.store(side, outcome.path, outcome.pathLength, packet.length)
  }

  /** Something that rules may look at has changed of the flow: its sides ask again. */
  flowChanged(flow: number): void {
    if (this.isIdle) return
    const at = flow * 2 * SIDE_WORDS + SIDE_HOP
    this.#table.sides[at]! &= ~EPOCH_MASK
    this.#table.sides[at + SIDE_WORDS]! &= ~EPOCH_MASK
  }

  /** The flow ends. */
  flowEnds(flow: number): void {
    this.#paths.settle(flow * 2)
    this.#paths.settle(flow * 2 + 1)
  }

  /** Brings the counters of rules up to date, of flows `from` … `to - 1`. */
  settle(from: number, to: number): void {
    this.#paths.settleAll(from, to)
  }

  #judge(packet: Packet, from: Attachment): number {
    switch (this.#outcome.verdict) {
      case ACCEPT: return 0
      case TPROXY: return 0
      case NO_SOCKET_VERDICT: return Drop['no-socket']
      case REJECT:
        this.#reports.reject(packet, from, this.#outcome.rejectKind)
        return Drop['rule-rejected']
      default: return Drop['rule']
    }
  }
}
