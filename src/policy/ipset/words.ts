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
}

/** Words that came as arguments of a command. */
export const wordsOf = (argv: readonly string[]): Word[] => argv.map((text) => ({ text, at: null }))

/**
 * Words of a line of a saved file: blanks separate, double quotes keep them. A backslash stands for itself.
 * @returns the column (from 1) of a quote that is never closed instead of words
 */
export const splitLine = (line: string, file: string, number: number): Word[] | number => {
  const words: Word[] = []
  let text: string | null = null
  let start = 0
  let quote = -1
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!
    if (quote < 0 && (character === ' ' || character === '\t' || character === '\r')) {
      if (text !== null) words.push({ text, at: { file, line: number, column: start + 1 } })
      text = null
      continue
    }
    if (text === null) {
      text = ''
      start = at
    }
    if (character === '"') quote = quote < 0 ? at : -1
    else text += character
  }
  if (quote >= 0) return quote + 1
  if (text !== null) words.push({ text, at: { file, line: number, column: start + 1 } })
  return words
}
