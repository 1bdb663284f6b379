/**
 * The packet that is taken through the hooks: what rules are told of it, and what they have said of it so far.
 *
 * One at a time: `begin` starts the next and forgets the last. What describes the packet (`meta`) follows it: rules see it as the kernel's
 * do. What rules say stands in the evaluator's outcome; what they say of its addresses is taken out of there (`takeSource`,
 * `takeDestination`), and changes of the header are made at once (`apply`), so that the packet and `outcome` agree between two hooks.
 * Nothing here allocates.
 */
import { type Attachment, numberOfZone } from '../attachment.js'
import type { RandomSource } from '../stack/random.js'
import { FLOW_MARK, FLOW_WORDS, type FlowTable } from '../nat/flow-table.js'
import type { PolicyPlane } from '../policy-plane.js'
import { AFTER_TRACKING, type Outcome, PacketMeta } from '../policy/engine/index.js'
import { type HookName, HOOK_NAMES } from '../policy/model.js'
import type { Slab } from '../stack/batch.js'
import { clampMss } from '../stack/mss.js'
import type { Packet } from '../stack/parse.js'
import * as tcp from '../stack/wire/tcp.js'
import type { Tracing } from '../trace/tracing.js'
import { setTos, setTtl } from './changes.js'
import { describePacket } from './describe.js'
import type { HookEnvironment } from './environment.js'
import type { RuleLog } from './log-ring.js'
import { DestinationRequest, SourceRequest } from './nat-request.js'

const hookNumber = (name: HookName): number => HOOK_NAMES.indexOf(name)
export const PREROUTING = hookNumber('PREROUTING')
export const INPUT = hookNumber('INPUT')
export const FORWARD = hookNumber('FORWARD')
export const OUTPUT = hookNumber('OUTPUT')
export const POSTROUTING = hookNumber('POSTROUTING')

/** The number of `lo`. */
const LOOPBACK_NUMBER = 1
/** No limit of the segment size. */
const ANY_MSS = 0xffff

export interface PacketInHandParts {
  readonly slab: Slab
  readonly table: FlowTable
  readonly policy: PolicyPlane<HookEnvironment>
  readonly log: RuleLog
  readonly random: RandomSource
  readonly tracing: Tracing
}

export class PacketInHand {
  readonly meta = new PacketMeta()
  readonly outcome: Outcome
  /** What rules said of the packet's destination. */
  readonly destination: DestinationRequest
  /** Whether they said something. */
  hasDestination = false
  /** What they said of its source. */
  readonly source: SourceRequest
  /** Its flow, -1 as long as it has none. */
  flow = -1
  /** Told of a flow whose mark rules have changed. */
  onMark: (flow: number) => void = () => {}
  readonly #slab: Slab
  readonly #table: FlowTable
  readonly #policy: PolicyPlane<HookEnvironment>
  readonly #log: RuleLog
  readonly #tracing: Tracing
  /** The type of service that it has by now. */
  #tos = 0
  /** It is an answer of the gateway's, with marks of its own: who traces a packet traces what is answered. */
  #isAnswer = false

  constructor(parts: PacketInHandParts) {
    this.#slab = parts.slab
    this.#table = parts.table
    this.#policy = parts.policy
    this.#log = parts.log
    this.#tracing = parts.tracing
    this.outcome = parts.policy.evaluator.outcome
    this.destination = new DestinationRequest(parts.random)
    this.source = new SourceRequest(parts.random)
  }

  /** Takes up the next packet. @param side of its flow, or -1; @param mark that it comes with, uint32; @param isAnswer it is one of the gateway's */
  begin(packet: Packet, side: number, mark: number, isAnswer = false): void {
    describePacket(this.#slab.view, packet, this.meta, this.#table, side)
    this.meta.mark = mark
    this.#policy.environment.look(packet)
    this.forget()
    this.#tos = this.meta.tos
    this.flow = side < 0 ? -1 : side >> 1
    this.#isAnswer = isAnswer
  }

  /** Nothing was said of its addresses. */
  forget(): void {
    this.hasDestination = false
    this.source.clear()
  }

  /** Asks the tables `part` of a hook. @param from null: it comes from this host; @param to null: it stays here, or nobody knows yet */
  run(hook: number, part: number, packet: Packet, from: Attachment | null, to: Attachment | null): Outcome {
    const { meta, outcome } = this
    meta.inInterface = from !== null ? numberOfZone(from.zone) : hook === INPUT ? LOOPBACK_NUMBER : 0
    meta.outInterface = to !== null ? numberOfZone(to.zone) : hook === OUTPUT || hook === POSTROUTING ? LOOPBACK_NUMBER : 0
    meta.tos = this.#tos
    if (part === AFTER_TRACKING) meta.connmark = outcome.connmark
    this.#policy.evaluator.evaluate(hook, meta, part)
    // The mark of its flow is changed even by a packet that goes no further.
    if (this.flow >= 0 && !outcome.notrack && !outcome.isDry) this.saveMark(this.flow)
    if (!this.#isAnswer) this.#tracing.recorder?.marked(outcome.mark, outcome.isTracked ? outcome.connmark : null)
    if (outcome.logCount > 0) {
      if (!outcome.isDry) this.#log.write(outcome, this.#policy.evaluator.ruleset, hook, this.#slab, packet, meta)
      outcome.logCount = 0
    }
    return outcome
  }

  /** What rules said of the destination, if anything, is from now on in `destination`. @param own where REDIRECT leads */
  takeDestination(packet: Packet, own: number): void {
    const { outcome } = this
    if (outcome.nat === null) return
    this.destination.fill(outcome.nat, packet, own)
    this.hasDestination = true
    outcome.nat = null
  }

  /** What rules said of the source, if anything, is from now on in `source`. */
  takeSource(packet: Packet): void {
    const { outcome } = this
    if (outcome.nat === null) return
    this.source.fill(outcome.nat, packet, this.meta.destination)
    outcome.nat = null
  }

  /** Writes TOS and TTL into the header as rules have left them. @param lowered what `outcome.ttl` is less than the header's */
  apply(packet: Packet, lowered = 0): void {
    const { tos, ttl } = this.outcome
    if (tos !== this.#tos) {
      setTos(this.#slab.view, packet.at, tos)
      this.#tos = tos
    }
    if (ttl + lowered !== packet.ttl) setTtl(this.#slab.view, packet, ttl + lowered)
  }

  /** Lowers the MSS that a SYN names, if rules want it. */
  clamp(packet: Packet): void {
    const { mss } = this.outcome
    if (mss !== ANY_MSS && (packet.tcpFlags & tcp.SYN) !== 0) clampMss(this.#slab.view, packet, mss)
  }

  /** The mark that rules gave the connection is its flow's. */
  saveMark(flow: number): void {
    const at = flow * FLOW_WORDS + FLOW_MARK
    const mark = this.outcome.connmark | 0
    if (this.#table.flows[at] === mark) return
    this.#table.flows[at] = mark
    this.onMark(flow)
  }
}
