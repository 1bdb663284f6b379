/** Flow filters: as a URL query, and as a test on a record. */
import { ExitCode, TsnatError } from '../errors.js'
import { parseProtocol, PROTOCOL_NAMES, protocolName } from '../protocol-names.js'
import { parseIpv4, parsePrefix } from '../stack/wire/address.js'
import type { FlowFilter, FlowRecord } from './types.js'

/** The words of conntrack's `--state`. */
export const STATES: readonly string[] = [
  'NONE',
  'SYN_SENT',
  'SYN_SENT2',
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT',
  'CLOSE_WAIT',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSE',
  'LISTEN',
  // SCTP, which has ESTABLISHED too.
  'CLOSED',
  'COOKIE_WAIT',
  'COOKIE_ECHOED',
  'SHUTDOWN_SENT',
  'SHUTDOWN_RECD',
  'SHUTDOWN_ACK_SENT',
]

const refuse = (message: string, hint: string): TsnatError =>
  new TsnatError(message, { code: 'BAD_FILTER', hint, exitCode: ExitCode.usage })

const protocol = (name: string, text: string): string => {
  const found = parseProtocol(text)
  if (found === null) throw refuse(`${name}: "${text}" is not a protocol`, `one of ${PROTOCOL_NAMES.join(', ')}, or a number up to 255`)
  return protocolName(found)
}

const prefix = (name: string, text: string): string => {
  const whole = parseIpv4(text) === null ? text : `${text}/32`
  if (parsePrefix(whole) !== null) return whole
  throw refuse(`${name}: "${text}" is not an IPv4 address or prefix`, 'for example 10.0.0.2 or 10.0.0.0/24')
}

const number = (maximum: number) => (name: string, text: string): number => {
  const value = /^(\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : NaN
  if (!(value <= maximum)) throw refuse(`${name}: "${text}" is not a number from 0 to ${maximum}`, 'decimal, or hexadecimal with 0x')
  return value
}

const state = (name: string, text: string): string => {
  const word = STATES.find((one) => one === text.toUpperCase())
  if (word === undefined) throw refuse(`${name}: "${text}" is not a state of TCP or SCTP`, `one of ${STATES.join(', ')}`)
  return word
}

const port = number(65535)
const READERS: { [key in keyof Required<FlowFilter>]: (name: string, text: string) => Required<FlowFilter>[key] } = {
  protocol,
  origSrc: prefix,
  origDst: prefix,
  replySrc: prefix,
  replyDst: prefix,
  origPortSrc: port,
  origPortDst: port,
  replyPortSrc: port,
  replyPortDst: port,
  state,
  mark: number(0xffffffff),
  srcNat: prefix,
}

/**
 * Reads a filter from words.
 * @param words values by key of {@link FlowFilter}; absent ones are undefined
 * @param label how the reader wrote the key, for messages
 * @throws TsnatError BAD_FILTER, exit code 64
 */
export const readFlowFilter = (
  words: Readonly<Record<string, string | undefined>>,
  label: (key: string) => string = (key) => key,
): FlowFilter => {
  const filter: Record<string, string | number> = {}
  for (const [key, text] of Object.entries(words)) {
    if (text === undefined) continue
    if (!Object.hasOwn(READERS, key)) throw refuse(`"${key}" is not a filter`, `known: ${Object.keys(READERS).join(', ')}`)
    filter[key] = READERS[key as keyof FlowFilter](label(key), text)
  }
  return filter
}

/** `?protocol=tcp&origPortDst=443`, or an empty string. */
export const filterQuery = (filter: FlowFilter): string => {
  const query = new URLSearchParams(Object.entries(filter).map(([key, value]): [string, string] => [key, String(value)])).toString()
  return query === '' ? '' : `?${query}`
}

type Test = (flow: FlowRecord) => boolean

const within = (text: string, address: (flow: FlowRecord) => string): Test => {
  const wanted = parsePrefix(text)
  if (wanted === null) return () => false
  const network = wanted.address & wanted.mask
  return (flow) => ((parseIpv4(address(flow)) ?? 0) & wanted.mask) === network
}

const isSourceTranslated: Test = ({ original, reply }) =>
  original.src !== reply.dst || original.sport !== reply.dport || original.id !== reply.id

/** A test for records that holds when all given criteria hold. A flow without ports matches no port. */
export const flowMatcher = (filter: FlowFilter): Test => {
  const tests: Test[] = []
  const equal = <T>(wanted: T | undefined, of: (flow: FlowRecord) => T | undefined): void => {
    if (wanted !== undefined) tests.push((flow) => of(flow) === wanted)
  }
  const inside = (wanted: string | undefined, of: (flow: FlowRecord) => string): void => {
    if (wanted !== undefined) tests.push(within(wanted, of))
  }
  equal(filter.protocol === undefined ? undefined : parseProtocol(filter.protocol), (flow) => flow.protonum)
  equal(filter.origPortSrc, (flow) => flow.original.sport)
  equal(filter.origPortDst, (flow) => flow.original.dport)
  equal(filter.replyPortSrc, (flow) => flow.reply.sport)
  equal(filter.replyPortDst, (flow) => flow.reply.dport)
  equal(filter.state, (flow) => flow.state ?? undefined)
  equal(filter.mark, (flow) => flow.mark)
  inside(filter.origSrc, (flow) => flow.original.src)
  inside(filter.origDst, (flow) => flow.original.dst)
  inside(filter.replySrc, (flow) => flow.reply.src)
  inside(filter.replyDst, (flow) => flow.reply.dst)
  inside(filter.srcNat, (flow) => flow.reply.dst)
  if (filter.srcNat !== undefined) tests.push(isSourceTranslated)
  return (flow) => tests.every((test) => test(flow))
}
