/**
 * Rules, sets and routes as packets ask them, and how they change.
 *
 * The control plane owns the words; here is what came of them: one compiled rule set in use (`evaluator`), sets, tables and routing
 * rules. Everything changes between two packets, by messages. A rule set comes in parts, is compiled some rules a turn, and then takes
 * the place of the one in use at once; counters, and what matches remember, go on in the rules that stay. Until then nothing of it is
 * seen. A second rule set that begins meanwhile replaces the one that was not finished.
 *
 * One thread has a plane, and is the only one to write; counters of rules lie in shared memory for others to read.
 */
import { compileRuleset, RulesetCompiler } from './policy/engine/compile.js'
import type { Environment } from './policy/engine/environment.js'
import { Evaluator } from './policy/engine/evaluator.js'
import { BUILT_IN_CHAINS, type Rule, type Ruleset, TABLE_NAMES, type TableName } from './policy/model.js'
import { SetStore } from './policy/sets/set-store.js'
import { assembleRuleset, type ChainHead, type CounterEdit, type FromPolicy, type ToPolicy } from './policy-protocol.js'
import { CHECKS_FAIL } from './route/hops.js'
import { PolicyRouter } from './route/router.js'

/** Rules compiled in one step: well below a millisecond. */
const RULES_PER_STEP = 128
/** Records of a set handed out at a time. */
const RECORDS_PER_PAGE = 1024
/** Looked at for expired elements each second: so many sets, and records of each. */
const SWEPT_SETS = 8
const SWEPT_RECORDS = 256

/** What the plane gives to those who answer the questions of rules. */
export interface PlaneParts {
  readonly sets: SetStore
  readonly router: PolicyRouter
  readonly setNumber: (name: string) => number
}

export interface PolicyPlaneOptions<E extends Environment> {
  /** Names of the gateway's interfaces, in the order of their numbers: 1 is lo, 2 that of the LAN, then those of the WANs. */
  readonly interfaces: readonly string[]
  readonly environment: (parts: PlaneParts) => E
  /** Secret, for the choice among several next hops. */
  readonly seed: number
}

/** A rule set that is not in use yet. */
interface Coming {
  readonly id: number
  readonly heads: readonly ChainHead[]
  readonly rules: Rule[]
  ruleset: Ruleset | null
  compiler: RulesetCompiler | null
}

const emptyTable = (name: TableName): ChainHead[] =>
  BUILT_IN_CHAINS[name].map((hook) => ({ id: 0, name: hook, policy: 'ACCEPT', packets: 0, bytes: 0, table: name, ruleCount: 0 }))

/** Whether no packet can meet anything: only built-in chains are entered by themselves. */
const isEmpty = ({ tables }: Ruleset): boolean =>
  TABLE_NAMES.every((name) => tables[name].chains.every(({ policy, rules }) => policy === null || (policy === 'ACCEPT' && rules.length === 0)))

export class PolicyPlane<E extends Environment = Environment> {
  readonly sets = new SetStore()
  readonly router: PolicyRouter
  readonly evaluator: Evaluator
  /** What rules ask beside packets. */
  readonly environment: E
  /** Told of each change that flows must notice, after it. */
  onChange: () => void = () => {}
  /** Told before counters are read or set: what flows have counted for rules is to be added to them now. */
  onCount: () => void = () => {}
  /** Takes what is answered to messages. */
  answer: (message: FromPolicy) => void = () => {}
  #setNumbers: ReadonlyMap<string, number> = new Map()
  #isIdle = true
  #hasPostroutingNat = false
  #coming: Coming | null = null
  /** Ids of 'sync' that wait for the rule set that comes. */
  readonly #waiting: number[] = []

  constructor({ interfaces, environment, seed }: PolicyPlaneOptions<E>) {
    const { sets } = this
    for (const name of interfaces) sets.interfaces.numberOf(name)
    this.router = new PolicyRouter(seed | 0)
    this.environment = environment({ sets, router: this.router, setNumber: (name) => this.#setNumbers.get(name) ?? -1 })
    const empty = assembleRuleset(TABLE_NAMES.flatMap(emptyTable), [])
    this.evaluator = new Evaluator(compileRuleset(empty, this.environment), sets.interfaces)
  }

  /** There are no rules, and all policies are ACCEPT: no hook has to be asked. */
  get isIdle(): boolean {
    return this.#isIdle
  }

  /** nat POSTROUTING holds a rule: only what the rules say is translated. */
  get hasPostroutingNat(): boolean {
    return this.#hasPostroutingNat
  }

  /** Takes a message of the control plane, between two packets. */
  handle(message: ToPolicy): void {
    switch (message.type) {
      case 'rules-begin':
        this.#coming = { id: message.id, heads: message.chains, rules: [], ruleset: null, compiler: null }
        this.#setNumbers = new Map(message.sets)
        return
      case 'rules-more':
        if (this.#coming?.id === message.id) this.#coming.rules.push(...message.rules)
        return
      case 'rules-end':
        if (this.#coming?.id === message.id) this.#beginCompiling(this.#coming)
        return
      case 'set-counters':
        this.#setCounters(message.counters)
        return
      case 'sets':
        for (const edit of message.edits) this.sets.apply(edit, this.environment.clock.now)
        this.onChange()
        return
      case 'routing':
        this.router.update(message.update)
        this.onChange()
        return
      case 'tables':
        this.router.replace(message.image, message.update)
        this.onChange()
        return
      case 'device-dead':
        this.router.setDeviceDead(message.device, message.dead, CHECKS_FAIL)
        this.onChange()
        return
      case 'sync':
        if (this.#coming === null) this.answer({ type: 'synced', id: message.id })
        else this.#waiting.push(message.id)
        return
      case 'counters': {
        this.onCount()
        const { ids, counters } = this.evaluator.ruleset
        this.answer({ type: 'counted', id: message.id, ids, counters })
        return
      }
      case 'set-page': {
        const { id, set, from } = message
        this.answer({ type: 'set-page', id, page: this.sets.page(set, from, RECORDS_PER_PAGE, this.environment.clock.now) })
        return
      }
      case 'set-members':
        this.answer({ type: 'set-members', id: message.id, members: this.sets.members(message.set, this.environment.clock.now) })
    }
  }

  /** Goes on with what takes long, for less than a millisecond. Returns true when more is to be done. */
  step(): boolean {
    const coming = this.#coming
    if (coming?.compiler == null) return false
    if (!coming.compiler.step(RULES_PER_STEP)) return true
    this.#use(coming, coming.compiler)
    return false
  }

  /** Frees expired elements of sets; to be called once a second. */
  sweep(): void {
    for (let set = 0; set < SWEPT_SETS; set++) this.sets.sweep(this.environment.clock.now, SWEPT_RECORDS)
  }

  #beginCompiling(coming: Coming): void {
    const before = this.evaluator.ruleset
    // Makes its index, which is needed at the end, apart from the rest.
    before.indexOf(0)
    coming.ruleset = assembleRuleset(coming.heads, coming.rules)
    coming.compiler = new RulesetCompiler(coming.ruleset, this.environment, before)
  }

  #use({ id, ruleset }: Coming, compiler: RulesetCompiler): void {
    this.evaluator.use(compiler.finish())
    this.#isIdle = isEmpty(ruleset!)
    this.#hasPostroutingNat = ruleset!.tables.nat.chains.some(({ name, rules }) => name === 'POSTROUTING' && rules.length > 0)
    this.#coming = null
    this.onChange()
    this.answer({ type: 'rules-taken', id })
    for (const waiting of this.#waiting.splice(0)) this.answer({ type: 'synced', id: waiting })
  }

  #setCounters(edits: readonly CounterEdit[]): void {
    this.onCount()
    const { ruleset } = this.evaluator
    for (const { id, packets, bytes } of edits) {
      const index = ruleset.indexOf(id)
      if (index < 0) continue
      ruleset.counters[index * 2] = packets
      ruleset.counters[index * 2 + 1] = bytes
    }
  }
}
