/** Elements of sets: read from a word, which may stand for many of them, and as text. */
import { formatIpv4, maskOf } from '../../stack/wire/address.js'
import type { ElementKind } from '../sets/edits.js'
import { invalidError, syntaxError, unknownWord } from './error.js'
import * as names from './names.js'
import { addressMask } from './options.js'
import type { HashOptions } from './state.js'
import { isNumber, parseAddress, parseNumber } from './values.js'
import type { Word } from './words.js'

/** What tells an element from others of its set. */
export interface ElementKey {
  readonly address: number
  readonly part: number
  readonly interface: string
  readonly physdev: boolean
}

/** The elements that a word stands for. They are made one by one: a word may stand for millions. */
export interface ElementRange {
  /** At most; some may be the same. */
  readonly count: number
  keys(): Generator<ElementKey>
  /** Whether an element of the set is one of them. */
  holds(element: ElementKey): boolean
}

const INTERFACE_MAX = 15
const PORT_MAX = 65535
const PHYSDEV = 'physdev:'

export const keyText = (kind: ElementKind, { address, part, interface: name, physdev }: ElementKey): string => {
  switch (kind) {
    case 'hash:ip': return formatIpv4(address)
    case 'hash:ip,port': return `${formatIpv4(address)},${portText(part >>> 16, part & 0xffff)}`
    case 'hash:net': return networkText(address, part)
    default: return `${networkText(address, part)},${physdev ? PHYSDEV : ''}${name}`
  }
}

export const networkText = (address: number, length: number): string => (length === 32 ? formatIpv4(address) : `${formatIpv4(address)}/${length}`)

const portText = (protocol: number, port: number): string =>
  `${names.protocolText(protocol)}:${protocol === names.ICMP ? names.icmpText(port) : port}`

/** Brackets keep dashes and commas in names. */
const unbracketed = (text: string): string => (text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text)

/** Where the dash of a range stands, outside of brackets; -1 when there is none. */
const dashIn = (text: string): number => {
  const close = text.startsWith('[') ? text.indexOf(']') : 0
  return text.indexOf('-', Math.max(0, close))
}

interface Addresses {
  /** Unsigned, inclusive. */
  readonly first: number
  readonly last: number
  /** Length of the prefix that was given; null for a range or a single address. */
  readonly prefix: number | null
  readonly isRange: boolean
}

const parseAddresses = (word: Word, text: string): Addresses => {
  const slash = text.indexOf('/')
  if (slash >= 0) {
    const prefix = parseNumber(word, 'prefix length', 0, 32, text.slice(slash + 1))
    const first = parseAddress(word, unbracketed(text.slice(0, slash))) & maskOf(prefix)
    return { first: first >>> 0, last: (first | ~maskOf(prefix)) >>> 0, prefix, isRange: false }
  }
  const dash = dashIn(text)
  const one = parseAddress(word, unbracketed(dash < 0 ? text : text.slice(0, dash))) >>> 0
  const other = dash < 0 ? one : parseAddress(word, unbracketed(text.slice(dash + 1))) >>> 0
  return { first: Math.min(one, other), last: Math.max(one, other), prefix: null, isRange: dash >= 0 }
}

/** Networks that make up a range, as few as possible. */
function* networksOf(first: number, last: number): Generator<{ address: number; length: number }> {
  for (let from = first; from <= last;) {
    let length = 32
    while (length > 0 && (from & ~maskOf(length - 1)) === 0 && from + 2 ** (33 - length) - 1 <= last) length--
    yield { address: from | 0, length }
    from += 2 ** (32 - length)
  }
}

const splitParts = (word: Word, parts: number): string[] => {
  const split = word.text.split(/,(?![^[]*\])/)
  if (split.length > parts) {
    throw syntaxError(word, `"${word.text}" has ${split.length} parts`, parts === 1 ? 'elements of this set are addresses' : `elements of this set have ${parts}`)
  }
  if (split.length < parts || split.includes('')) throw syntaxError(word, `"${word.text}" lacks a part`, 'the parts of an element stand with commas between them')
  return split
}

/** Ports, or types and codes of ICMP. */
const parsePorts = (word: Word, text: string): { protocol: number; first: number; last: number } => {
  const colon = text.startsWith('[') ? -1 : text.indexOf(':')
  const protocol = colon < 0 ? names.protocolNumber('tcp')! : parseProtocol(word, text.slice(0, colon))
  const rest = text.slice(colon + 1)
  if (protocol === names.ICMP) {
    const number = parseIcmp(word, rest)
    return { protocol, first: number, last: number }
  }
  if (!names.hasPorts(protocol)) {
    if (rest !== '0') throw syntaxError(word, `${names.protocolText(protocol)} has no ports`, `${names.protocolText(protocol)}:0`)
    return { protocol, first: 0, last: 0 }
  }
  const dash = dashIn(rest)
  const one = parsePort(word, protocol, dash < 0 ? rest : rest.slice(0, dash))
  const other = dash < 0 ? one : parsePort(word, protocol, rest.slice(dash + 1))
  return { protocol, first: Math.min(one, other), last: Math.max(one, other) }
}

const parseProtocol = (word: Word, text: string): number => {
  const number = isNumber(text) ? parseNumber(word, 'protocol', 1, 255, text) : names.protocolNumber(text)
  if (number === undefined) throw unknownWord({ ...word, text }, 'protocol', names.PROTOCOL_NAMES)
  if (number === names.protocolNumber('ipv6-icmp')) throw syntaxError(word, 'ICMPv6 belongs to IPv6', 'sets are for IPv4')
  return number
}

const parsePort = (word: Word, protocol: number, text: string): number => {
  const name = unbracketed(text)
  if (isNumber(name)) return parseNumber(word, 'port', 0, PORT_MAX, name)
  const port = names.servicePort(name, protocol)
  if (port === undefined) throw syntaxError(word, `"${name}" is no port of ${names.protocolText(protocol)}`, 'a number from 0 to 65535, or a name of /etc/services')
  return port
}

const parseIcmp = (word: Word, text: string): number => {
  const known = names.icmpNumber(unbracketed(text))
  if (known !== undefined) return known
  const slash = text.indexOf('/')
  if (slash < 0) throw unknownWord({ ...word, text }, 'type of ICMP', names.ICMP_TYPE_NAMES)
  return (parseNumber(word, 'ICMP type', 0, 255, text.slice(0, slash)) << 8) | parseNumber(word, 'ICMP code', 0, 255, text.slice(slash + 1))
}

const parseInterface = (word: Word, text: string): { interface: string; physdev: boolean } => {
  const physdev = text.startsWith(PHYSDEV)
  const name = physdev ? text.slice(PHYSDEV.length) : text
  if (name === '') throw syntaxError(word, 'the name of the interface is missing')
  if (Buffer.byteLength(name) > INTERFACE_MAX) throw syntaxError(word, `"${name}" is too long for an interface`, `at most ${INTERFACE_MAX} bytes`)
  if (/[\s"'\\/\p{Cc}]/u.test(name)) throw syntaxError(word, `"${name}" has a character that interfaces do not have`)
  return { interface: name, physdev }
}

const NO_INTERFACE = { interface: '', physdev: false }

/** Hosts of a range, or one address for each network when the set masks them. */
function* hosts(word: Word, first: number, last: number, step: number, mask: number): Generator<number> {
  for (let host = first; host <= last; host += step) {
    const address = host & mask
    if (address === 0) throw invalidError(word, 'the address 0.0.0.0 cannot be in a set of this type')
    yield address
  }
}

const hostRange = (word: Word, kind: ElementKind, options: HashOptions, test: boolean): ElementRange => {
  const [addressText, portsText] = splitParts(word, kind === 'hash:ip' ? 1 : 2)
  const addresses = parseAddresses(word, addressText!)
  if (addresses.prefix === 0) throw syntaxError(word, 'a prefix length of 0 stands for all addresses', 'from 1 to 32')
  const { protocol, first, last } = portsText === undefined ? { protocol: 0, first: 0, last: 0 } : parsePorts(word, portsText)
  if (test && (addresses.isRange || addresses.prefix !== null || last > first)) throw syntaxError(word, 'a range cannot be tested', 'one address, one port')
  const step = options.netmask === null ? 1 : 2 ** (32 - options.netmask)
  const begin = options.netmask === null ? addresses.first : (addresses.first & addressMask(options)) >>> 0
  return {
    count: Math.ceil((addresses.last - addresses.first + 1) / step) * (last - first + 1),
    *keys() {
      for (const address of hosts(word, begin, addresses.last, step, addressMask(options))) {
        for (let port = first; port <= last; port++) yield { address, part: (protocol << 16) | port, ...NO_INTERFACE }
      }
    },
    holds: ({ address, part }) => address >>> 0 >= begin && address >>> 0 <= addresses.last && part >= ((protocol << 16) | first) && part <= ((protocol << 16) | last),
  }
}

const netRange = (word: Word, kind: ElementKind, test: boolean): ElementRange => {
  const [addressText, nameText] = splitParts(word, kind === 'hash:net' ? 1 : 2)
  const { first, last, prefix, isRange } = parseAddresses(word, addressText!)
  const device = nameText === undefined ? NO_INTERFACE : parseInterface(word, nameText)
  if (prefix === 0 && kind === 'hash:net') throw syntaxError(word, 'a prefix length of 0 cannot be in a set of this type', 'two halves: 0.0.0.0/1 and 128.0.0.0/1')
  if (isRange && test) throw syntaxError(word, 'a range cannot be tested', 'an address, or a network')
  if (isRange && last - first === 0xffffffff) throw syntaxError(word, 'the range holds every address', 'two halves: 0.0.0.0/1 and 128.0.0.0/1')
  const networks = isRange ? [...networksOf(first, last)] : [{ address: first | 0, length: prefix ?? 32 }]
  const keys = networks.map(({ address, length }): ElementKey => ({ address, part: length, ...device }))
  return {
    count: keys.length,
    *keys() {
      yield* keys
    },
    holds: ({ address, part, interface: name, physdev }) =>
      keys.some((key) => key.address === address && key.part === part && key.interface === name && key.physdev === physdev),
  }
}

/** @param test ranges cannot be tested */
export const parseElements = (word: Word, kind: ElementKind, options: HashOptions, test: boolean): ElementRange =>
  kind === 'hash:ip' || kind === 'hash:ip,port' ? hostRange(word, kind, options, test) : netRange(word, kind, test)
