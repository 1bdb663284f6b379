/** Errors of rule text. Each says where: file, line and column if the text came from a file, and always the word itself. */
import { ExitCode, TsnatError } from '../../errors.js'
import { nearest } from '../../nearest.js'
import type { Word } from './words.js'

/** A word that is not known, or not of the form that its place wants. */
const SYNTAX = 'POLICY_SYNTAX'
/** A word of iptables that tsnat knows and does not take, with the reason. */
const REFUSED = 'POLICY_REFUSED'
/** Words that are right each, and not together, here or now: wrong table or hook, a chain that is missing or in use. */
const INVALID = 'POLICY_INVALID'

const quoted = (text: string): string => `"${text}"`

const policyError = (code: string, word: Word | null, message: string, hint: string, alone: ExitCode): TsnatError => {
  const at = word?.at ?? null
  const about = word?.option === undefined ? message : `${word.option}: ${message}`
  return new TsnatError(at === null ? about : `${at.file} line ${at.line}, column ${at.column}: ${about}`, {
    code, hint, exitCode: at === null ? alone : ExitCode.config,
  })
}

export const syntaxError = (word: Word, message: string, hint = 'see "tsnat iptables --help"'): TsnatError =>
  policyError(SYNTAX, word, message, hint, ExitCode.usage)

export const refusedError = (word: Word, message: string, hint = 'say it in another way, or leave it out'): TsnatError =>
  policyError(REFUSED, word, message, hint, ExitCode.usage)

/** @param word null when it is about no word in particular */
export const invalidError = (word: Word | null, message: string, hint = 'nothing was changed'): TsnatError =>
  policyError(INVALID, word, message, hint, ExitCode.failure)

/** `word` is none of `known`; `what` says what it should have been. */
export const unknownWord = (word: Word, what: string, known: readonly string[], text: string = word.text): TsnatError => {
  const like = nearest(text, known)
  const list = known.length <= 16 ? `one of: ${known.join(', ')}` : undefined
  return syntaxError(word, `unknown ${what} ${quoted(text)}`, like === undefined ? list : `did you mean ${quoted(like)}?`)
}
