import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { runIptables, saveRuleset } from '../../../src/policy/iptables/index.js'
import type { Ruleset, TableName } from '../../../src/policy/model.js'
import { errorOf, outputOf, rulesetOf, words } from './support.js'

const golden = (name: string): string => readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8').replace(/^#.*\n/gm, '')

const fields = (line: string): { table: TableName; chain: string; rule: string } => {
  const [table, chain] = line.split(' ')
  return { table: table as TableName, chain: chain!, rule: line.slice(table!.length + chain!.length + 2) }
}

/** What `rules.txt` says of a rule, made by tsnat. */
const made = (line: string): string => {
  const { table, chain, rule } = fields(line)
  const ruleset = rulesetOf(`-t ${table} -N foo`, `-t ${table} -A ${chain} ${rule}`)
  const saved = saveRuleset(ruleset, { table }).split('\n').filter((each) => each.startsWith('-A'))
  const listed = (option: string): string[] => outputOf(ruleset, `-t ${table} ${option} -L ${chain}`).split('\n').slice(2, -1)
  return [
    ...saved.map((each) => `S ${each}`), ...listed('').map((each) => `L ${each}|`), ...listed('-n').map((each) => `N ${each}|`),
  ].join('\n')
}

describe('rules beside those of iptables itself', () => {
  const blocks = golden('rules.txt').split(/^> /m).slice(1)

  it.each(blocks.map((block) => [block.split('\n')[0]!, block]))('saves and lists %s', (line, block) => {
    expect(made(line)).toBe(block.trimEnd().split('\n').slice(1).join('\n'))
  })

  it.each(golden('refused.txt').trimEnd().split('\n'))('takes no %s', (line) => {
    const { table, chain, rule } = fields(line)
    const before = rulesetOf(`-t ${table} -N foo`)
    const error = errorOf(() => runIptables(before, words(`-t ${table} -A ${chain} ${rule}`)))
    expect(error.code).toMatch(/^POLICY_/)
    expect(error.hint).not.toBe('')
  })
})

describe('a session of commands beside iptables itself', () => {
  let ruleset: Ruleset = rulesetOf()
  const blocks = golden('session.txt').split(/^\$ /m).slice(1)

  it.each(blocks.map((block, index) => [index + 1, block.split('\n')[0]!, block] as const))('%i: %s', (_, line, block) => {
    const result = runIptables(ruleset, words(line))
    ruleset = result.ruleset
    const expected = block.trimEnd().split('\n').slice(1).map((each) => each.slice(0, -1))
    expect(result.output.split('\n').slice(0, -1)).toEqual(expected)
  })
})
