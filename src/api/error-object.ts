/** Errors on their way between processes: as a plain object, and back. */
import { ExitCode, TsnatError } from '../errors.js'

export interface ErrorObject {
  code: string
  message: string
  hint?: string
  exitCode: ExitCode
}

/** What is no TsnatError is a bug, and takes its stack along. */
export const errorObject = (error: unknown): ErrorObject => {
  if (error instanceof TsnatError) {
    const { code, message, hint, exitCode } = error
    return { code, message, ...(hint === undefined ? {} : { hint }), exitCode }
  }
  return { code: 'BUG', message: error instanceof Error ? (error.stack ?? error.message) : String(error), exitCode: ExitCode.bug }
}

export const errorFromObject = ({ message, ...rest }: ErrorObject): TsnatError => new TsnatError(message, rest)
