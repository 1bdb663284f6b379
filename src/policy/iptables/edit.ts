/** What the commands do to a table. Every function either does all of it, or throws. */
import type { Policy, Rule, RuleSpec } from '../model.js'
import { leadsTo } from './check.js'
import { type Counters, type DraftTable, isBuiltIn, NO_COUNTERS } from './draft.js'
import { invalidError, syntaxError, unknownWord } from './error.js'
import { sameRule } from './rule-text.js'
import { TARGET_NAMES } from './targets/index.js'
import { parseName, parseNumber } from './values.js'
import type { Word } from './words.js'

const CHAIN_NAME_MAX = 28
const RULES_MAX = 0x7fffffff

/** The chain must exist. */
export const existing = (table: DraftTable, word: Word): string => {
  if (table.has(word.text)) return word.text
  throw unknownWord(word, `chain of table ${table.name}`, [...table.chains.keys()])
}

/** A name for a new chain. */
export const parseChainName = (table: DraftTable, word: Word): string => {
  const name = parseName(word, 'the name of the chain', CHAIN_NAME_MAX)
  if (TARGET_NAMES.includes(name)) throw syntaxError(word, `"${name}" is the name of a target`, 'a chain needs a name of its own')
  if (table.has(name)) throw invalidError(word, `chain ${name} exists already in table ${table.name}`)
  return name
}

/** Index of rule number `word`, counted from 1. @param last the highest number that may be given */
const indexOf = (word: Word, chain: string, last: number): number => {
  const number = parseNumber(word, 1, RULES_MAX)
  if (number <= last) return number - 1
  throw invalidError(word, `chain ${chain} has no rule ${number}`, last === 0 ? 'it is empty' : `its numbers go up to ${last}`)
}

export const append = (table: DraftTable, chain: string, specs: readonly RuleSpec[], counters: Counters): Rule[] => {
  const rules = specs.map((spec) => table.makeRule(spec, counters))
  table.rules(chain).push(...rules)
  return rules
}

/** Several rules come to stand in reverse, as each is inserted at the same place. */
export const insert = (table: DraftTable, chain: string, number: Word | null, specs: readonly RuleSpec[], counters: Counters): Rule[] => {
  const index = number === null ? 0 : indexOf(number, chain, table.chains.get(chain)!.rules.length + 1)
  const rules = specs.map((spec) => table.makeRule(spec, counters)).reverse()
  table.rules(chain).splice(index, 0, ...rules)
  return rules
}

export const replace = (table: DraftTable, chain: string, number: Word, specs: readonly RuleSpec[], counters: Counters): Rule[] => {
  const index = indexOf(number, chain, table.chains.get(chain)!.rules.length)
  if (specs.length > 1) throw syntaxError(number, 'a list of addresses makes several rules, and one is replaced', 'one address each for -s and -d')
  const rule = table.makeRule(specs[0]!, counters)
  table.rules(chain)[index] = rule
  return [rule]
}

const find = (table: DraftTable, word: Word, spec: RuleSpec): number => {
  const index = table.chains.get(word.text)!.rules.findIndex((rule) => sameRule(rule.spec, spec))
  if (index < 0) throw invalidError(word, `chain ${word.text} of table ${table.name} has no such rule`)
  return index
}

/** Every one of the rules must be there. @param word the chain's name */
export const check = (table: DraftTable, word: Word, specs: readonly RuleSpec[]): void => {
  for (const spec of specs) find(table, word, spec)
}

/** Of several rules that are the same, the first. */
export const removeRules = (table: DraftTable, word: Word, specs: readonly RuleSpec[]): void => {
  for (const spec of specs) table.rules(word.text).splice(find(table, word, spec), 1)
}

export const removeNumber = (table: DraftTable, chain: string, number: Word): void => {
  const index = indexOf(number, chain, table.chains.get(chain)!.rules.length)
  table.rules(chain).splice(index, 1)
}

export const flush = (table: DraftTable, chains: readonly string[]): void => {
  for (const chain of chains) table.rules(chain).length = 0
}

const zeroRule = (table: DraftTable, rule: Rule): Rule => table.makeRule(rule.spec, NO_COUNTERS)

export const zero = (table: DraftTable, chains: readonly string[]): void => {
  for (const chain of chains) {
    const rules = table.rules(chain)
    for (const [index, rule] of rules.entries()) rules[index] = zeroRule(table, rule)
    table.setPolicy(chain, table.chains.get(chain)!.policy, NO_COUNTERS)
  }
}

export const zeroNumber = (table: DraftTable, chain: string, number: Word): void => {
  const index = indexOf(number, chain, table.chains.get(chain)!.rules.length)
  const rules = table.rules(chain)
  rules[index] = zeroRule(table, rules[index]!)
}

/** How many rules lead to each chain. */
export const references = (chains: Iterable<{ readonly rules: readonly Rule[] }>): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const { rules } of chains) {
    for (const { spec } of rules) {
      const to = leadsTo(spec)
      if (to !== null) counts.set(to, (counts.get(to) ?? 0) + 1)
    }
  }
  return counts
}

/** Chains must be empty, and no rule may lead to them. @param word the one that was named, if one was */
export const removeChains = (table: DraftTable, names: readonly string[], word: Word | null): void => {
  const counts = references(table.chains.values())
  for (const name of names) {
    if (isBuiltIn(table.name, name)) throw invalidError(word, `chain ${name} is built in`, 'it cannot be deleted')
    const count = counts.get(name) ?? 0
    if (count > 0) throw invalidError(word, `chain ${name} is in use`, `${count === 1 ? 'one rule leads' : `${count} rules lead`} to it`)
    if (table.chains.get(name)!.rules.length > 0) throw invalidError(word, `chain ${name} is not empty`, `flush it first: -F ${name}`)
  }
  for (const name of names) table.removeChain(name)
}

export const renameChain = (table: DraftTable, word: Word, to: Word): void => {
  const from = existing(table, word)
  if (isBuiltIn(table.name, from)) throw invalidError(word, `chain ${from} is built in`, 'it keeps its name')
  const name = parseChainName(table, to)
  table.renameChain(from, name)
  for (const chain of [...table.chains.values()]) {
    if (!chain.rules.some(({ spec }) => leadsTo(spec) === from)) continue
    const rules = table.rules(chain.name)
    for (const [index, rule] of rules.entries()) {
      const { target } = rule.spec
      if (leadsTo(rule.spec) === from && target !== null) {
        rules[index] = { ...rule, spec: { ...rule.spec, target: { kind: target.kind === 'goto' ? 'goto' : 'jump', chain: name } } }
      }
    }
  }
}

export const parsePolicy = (table: DraftTable, word: Word): Policy => {
  if (word.text !== 'ACCEPT' && word.text !== 'DROP') throw unknownWord(word, 'policy', ['ACCEPT', 'DROP'])
  if (word.text === 'DROP' && table.name === 'nat') {
    throw invalidError(word, 'table nat sees the first packet of a flow only', 'DROP belongs into table filter')
  }
  return word.text
}

export const setPolicy = (table: DraftTable, word: Word, policy: Word, counters: Counters | null): void => {
  const chain = existing(table, word)
  if (!isBuiltIn(table.name, chain)) throw invalidError(word, `chain ${chain} is not built in`, 'only built-in chains have a policy')
  table.setPolicy(chain, parsePolicy(table, policy), counters)
}
