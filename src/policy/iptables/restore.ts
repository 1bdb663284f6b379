/**
 * `iptables-restore`: a whole file at once. Every table that the file names is emptied first, unless told not to; either all of the
 * file takes effect, or, with one bad line, nothing.
 */
import { type Rule, type Ruleset, type TableName } from '../model.js'
import { findViolation } from './check.js'
import { execute, tableNamed } from './command.js'
import { type Counters, Draft, isBuiltIn, NO_COUNTERS } from './draft.js'
import { parseChainName, parsePolicy } from './edit.js'
import { invalidError, syntaxError } from './error.js'
import { parseNumber } from './values.js'
import { splitLine, type Word } from './words.js'

export interface RestoreOptions {
  /** What the text comes from, for errors. */
  readonly file?: string
  /** Take the counters in the file; else all begin with 0. */
  readonly counters?: boolean
  /** Add to what is there instead of emptying the tables first. */
  readonly noFlush?: boolean
  /** Only this table of the file. */
  readonly table?: TableName
}

const COUNTERS = /^\[([^\]:]*):([^\]]*)\]$/

const parseCounters = (word: Word): Counters => {
  const [, packets, bytes] = COUNTERS.exec(word.text) ?? []
  if (packets === undefined || bytes === undefined) throw syntaxError(word, `"${word.text}" are no counters`, '[PACKETS:BYTES]')
  return {
    packets: parseNumber(word, 0, Number.MAX_SAFE_INTEGER, packets), bytes: parseNumber(word, 0, Number.MAX_SAFE_INTEGER, bytes),
  }
}

/** A table of the file, while its lines are read. */
interface Open { readonly name: TableName; readonly wanted: boolean; readonly word: Word }

class Restore {
  readonly #draft: Draft
  readonly #options: RestoreOptions
  #open: Open | null = null
  /** The line of each new rule, for what is found out at the end only. */
  readonly #lines = new Map<Rule, Word>()
  readonly #tables = new Map<TableName, Word>()

  constructor(ruleset: Ruleset, options: RestoreOptions) {
    this.#draft = new Draft(ruleset)
    this.#options = options
  }

  run(text: string): Ruleset {
    const file = this.#options.file ?? 'standard input'
    for (const [index, line] of text.split(/\r?\n/).entries()) {
      if (/^\s*(#|$)/.test(line)) continue
      const words = splitLine(line, file, index + 1)
      if (typeof words === 'number') {
        throw syntaxError({ text: '"', at: { file, line: index + 1, column: words } }, 'the quotes that begin here are not closed')
      }
      this.#line(words)
    }
    if (this.#open !== null) throw syntaxError(this.#open.word, `table ${this.#open.name} begins here and does not end`, 'a line COMMIT ends it')
    for (const [table, word] of this.#tables) this.#check(table, word)
    return this.#draft.finish()
  }

  #line(words: readonly Word[]): void {
    const [first] = words
    const mark = first!.text[0]
    if (this.#open === null) {
      if (mark !== '*') throw syntaxError(first!, `"${first!.text}" stands outside of any table`, 'a line with "*" and its name begins a table')
      this.#begin(words)
    } else if (first!.text === 'COMMIT') this.#open = null
    else if (!this.#open.wanted) return
    else if (mark === '*') throw syntaxError(first!, `table ${this.#open.name} has not ended yet`, 'a line COMMIT ends it')
    else if (mark === ':') this.#chain(words, this.#open.name)
    else this.#command(words, this.#open.name)
  }

  #begin(words: readonly Word[]): void {
    const [first] = words
    const word = { text: first!.text.slice(1), at: first!.at }
    const name = tableNamed(word)
    const wanted = this.#options.table === undefined || this.#options.table === name
    this.#open = { name, wanted, word }
    if (!wanted) return
    if (this.#options.noFlush !== true) this.#draft.clear(name)
    this.#tables.set(name, word)
  }

  /** `:CHAIN POLICY [packets:bytes]` */
  #chain(words: readonly Word[], name: TableName): void {
    const [first, policyWord, countersWord] = words
    const word = { text: first!.text.slice(1), at: first!.at }
    if (policyWord === undefined) throw syntaxError(first!, `chain ${word.text} has no policy`, ':CHAIN POLICY [PACKETS:BYTES], with "-" for a chain of your own')
    const read = countersWord === undefined ? NO_COUNTERS : parseCounters(countersWord)
    const counters = this.#options.counters === true ? read : NO_COUNTERS
    const table = this.#draft.table(name)
    if (isBuiltIn(name, word.text)) {
      if (policyWord.text !== '-') table.setPolicy(word.text, parsePolicy(table, policyWord), counters)
      return
    }
    if (policyWord.text !== '-') {
      throw invalidError(policyWord, `chain ${word.text} is not built in, and cannot have policy ${policyWord.text}`, 'only built-in chains have a policy; write "-"')
    }
    if (this.#options.noFlush === true && table.has(word.text)) table.rules(word.text).length = 0
    else table.addChain(parseChainName(table, word))
  }

  #command(words: readonly Word[], table: TableName): void {
    const [first] = words
    const counted = first!.text.startsWith('[')
    const counters = counted ? parseCounters(first!) : null
    const rest = counted ? words.slice(1) : words
    // A line for IPv6 in a file for both: its words need not be known here.
    if (rest[0]?.text === '-6' || rest[0]?.text === '--ipv6') return
    if (rest.length === 0) throw syntaxError(first!, 'no rule follows the counters')
    const taken = counters !== null && this.#options.counters === true
    const count = (value: number): Word => ({ text: String(value), at: first!.at })
    const all = taken ? [...rest, { text: '--set-counters', at: first!.at }, count(counters.packets), count(counters.bytes)] : rest
    const { rules } = execute(this.#draft, all, table)
    for (const rule of rules) this.#lines.set(rule, rest[0]!)
  }

  #check(table: TableName, word: Word): void {
    const violation = findViolation(table, this.#draft.table(table).chains)
    if (violation === null) return
    const at = violation.rule === null ? word : this.#lines.get(violation.rule) ?? word
    throw invalidError(at, `chain ${violation.chain} of table ${table}: ${violation.message}`)
  }
}

/**
 * `iptables-restore` of a text on a rule set.
 * @throws {TsnatError} with file, line and column; the rule set is as it was
 */
export const restoreRuleset = (ruleset: Ruleset, text: string, options: RestoreOptions = {}): Ruleset =>
  new Restore(ruleset, options).run(text)
