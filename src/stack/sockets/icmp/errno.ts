/** What an ICMP error means to a socket: Linux's table (icmp_err_convert, udp_err). */
import * as icmp4 from '../../wire/icmp4.js'

export interface IcmpMeaning {
  /** Name of an error number. */
  readonly code: string
  /** Connected sockets are told; otherwise it may pass by itself. */
  readonly isHard: boolean
}

const hard = (code: string): IcmpMeaning => ({ code, isHard: true })
const soft = (code: string): IcmpMeaning => ({ code, isHard: false })

/** By code of type 3. */
const UNREACHABLE: readonly IcmpMeaning[] = [
  soft('ENETUNREACH'), soft('EHOSTUNREACH'), hard('ENOPROTOOPT'), hard('ECONNREFUSED'), hard('EMSGSIZE'), soft('EOPNOTSUPP'),
  hard('ENETUNREACH'), hard('EHOSTDOWN'), hard('ENONET'), hard('ENETUNREACH'), hard('EHOSTUNREACH'), soft('ENETUNREACH'),
  soft('EHOSTUNREACH'), hard('EHOSTUNREACH'), hard('EHOSTUNREACH'), hard('EHOSTUNREACH'),
]
const OTHER = soft('EHOSTUNREACH')
const PROBLEM = hard('EPROTO')

/** @param type an error's */
export const meaningOf = (type: number, code: number): IcmpMeaning => {
  if (type === icmp4.UNREACHABLE) return UNREACHABLE[code] ?? OTHER
  return type === icmp4.PARAMETER_PROBLEM ? PROBLEM : OTHER
}
