/**
 * Takes packets through the rules of a hook.
 *
 * The tables of a hook are asked in the kernel's order (TABLES_OF_HOOK); the first verdict other than ACCEPT ends it. In a table, the
 * walk begins in the built-in chain. A frame is a chain and the place in it: in a long chain, the heads of the lists of candidates
 * (chain-index.ts), else the number of the next rule. A jump makes a new frame, a goto puts its chain into the frame, and the end of
 * a chain, or RETURN, leaves the frame; when none is left, the built-in chain's policy decides.
 *
 * Frames and lists of candidates lie in typed arrays, which grow when chains are nested more deeply than ever before. Nothing else
 * allocates, nothing throws. One packet at a time: the outcome is one object, and is filled anew for the next.
 */
import { HOOK_NAMES, type HookName, STATE, TABLE_NAMES, type TableName } from '../model.js'
import { LISTS_MAX, NO_ENTRY } from './chain-index.js'
import { type BaseChain, type CompiledRuleset, tableNumber } from './compiled-ruleset.js'
import { CONTINUE } from './compile-target.js'
import type { InterfaceNumbers } from './environment.js'
import { ACTION, DO_ACCEPT, DO_APPLY, DO_DROP, DO_GOTO, DO_JUMP, DO_RETURN, OPERAND, RULE_WORDS } from './layout.js'
import { ACCEPT, DROP, Outcome, TPROXY } from './outcome.js'
import type { PacketMeta } from './packet-meta.js'
import { failingTest } from './rule-test.js'
import { MATCHED, type TraceRecorder } from './trace.js'

/** Tables of each hook in the order of their priorities. Between raw and the others, flows are looked up. */
export const TABLES_OF_HOOK: Readonly<Record<HookName, readonly TableName[]>> = {
  PREROUTING: ['raw', 'mangle', 'nat'],
  INPUT: ['mangle', 'filter', 'nat'],
  FORWARD: ['mangle', 'filter'],
  OUTPUT: ['raw', 'mangle', 'nat', 'filter'],
  POSTROUTING: ['mangle', 'nat'],
}

/** The same by number. */
const ORDER: readonly (readonly number[])[] = HOOK_NAMES.map((hook) => TABLES_OF_HOOK[hook].map(tableNumber))
const RAW = tableNumber('raw')
const NAT = tableNumber('nat')

/** Which tables are asked: a bit each. */
export const PART_RAW = 1
export const PART_MANGLE = 2
export const PART_NAT = 4
export const PART_FILTER = 8
/** Raw, the others, or all. */
export const BEFORE_TRACKING = PART_RAW
export const AFTER_TRACKING = PART_MANGLE | PART_NAT | PART_FILTER
export const ALL_TABLES = BEFORE_TRACKING | AFTER_TRACKING
/** The bit of a table, by its number. */
const PARTS: readonly number[] = TABLE_NAMES.map((name) => ({ raw: PART_RAW, mangle: PART_MANGLE, nat: PART_NAT, filter: PART_FILTER })[name])

const NO_FLOW = STATE.INVALID | STATE.UNTRACKED
const FIRST_FRAMES = 16

export class Evaluator {
  readonly outcome = new Outcome()
  /** Told of every rule; then also of those that an index would have left out. Null in use. */
  recorder: TraceRecorder | null = null
  readonly #interfaces: InterfaceNumbers
  #ruleset: CompiledRuleset
  #depth = 0
  /** Chain of each frame, the rule that comes next in it, and where its lists end in `places`. */
  #frameChains = new Int32Array(FIRST_FRAMES)
  #frameRules = new Int32Array(FIRST_FRAMES)
  #frameEnds = new Int32Array(FIRST_FRAMES)
  /** Heads of lists of candidates, LISTS_MAX a frame at most, one frame's behind the other's. */
  #places = new Int32Array(FIRST_FRAMES * LISTS_MAX)

  constructor(ruleset: CompiledRuleset, interfaces: InterfaceNumbers) {
    this.#ruleset = ruleset
    this.#interfaces = interfaces
  }

  get ruleset(): CompiledRuleset {
    return this.#ruleset
  }

  /** Takes effect for the next packet. What was stored of outcomes means nothing from then on. */
  use(ruleset: CompiledRuleset): void {
    this.#ruleset = ruleset
  }

  /**
   * Asks the tables of a hook. The outcome is valid until the next call.
   *
   * The table nat is asked only for a packet that consults it. On OUTPUT, DNAT changes what filter sees: the caller has to ask
   * table by table there, and to change the packet in between.
   * @param hook index in HOOK_NAMES
   * @param part PART_*, tables to ask; without raw, it goes on from where raw was asked, with the flow in `packet`, and keeps what came out
   */
  evaluate(hook: number, packet: PacketMeta, part: number = ALL_TABLES): Outcome {
    const { outcome } = this
    if ((part & BEFORE_TRACKING) !== 0) outcome.begin(packet)
    else outcome.connmark = packet.connmark
    const tables = ORDER[hook]!
    for (let at = 0; at < tables.length; at++) {
      const table = tables[at]!
      if ((part & PARTS[table]!) === 0) continue
      if (outcome.verdict !== ACCEPT && outcome.verdict !== TPROXY) break
      this.#ask(table, hook, packet)
    }
    return outcome
  }

  /** Asks one table, after `evaluate` or `outcome.begin` for the same packet. Both numbers are indexes of names. */
  evaluateTable(table: number, hook: number, packet: PacketMeta): Outcome {
    this.#ask(table, hook, packet)
    return this.outcome
  }

  #ask(table: number, hook: number, packet: PacketMeta): void {
    const { outcome } = this
    const base = this.#ruleset.base(table, hook)
    if (base === null) return
    this.#setState(table, packet)
    if (table === NAT && !(outcome.isTracked && packet.consultsNat)) return
    this.recorder?.table(TABLE_NAMES[table]!, HOOK_NAMES[hook]!)
    const verdict = this.#walk(base, packet)
    outcome.verdict = verdict === ACCEPT && outcome.tproxy !== null ? TPROXY : verdict
  }

  /** What rules see of the flow: in raw it has not been looked up yet. */
  #setState(table: number, packet: PacketMeta): void {
    const { outcome } = this
    outcome.state = outcome.notrack ? STATE.UNTRACKED : table === RAW ? STATE.INVALID : packet.state
    outcome.isTracked = (outcome.state & NO_FLOW) === 0
  }

  /** Goes through the rules of a table. Returns a verdict. */
  #walk(base: BaseChain, packet: PacketMeta): number {
    const { outcome, recorder } = this
    const { words, tests, targets } = this.#ruleset
    this.#depth = 0
    this.#enter(base.number, packet)
    for (;;) {
      const rule = this.#nextRule()
      if (rule < 0) {
        if (this.#depth === 0) return this.#applyPolicy(base, packet)
        this.#depth--
        continue
      }
      const at = rule * RULE_WORDS
      const result = failingTest(words, at, tests, packet, outcome, this.#interfaces)
      recorder?.rule(rule, result)
      if (result !== MATCHED) {
        if (!outcome.hotDrop) continue
        outcome.meet(rule)
        return DROP
      }
      this.#count(rule, packet.length)
      switch (words[at + ACTION]) {
        case DO_ACCEPT: return ACCEPT
        case DO_DROP: return DROP
        case DO_RETURN:
          if (this.#depth === 0) return this.#applyPolicy(base, packet)
          this.#depth--
          break
        case DO_JUMP:
          this.#depth++
          this.#enter(words[at + OPERAND]!, packet)
          break
        case DO_GOTO:
          this.#enter(words[at + OPERAND]!, packet)
          break
        case DO_APPLY: {
          const verdict = targets[words[at + OPERAND]!]!(packet, outcome, rule)
          if (verdict !== CONTINUE) return verdict
        }
      }
    }
  }

  #applyPolicy(base: BaseChain, packet: PacketMeta): number {
    this.recorder?.policy(base.policyIndex)
    this.#count(base.policyIndex, packet.length)
    return base.policy === 'ACCEPT' ? ACCEPT : DROP
  }

  #count(rule: number, bytes: number): void {
    const { outcome } = this
    outcome.meet(rule)
    if (outcome.isDry) return
    const { counters } = this.#ruleset
    counters[rule * 2]!++
    counters[rule * 2 + 1]! += bytes
  }

  /** Puts a chain into the frame at `#depth`. */
  #enter(number: number, packet: PacketMeta): void {
    const depth = this.#depth
    if (depth === this.#frameChains.length) this.#grow()
    const { first, index } = this.#ruleset.chains[number]!
    const start = depth === 0 ? 0 : this.#frameEnds[depth - 1]!
    this.#frameChains[depth] = number
    this.#frameRules[depth] = first
    this.#frameEnds[depth] = index === null ? start : index.find(packet, this.#places, start)
  }

  /** The rule that comes next in the chain of the frame at `#depth`, -1 at the end of the chain. */
  #nextRule(): number {
    const depth = this.#depth
    const { index, end } = this.#ruleset.chains[this.#frameChains[depth]!]!
    if (index === null || this.recorder !== null) {
      const rule = this.#frameRules[depth]!
      if (rule >= end) return -1
      this.#frameRules[depth] = rule + 1
      return rule
    }
    const places = this.#places
    const last = this.#frameEnds[depth]! - 1
    let rule = end
    let nearest = -1
    for (let at = depth === 0 ? 0 : this.#frameEnds[depth - 1]!; at <= last; at++) {
      const candidate = index.ruleAt(places[at]!)
      if (candidate >= rule) continue
      rule = candidate
      nearest = at
    }
    if (nearest < 0) return -1
    const next = index.next(places[nearest]!)
    if (next === NO_ENTRY) {
      places[nearest] = places[last]!
      this.#frameEnds[depth] = last
    } else places[nearest] = next
    return rule
  }

  #grow(): void {
    const frames = this.#frameChains.length * 2
    const grown = (old: Int32Array, length: number): Int32Array<ArrayBuffer> => {
      const column = new Int32Array(length)
      column.set(old)
      return column
    }
    this.#frameChains = grown(this.#frameChains, frames)
    this.#frameRules = grown(this.#frameRules, frames)
    this.#frameEnds = grown(this.#frameEnds, frames)
    this.#places = grown(this.#places, frames * LISTS_MAX)
  }
}
