/** Rule sets from commands, for tests. */
import { TsnatError } from '../../../src/errors.js'
import { emptyRuleset, runIptables } from '../../../src/policy/iptables/index.js'
import type { Ruleset, RuleSpec, TableName } from '../../../src/policy/model.js'
import { splitLine } from '../../../src/policy/iptables/words.js'

/** Words of a line, split as in a file. */
export const words = (line: string): string[] => {
  const split = splitLine(line, 'test', 1)
  if (typeof split === 'number') throw new Error(`open quote in: ${line}`)
  return split.map(({ text }) => text)
}

/** Runs commands, one after the other. */
export const rulesetOf = (...commands: readonly string[]): Ruleset =>
  commands.reduce((ruleset, command) => runIptables(ruleset, words(command)).ruleset, emptyRuleset())

export const outputOf = (ruleset: Ruleset, command: string): string => runIptables(ruleset, words(command)).output

export const chainOf = (ruleset: Ruleset, table: TableName, name: string) =>
  ruleset.tables[table].chains.find((chain) => chain.name === name)!

/** What the only rule of a chain says. */
export const specOf = (rule: string, table: TableName = 'filter', chain = 'INPUT'): RuleSpec =>
  chainOf(rulesetOf(`-t ${table} -A ${chain} ${rule}`), table, chain).rules[0]!.spec

export const errorOf = (run: () => unknown): TsnatError => {
  try {
    run()
  } catch (error) {
    if (error instanceof TsnatError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
