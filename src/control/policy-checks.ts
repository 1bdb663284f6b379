/** What a gateway has to look at in rules that are new: whether it can do what they say. */
import { TsnatError } from '../errors.js'
import type { SetsState } from '../policy/ipset/index.js'
import type { Rule, Ruleset, TableName } from '../policy/model.js'
import { TABLE_NAMES } from '../policy/model.js'
import type { CounterEdit } from '../policy-protocol.js'

interface NewRule {
  readonly rule: Rule
  readonly table: TableName
  readonly chain: string
  /** From 1. */
  readonly number: number
}

/** Rules that say what none in the same chain has said before. */
function* newRules(before: Ruleset, after: Ruleset): Generator<NewRule> {
  for (const table of TABLE_NAMES) {
    if (before.tables[table] === after.tables[table]) continue
    const old = new Map(before.tables[table].chains.map((chain) => [chain.name, chain]))
    for (const chain of after.tables[table].chains) {
      const same = old.get(chain.name)
      if (same === chain) continue
      const known = new Set(same?.rules.map(({ spec }) => spec))
      for (const [index, rule] of chain.rules.entries()) {
        if (!known.has(rule.spec)) yield { rule, table, chain: chain.name, number: index + 1 }
      }
    }
  }
}

const setsOf = ({ spec: { matches, target } }: Rule): string[] => {
  const names = matches.flatMap((match) => (match.module === 'set' ? [match.name] : []))
  return target?.kind === 'SET' ? [...names, ...[target.add, target.remove].flatMap((reference) => reference?.name ?? [])] : names
}

/** @throws TsnatError POLICY_REFUSED for what this gateway does not do, POLICY_INVALID for a set that is not there */
export const checkRules = (before: Ruleset, after: Ruleset, { sets }: SetsState): void => {
  for (const { rule, table, chain, number } of newRules(before, after)) {
    const place = `table ${table}, chain ${chain}, rule ${number}`
    if (rule.spec.target?.kind === 'SYNPROXY') {
      throw new TsnatError(`${place}: SYNPROXY is not taken: the gateway does not answer SYNs for others yet`, {
        code: 'POLICY_REFUSED', hint: 'limit what half-open connections may use: "tsnat up --limit half-open=N"',
      })
    }
    const missing = setsOf(rule).find((name) => !sets.has(name))
    if (missing === undefined) continue
    throw new TsnatError(`${place}: there is no set "${missing}"`, {
      code: 'POLICY_INVALID', hint: `make it first: tsnat ipset create ${missing} hash:ip, or of another type`,
    })
  }
}

/** Names that new rules ask for and that no interface of the gateway has or begins with. */
export const unknownInterfaces = (before: Ruleset, after: Ruleset, known: readonly string[]): Set<string> => {
  const unknown = new Set<string>()
  for (const { rule: { spec } } of newRules(before, after)) {
    for (const test of [spec.inInterface, spec.outInterface]) {
      if (test === null) continue
      const { name, wildcard } = test
      if (!known.some((one) => (wildcard ? one.startsWith(name) : one === name))) unknown.add(wildcard ? `${name}+` : name)
    }
  }
  return unknown
}

/**
 * When nothing but counters has changed: the rule set with the ids of before, and the counters to set. Null when something else has,
 * or nothing at all.
 */
export const onlyCounters = (before: Ruleset, after: Ruleset): { ruleset: Ruleset; counters: CounterEdit[] } | null => {
  const counters: CounterEdit[] = []
  const keep = <T extends { readonly id: number; readonly packets: number; readonly bytes: number }>(old: T, { id, packets, bytes }: T): T => {
    if (id === old.id) return old
    counters.push({ id: old.id, packets, bytes })
    return { ...old, packets, bytes }
  }
  const tables = { ...before.tables }
  for (const table of TABLE_NAMES) {
    const [old, now] = [before.tables[table], after.tables[table]]
    if (old === now) continue
    if (old.chains.length !== now.chains.length) return null
    const chains = old.chains.map((chain, index) => {
      const next = now.chains[index]!
      const isSame = chain.name === next.name && chain.policy === next.policy && chain.rules.length === next.rules.length
        && chain.rules.every((rule, place) => rule.spec === next.rules[place]!.spec)
      if (!isSame) return null
      const rules = chain.rules.map((rule, place) => keep(rule, next.rules[place]!))
      return { ...keep(chain, next), rules }
    })
    if (chains.some((chain) => chain === null)) return null
    tables[table] = { name: table, chains: chains.filter((chain) => chain !== null) }
  }
  return counters.length === 0 ? null : { ruleset: { nextId: after.nextId, tables }, counters }
}
