/** Errors of ipset's words. Each says where: file, line and column if the text came from a file. */
import { ExitCode, TsnatError } from '../../errors.js'
import { nearest } from '../../nearest.js'
import type { Word } from './words.js'

/** A word that is not known, or not of the form that its place wants. */
const SYNTAX = 'POLICY_SYNTAX'
/** A word of ipset that tsnat knows and does not take. */
const REFUSED = 'POLICY_REFUSED'
/** Words that are right, and do not go with the sets that there are. */
const INVALID = 'POLICY_INVALID'

const setsError = (code: string, { at }: Word, message: string, hint: string, alone: ExitCode): TsnatError =>
  new TsnatError(at === null ? message : `${at.file} line ${at.line}, column ${at.column}: ${message}`, {
    code, hint, exitCode: at === null ? alone : ExitCode.config,
  })

export const syntaxError = (word: Word, message: string, hint = 'see "tsnat ipset help"'): TsnatError =>
  setsError(SYNTAX, word, message, hint, ExitCode.usage)

export const refusedError = (word: Word, message: string, hint = 'say it in another way, or leave it out'): TsnatError =>
  setsError(REFUSED, word, message, hint, ExitCode.usage)

export const invalidError = (word: Word, message: string, hint = 'nothing was changed'): TsnatError =>
  setsError(INVALID, word, message, hint, ExitCode.failure)

/** `word` is none of `known`; `what` says what it should have been. */
export const unknownWord = (word: Word, what: string, known: readonly string[]): TsnatError => {
  const like = nearest(word.text, known)
  return syntaxError(word, `unknown ${what} "${word.text}"`, like === undefined ? `one of: ${known.join(', ')}` : `did you mean "${like}"?`)
}
