/** What is asked of the gateway's own sockets in a URL query, read and checked; `tsnat nc` and `tsnat ping` read their words with it, too. */
import { ExitCode, TsnatError } from '../errors.js'
import { parseIpv4 } from '../stack/wire/address.js'
import type { PingRequest, SocketEnd, SocketRequest } from './socket-types.js'

type Words = Readonly<Record<string, string | undefined>>

const SOCKET_WORDS = ['protocol', 'host', 'port', 'source', 'sourcePort', 'mark', 'tos'] as const
const PING_WORDS = ['host', 'count', 'interval', 'size', 'wait', 'source', 'mark', 'tos', 'ttl'] as const

/** Data of the longest echo request. */
export const PING_SIZE_MAX = 65_507
/** Seconds; a shorter one would be a flood. */
export const PING_INTERVAL_MIN = 0.002
const SECONDS_MAX = 86_400

const refuse = (message: string, hint: string): TsnatError => new TsnatError(message, { code: 'BAD_SOCKET', hint, exitCode: ExitCode.usage })

const requireKnown = (given: Words, known: readonly string[], what: string): void => {
  const unknown = Object.keys(given).find((word) => !known.includes(word))
  if (unknown !== undefined) throw refuse(`"${unknown}" is not known to ${what}`, `known: ${known.join(', ')}`)
}

const numberIn = (name: string, text: string, minimum: number, maximum: number): number => {
  const value = /^(\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : NaN
  if (value >= minimum && value <= maximum) return value
  throw refuse(`${name} "${text}" is not a number from ${minimum} to ${maximum}`, 'decimal, or hexadecimal with 0x')
}

const secondsIn = (name: string, text: string, minimum: number): number => {
  const value = /^\d*\.?\d+$/.test(text) ? Number(text) : NaN
  if (value >= minimum && value <= SECONDS_MAX) return value
  throw refuse(`${name} "${text}" is not a number of seconds from ${minimum} to ${SECONDS_MAX}`, 'such as 1 or 0.2')
}

const addressIn = (name: string, text: string): string => {
  if (parseIpv4(text) !== null) return text
  const look = /^[\w.-]*[a-z][\w.-]*$/i.test(text)
  throw refuse(`${name} "${text}" is not an IPv4 address`, look ? `names are not looked up, since the gateway has no resolver; on the host "getent ahostsv4 ${text}" tells its addresses` : 'for example 198.51.100.10')
}

const orNull = (text: string | undefined): string | null => (text === undefined ? null : addressIn('source', text))
const markIn = (text = '0'): number => numberIn('mark', text, 0, 0xffffffff)
const tosIn = (text = '0'): number => numberIn('tos', text, 0, 255)

/** @throws TsnatError BAD_SOCKET */
export const readSocketRequest = (given: Words): SocketRequest => {
  requireKnown(given, SOCKET_WORDS, 'sockets')
  const { protocol = 'tcp', host, port, source, sourcePort = '0', mark, tos } = given
  if (protocol !== 'tcp' && protocol !== 'udp') throw refuse(`protocol "${protocol}" is unknown`, 'tcp or udp')
  if (host !== undefined && port === undefined) throw refuse('a host without a port', 'name both, or neither to listen')
  const remote: SocketEnd | null = host === undefined ? null : { address: addressIn('host', host), port: numberIn('port', port!, 1, 65535) }
  return {
    protocol, remote, localAddress: orNull(source), localPort: numberIn(remote === null ? 'port' : 'source port', sourcePort, 0, 65535), mark: markIn(mark), tos: tosIn(tos),
  }
}

/** @throws TsnatError BAD_SOCKET */
export const readPingRequest = (given: Words): PingRequest => {
  requireKnown(given, PING_WORDS, 'ping')
  const { host = '', count = '0', interval = '1', size = '56', wait = '10', source, mark, tos, ttl = '64' } = given
  return {
    host: addressIn('host', host), count: numberIn('count', count, 0, Number.MAX_SAFE_INTEGER), interval: secondsIn('interval', interval, PING_INTERVAL_MIN),
    size: numberIn('size', size, 0, PING_SIZE_MAX), wait: secondsIn('wait', wait, 0), localAddress: orNull(source), mark: markIn(mark), tos: tosIn(tos),
    ttl: numberIn('ttl', ttl, 1, 255),
  }
}

const query = (words: Readonly<Record<string, string | number | null | undefined>>): string =>
  new URLSearchParams(Object.entries(words).flatMap(([word, value]): [string, string][] => (value === null || value === undefined ? [] : [[word, String(value)]]))).toString()

export const socketQuery = ({ protocol, remote, localAddress, localPort, mark, tos }: SocketRequest): string =>
  query({ protocol, host: remote?.address, port: remote?.port, source: localAddress, sourcePort: localPort, mark, tos })

export const pingQuery = ({ localAddress, ...words }: PingRequest): string => query({ ...words, source: localAddress })
