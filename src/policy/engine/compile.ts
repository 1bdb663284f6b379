/**
 * From a rule set to its compiled form. A long one may be compiled in steps, between other work; until `finish`, what is in use stays
 * as it is, and goes on counting.
 */
import { TsnatError } from '../../errors.js'
import { type Chain, type Rule, type RuleSpec, type Ruleset, TABLE_NAMES, type TableName } from '../model.js'
import { ChainIndexer } from './chain-index.js'
import { compileMatch } from './compile-match.js'
import { wordMatch, writeRule } from './compile-rule.js'
import { type Apply, compileTarget } from './compile-target.js'
import { type BaseChain, type CompiledChain, CompiledRuleset } from './compiled-ruleset.js'
import type { Environment } from './environment.js'
import { ACTION, DO_ACCEPT, DO_APPLY, DO_CONTINUE, DO_DROP, DO_GOTO, DO_JUMP, DO_RETURN, OPERAND, RULE_WORDS, TEST_COUNT, TESTS } from './layout.js'
import { MatchStates } from './match-states.js'
import type { Test } from './test.js'

interface PlacedChain { readonly table: TableName; readonly chain: Chain; readonly first: number; readonly number: number }

/** Chains of all tables, and where their rules stand. */
const placeChains = (ruleset: Ruleset): PlacedChain[] => {
  const placed: PlacedChain[] = []
  let first = 0
  for (const table of TABLE_NAMES) {
    for (const chain of ruleset.tables[table].chains) {
      placed.push({ table, chain, first, number: placed.length })
      first += chain.rules.length
    }
  }
  return placed
}

export class RulesetCompiler {
  readonly #environment: Environment
  readonly #previous: CompiledRuleset | null
  readonly #placed: readonly PlacedChain[]
  readonly #numbers: ReadonlyMap<string, number>
  readonly #rules: Rule[] = []
  readonly #words: Int32Array
  readonly #tests: Test[] = []
  readonly #targets: Apply[] = []
  readonly #states: MatchStates
  readonly #chains: CompiledChain[] = []
  /** The chain that is being compiled, its next rule, and its index. */
  #chain = 0
  #rule = 0
  #indexer: ChainIndexer | null = null

  /**
   * @param ruleset checked: jumps lead somewhere and never in a circle, matches and targets stand where they may
   * @param previous the rule set in use, whose counters and states go on in rules that stay
   */
  constructor(ruleset: Ruleset, environment: Environment, previous: CompiledRuleset | null = null) {
    this.#environment = environment
    this.#previous = previous
    this.#states = new MatchStates(previous?.states ?? null)
    this.#placed = placeChains(ruleset)
    this.#numbers = new Map(this.#placed.map(({ table, chain, number }) => [`${table} ${chain.name}`, number]))
    const last = this.#placed.at(-1)
    this.#words = new Int32Array((last === undefined ? 0 : last.first + last.chain.rules.length) * RULE_WORDS)
  }

  /**
   * Compiles some rules more. Returns true when all are. Every rule comes twice: by itself, then for the index of its chain.
   * @param rules at most
   * @throws TsnatError POLICY_INVALID for a jump to a chain that is not there
   */
  step(rules: number): boolean {
    let left = rules
    while (this.#chain < this.#placed.length) {
      if (left <= 0) return false
      const { table, chain, first, number } = this.#placed[this.#chain]!
      this.#indexer ??= new ChainIndexer(first, this.#environment.random.next())
      for (; left > 0 && this.#rule < chain.rules.length; left--) {
        const rule = chain.rules[this.#rule]!
        this.#compile(table, rule, first + this.#rule++)
        this.#indexer.note(rule.spec)
      }
      if (this.#rule < chain.rules.length || !this.#indexer.step(left)) return false
      // What its index took, about.
      left -= chain.rules.length + 1
      this.#chains.push({ number, table, name: chain.name, first, end: first + chain.rules.length, index: this.#indexer.finish() })
      this.#chain++
      this.#rule = 0
      this.#indexer = null
    }
    return true
  }

  /** The compiled rule set, to be used from now on: counters are taken over as they are. All steps must be done. */
  finish(): CompiledRuleset {
    this.#states.finish()
    const policies = this.#placed.filter(({ chain }) => chain.policy !== null)
    const bases = policies.map(({ chain, number }, index): BaseChain =>
      ({ ...this.#chains[number]!, policy: chain.policy!, policyIndex: this.#rules.length + index }))
    const compiled = new CompiledRuleset({
      chains: this.#chains, bases, rules: this.#rules, policyChains: policies.map(({ chain }) => chain),
      words: this.#words, tests: this.#tests, targets: this.#targets, states: this.#states,
    })
    if (this.#previous !== null) compiled.takeCounters(this.#previous)
    return compiled
  }

  #compile(table: TableName, rule: Rule, number: number): void {
    const { spec, id } = rule
    const at = number * RULE_WORDS
    const ports = wordMatch(spec)
    this.#rules.push(rule)
    writeRule(this.#words, at, spec, ports, this.#environment.interfaces)
    this.#words[at + TESTS] = this.#tests.length
    for (const [index, match] of spec.matches.entries()) {
      if (index === ports) continue
      const test = compileMatch(match, {
        environment: this.#environment,
        index,
        keep: (name, kind) => this.#states.keep(name ?? `${id} ${index}`, kind),
      })
      if (test !== null) this.#tests.push(test)
    }
    this.#words[at + TEST_COUNT] = this.#tests.length - this.#words[at + TESTS]!
    this.#writeTarget(at, table, spec)
  }

  #writeTarget(at: number, table: TableName, { target }: RuleSpec): void {
    const write = (action: number, operand = 0): void => {
      this.#words[at + ACTION] = action
      this.#words[at + OPERAND] = operand
    }
    if (target === null) return write(DO_CONTINUE)
    switch (target.kind) {
      case 'ACCEPT': return write(DO_ACCEPT)
      case 'DROP': return write(DO_DROP)
      case 'RETURN': return write(DO_RETURN)
      case 'jump': return write(DO_JUMP, this.#chainNumber(table, target.chain))
      case 'goto': return write(DO_GOTO, this.#chainNumber(table, target.chain))
      default: return write(DO_APPLY, this.#targets.push(compileTarget(target, this.#environment)) - 1)
    }
  }

  #chainNumber(table: TableName, name: string): number {
    const number = this.#numbers.get(`${table} ${name}`)
    if (number !== undefined) return number
    throw new TsnatError(`table ${table} has no chain ${name}`, { code: 'POLICY_INVALID', hint: 'a rule leads to it: make the chain first' })
  }
}

/** A rule set in its compiled form, at once. @param previous the one in use; see RulesetCompiler */
export const compileRuleset = (ruleset: Ruleset, environment: Environment, previous: CompiledRuleset | null = null): CompiledRuleset => {
  const compiler = new RulesetCompiler(ruleset, environment, previous)
  compiler.step(Infinity)
  return compiler.finish()
}
