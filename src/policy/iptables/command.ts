/** `iptables …`: one command on a rule set. */
import { type Rule, type Ruleset, TABLE_NAMES, type TableName } from '../model.js'
import { findViolation } from './check.js'
import { type Counters, Draft, type DraftTable, NO_COUNTERS } from './draft.js'
import * as edit from './edit.js'
import { invalidError, refusedError, syntaxError, unknownWord } from './error.js'
import { helpText } from './help.js'
import { describeRule, listChains, type ListOptions, listRule } from './list.js'
import type { MainOption, Verb } from './main-options.js'
import type { GivenOption } from './options.js'
import { parseRuleSpecs, RULE_OPTIONS } from './rule-spec.js'
import { listCommand, listCommands } from './save.js'
import { scan, type Scanned } from './scan.js'
import { parseNumber } from './values.js'
import { type Word, wordsOf } from './words.js'

/** The release of iptables whose words and layouts these are; programs ask for it. */
const VERSION = 'iptables v1.8.9 (tsnat)\n'

const WITH_RULE: readonly Verb[] = ['append', 'insert', 'replace', 'delete', 'check']
const WITH_COUNTERS: readonly Verb[] = ['append', 'insert', 'replace', 'policy']
/** Options that may stand several times, to no further effect. */
const REPEATABLE: readonly string[] = ['match', 'verbose', 'numeric', 'exact', 'line-numbers', 'wait', 'wait-interval', 'ipv4', 'modprobe']

interface Command {
  readonly scanned: Scanned
  readonly verb: Verb
  readonly option: GivenOption
  readonly table: TableName
  readonly counters: Counters | null
  readonly listing: ListOptions
  /** List or print, and zero then. */
  readonly alsoZero: boolean
  /** Whether the command carries a rule. */
  readonly hasRule: boolean
}

const verbOf = (option: GivenOption): Verb | undefined => (option.spec as MainOption).verb

const has = ({ main }: Scanned, name: string): boolean => main.some(({ spec }) => spec.name === name)
const get = ({ main }: Scanned, name: string): GivenOption | undefined => main.find(({ spec }) => spec.name === name)

const refuseRepeated = ({ main }: Scanned): void => {
  const seen = new Map<string, GivenOption>()
  for (const option of main) {
    const name = option.spec.name === 'goto' ? 'jump' : option.spec.name
    if (seen.has(name) && !REPEATABLE.includes(name)) throw syntaxError(option.word, `"${option.word.text}" stands twice`, 'a rule has one of it')
    seen.set(name, option)
  }
}

/** The one thing to do; -Z goes with -L and -S. */
const commandOption = (scanned: Scanned, whole: Word | null): { option: GivenOption; alsoZero: boolean } => {
  const options = scanned.main.filter((each) => verbOf(each) !== undefined)
  const listing = options.find((each) => ['list', 'list-rules'].includes(verbOf(each)!))
  const zero = options.find((each) => verbOf(each) === 'zero')
  if (options.length === 2 && listing !== undefined && zero !== undefined) {
    return { option: listing.args.length > 0 ? listing : { ...listing, args: zero.args }, alsoZero: true }
  }
  if (options.length > 1) throw syntaxError(options[1]!.word, `"${options[0]!.word.text}" and "${options[1]!.word.text}" exclude each other`)
  const [option] = options
  if (option === undefined) throw syntaxError(whole ?? { text: '', at: null }, 'no command is given', 'one of -A -I -R -D -C -L -S -F -Z -N -X -E -P')
  return { option, alsoZero: false }
}

const parseTable = (scanned: Scanned, current: TableName | null): TableName => {
  const option = get(scanned, 'table')
  if (option === undefined) return current ?? 'filter'
  if (current !== null) throw syntaxError(option.word, '"-t" does not go into a file', 'a line with "*" and the name of the table begins it')
  return tableNamed(option.args[0]!)
}

export const tableNamed = (word: Word): TableName => {
  const table = TABLE_NAMES.find((name) => name === word.text)
  if (table !== undefined) return table
  if (word.text === 'security') throw refusedError(word, 'table "security" is not taken: tsnat has no security labels')
  throw unknownWord(word, 'table', TABLE_NAMES)
}

const parseCounters = (option: GivenOption | undefined): Counters | null => {
  if (option === undefined) return null
  const [packets, bytes] = option.args.map((word) => parseNumber(word, 0, Number.MAX_SAFE_INTEGER))
  return { packets: packets!, bytes: bytes! }
}

/** @param current the table of the file that the command stands in; null for a command of its own */
const parseCommand = (words: readonly Word[], current: TableName | null): Command => {
  const scanned = scan(words)
  refuseRepeated(scanned)
  const { option, alsoZero } = commandOption(scanned, words[0] ?? null)
  const verb = verbOf(option)!
  const ipv6 = get(scanned, 'ipv6')
  if (ipv6 !== undefined && current === null) throw refusedError(ipv6.word, '"-6" is not taken: rules are for IPv4')
  const hasRule = WITH_RULE.includes(verb) && !(verb === 'delete' && option.args.length > 1)
  for (const name of RULE_OPTIONS) {
    const given = get(scanned, name)
    if (given === undefined) continue
    if (name === 'set-counters' ? WITH_COUNTERS.includes(verb) : hasRule) continue
    throw syntaxError(given.word, `"${given.word.text}" does not go with "${option.word.text}"`)
  }
  return {
    scanned, verb, option, alsoZero, hasRule,
    table: parseTable(scanned, current),
    counters: parseCounters(get(scanned, 'set-counters')),
    listing: {
      numeric: has(scanned, 'numeric'), verbose: has(scanned, 'verbose'), exact: has(scanned, 'exact'),
      lineNumbers: has(scanned, 'line-numbers'),
    },
  }
}

const runList = (draft: Draft, command: Command): string => {
  const { verb, option, listing } = command
  const table = draft.read(command.table)
  const [chainWord, number] = option.args
  const chain = chainWord === undefined ? undefined : table.chains.find(({ name }) => name === chainWord.text)
  if (chainWord !== undefined && chain === undefined) {
    throw unknownWord(chainWord, `chain of table ${table.name}`, table.chains.map(({ name }) => name))
  }
  if (number !== undefined && chain !== undefined) {
    const index = parseNumber(number, 1, 0x7fffffff)
    const rule = chain.rules[index - 1]
    if (rule === undefined) return ''
    return verb === 'list' ? listRule(rule, index, listing) : listCommand(chain, rule, listing.verbose)
  }
  const chains = chain === undefined ? table.chains : [chain]
  return verb === 'list' ? listChains(table, chains, listing) : listCommands(chains, listing.verbose)
}

/** The chains that -F, -Z or -X is about: the one that is named, else all, or all that are not built in. */
const chainsMeant = (table: DraftTable, { option, verb }: Command): string[] => {
  const [word] = option.args
  if (word !== undefined) return [edit.existing(table, word)]
  return verb === 'delete-chain' ? [...table.userChains()].sort() : [...table.chains.keys()]
}

/** With -v, says what is done to each chain. */
const announce = (what: string, chains: readonly string[], { listing }: Command): string =>
  listing.verbose ? chains.map((chain) => `${what} chain \`${chain}'\n`).join('') : ''

const runZero = (table: DraftTable, command: Command): string => {
  const [, number] = command.option.args
  const chains = chainsMeant(table, command)
  if (number !== undefined) {
    edit.zeroNumber(table, chains[0]!, number)
    return ''
  }
  edit.zero(table, chains)
  return announce('Zeroing', chains, command)
}

/** @returns rules that are new */
const runRule = (table: DraftTable, command: Command): { output: string; rules: readonly Rule[] } => {
  const { verb, option, scanned, counters } = command
  const [chainWord, number] = option.args
  const chain = edit.existing(table, chainWord!)
  const specs = parseRuleSpecs(scanned, { table: table.name, chain, chains: table.chains })
  const start = counters ?? NO_COUNTERS
  let rules: readonly Rule[] = []
  switch (verb) {
    case 'append':
      rules = edit.append(table, chain, specs, start)
      break
    case 'insert':
      rules = edit.insert(table, chain, number ?? null, specs, start)
      break
    case 'replace':
      rules = edit.replace(table, chain, number!, specs, start)
      break
    case 'delete':
      edit.removeRules(table, chainWord!, specs)
      break
    default: edit.check(table, chainWord!, specs)
  }
  return { output: command.listing.verbose ? specs.map(describeRule).join('') : '', rules }
}

/** What a command did. */
export interface Executed {
  readonly output: string
  readonly table: TableName | null
  /** Rules that are new: the table has to be looked at by `findViolation`. */
  readonly rules: readonly Rule[]
}

const NOTHING = { output: '', rules: [] } as const

const runEdit = (table: DraftTable, command: Command): { output: string; rules: readonly Rule[] } => {
  const { verb, option } = command
  const [first, second] = option.args
  if (command.hasRule) return runRule(table, command)
  switch (verb) {
    case 'delete':
      edit.removeNumber(table, edit.existing(table, first!), second!)
      break
    case 'flush': {
      const chains = chainsMeant(table, command)
      edit.flush(table, chains)
      return { output: announce('Flushing', chains, command), rules: [] }
    }
    case 'zero': return { output: runZero(table, command), rules: [] }
    case 'new-chain':
      table.addChain(edit.parseChainName(table, first!))
      break
    case 'delete-chain': {
      const chains = chainsMeant(table, command)
      edit.removeChains(table, chains, first ?? null)
      return { output: announce('Deleting', chains, command), rules: [] }
    }
    case 'rename-chain':
      edit.renameChain(table, first!, second!)
      break
    default: edit.setPolicy(table, first!, second!, command.counters)
  }
  return NOTHING
}

/**
 * Runs the words of a command on a draft. The table is not checked as a whole yet.
 * @param current the table of the file that the command stands in; null for a command of its own
 */
export const execute = (draft: Draft, words: readonly Word[], current: TableName | null): Executed => {
  const command = parseCommand(words, current)
  const { verb } = command
  if (verb === 'help') return { ...NOTHING, output: helpText(), table: null }
  if (verb === 'version') return { ...NOTHING, output: VERSION, table: null }
  if (verb === 'list' || verb === 'list-rules') {
    const listed = runList(draft, command)
    const zeroed = command.alsoZero ? runZero(draft.table(command.table), command) : ''
    return { ...NOTHING, output: listed + zeroed, table: command.table }
  }
  // A line for IPv6 in a file for both is left out, as iptables-restore does.
  if (has(command.scanned, 'ipv6')) return { ...NOTHING, table: null }
  // What only looks leaves the draft unwritten.
  if (verb === 'check') {
    const { output } = runEdit(new Draft(draft.finish()).table(command.table), command)
    return { ...NOTHING, output, table: null }
  }
  return { ...runEdit(draft.table(command.table), command), table: command.table }
}

export interface CommandResult {
  /** The same object when nothing changed. */
  readonly ruleset: Ruleset
  /** What goes to the standard output. */
  readonly output: string
}

/**
 * `iptables ARGV` on a rule set.
 * @throws {TsnatError} what iptables would have said, with the exit code; the rule set is as it was
 */
export const runIptables = (ruleset: Ruleset, argv: readonly string[]): CommandResult => {
  const draft = new Draft(ruleset)
  const words = wordsOf(argv)
  const { output, table, rules } = execute(draft, words, null)
  if (table !== null && rules.length > 0) {
    const violation = findViolation(table, draft.table(table).chains)
    if (violation !== null) throw invalidError(null, `chain ${violation.chain} of table ${table}: ${violation.message}`)
  }
  return { ruleset: draft.finish(), output }
}
