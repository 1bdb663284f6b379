/** What others want to know about a rule set, or tell it: the sets that it names, and what was counted. */
import type { Rule, Ruleset, SetReference, TableName } from '../model.js'
import { type Counters } from './draft.js'

export interface SetUse extends SetReference {
  readonly table: TableName
  readonly chain: string
  /** From 1. */
  readonly number: number
}

const referencesOf = ({ spec }: Rule): SetReference[] => {
  const found: SetReference[] = spec.matches.filter((match) => match.module === 'set')
  if (spec.target?.kind !== 'SET') return found
  return [...found, ...[spec.target.add, spec.target.remove].filter((each) => each !== null)]
}

/** Every place where a rule names a set of ipset. That the sets exist, and have so many parts, is for their owner to check. */
export const setUses = (ruleset: Ruleset): SetUse[] => Object.values(ruleset.tables).flatMap((table) =>
  table.chains.flatMap((chain) => chain.rules.flatMap((rule, index) =>
    referencesOf(rule).map(({ name, directions }) => ({ name, directions, table: table.name, chain: chain.name, number: index + 1 })))))

/** The rule set with what was counted since, to be listed or saved. @param count by id of a rule or chain; undefined: nothing is known */
export const withCounters = (ruleset: Ruleset, count: (id: number) => Counters | undefined): Ruleset => {
  const counted = <T extends { readonly id: number }>(one: T): T => {
    const counters = count(one.id)
    return counters === undefined ? one : { ...one, packets: counters.packets, bytes: counters.bytes }
  }
  const tableOf = (name: TableName) => ({
    name, chains: ruleset.tables[name].chains.map((chain) => ({ ...counted(chain), rules: chain.rules.map(counted) })),
  })
  return {
    nextId: ruleset.nextId,
    tables: { raw: tableOf('raw'), mangle: tableOf('mangle'), nat: tableOf('nat'), filter: tableOf('filter') },
  }
}
