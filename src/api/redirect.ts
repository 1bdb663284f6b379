/** What is asked of a redirector in a URL query, read and checked. */
import { ExitCode, TsnatError } from '../errors.js'
import { REDIRECT_PORT, REDIRECT_PROTOCOLS, REDIRECT_WAYS, type RedirectProtocol, type RedirectSettings, type RedirectWay } from '../redirect/settings.js'
import { parseUpstream } from '../redirect/upstream-address.js'
import { parseIpv4, parsePrefix } from '../stack/wire/address.js'
import type { RedirectRequest } from './types.js'

const WORDS = ['to', 'protocols', 'by', 'port', 'exclude', 'rules', 'interval'] as const

const refuse = (message: string, hint: string): TsnatError => new TsnatError(message, { code: 'BAD_REDIRECT', hint, exitCode: ExitCode.usage })

const numberIn = (name: string, text: string, minimum: number, maximum: number): number => {
  const value = /^\d+$/.test(text) ? Number(text) : NaN
  if (value >= minimum && value <= maximum) return value
  throw refuse(`${name} "${text}" is not a number from ${minimum} to ${maximum}`, `for example --${name} ${name === 'port' ? REDIRECT_PORT : 10}`)
}

const excluded = (text: string): string => {
  if (parseIpv4(text) !== null || parsePrefix(text) !== null) return text
  throw refuse(`exclude "${text}" is not an IPv4 address or prefix`, 'for example --exclude 10.0.0.0/8')
}

/**
 * @param text `10.0.0.0/8,192.0.2.1`
 * @throws TsnatError BAD_REDIRECT
 */
const readExclude = (text: string): string[] => (text === '' ? [] : text.split(',').map(excluded))

/** @throws TsnatError BAD_REDIRECT */
export const readRedirect = (given: Readonly<Record<string, string>>): RedirectRequest => {
  const unknown = Object.keys(given).find((word) => !(WORDS as readonly string[]).includes(word))
  if (unknown !== undefined) throw refuse(`"${unknown}" is not known to redirect`, `known: ${WORDS.join(', ')}`)
  const { to = '', protocols = REDIRECT_PROTOCOLS.join(','), by = 'tproxy', port = String(REDIRECT_PORT), exclude = '', rules = 'yes', interval = '10' } = given
  if (parseUpstream(to) === null) throw refuse(`to "${to}" is not the address of a SOCKS5 proxy`, 'for example --to socks5://192.0.2.1:1080, or socks5://user:password@192.0.2.1:1080')
  const list = protocols.split(',').map((word): RedirectProtocol => {
    const protocol = REDIRECT_PROTOCOLS.find((one) => one === word)
    if (protocol === undefined) throw refuse(`protocol "${word}" cannot be redirected`, 'tcp, udp or both')
    return protocol
  })
  const way = REDIRECT_WAYS.find((one): one is RedirectWay => one === by)
  if (way === undefined) throw refuse(`by "${by}" is unknown`, 'tproxy or redirect')
  if (rules !== 'yes' && rules !== 'no') throw refuse(`rules "${rules}" is unknown`, 'yes or no')
  return {
    to, protocols: [...new Set(list)], by: way, port: numberIn('port', port, 1, 65535), exclude: readExclude(exclude), rules: rules === 'yes',
    interval: numberIn('interval', interval, 1, 3600),
  }
}

export const redirectQuery = ({ to, protocols, by, port, exclude, rules }: RedirectSettings, interval: number): string =>
  new URLSearchParams({
    to, protocols: protocols.join(','), by, port: String(port), exclude: exclude.join(','), rules: rules ? 'yes' : 'no', interval: String(interval),
  }).toString()
