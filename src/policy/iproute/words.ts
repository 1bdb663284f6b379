/** Command lines as words, and how they are read: iproute2 takes most of its words abbreviated, the first that fits wins. */
import type { Word } from './error.js'
import { syntaxError, unknownWord, unsupported } from './error.js'

/** One command of a batch file. */
export type Command = readonly Word[]

/** Words of a command line whose arguments the shell has split: columns count as if single spaces joined them. */
export const wordsOf = (args: readonly string[]): Command => {
  let column = 1
  return args.map((text) => {
    const word = { text, line: 1, column }
    column += text.length + 1
    return word
  })
}

/** Words of one line; `#` begins a comment, quotes hold a word together. */
const splitLine = (text: string, line: number): Word[] => {
  const words: Word[] = []
  const comment = text.indexOf('#')
  const source = comment < 0 ? text : text.slice(0, comment)
  for (let at = 0; at < source.length;) {
    const first = source[at]!
    if (/\s/.test(first)) at++
    else if (first === '"' || first === '\'') {
      const end = source.indexOf(first, at + 1)
      if (end < 0) throw syntaxError('a quote is not closed', { text: source.slice(at), line, column: at + 1 })
      words.push({ text: source.slice(at + 1, end), line, column: at + 1 })
      at = end + 1
    } else {
      const [text] = /^\S+/.exec(source.slice(at))!
      words.push({ text, line, column: at + 1 })
      at += text.length
    }
  }
  return words
}

/** Commands of a batch file: one a line; a backslash at the end of a line goes on with the next. */
export const commandsOf = (text: string): readonly Command[] => {
  const commands: Word[][] = []
  let goesOn = false
  text.split('\n').forEach((line, index) => {
    const continued = line.endsWith('\\')
    const words = splitLine(continued ? line.slice(0, -1) : line, index + 1)
    if (goesOn) commands.at(-1)!.push(...words)
    else commands.push(words)
    goesOn = continued
  })
  return commands.filter((words) => words.length > 0)
}

/** Whether a word is `full` or an abbreviation of it. */
export const abbreviates = (word: string, full: string): boolean => word !== '' && full.startsWith(word)

/** Reads the words of a command one after another. */
export class Cursor {
  readonly #words: Command
  #at: number

  constructor(words: Command, at = 0) {
    this.#words = words
    this.#at = at
  }

  get done(): boolean {
    return this.#at >= this.#words.length
  }

  /** The next word, which stays the next. Only when not done. */
  get word(): Word {
    return this.#words[this.#at]!
  }

  /** The next word, if there is one and it is `text`. */
  takeIf(text: string): boolean {
    if (this.done || this.word.text !== text) return false
    this.#at++
    return true
  }

  /** @throws IpError when the command ends here */
  take(): Word {
    const word = this.#words[this.#at]
    if (word === undefined) {
      const last = this.#words.at(-1)!
      throw syntaxError(`the command ends after "${last.text}", where a word is missing`, last)
    }
    this.#at++
    return word
  }
}

/** What a word of a grammar does. The cursor stands behind the word. */
export type Meaning = (cursor: Cursor, word: Word) => void

export interface GrammarEntry {
  readonly word: string
  /** Abbreviations are taken too. */
  readonly short: boolean
  readonly meaning: Meaning
}

export const exactly = (word: string, meaning: Meaning): GrammarEntry => ({ word, short: false, meaning })
export const orShort = (word: string, meaning: Meaning): GrammarEntry => ({ word, short: true, meaning })
/** Words that are refused, each with its reason. */
export const refusedWords = (reasons: Readonly<Record<string, string>>): readonly GrammarEntry[] =>
  Object.entries(reasons).map(([word, why]) => exactly(word, (_, given) => { throw unsupported(given, why) }))

/**
 * Reads all words by a grammar; the first entry that fits counts.
 *
 * @param where names the command in errors
 * @param otherwise takes what no entry fits; false when it cannot either
 */
export const readWords = (cursor: Cursor, where: string, grammar: readonly GrammarEntry[], otherwise: (word: Word) => boolean): void => {
  while (!cursor.done) {
    const word = cursor.take()
    const entry = grammar.find(({ word: full, short }) => word.text === full || (short && abbreviates(word.text, full)))
    if (entry !== undefined) entry.meaning(cursor, word)
    else if (!otherwise(word)) throw unknownWord(word, where, grammar.map(({ word: known }) => known))
  }
}
