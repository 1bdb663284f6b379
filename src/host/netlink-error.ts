/** What the kernel's refusals of netlink requests become. */
import { getSystemErrorName } from 'node:util'
import { ExitCode, TsnatError } from '../errors.js'

/** A request that the kernel refused. `errno` is the name of its reason, e.g. `EEXIST`. */
export class NetlinkError extends TsnatError {
  readonly errno: string
  /** What was asked for, e.g. `add policy rule 32763`. */
  readonly operation: string

  constructor(operation: string, errno: string, cause?: unknown) {
    const denied = errno === 'EPERM' || errno === 'EACCES'
    super(`the kernel refused to ${operation}: ${errno}`, {
      code: 'NETLINK',
      ...(denied ? { hint: 'this needs CAP_NET_ADMIN: run as root, or give the capability' } : {}),
      exitCode: denied ? ExitCode.permission : ExitCode.failure,
      cause,
    })
    this.errno = errno
    this.operation = operation
  }
}

/** The name of an errno, given positive. */
export const errnoName = (errno: number): string => {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `errno ${errno}`
  }
}

/** Tells whether a failure is a refusal for one of these reasons. */
export const isErrno = (error: unknown, ...names: string[]): boolean => error instanceof NetlinkError && names.includes(error.errno)
