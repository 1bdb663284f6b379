/** The command lines of iptables-save and iptables-restore. */
import type { TableName } from '../model.js'
import { tableNamed } from './command.js'
import { syntaxError, unknownWord } from './error.js'
import { findOption, namesOf, type OptionSpec } from './options.js'
import type { RestoreOptions } from './restore.js'
import type { SaveOptions } from './save.js'
import { type Word, wordsOf } from './words.js'

interface ToolOption extends OptionSpec { readonly letters: string }

const tool = (letters: string, name: string, args: 0 | 1 = 0): ToolOption => ({ letters, name, args })

const BOTH: readonly ToolOption[] = [tool('c', 'counters'), tool('M', 'modprobe', 1), tool('h', 'help'), tool('V', 'version')]
const SAVE: readonly ToolOption[] = [...BOTH, tool('t', 'table', 1), tool('f', 'file', 1)]
const RESTORE: readonly ToolOption[] = [
  ...BOTH, tool('T', 'table', 1), tool('n', 'noflush'), tool('t', 'test'), tool('v', 'verbose'), tool('w', 'wait'), tool('W', 'wait-interval'),
]

interface ToolArguments {
  readonly options: ReadonlyMap<string, Word | null>
  /** Words that are no options. */
  readonly rest: readonly Word[]
}

const parse = (argv: readonly string[], known: readonly ToolOption[]): ToolArguments => {
  const options = new Map<string, Word | null>()
  const rest: Word[] = []
  const words = wordsOf(argv)
  const take = (spec: OptionSpec, word: Word, attached: string | undefined): void => {
    if (spec.args === 0 && attached !== undefined) throw syntaxError(word, `"${word.text}" takes no value`)
    const value = spec.args === 0 ? null : attached === undefined ? words.shift() : { ...word, text: attached }
    if (value === undefined) throw syntaxError(word, `"${word.text}" needs a value`)
    options.set(spec.name, value)
    // The seconds to wait are a word of their own.
    if (spec.name.startsWith('wait') && /^\d+$/.test(words[0]?.text ?? '')) words.shift()
  }
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const { text } = word
    if (text.startsWith('--') && text.length > 2) {
      const [name, attached] = text.slice(2).split(/=(.*)/s)
      const found = findOption(name!, [{ options: known }])
      if (found === undefined || !('spec' in found)) throw unknownWord(word, 'option', known.flatMap(namesOf).map((each) => `--${each}`), `--${name}`)
      take(found.spec, word, attached)
    } else if (text.startsWith('-') && text.length > 1) {
      for (let at = 1; at < text.length; at++) {
        const spec = known.find(({ letters }) => letters === text[at])
        if (spec === undefined) throw syntaxError(word, `unknown option "-${text[at]!}"`, `known are ${known.map(({ letters }) => `-${letters}`).join(' ')}`)
        take(spec, word, spec.args > 0 && at + 1 < text.length ? text.slice(at + 1) : undefined)
        if (spec.args > 0) break
      }
    } else rest.push(word)
  }
  return { options, rest }
}

const tableOf = ({ options }: ToolArguments): { table?: TableName } => {
  const word = options.get('table')
  return word === undefined || word === null ? {} : { table: tableNamed(word) }
}

export interface SaveArguments extends SaveOptions {
  /** Where to; null: standard output. */
  readonly path: string | null
}

/** `iptables-save [-c] [-t table] [-f file]` */
export const parseSaveArguments = (argv: readonly string[]): SaveArguments => {
  const parsed = parse(argv, SAVE)
  const [extra] = parsed.rest
  if (extra !== undefined) throw syntaxError(extra, `"${extra.text}" stands where an option is expected`)
  return { ...tableOf(parsed), counters: parsed.options.has('counters'), path: parsed.options.get('file')?.text ?? null }
}

export interface RestoreArguments extends RestoreOptions {
  /** Where from; null: standard input. */
  readonly path: string | null
  /** Only look whether the file is right. */
  readonly test: boolean
}

/** `iptables-restore [-c] [-n] [-t] [-T table] [file]` */
export const parseRestoreArguments = (argv: readonly string[]): RestoreArguments => {
  const parsed = parse(argv, RESTORE)
  const [path, extra] = parsed.rest
  if (extra !== undefined) throw syntaxError(extra, `"${extra.text}" is one file too many`, 'one file, or standard input')
  return {
    ...tableOf(parsed),
    ...(path === undefined ? {} : { file: path.text }),
    counters: parsed.options.has('counters'),
    noFlush: parsed.options.has('noflush'),
    test: parsed.options.has('test'),
    path: path?.text ?? null,
  }
}
