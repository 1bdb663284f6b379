/**
 * The hooks of netfilter: where packets meet the rules.
 *
 *     arrive   PREROUTING   raw ─► (flow) ─► mangle ─► nat: where it goes     before it is routed
 *     local    INPUT        mangle ─► filter                                  it is for the gateway itself
 *     pass     FORWARD      mangle ─► filter                                  it is for somebody else; its TTL counts as lowered
 *     leave    POSTROUTING  mangle ─► nat: what it leaves as                  before it is sent
 *     letOut   OUTPUT       raw ─► mangle ─► filter, then POSTROUTING         the gateway itself answers a packet
 *     output   OUTPUT       raw ─► mangle                                     a socket of the gateway sends; then it may be routed again
 *     outputNat             nat: where it goes                                then again
 *     outputLeave           filter, then POSTROUTING                          before it is sent
 *     loop     INPUT        mangle ─► filter                                  it is for another socket of the gateway
 *
 * `meet…` begins a packet; then its hooks are called in order. Each returns 0, or the drop code of a packet that must not go on, whose
 * sender was told if a rule said so. Rules see a packet as the kernel's do: from `pass` on with its new destination, and with the source
 * that it came with until it has left.
 *
 * A packet of a flow need not meet the rules when what comes out is known: `store` says whether it may be kept with its side. What is
 * kept is that packets of the side pass as they are. Whatever else comes out of rules (a drop, another TOS) is worked out for each.
 */
import { type Attachment, numberOfZone } from '../attachment.js'
import { Drop } from '../drop.js'
import type { RandomSource } from '../nat/random.js'
import { FLOW_MARK, FLOW_WORDS, type FlowTable, SIDE_HOP, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from '../nat/flow-table.js'
import type { PolicyPlane } from '../policy-plane.js'
import type { HookEnvironment } from './environment.js'
import {
  ACCEPT, AFTER_TRACKING, ALL_TABLES, DEPENDS_PACKET, DEPENDS_SETS, NO_SOCKET as NO_SOCKET_VERDICT, type Outcome, PacketMeta, PART_FILTER, PART_MANGLE, PART_NAT, PART_RAW, REJECT, TPROXY,
} from '../policy/engine/index.js'
import { type HookName, HOOK_NAMES, type RejectKind, STATE } from '../policy/model.js'
import type { Reports } from '../reports.js'
import type { Slab } from '../stack/batch.js'
import { clampMss, MSS_OVERHEAD } from '../stack/mss.js'
import { LATER_FRAGMENT, Packet, parse } from '../stack/parse.js'
import { NO_SOCKET } from '../stack/sockets/network.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'
import type { Tracing } from '../trace/tracing.js'
import { EPOCH_MASK } from '../epoch.js'
import { setTos, setTtl } from './changes.js'
import { describeFlow, describeNoFlow, describePacket, natStates } from './describe.js'
import type { RuleLog } from './log-ring.js'
import { DestinationRequest, SourceRequest } from './nat-request.js'
import { StoredPaths } from './paths.js'

const hookNumber = (name: HookName): number => HOOK_NAMES.indexOf(name)
const PREROUTING = hookNumber('PREROUTING')
const INPUT = hookNumber('INPUT')
const FORWARD = hookNumber('FORWARD')
const OUTPUT = hookNumber('OUTPUT')
const POSTROUTING = hookNumber('POSTROUTING')

/** Where REDIRECT sends what the gateway itself sends. */
const LOOPBACK = 0x7f000001
/** The number of `lo`. */
const LOOPBACK_NUMBER = 1

/** Flags of segments that are told apart by more than their flow: those of a stored outcome have none of them. */
const WATCHED = tcp.FIN | tcp.SYN | tcp.RST | tcp.URG | tcp.ECE | tcp.CWR
/** What an outcome depends on and that nobody tells when it changes. */
const UNTOLD = DEPENDS_PACKET | DEPENDS_SETS
/** No limit of the segment size. */
const ANY_MSS = 0xffff

export interface HooksParts {
  readonly slab: Slab
  readonly table: FlowTable
  readonly policy: PolicyPlane<HookEnvironment>
  readonly reports: Reports
  readonly log: RuleLog
  /** Idle seconds by timeout class. */
  readonly timeouts: Int32Array
  readonly random: RandomSource
  readonly tracing: Tracing
}

export class Hooks {
  readonly #slab: Slab
  readonly #table: FlowTable
  readonly #policy: PolicyPlane<HookEnvironment>
  readonly #reports: Reports
  readonly #timeouts: Int32Array
  readonly #tracing: Tracing
  readonly #meta = new PacketMeta()
  readonly #own = new Packet()
  readonly #outcome: Outcome
  readonly #paths: StoredPaths
  /** What rules said of the destination of the packet in hand. */
  readonly destination: DestinationRequest
  /** Whether they said something. */
  hasDestination = false
  /** What they said of its source. */
  readonly source: SourceRequest
  /** No rule is there: the hooks need not be called. */
  isIdle = true
  /** Flags of TCP segments that meet the rules whatever is stored. */
  watchedFlags = 0
  readonly #log: RuleLog
  /** The type of service that the packet in hand has by now. */
  #tos = 0
  /** The flow of the packet in hand, -1 as long as it has none. */
  #flow = -1
  /** Mark that packets come with, uint32. */
  #arrivalMark = 0

  constructor(parts: HooksParts) {
    this.#slab = parts.slab
    this.#table = parts.table
    this.#policy = parts.policy
    this.#reports = parts.reports
    this.#log = parts.log
    this.#timeouts = parts.timeouts
    this.#tracing = parts.tracing
    this.#outcome = parts.policy.evaluator.outcome
    this.#paths = new StoredPaths(parts.table, parts.policy.evaluator.ruleset)
    this.destination = new DestinationRequest(parts.random)
    this.source = new SourceRequest(parts.random)
  }

  /** Other rules are in use. */
  rulesChanged(): void {
    const policy = this.#policy
    this.isIdle = policy.isIdle
    this.#reports.rules = policy.isIdle ? null : this
    this.watchedFlags = policy.isIdle ? 0 : WATCHED
    this.#paths.use(policy.evaluator.ruleset)
    this.hasDestination = false
    this.source.clear()
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
    this.#begin(packet, -1)
    describeNoFlow(packet, this.#meta, state)
  }

  /** A packet of a known flow. */
  meetKnown(packet: Packet, side: number): void {
    this.#paths.settle(side)
    this.#begin(packet, side)
    describeFlow(this.#meta, this.#table, side, false, this.#timeouts)
  }

  /** An ICMP error about a packet of the other side. */
  meetRelated(packet: Packet, side: number): void {
    this.#begin(packet, -1)
    this.#flow = side >> 1
    describeFlow(this.#meta, this.#table, side, true, this.#timeouts)
  }

  #begin(packet: Packet, side: number): void {
    describePacket(this.#slab.view, packet, this.#meta, this.#table, side)
    this.#meta.mark = this.#arrivalMark
    this.#policy.environment.look(packet)
    this.hasDestination = false
    this.source.clear()
    this.#tos = this.#meta.tos
    this.#flow = side < 0 ? -1 : side >> 1
  }

  /** PREROUTING. */
  arrive(packet: Packet, from: Attachment): number {
    const outcome = this.#run(PREROUTING, ALL_TABLES, packet, from, null)
    if (outcome.notrack) describeNoFlow(packet, this.#meta, STATE.UNTRACKED)
    if (outcome.nat !== null) {
      this.destination.fill(outcome.nat, packet, from.firstAddress)
      this.hasDestination = true
      outcome.nat = null
    }
    this.#applyTos(packet)
    if (outcome.ttl !== packet.ttl) setTtl(this.#slab.view, packet, outcome.ttl)
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
    const outcome = this.#run(INPUT, AFTER_TRACKING, packet, from, null)
    if (outcome.nat !== null) {
      this.source.fill(outcome.nat, packet, this.#meta.destination)
      outcome.nat = null
    }
    this.#applyTos(packet)
    if (outcome.ttl !== packet.ttl) setTtl(this.#slab.view, packet, outcome.ttl)
    return this.#judge(packet, from)
  }

  /** FORWARD. @param side of its flow; -1 for one that opens a flow, or has none */
  pass(packet: Packet, side: number, from: Attachment, to: Attachment): number {
    if (side >= 0) this.#redirectKnown(packet, side)
    this.#outcome.ttl = packet.ttl - 1
    this.#meta.ttl = packet.ttl - 1
    this.#outcome.pathMss = Math.min(from.mtu, to.mtu) - MSS_OVERHEAD
    this.#run(FORWARD, AFTER_TRACKING, packet, from, to)
    return this.#judge(packet, from)
  }

  /** POSTROUTING. */
  leave(packet: Packet, from: Attachment, to: Attachment): number {
    const outcome = this.#run(POSTROUTING, AFTER_TRACKING, packet, null, to)
    if (outcome.nat !== null) {
      this.source.fill(outcome.nat, packet, this.#meta.destination)
      outcome.nat = null
    }
    this.#applyTos(packet)
    if (outcome.ttl !== packet.ttl - 1) setTtl(this.#slab.view, packet, outcome.ttl + 1)
    if (outcome.mss !== ANY_MSS && (packet.tcpFlags & tcp.SYN) !== 0) clampMss(this.#slab.view, packet, outcome.mss)
    return this.#judge(packet, from)
  }

  /**
   * OUTPUT and POSTROUTING of an answer of the gateway's own, an ICMP error, a RST or an echo reply. It ends what is known of the packet
   * that it answers, which goes no further.
   */
  letOut(at: number, length: number, to: Attachment): boolean {
    const packet = this.#own
    const { view } = this.#slab
    if (parse(view, at, length, packet) !== 0) return true
    this.#begin(packet, -1)
    this.#meta.mark = 0
    describeNoFlow(packet, this.#meta, packet.icmpType === icmp4.ECHO_REPLY ? STATE.ESTABLISHED : STATE.RELATED)
    this.#run(OUTPUT, ALL_TABLES, packet, null, to)
    if (this.#outcome.verdict === ACCEPT) this.#run(POSTROUTING, AFTER_TRACKING, packet, null, to)
    if (this.#outcome.verdict !== ACCEPT) return false
    this.#applyTos(packet)
    if (this.#outcome.ttl !== packet.ttl) setTtl(view, packet, this.#outcome.ttl)
    return true
  }

  /** A packet of a socket of the gateway's own. @param mark the socket's; @param state STATE.NEW or STATE.ESTABLISHED */
  meetOwn(packet: Packet, mark: number, state: number): void {
    this.#begin(packet, -1)
    this.#meta.mark = mark
    describeNoFlow(packet, this.#meta, state)
  }

  /** OUTPUT of an own packet, as far as routes may depend on it: raw and mangle. @param to where the first look at the routes led; null: to this host */
  output(packet: Packet, to: Attachment | null): number {
    return this.#let(OUTPUT, PART_RAW | PART_MANGLE, packet, to)
  }

  /** The packet's source was chosen again. */
  sourceChosen(address: number): void {
    this.#meta.source = this.#meta.originalSource = this.#meta.replyDestination = address
  }

  /** OUTPUT, table nat: what it says is in `destination`. */
  outputNat(packet: Packet, to: Attachment | null): number {
    const stopped = this.#let(OUTPUT, PART_NAT, packet, to)
    const { nat } = this.#outcome
    if (nat === null) return stopped
    this.destination.fill(nat, packet, LOOPBACK)
    this.hasDestination = true
    this.#outcome.nat = null
    return stopped
  }

  /** OUTPUT, table filter, and POSTROUTING, when the way is known. What the packet shall leave as is in `source`. */
  outputLeave(packet: Packet, to: Attachment | null): number {
    const stopped = this.#let(OUTPUT, PART_FILTER, packet, to)
    if (stopped !== 0) return stopped
    const outcome = this.#outcome
    const held = this.#let(POSTROUTING, AFTER_TRACKING, packet, to)
    if (outcome.nat !== null) {
      this.source.fill(outcome.nat, packet, this.#meta.destination)
      outcome.nat = null
    }
    if (outcome.mss !== ANY_MSS && (packet.tcpFlags & tcp.SYN) !== 0) clampMss(this.#slab.view, packet, outcome.mss)
    return held
  }

  /** INPUT of an own packet that does not leave, by the ends that it arrives with. PREROUTING is not asked. */
  loop(packet: Packet): number {
    const meta = this.#meta
    meta.source = packet.source
    meta.destination = packet.destination
    if (meta.hasPorts && packet.protocol !== ipv4.PROTOCOL_ICMP) {
      meta.sourcePort = packet.ports >>> 16
      meta.destinationPort = packet.ports & 0xffff
    }
    return this.#let(INPUT, PART_MANGLE | PART_FILTER, packet, null)
  }

  /** How the packet in hand was rejected; it has a meaning after `rule-rejected`. */
  get rejection(): RejectKind {
    return this.#outcome.rejectKind
  }

  /** Tables of a hook for an own packet. Returns 0 or a drop code; nobody is told of it here. */
  #let(hook: number, part: number, packet: Packet, to: Attachment | null): number {
    const outcome = this.#run(hook, part, packet, null, to)
    this.#applyTos(packet)
    if (outcome.ttl !== packet.ttl) setTtl(this.#slab.view, packet, outcome.ttl)
    return outcome.verdict === ACCEPT ? 0 : outcome.verdict === REJECT ? Drop['rule-rejected'] : Drop['rule']
  }

  /** A flow was opened by the packet in hand. */
  opened(flow: number): void {
    this.#saveMark(flow)
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

  #run(hook: number, part: number, packet: Packet, from: Attachment | null, to: Attachment | null): Outcome {
    const meta = this.#meta
    const outcome = this.#outcome
    meta.inInterface = from !== null ? numberOfZone(from.zone) : hook === INPUT ? LOOPBACK_NUMBER : 0
    meta.outInterface = to !== null ? numberOfZone(to.zone) : hook === OUTPUT || hook === POSTROUTING ? LOOPBACK_NUMBER : 0
    meta.tos = this.#tos
    if (part === AFTER_TRACKING) meta.connmark = outcome.connmark
    this.#policy.evaluator.evaluate(hook, meta, part)
    // The mark of its flow is changed even by a packet that goes no further.
    if (this.#flow >= 0 && !outcome.notrack && !outcome.isDry) this.#saveMark(this.#flow)
    // An answer of the gateway's has marks of its own.
    if (packet !== this.#own) this.#tracing.recorder?.marked(outcome.mark, outcome.isTracked ? outcome.connmark : null)
    if (outcome.logCount > 0) {
      if (!outcome.isDry) this.#log.write(outcome, this.#policy.evaluator.ruleset, hook, this.#slab, packet, meta)
      outcome.logCount = 0
    }
    return outcome
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

  #applyTos(packet: Packet): void {
    const { tos } = this.#outcome
    if (tos === this.#tos) return
    setTos(this.#slab.view, packet.at, tos)
    this.#tos = tos
  }

  #saveMark(flow: number): void {
    const at = flow * FLOW_WORDS + FLOW_MARK
    const mark = this.#outcome.connmark | 0
    if (this.#table.flows[at] === mark) return
    this.#table.flows[at] = mark
    this.flowChanged(flow)
  }
}
