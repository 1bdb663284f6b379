/** What the C library says of the number of an error: the words that people know from nc and ping. */
import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  ECONNABORTED: 'Software caused connection abort',
  ECONNREFUSED: 'Connection refused',
  ECONNRESET: 'Connection reset by peer',
  EHOSTDOWN: 'Host is down',
  EHOSTUNREACH: 'No route to host',
  EINVAL: 'Invalid argument',
  EMSGSIZE: 'Message too long',
  ENETUNREACH: 'Network is unreachable',
  ENOBUFS: 'No buffer space available',
  ENONET: 'Machine is not on the network',
  ENOPROTOOPT: 'Protocol not available',
  EPERM: 'Operation not permitted',
  EPIPE: 'Broken pipe',
  EPROTO: 'Protocol error',
  ETIMEDOUT: 'Connection timed out',
}

/** @param code of errno(3) */
export const errnoText = (code: string): string => {
  const number = (constants.errno as Readonly<Record<string, number>>)[code]
  return WORDS[code] ?? (number === undefined ? undefined : getSystemErrorMap().get(-number)?.[1]) ?? code
}
