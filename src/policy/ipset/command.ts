/** One command of ipset: its verb, its options, its arguments; and what it does to the sets. */
import { LIST_KIND } from '../sets/edits.js'
import type { SetsDraft } from './draft.js'
import { addElements, removeElements, testElement } from './element-edit.js'
import { refusedError, syntaxError, unknownWord } from './error.js'
import { addMember, removeMember, testMember } from './list-edit.js'
import { listSets, type Listing } from './print.js'
import { createSet, destroySets, flushSets, renameSet, swapSets } from './set-edit.js'
import type { Word } from './words.js'

export type Verb = 'create' | 'add' | 'del' | 'test' | 'destroy' | 'list' | 'save' | 'restore' | 'flush' | 'rename' | 'swap' | 'help' | 'version'

interface VerbSpec {
  readonly verb: Verb
  /** Letters that stand for it. */
  readonly short: readonly string[]
  /** Arguments that it needs, and those that it takes. */
  readonly min: number
  readonly max: number
}

/** In this order: a word that is the beginning of several is the first of them. */
const VERBS: readonly VerbSpec[] = [
  { verb: 'create', short: ['n', '-N'], min: 2, max: Infinity },
  { verb: 'add', short: ['-A'], min: 2, max: Infinity },
  { verb: 'del', short: ['-D'], min: 2, max: Infinity },
  { verb: 'test', short: ['-T'], min: 2, max: Infinity },
  { verb: 'destroy', short: ['x', '-X'], min: 0, max: 1 },
  { verb: 'list', short: ['-L'], min: 0, max: 1 },
  { verb: 'save', short: ['-S'], min: 0, max: 1 },
  { verb: 'restore', short: ['-R'], min: 0, max: 0 },
  { verb: 'flush', short: ['-F'], min: 0, max: 1 },
  { verb: 'rename', short: ['e', '-E'], min: 2, max: 2 },
  { verb: 'swap', short: ['w', '-W'], min: 2, max: 2 },
  { verb: 'help', short: ['-h', '-H'], min: 0, max: 1 },
  { verb: 'version', short: ['-v', '-V'], min: 0, max: 0 },
]
const VERB_NAMES = VERBS.map(({ verb }) => verb)

type OptionName = 'exist' | 'quiet' | 'sorted' | 'name' | 'terse' | 'output' | 'resolve' | 'file'
const OPTIONS: Readonly<Record<OptionName, string>> = {
  exist: '-!', quiet: '-q', sorted: '-s', name: '-n', terse: '-t', output: '-o', resolve: '-r', file: '-f',
}
const OPTION_OF = new Map((Object.keys(OPTIONS) as OptionName[]).flatMap((name) => [OPTIONS[name], `-${name}`, `--${name}`].map((text) => [text, name])))
const WITH_VALUE: readonly OptionName[] = ['output', 'file']

export interface Command {
  readonly verb: Verb
  readonly word: Word
  readonly args: readonly Word[]
  readonly exist: boolean
  readonly quiet: boolean
  /** To read from, or to write to, instead of standard input and output. */
  readonly file: Word | null
  readonly listing: Listing
}

const verbOf = (word: Word): VerbSpec => {
  const text = word.text.startsWith('--') ? word.text.slice(2) : word.text
  const found = VERBS.find(({ verb, short }) => verb === text || short.includes(word.text)) ??
    VERBS.find(({ verb }) => text !== '' && verb.startsWith(text))
  if (found === undefined) throw unknownWord(word, 'command', VERB_NAMES)
  return found
}

/** Whether the next word is the text of an element's comment. */
const awaitsComment = (plain: readonly Word[]): boolean => plain.length > 3 && plain.at(-1)!.text === 'comment' && verbOf(plain[0]!).verb === 'add'

/** Options of the command may stand anywhere, but for the text of a comment. */
const sortWords = (words: readonly Word[]): { plain: Word[]; options: Map<OptionName, Word | null> } => {
  const plain: Word[] = []
  const options = new Map<OptionName, Word | null>()
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!
    const name = awaitsComment(plain) ? undefined : OPTION_OF.get(word.text)
    if (name === undefined) {
      plain.push(word)
      continue
    }
    if (name === 'resolve') throw refusedError(word, `"${word.text}" is not taken: names of hosts are not resolved`, 'leave it out')
    const value = WITH_VALUE.includes(name) ? words[++at] : null
    if (value === undefined) throw syntaxError(word, `"${word.text}" needs a value`)
    options.set(name, value)
  }
  return { plain, options }
}

const parseFormat = (word: Word | null | undefined): Listing['format'] | undefined => {
  if (word === undefined || word === null) return undefined
  if (word.text === 'plain' || word.text === 'save') return word.text
  if (word.text === 'xml') throw refusedError(word, 'sets are not printed as XML', 'plain or save')
  throw unknownWord(word, 'format', ['plain', 'save'])
}

export const parseCommand = (words: readonly Word[]): Command => {
  const { plain, options } = sortWords(words)
  const [word, ...args] = plain
  if (word === undefined) throw syntaxError(words[0] ?? { text: '', at: null }, 'no command is given', `one of: ${VERB_NAMES.join(', ')}`)
  const { verb, min, max } = verbOf(word)
  if (args.length < min) throw syntaxError(word, `"${verb}" needs ${min} arguments`, 'see "tsnat ipset help"')
  if (args.length > max) throw syntaxError(args[max]!, `"${args[max]!.text}" is one argument too many for "${verb}"`)
  return {
    verb, word, args, exist: options.has('exist'), quiet: options.has('quiet'), file: options.get('file') ?? null,
    listing: {
      format: parseFormat(options.get('output')) ?? (verb === 'save' ? 'save' : 'plain'),
      content: options.has('name') ? 'names' : options.has('terse') ? 'headers' : 'all',
      sorted: options.has('sorted'),
    },
  }
}

/** What a command says. */
export interface Said {
  /** For standard output. */
  readonly output: string
  /** For standard error. */
  readonly notice: string
  /** The answer of `test`; true for what is no question. */
  readonly isTrue: boolean
}

const NOTHING: Said = { output: '', notice: '', isTrue: true }

const runTest = (draft: SetsDraft, { args, quiet }: Command): Said => {
  const [name, entry, ...rest] = args
  const set = draft.existing(name!)
  const { text, isIn } = set.kind === LIST_KIND ? testMember(draft, set, entry!, rest) : testElement(draft, set, entry!, rest)
  return { output: '', notice: quiet ? '' : `${text} is ${isIn ? 'in' : 'NOT in'} set ${set.name}.\n`, isTrue: isIn }
}

const runElement = (draft: SetsDraft, { verb, args, exist }: Command): void => {
  const [name, entry, ...rest] = args
  const set = draft.existing(name!)
  if (set.kind === LIST_KIND) (verb === 'add' ? addMember : removeMember)(draft, set, entry!, rest, exist)
  else (verb === 'add' ? addElements : removeElements)(draft, set, entry!, rest, exist)
}

/** Carries out a command on sets: all but restore, help and version. */
export const runCommand = (draft: SetsDraft, command: Command): Said => {
  const { verb, word, args, exist, listing } = command
  const [first, second, ...rest] = args
  switch (verb) {
    case 'create': createSet(draft, first!, second!, rest, exist); break
    case 'add':
    case 'del': runElement(draft, command); break
    case 'test': return runTest(draft, command)
    case 'destroy': destroySets(draft, word, first); break
    case 'flush': flushSets(draft, first); break
    case 'rename': renameSet(draft, first!, second!); break
    case 'swap': swapSets(draft, first!, second!); break
    case 'list':
    case 'save': return { ...NOTHING, output: listSets(draft, first === undefined ? undefined : draft.existing(first), listing) }
    default: throw refusedError(word, `"${word.text}" is not taken inside of a file`)
  }
  return NOTHING
}
