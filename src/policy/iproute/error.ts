/** Errors of the words of `ip`. */
import { ExitCode, TsnatError } from '../../errors.js'
import { nearest } from '../../nearest.js'

/** A word and where it stands: lines and columns from 1. */
export interface Word {
  readonly text: string
  readonly line: number
  readonly column: number
}

/** Exit codes of `ip`. */
export const IpStatus = {
  ok: 0,
  /** Something that is needed does not exist. */
  failure: 1,
  /** Understood, and refused. */
  refused: 2,
  /** Not understood. */
  usage: 255,
} as const
export type IpStatus = (typeof IpStatus)[keyof typeof IpStatus]

/** Codes: POLICY_SYNTAX (not understood), POLICY_UNSUPPORTED (understood; tsnat does not do it), POLICY_REFUSED (cannot be done now). */
export class IpError extends TsnatError {
  readonly status: IpStatus
  readonly word: Word | null

  constructor(message: string, options: { code: string; status: IpStatus; word?: Word | null; hint?: string }) {
    const { code, status, word = null, hint } = options
    super(message, { code, exitCode: status === IpStatus.refused ? ExitCode.failure : ExitCode.usage, ...(hint === undefined ? {} : { hint }) })
    this.status = status
    this.word = word
  }

  /** The same, at this word when it has no place of its own. */
  placed(word: Word): IpError {
    if (this.word !== null) return this
    const { message, code, status, hint } = this
    return new IpError(message, { code, status, word, ...(hint === undefined ? {} : { hint }) })
  }
}

export const syntaxError = (message: string, word: Word | null, hint?: string): IpError =>
  new IpError(message, { code: 'POLICY_SYNTAX', status: IpStatus.usage, word, ...(hint === undefined ? {} : { hint }) })

/** A word that is none of those that may stand there. */
export const unknownWord = (word: Word, where: string, known: readonly string[]): IpError => {
  const meant = nearest(word.text, known)
  return syntaxError(`"${word.text}" is not a word of ${where}`, word, meant === undefined ? `known are: ${known.join(', ')}` : `did you mean "${meant}"?`)
}

/** A word of iproute2 that tsnat knows and does not do. @param why a whole sentence */
export const unsupported = (word: Word, why: string): IpError =>
  new IpError(`"${word.text}" is not supported: ${why}`, { code: 'POLICY_UNSUPPORTED', status: IpStatus.usage, word })

/** What the kernel would refuse, with its words. @param answer as `ip` prints it, e.g. `RTNETLINK answers: File exists` */
export const refused = (answer: string, hint?: string): IpError =>
  new IpError(answer, { code: 'POLICY_REFUSED', status: IpStatus.refused, ...(hint === undefined ? {} : { hint }) })

export const noDevice = (word: Word): IpError =>
  new IpError(`Cannot find device "${word.text}"`, { code: 'POLICY_REFUSED', status: IpStatus.failure, word })
