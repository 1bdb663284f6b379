/**
 * Notes what happens to one packet, step by step.
 *
 * The path of a packet asks at most `recorder === null`, and nothing else when nobody traces; what is here may allocate. A recorder is
 * begun for a packet, told of each step, and emptied by `take`. The headers are compared with those of the step before whenever a packet
 * is told to be rewritten or to leave: nobody has to say what was changed.
 */
import type { FlowTable } from '../nat/flow-table.js'
import { FLOW_MARK, FLOW_WORDS, SIDE_WORDS } from '../nat/flow-table.js'
import type { CompiledRuleset } from '../policy/engine/compiled-ruleset.js'
import {
  FAILED_DESTINATION, FAILED_FRAGMENT, FAILED_IN_INTERFACE, FAILED_MATCH, FAILED_OUT_INTERFACE, FAILED_PROTOCOL, FAILED_SOURCE, MATCHED,
  type TraceRecorder,
} from '../policy/engine/trace.js'
import type { HookName, TableName } from '../policy/model.js'
import type { RouteResult, RouteStep } from '../route/lookup.js'
import type { RouteKey } from '../route/types.js'
import type { Packet } from '../stack/parse.js'
import { type PacketHeaders, readHeaders } from './headers.js'
import type { Change, RuleStep, SocketWords, Trace, TraceStep } from './steps.js'

/** What a recorder asks of the data plane. */
export interface RecorderSources {
  /** The rules in use. */
  readonly ruleset: CompiledRuleset
  readonly table: FlowTable
  /** Milliseconds. */
  readonly now: number
}

/** Rules that did not match and are told one by one, for each packet; of others only how many there were. */
export const UNMET_MAX = 2000
/** Steps of one route lookup. */
const LOOKED_MAX = 500

const FAILED_NAMES: Readonly<Record<number, Exclude<RuleStep['failed'], null | object>>> = {
  [FAILED_SOURCE]: 'source', [FAILED_DESTINATION]: 'destination', [FAILED_IN_INTERFACE]: 'in-interface', [FAILED_OUT_INTERFACE]: 'out-interface',
  [FAILED_PROTOCOL]: 'protocol', [FAILED_FRAGMENT]: 'fragment',
}

/** Fields that are told when they change. Lengths change by cutting only, which the steps tell by themselves. */
const FIELDS = ['source', 'sourcePort', 'destination', 'destinationPort', 'icmpId', 'ttl', 'tos', 'mss', 'identification'] as const

const changesOf = (before: PacketHeaders, after: PacketHeaders): Change[] =>
  FIELDS.flatMap((field) => {
    const [from, to] = [before[field], after[field]]
    return from === null || to === null || from === to ? [] : [{ field, from, to }]
  })

export class Recorder implements TraceRecorder {
  /** Nothing is opened, counted or sent: what would become of the packet? */
  isDry = false
  /** The side of the flow that was told last, or -1. */
  side = -1
  /** It was told where the packet is in the end. */
  isOver = false
  /** To be handed to a route lookup; `routed` then takes what is in it. */
  readonly looked: RouteStep[] = []
  readonly #sources: RecorderSources
  readonly #unmetMax: number
  #steps: TraceStep[] = []
  #headers: PacketHeaders | null = null
  #mark = 0
  #connmark = 0
  #unmet = 0
  #skipped = 0
  #time = 0

  constructor(sources: RecorderSources, unmetMax = UNMET_MAX) {
    this.#sources = sources
    this.#unmetMax = unmetMax
  }

  /** A packet comes. @param received bytes that are there. @param mark that it comes with, uint32 */
  begin(view: DataView, at: number, received: number, zone: number, mark = 0): void {
    this.#reset()
    this.#time = this.#sources.now
    this.#mark = mark
    this.#headers = readHeaders(view, at, received)
    if (this.#headers !== null) this.#add({ step: 'packet', zone, mark, headers: this.#headers })
  }

  /** What was noted; the recorder is empty afterwards. */
  take(): Trace {
    this.#tellSkipped()
    const trace = { time: this.#time, steps: this.#steps }
    this.#reset()
    return trace
  }

  table(table: TableName, hook: HookName): void {
    this.#add({ step: 'table', table, hook })
  }

  rule(rule: number, result: number): void {
    if (result !== MATCHED && this.#unmet === this.#unmetMax) {
      this.#skipped++
      return
    }
    if (result !== MATCHED) this.#unmet++
    const { ruleset } = this.#sources
    const { table, name } = ruleset.chainOf(rule)
    this.#add({ step: 'rule', table, chain: name, number: ruleset.numberOf(rule), id: ruleset.ids[rule]!, failed: this.#failed(rule, result) })
  }

  policy(rule: number): void {
    const { ruleset } = this.#sources
    const { table, name } = ruleset.chainOf(rule)
    const { policy } = ruleset.policyChains[rule - ruleset.ruleCount]!
    this.#add({ step: 'policy', table, chain: name, policy: policy! })
  }

  /** What was decided for the flow before is applied. */
  stored(hook: HookName): void {
    this.#add({ step: 'stored', hook })
  }

  noFlow(): void {
    this.#add({ step: 'no-flow' })
  }

  /** @param isNew it was opened for this packet */
  flow(side: number, isNew: boolean): void {
    this.side = side
    const { columns, now } = this.#sources.table
    const flow = side >> 1
    const sides = columns.sides.slice(flow * 2 * SIDE_WORDS, (flow + 1) * 2 * SIDE_WORDS)
    const words = columns.flows.slice(flow * FLOW_WORDS, (flow + 1) * FLOW_WORDS)
    this.#connmark = words[FLOW_MARK]! >>> 0
    this.#add({ step: 'flow', isNew, direction: side & 1, flow, capacity: columns.capacity, sides, words, now })
  }

  /** What a flow would be opened with. Null: it stays, or is chosen when the flow opens. */
  translation(what: 'source' | 'destination', address: number | null, port: number | null): void {
    this.#add({ step: 'translation', what, address, port })
  }

  /** What of a packet's ends a flow would change that it would open. @param port of the source; null: it is chosen when the flow opens */
  translations(packet: Packet, source: number, port: number | null, destination: number, destinationPort: number): void {
    if (destination !== packet.destination || destinationPort !== (packet.ports & 0xffff)) this.translation('destination', destination, destinationPort)
    if (source !== packet.source || port !== packet.ports >>> 16) this.translation('source', source, port)
  }

  /** A lookup has ended, whose steps are in `looked`. */
  routed({ source, destination, input, mark, tos }: RouteKey, { error, type, table, preference, device, gateway }: RouteResult): void {
    const looked = this.looked.splice(0).slice(0, LOOKED_MAX)
    this.#add({ step: 'route', source, destination, input, mark: mark >>> 0, tos, looked, error, type, table, preference, device, gateway })
  }

  /** The marks as they are by now, uint32. @param connmark null: there is no flow that could have one */
  marked(mark: number, connmark: number | null): void {
    const changes: Change[] = []
    if (mark !== this.#mark) changes.push({ field: 'mark', from: this.#mark, to: mark })
    if (connmark !== null && connmark !== this.#connmark) changes.push({ field: 'connmark', from: this.#connmark, to: connmark })
    this.#mark = mark
    this.#connmark = connmark ?? this.#connmark
    if (changes.length > 0) this.#add({ step: 'rewrite', changes })
  }

  /** The headers may have been changed. @param length bytes that are there */
  rewritten(view: DataView, at: number, length: number): void {
    const after = readHeaders(view, at, length)
    if (after === null) return
    const changes = this.#headers === null ? [] : changesOf(this.#headers, after)
    this.#headers = after
    if (changes.length > 0) this.#add({ step: 'rewrite', changes })
  }

  answered(type: number, code: number): void {
    this.#add({ step: 'answer', kind: 'icmp', type, code })
  }

  reset(): void {
    this.#add({ step: 'answer', kind: 'tcp-reset', type: 0, code: 0 })
  }

  /** A rule does not let the answer out that was told last. */
  answerDropped(): void {
    this.#add({ step: 'answer-dropped' })
  }

  /** @param code of drop.ts */
  dropped(code: number): void {
    this.#add({ step: 'drop', code })
  }

  /** @param nextHop int32; null: the destination itself, or nobody has to be found */
  sent(zone: number, nextHop: number | null): void {
    this.isOver = true
    this.#add({ step: 'sent', zone, nextHop })
  }

  held(zone: number, nextHop: number | null): void {
    this.isOver = true
    this.#add({ step: 'held', zone, nextHop })
  }

  fragmentHeld(): void {
    this.isOver = true
    this.#add({ step: 'fragment-held' })
  }

  /** Rules gave it to a socket. */
  tproxy(socket: SocketWords): void {
    this.#add({ step: 'tproxy', socket })
  }

  /** @param socket that gets it; null: none */
  local(socket: SocketWords | null = null): void {
    this.isOver = true
    this.#add({ step: 'local', socket })
  }

  #failed(rule: number, result: number): RuleStep['failed'] {
    if (result === MATCHED) return null
    if (result < FAILED_MATCH) return FAILED_NAMES[result]!
    const match = result - FAILED_MATCH
    return { match, module: this.#sources.ruleset.rules[rule]!.spec.matches[match]!.module }
  }

  #add(step: TraceStep): void {
    this.#tellSkipped()
    this.#steps.push(step)
  }

  #tellSkipped(): void {
    if (this.#skipped === 0) return
    this.#steps.push({ step: 'skipped', rules: this.#skipped })
    this.#skipped = 0
  }

  #reset(): void {
    this.#steps = []
    this.side = -1
    this.isOver = false
    this.looked.length = 0
    this.#headers = null
    this.#mark = 0
    this.#connmark = 0
    this.#unmet = 0
    this.#skipped = 0
  }
}
