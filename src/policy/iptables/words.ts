/** Words of a command line or of a line of a file, and where they stand. */

export interface Place {
  readonly file: string
  /** From 1. */
  readonly line: number
  /** Of the word's first character, from 1. */
  readonly column: number
}

export interface Word {
  readonly text: string
  /** Null for the arguments of a command. */
  readonly at: Place | null
  /** The option that it is a value of. */
  readonly option?: string
}

/** Words that came as arguments of a command. */
export const wordsOf = (argv: readonly string[]): Word[] => argv.map((text) => ({ text, at: null }))

const isBlank = (character: string): boolean => character === ' ' || character === '\t'

/**
 * Words of a line as iptables-restore splits it: blanks separate, double quotes keep blanks, and inside them a backslash keeps the
 * next character as it is.
 * @param from where in the line to begin
 * @returns the column (from 1) of a quote that is never closed instead of words
 */
export const splitLine = (line: string, file: string, number: number, from = 0): Word[] | number => {
  const words: Word[] = []
  let at = from
  while (at < line.length) {
    if (isBlank(line[at]!)) {
      at++
      continue
    }
    const column = at + 1
    let text = ''
    let opened = 0
    for (; at < line.length && (opened > 0 || !isBlank(line[at]!)); at++) {
      const character = line[at]!
      if (character === '"') opened = opened > 0 ? 0 : at + 1
      else if (opened > 0 && character === '\\' && at + 1 < line.length) text += line[++at]!
      else text += character
    }
    if (opened > 0) return opened
    words.push({ text, at: { file, line: number, column } })
  }
  return words
}

/** Text as iptables-save prints it: quoted when it is not letters, digits, `-` and `_` only. */
export const quote = (text: string): string =>
  /^[A-Za-z0-9_-]+$/.test(text) ? text : `"${text.replaceAll(/["\\']/g, '\\$&')}"`
