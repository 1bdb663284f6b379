/**
 * A rule set while it is being edited. It begins as a rule set that stays as it is; a table is copied when it is first looked at for
 * writing, a chain's rules when they are first changed, and `finish` gives a rule set that shares the rest. Until then nobody sees
 * the edits, so that one command, or a whole file, takes effect at once or not at all.
 */
import {
  BUILT_IN_CHAINS, type Chain, type Policy, type Rule, type RuleSpec, type Ruleset, type Table, TABLE_NAMES, type TableName,
} from '../model.js'

export interface Counters { readonly packets: number; readonly bytes: number }
export const NO_COUNTERS: Counters = { packets: 0, bytes: 0 }

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

const emptyTable = (name: TableName, takeId: () => number): Table => ({
  name,
  chains: BUILT_IN_CHAINS[name].map((hook) => ({ id: takeId(), name: hook, policy: 'ACCEPT', ...NO_COUNTERS, rules: [] })),
})

/** No rules, no user chains, policy ACCEPT everywhere. */
export const emptyRuleset = (): Ruleset => {
  let id = 1
  const takeId = (): number => id++
  const [raw, mangle, nat, filter] = TABLE_NAMES.map((name) => emptyTable(name, takeId))
  return { tables: { raw: raw!, mangle: mangle!, nat: nat!, filter: filter! }, nextId: id }
}

export const isBuiltIn = (table: TableName, chain: string): boolean => (BUILT_IN_CHAINS[table] as readonly string[]).includes(chain)

const byBytes = (a: Chain, b: Chain): number => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name))

export class DraftTable {
  readonly name: TableName
  readonly #chains: Map<string, Chain>
  readonly #takeId: () => number
  /** Chains whose objects and rules were made here and may be written to. */
  readonly #own = new Map<string, Mutable<Chain> & { rules: Rule[] }>()

  constructor(table: Table, takeId: () => number) {
    this.name = table.name
    this.#chains = new Map(table.chains.map((chain) => [chain.name, chain]))
    this.#takeId = takeId
  }

  get chains(): ReadonlyMap<string, Chain> {
    return this.#chains
  }

  /** Names of the chains that are not built in. */
  userChains(): Set<string> {
    return new Set([...this.#chains.keys()].filter((name) => !isBuiltIn(this.name, name)))
  }

  has(chain: string): boolean {
    return this.#chains.has(chain)
  }

  makeRule(spec: RuleSpec, counters: Counters): Rule {
    return { id: this.#takeId(), packets: counters.packets, bytes: counters.bytes, spec }
  }

  /** The rules of a chain, to be changed in place. */
  rules(chain: string): Rule[] {
    return this.#write(chain).rules
  }

  /** @param counters null: it goes on counting */
  setPolicy(chain: string, policy: Policy | null, counters: Counters | null): void {
    const own = this.#write(chain)
    own.policy = policy
    if (counters === null) return
    own.packets = counters.packets
    own.bytes = counters.bytes
    own.id = this.#takeId()
  }

  addChain(name: string): void {
    this.#chains.set(name, { id: this.#takeId(), name, policy: null, ...NO_COUNTERS, rules: [] })
  }

  removeChain(name: string): void {
    this.#chains.delete(name)
    this.#own.delete(name)
  }

  renameChain(from: string, to: string): void {
    const chain = this.#chains.get(from)!
    this.removeChain(from)
    this.#chains.set(to, { ...chain, name: to })
  }

  finish(): Table {
    const builtIn = BUILT_IN_CHAINS[this.name].map((hook) => this.#chains.get(hook)!)
    const user = [...this.#chains.values()].filter(({ name }) => !isBuiltIn(this.name, name)).sort(byBytes)
    return { name: this.name, chains: [...builtIn, ...user] }
  }

  #write(name: string): Mutable<Chain> & { rules: Rule[] } {
    const known = this.#own.get(name)
    if (known !== undefined) return known
    const chain = this.#chains.get(name)!
    const own = { ...chain, rules: [...chain.rules] }
    this.#own.set(name, own)
    this.#chains.set(name, own)
    return own
  }
}

export class Draft {
  readonly #from: Ruleset
  readonly #written = new Map<TableName, DraftTable>()
  #nextId: number

  constructor(from: Ruleset) {
    this.#from = from
    this.#nextId = from.nextId
  }

  /** To read from. */
  read(name: TableName): Table {
    return this.#written.get(name)?.finish() ?? this.#from.tables[name]
  }

  /** To write to. */
  table(name: TableName): DraftTable {
    const known = this.#written.get(name)
    if (known !== undefined) return known
    const made = new DraftTable(this.#from.tables[name], () => this.#nextId++)
    this.#written.set(name, made)
    return made
  }

  /** Throws a table's rules, user chains and the edits of them away. Policies stay. */
  clear(name: TableName): void {
    const table = this.table(name)
    for (const chain of [...table.chains.keys()]) {
      if (isBuiltIn(name, chain)) table.rules(chain).length = 0
      else table.removeChain(chain)
    }
  }

  /** The rule set as it is by now; the one that it began with when nothing was written. */
  finish(): Ruleset {
    if (this.#written.size === 0) return this.#from
    const tables = { ...this.#from.tables }
    for (const [name, table] of this.#written) tables[name] = table.finish()
    return { nextId: this.#nextId, tables }
  }
}
