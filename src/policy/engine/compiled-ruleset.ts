/**
 * A rule set as the data plane walks it.
 *
 * Rules of all chains stand one after the other, each chain's together: `words` holds what nearly all rules test, `tests` and `targets`
 * what some do. Behind the rules stand the policies of the built-in chains; they count like rules. A number below `ruleCount` is
 * a rule's index here, others below `counterCount` a policy's.
 *
 * Nothing changes but counters and what matches remember. Counters and ids lie in shared memory: other threads may read them.
 */
import { type Chain, HOOK_NAMES, type HookName, type Policy, type Rule, TABLE_NAMES, type TableName } from '../model.js'
import type { ChainIndex } from './chain-index.js'
import type { Apply } from './compile-target.js'
import type { MatchStates } from './match-states.js'
import type { Test } from './test.js'

export interface CompiledChain {
  /** Its index in `chains`. */
  readonly number: number
  readonly table: TableName
  readonly name: string
  readonly first: number
  /** One behind the last rule. */
  readonly end: number
  readonly index: ChainIndex | null
}

/** Where packets come in. */
export interface BaseChain extends CompiledChain {
  readonly policy: Policy
  /** Index of the policy's counters. */
  readonly policyIndex: number
}

export interface RulesetParts {
  readonly chains: readonly CompiledChain[]
  readonly bases: readonly BaseChain[]
  readonly rules: readonly Rule[]
  /** Chains of the policies, in the order of their counters. */
  readonly policyChains: readonly Chain[]
  readonly words: Int32Array
  readonly tests: readonly Test[]
  readonly targets: readonly Apply[]
  readonly states: MatchStates
}

export class CompiledRuleset {
  readonly chains: readonly CompiledChain[]
  readonly rules: readonly Rule[]
  readonly policyChains: readonly Chain[]
  readonly words: Int32Array
  readonly tests: readonly Test[]
  readonly targets: readonly Apply[]
  readonly states: MatchStates
  readonly ruleCount: number
  readonly counterCount: number
  /** Ids of rules, then of chains with a policy, as in the model. */
  readonly ids: Float64Array
  /** Packets and bytes of each. */
  readonly counters: Float64Array
  /** By `table * HOOK_NAMES.length + hook`. */
  readonly #bases: readonly (BaseChain | null)[]
  #byId: Map<number, number> | null = null

  constructor(parts: RulesetParts) {
    this.chains = parts.chains
    this.rules = parts.rules
    this.policyChains = parts.policyChains
    this.words = parts.words
    this.tests = parts.tests
    this.targets = parts.targets
    this.states = parts.states
    this.ruleCount = parts.rules.length
    const counted = [...parts.rules, ...parts.policyChains]
    this.counterCount = counted.length
    this.ids = new Float64Array(new SharedArrayBuffer(counted.length * 8))
    this.counters = new Float64Array(new SharedArrayBuffer(counted.length * 16))
    for (const [index, { id, packets, bytes }] of counted.entries()) {
      this.ids[index] = id
      this.counters[index * 2] = packets
      this.counters[index * 2 + 1] = bytes
    }
    this.#bases = TABLE_NAMES.flatMap((table) => HOOK_NAMES.map((hook) => parts.bases.find((base) => base.table === table && base.name === hook) ?? null))
  }

  /** @param table index in TABLE_NAMES. @param hook index in HOOK_NAMES. Null: the table does not see that hook */
  base(table: number, hook: number): BaseChain | null {
    return this.#bases[table * HOOK_NAMES.length + hook]!
  }

  /** The index of a rule or policy, or -1. */
  indexOf(id: number): number {
    if (this.#byId === null) {
      this.#byId = new Map()
      for (let index = 0; index < this.counterCount; index++) this.#byId.set(this.ids[index]!, index)
    }
    return this.#byId.get(id) ?? -1
  }

  /** The chain that a rule or policy stands in. */
  chainOf(index: number): CompiledChain {
    if (index >= this.ruleCount) return this.#bases.find((base) => base !== null && base.policyIndex === index)!
    let [low, high] = [0, this.chains.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.chains[middle]!.first <= index) low = middle
      else high = middle - 1
    }
    return this.chains[low]!
  }

  /** The number of a rule in its chain, from 1; 0 for a policy. */
  numberOf(index: number): number {
    return index >= this.ruleCount ? 0 : index - this.chainOf(index).first + 1
  }

  /** Counts packets of a flow whose outcome was stored, for the rules that it met. */
  count(path: Int32Array, from: number, length: number, packets: number, bytes: number): void {
    for (let at = from; at < from + length; at++) {
      this.counters[path[at]! * 2]! += packets
      this.counters[path[at]! * 2 + 1]! += bytes
    }
  }

  /** Goes on with the counters of rules and chains that were there before. */
  takeCounters(previous: CompiledRuleset): void {
    for (let index = 0; index < this.counterCount; index++) {
      const before = previous.indexOf(this.ids[index]!)
      if (before < 0) continue
      this.counters[index * 2] = previous.counters[before * 2]!
      this.counters[index * 2 + 1] = previous.counters[before * 2 + 1]!
    }
  }
}

export const tableNumber = (table: TableName): number => TABLE_NAMES.indexOf(table)
export const hookNumber = (hook: HookName): number => HOOK_NAMES.indexOf(hook)
