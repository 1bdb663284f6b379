/** Errors of sockets, as Node's have them. */
import { constants } from 'node:os'
import { formatIpv4 } from '../wire/address.js'

/** With what a TUN says whose interface is gone, for which Node has no name. */
const ERRNOS: Readonly<Record<string, number>> = { EBADFD: 77, ...constants.errno }
const CODES = new Map(Object.entries(ERRNOS).map(([code, errno]) => [errno, code]))

/** The name of an error number: 113 is EHOSTUNREACH. @param errno positive */
export const errnoCode = (errno: number): string => CODES.get(errno) ?? `E${errno}`

/** An error with what net and dgram add to theirs. */
export interface SocketError extends NodeJS.ErrnoException {
  address?: string
  port?: number
}

/**
 * `connect ECONNREFUSED 10.0.0.9:80`: what Node says when a system call on a socket fails.
 * @param code of errno(3)
 * @param syscall what was being done: `connect`, `bind`, `read`, `write`, `send`
 * @param address the end that it was about, int32, where there is one
 */
export const socketError = (code: string, syscall: string, address?: number, port?: number): SocketError => {
  const end = address === undefined ? '' : ` ${formatIpv4(address)}${port === undefined ? '' : `:${port}`}`
  const error: SocketError = new Error(`${syscall} ${code}${end}`)
  error.errno = -(ERRNOS[code] ?? 0)
  error.code = code
  error.syscall = syscall
  if (address !== undefined) error.address = formatIpv4(address)
  if (port !== undefined) error.port = port
  return error
}
