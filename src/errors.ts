/**
 * Errors of the control plane. Each names what failed and with which value, and carries a hint that says how to mend
 * it. The data plane throws nothing: see drop.ts.
 */

/** Exit codes of the command line. Documented in docs/exit-codes.md; the numbers follow sysexits(3) where it has one. */
export const ExitCode = {
  ok: 0,
  /** Something failed while running that fits no other code. */
  failure: 1,
  /** No instance of that name is running. */
  notRunning: 3,
  /** Unknown word, missing or malformed argument. */
  usage: 64,
  /** A device or interface is missing, busy, or of the wrong kind. */
  device: 69,
  /** A bug in tsnat. */
  bug: 70,
  /** A capability or file permission is missing. */
  permission: 77,
  /** The configuration file or the state of the host does not allow it (address clash, bad file). */
  config: 78,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

export interface TsnatErrorOptions {
  /** Stable, upper-case identifier, for programs. */
  code: string
  /** One sentence that tells the reader how to mend it. */
  hint?: string
  exitCode?: ExitCode
  cause?: unknown
}

export class TsnatError extends Error {
  override readonly name = 'TsnatError'
  readonly code: string
  readonly hint: string | undefined
  readonly exitCode: ExitCode

  constructor(message: string, options: TsnatErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = options.code
    this.hint = options.hint
    this.exitCode = options.exitCode ?? ExitCode.failure
  }
}
