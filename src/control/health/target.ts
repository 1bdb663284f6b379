/** Health checks as they were asked for, checked and taken apart. */
import { ExitCode, TsnatError } from '../../errors.js'
import { parseIpv4 } from '../../stack/wire/address.js'
import type { HealthCheck } from './types.js'

export type CheckTarget =
  | { readonly type: 'none' }
  /** `address`: int32; null for the link's gateway. */
  | { readonly type: 'icmp'; readonly address: number | null }
  | { readonly type: 'arp'; readonly address: number | null }
  | { readonly type: 'tcp'; readonly address: number; readonly port: number }
  | { readonly type: 'http'; readonly address: number; readonly port: number; readonly host: string; readonly path: string; readonly expect: number | null }

const refuse = (message: string, hint: string): TsnatError => new TsnatError(message, { code: 'HEALTH_CHECK', hint, exitCode: ExitCode.config })

const LIMITS = { interval: [0.1, 86_400], timeout: [0.01, 3600], fails: [1, 1000], passes: [1, 1000] } as const

const verifyNumbers = (check: HealthCheck): void => {
  for (const [key, [least, most]] of Object.entries(LIMITS) as [keyof typeof LIMITS, readonly [number, number]][]) {
    const value = check[key]
    const whole = key === 'fails' || key === 'passes'
    if (value >= least && value <= most && (!whole || Number.isInteger(value))) continue
    throw refuse(`a health check cannot have ${key} ${value}`, `give ${whole ? 'a whole number' : 'seconds'} from ${least} to ${most}`)
  }
  const { expect } = check
  if (expect === undefined) return
  if (check.type !== 'http') throw refuse(`a health check of type ${check.type} has no status to expect`, 'leave out "expect", or use type http')
  if (!Number.isInteger(expect) || expect < 100 || expect > 599) {
    throw refuse(`a health check cannot expect status ${expect}`, 'give an HTTP status from 100 to 599')
  }
}

/** One host: neither "this network" nor loopback, nor multicast or reserved (RFC 1122 3.2.1.3, RFC 1112 4). */
const hostAddress = (text: string): number | null => {
  const address = parseIpv4(text)
  const first = address === null ? 0 : address >>> 24
  return first === 0 || first === 127 || first >= 224 ? null : address
}

const needTarget = ({ type, target }: HealthCheck, example: string): string => {
  if (target === undefined) throw refuse(`a health check of type ${type} needs a target`, `give one, such as ${example}`)
  return target
}

const neighbourOrHost = (type: 'icmp' | 'arp', target: string | undefined): CheckTarget => {
  if (target === undefined) return { type, address: null }
  const address = hostAddress(target)
  if (address === null) throw refuse(`"${target}" is no target of a health check of type ${type}`, 'give an IPv4 address, or none for the gateway')
  return { type, address }
}

const tcpTarget = (target: string): CheckTarget => {
  const [, host = '', port = ''] = /^([\d.]+):(\d{1,5})$/.exec(target) ?? []
  const address = hostAddress(host)
  const number = Number(port)
  if (address === null || number < 1 || number > 65535) {
    throw refuse(`"${target}" is no target of a health check of type tcp`, 'give an IPv4 address and a port, such as 192.0.2.1:443')
  }
  return { type: 'tcp', address, port: number }
}

const httpTarget = (target: string, expect: number | undefined): CheckTarget => {
  const url = URL.canParse(target) ? new URL(target) : null
  const address = url === null ? null : hostAddress(url.hostname)
  if (url === null || url.protocol !== 'http:' || address === null || url.username !== '' || url.port === '0') {
    const hint = url?.protocol === 'https:'
      ? 'https is not checked: use http, or type tcp with port 443'
      : 'give a URL whose host is an IPv4 address, such as http://192.0.2.1/health; names would be asked of some other link'
    throw refuse(`"${target}" is no target of a health check of type http`, hint)
  }
  return { type: 'http', address, port: Number(url.port) || 80, host: url.host, path: `${url.pathname}${url.search}`, expect: expect ?? null }
}

/**
 * Takes a check apart.
 * @throws TsnatError HEALTH_CHECK, naming the value
 */
export const checkTarget = (check: HealthCheck): CheckTarget => {
  verifyNumbers(check)
  const { type, target, expect } = check
  if (type === 'tcp') return tcpTarget(needTarget(check, '192.0.2.1:443'))
  if (type === 'http') return httpTarget(needTarget(check, 'http://192.0.2.1/'), expect)
  if (type !== 'none') return neighbourOrHost(type, target)
  if (target !== undefined) throw refuse(`a health check of type none has no target, "${target}" was given`, 'leave it out, or choose another type')
  return { type }
}

/**
 * Whether a check can be made on a link of that kind.
 * @param owned the link's addresses are tsnat's alone: the kernel has none there, so its sockets cannot be used
 * @throws TsnatError HEALTH_CHECK, as {@link checkTarget}; HEALTH_CHECK_OWNED
 */
export const verifyCheck = (check: HealthCheck, owned: boolean): void => {
  const { type } = checkTarget(check)
  if (!owned || (type !== 'tcp' && type !== 'http')) return
  throw new TsnatError(`a link with owned addresses cannot have a health check of type ${type}`, {
    code: 'HEALTH_CHECK_OWNED',
    hint: 'this type uses sockets of the kernel, which has no address there: use arp or icmp, or a shared address',
    exitCode: ExitCode.config,
  })
}
