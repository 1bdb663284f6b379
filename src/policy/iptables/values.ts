/** Values in rules: numbers, marks, addresses, ports, interfaces, names; read from a word, and as text. */
import { formatIpv4, maskOf, parseIpv4 } from '../../stack/wire/address.js'
import type { AddressTest, Range } from '../model.js'
import { syntaxError, unknownWord } from './error.js'
import { PROTOCOL_NAMES, protocolNumber, serviceNames, servicePort } from './names.js'
import type { Word } from './words.js'

const U32 = 0xffffffff
const NUMBER = /^(?:0[xX][\da-fA-F]{1,16}|\d{1,20})$/

/** Decimal, hexadecimal (0x) or octal (leading 0), as the C library reads it; undefined when it is no number. */
export const numberOf = (text: string): number | undefined => {
  if (!NUMBER.test(text)) return undefined
  if (/^0\d/.test(text)) return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined
  return Number(text)
}

/** @param text the part of the word that is the number */
export const parseNumber = (word: Word, min: number, max: number, text: string = word.text): number => {
  const value = numberOf(text)
  if (value === undefined) throw syntaxError(word, `"${text}" is no number`, `a number from ${min} to ${max}, also as 0x…`)
  if (value < min || value > max) throw syntaxError(word, `${text} is out of range`, `a number from ${min} to ${max}`)
  return value
}

/** `first`, `first:last`, `:last`, `first:`. */
export const parseRange = (word: Word, min: number, max: number, text: string = word.text): Range => {
  const [left, right, ...rest] = text.split(':')
  if (rest.length > 0) throw syntaxError(word, `"${text}" is no range`, 'FIRST:LAST')
  const first = left === '' && right !== undefined ? min : parseNumber(word, min, max, left)
  const last = right === undefined ? first : right === '' ? max : parseNumber(word, min, max, right)
  if (first > last) throw syntaxError(word, `the range "${text}" is empty`, 'the smaller number comes first')
  return { first, last }
}

export const rangeText = ({ first, last }: Range, separator = ':'): string =>
  first === last ? String(first) : `${first}${separator}${last}`

/** `value` or `value/mask`, 32 bits each. */
export const parseMasked = (word: Word, mask = U32, max = U32): { value: number; mask: number } => {
  const slash = word.text.indexOf('/')
  if (slash < 0) return { value: parseNumber(word, 0, max), mask }
  return { value: parseNumber(word, 0, max, word.text.slice(0, slash)), mask: parseNumber(word, 0, max, word.text.slice(slash + 1)) }
}

export const hex = (value: number): string => `0x${value.toString(16)}`
export const hex2 = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`
/** A mark without its mask when all bits count. */
export const maskedText = (value: number, mask: number): string => (mask === U32 ? hex(value) : `${hex(value)}/${hex(mask)}`)

// Addresses

export const parseAddress = (word: Word, text: string = word.text): number => {
  const address = parseIpv4(text)
  if (address !== null) return address
  if (text.includes(':') && /^[\da-fA-F:.]+$/.test(text)) throw syntaxError(word, `"${text}" is an IPv6 address`, 'rules are for IPv4')
  throw syntaxError(word, `"${text}" is no IPv4 address`, 'four numbers with dots; names of hosts are not resolved')
}

/** One to four octets: `10/8` means 10.0.0.0/8, as iptables reads it. */
const parseShortAddress = (word: Word, text: string): number => {
  const missing = 4 - text.split('.').length
  return parseAddress(word, /^\d+(\.\d+){0,2}$/.test(text) ? `${text}${'.0'.repeat(missing)}` : text)
}

const parseMask = (word: Word, text: string): number => {
  if (/^\d{1,2}$/.test(text) && Number(text) <= 32) return maskOf(Number(text))
  const mask = parseIpv4(text)
  if (mask === null) throw syntaxError(word, `"${text}" is no mask`, 'a length from 0 to 32, or four numbers with dots')
  return mask
}

/** `address`, `address/length` or `address/mask`; the address comes back masked. */
export const parseNetwork = (word: Word, text: string = word.text): { address: number; mask: number } => {
  const slash = text.indexOf('/')
  if (slash < 0) return { address: parseShortAddress(word, text), mask: -1 }
  const mask = parseMask(word, text.slice(slash + 1))
  return { address: parseShortAddress(word, text.slice(0, slash)) & mask, mask }
}

/** The length of a mask without holes; undefined when it has holes. */
export const prefixLength = (mask: number): number | undefined => {
  const length = Math.clz32(~mask)
  return maskOf(length) === mask ? length : undefined
}

/** With its mask always, as `-s` and `-d` are printed. */
export const networkText = (address: number, mask: number): string => `${formatIpv4(address)}/${prefixLength(mask) ?? formatIpv4(mask)}`

/** Without the mask when it is a single address. */
export const shortNetworkText = (address: number, mask: number): string => (mask === -1 ? formatIpv4(address) : networkText(address, mask))

export const addressTest = (word: Word, not: boolean): AddressTest => ({ ...parseNetwork(word), not })

/** `first-last` or `address`. */
export const parseAddressRange = (word: Word, text: string = word.text): Range => {
  const dash = text.indexOf('-')
  const first = parseAddress(word, dash < 0 ? text : text.slice(0, dash))
  const last = dash < 0 ? first : parseAddress(word, text.slice(dash + 1))
  if (first >>> 0 > last >>> 0) throw syntaxError(word, `the range "${text}" is empty`, 'the smaller address comes first')
  return { first, last }
}

export const addressRangeText = ({ first, last }: Range): string =>
  first === last ? formatIpv4(first) : `${formatIpv4(first)}-${formatIpv4(last)}`

// Protocols and ports

/** 0 stands for all of them. */
export const parseProtocol = (word: Word): number => {
  const number = numberOf(word.text) ?? protocolNumber(word.text)
  if (number !== undefined && number <= 255) return number
  if (number !== undefined) throw syntaxError(word, `there is no protocol ${word.text}`, 'protocols are from 0 to 255')
  throw unknownWord(word, 'protocol', PROTOCOL_NAMES)
}

export const parsePort = (word: Word, text: string = word.text): number => {
  const port = numberOf(text) ?? servicePort(text)
  if (port !== undefined && port <= 65535) return port
  if (port !== undefined) throw syntaxError(word, `there is no port ${text}`, 'ports are from 0 to 65535')
  throw unknownWord(word, 'port or service', serviceNames(), text)
}

/** Ports by number or name of service: `80`, `http`, `1000:2000`, `:1023`, `1024:`. */
export const parsePortRange = (word: Word, separator = ':', text: string = word.text): Range => {
  const at = text.indexOf(separator)
  const left = at < 0 ? text : text.slice(0, at)
  const right = at < 0 ? text : text.slice(at + 1)
  const open = separator === ':'
  const first = open && left === '' && at >= 0 ? 0 : parsePort(word, left)
  const last = open && right === '' && at >= 0 ? 65535 : parsePort(word, right)
  if (first > last) throw syntaxError(word, `the range "${text}" is empty`, 'the smaller port comes first')
  return { first, last }
}

// Names

const NOT_PLAIN = /[\s"'\\/\p{Cc}]/u

/**
 * A name that is printed without quotes, and so must stand without them.
 * @param what what it names, for the message
 * @param bytes how long it may be
 */
export const parseName = (word: Word, what: string, bytes: number): string => {
  const { text } = word
  if (text === '') throw syntaxError(word, `${what} is empty`)
  if (Buffer.byteLength(text) > bytes) throw syntaxError(word, `${what} "${text}" is too long`, `at most ${bytes} bytes`)
  if (NOT_PLAIN.test(text)) throw syntaxError(word, `${what} "${text}" has a character that names do not have`, 'no blanks, quotes, "/" or "\\"')
  if (text.startsWith('!') || text.startsWith('-')) throw syntaxError(word, `${what} "${text}" must not begin with "${text[0]}"`)
  return text
}

/** Free text of a rule, on one line. */
export const parseText = (word: Word, what: string, bytes: number): string => {
  if (Buffer.byteLength(word.text) > bytes) throw syntaxError(word, `${what} is ${Buffer.byteLength(word.text)} bytes long`, `at most ${bytes} bytes`)
  if (/[\n\r\0]/.test(word.text)) throw syntaxError(word, `${what} has a line break`, 'rules are saved one a line')
  return word.text
}

/** One of some words, in any case and shortened as long as it fits one only. */
export const parseChoice = <T extends string>(word: Word, what: string, choices: readonly T[], text: string = word.text): T => {
  const lower = text.toLowerCase()
  const exact = choices.find((choice) => choice.toLowerCase() === lower)
  if (exact !== undefined) return exact
  const fitting = lower === '' ? [] : choices.filter((choice) => choice.toLowerCase().startsWith(lower))
  if (fitting.length === 1) return fitting[0]!
  throw unknownWord(word, what, choices, text)
}

/** Bits for a list of words with commas. `names` gives each word its bit. */
export const parseBits = (word: Word, what: string, names: Readonly<Record<string, number>>, text: string = word.text): number => {
  const known = Object.keys(names)
  return text.split(',').reduce((bits, part) => {
    const name = known.find((each) => each.toLowerCase() === part.toLowerCase())
    if (name === undefined) throw unknownWord(word, what, known, part)
    return bits | names[name]!
  }, 0)
}

export const bitsText = (bits: number, names: Readonly<Record<string, number>>): string =>
  Object.keys(names).filter((name) => (bits & names[name]!) !== 0).join(',')
