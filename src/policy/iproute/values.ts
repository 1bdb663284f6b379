/** Values of words: numbers, addresses, prefixes, names of tables and the like. Each throws IpError POLICY_SYNTAX with the word's place. */
import { maskOf, parseIpv4 } from '../../stack/wire/address.js'
import { nearest } from '../../nearest.js'
import type { IpError, Word } from './error.js'
import { syntaxError, unsupported } from './error.js'
import type { Names } from './names.js'
import { protocolNames } from './names.js'

const UINT32_MAX = 0xffffffff

/** Decimal, 0x hex, or octal with a leading 0, as C reads numbers; null for anything else. */
const parseNumber = (text: string): number | null => {
  if (/^0[0-7]+$/.test(text)) return parseInt(text, 8)
  return /^(0x[\da-f]+|\d+)$/i.test(text) ? Number(text) : null
}

/** @param what names the value in the error */
export const numberIn = (word: Word, what: string, min: number, max: number): number => {
  const value = parseNumber(word.text)
  if (value === null || value < min || value > max) throw syntaxError(`${what} "${word.text}" is not a number from ${min} to ${max}`, word)
  return value
}

export const uint32 = (word: Word, what: string): number => numberIn(word, what, 0, UINT32_MAX)

const refuseIpv6 = (word: Word): void => {
  if (word.text.includes(':') || word.text === 'inet6') throw unsupported(word, 'only IPv4 is routed')
}

/** One to four numbers with dots, missing ones at the end being 0: `10` is 10.0.0.0, as iproute2 has it. */
const addressIn = (text: string): number | null => {
  const given = text.split('.').length
  return given > 4 ? null : parseIpv4(text + '.0'.repeat(4 - given))
}

export const address = (word: Word): number => {
  refuseIpv6(word)
  const value = addressIn(word.text)
  if (value === null) throw syntaxError(`"${word.text}" is not an IPv4 address`, word, 'write e.g. 192.0.2.1')
  return value
}

export interface PrefixValue {
  readonly address: number
  readonly length: number
}

const lengthIn = (text: string): number | null => {
  const number = parseNumber(text)
  if (number !== null) return number <= 32 ? number : null
  const mask = parseIpv4(text)
  if (mask === null) return null
  const length = Math.clz32(~mask)
  return maskOf(length) === mask ? length : null
}

const noPrefix = (word: Word): IpError => syntaxError(`"${word.text}" is not an IPv4 prefix`, word, 'write e.g. 192.0.2.0/24, an address, or "default"')

/**
 * A prefix, or null for a word that is none: `10.0.0.0/8`, `10/8`, `10.0.0.0/255.0.0.0`, an address alone, `default`, `any`, `all`.
 * What begins with a digit is meant to be one.
 */
export const prefixOrNull = (word: Word): PrefixValue | null => {
  refuseIpv6(word)
  if (word.text === 'default' || word.text === 'any' || word.text === 'all') return { address: 0, length: 0 }
  const slash = word.text.indexOf('/')
  const value = addressIn(slash < 0 ? word.text : word.text.slice(0, slash))
  const length = slash < 0 ? 32 : lengthIn(word.text.slice(slash + 1))
  if (value !== null && length !== null) return { address: value, length }
  if (/^\d/.test(word.text)) throw noPrefix(word)
  return null
}

export const prefix = (word: Word): PrefixValue => {
  const value = prefixOrNull(word)
  if (value === null) throw noPrefix(word)
  return value
}

const named = (word: Word, names: ReadonlyMap<number, string>, what: string, max: number, parse = parseNumber): number => {
  for (const [number, name] of names) if (name === word.text) return number
  const number = parse(word.text)
  if (number !== null && number <= max) return number
  const meant = nearest(word.text, [...names.values()])
  throw syntaxError(`${what} "${word.text}" is neither a number to ${max} nor a known name`, word, meant === undefined ? undefined : `did you mean "${meant}"?`)
}

/** A table's number, 1 to 4294967295, or its name. */
export const table = (word: Word, names: Names): number => {
  const number = named(word, names.tables, 'table', UINT32_MAX)
  if (number === 0) throw unsupported(word, 'a table must be named; 0 stands for any that is free')
  return number
}

export const origin = (word: Word, names: Names): number => named(word, names.origins, 'protocol', 255)
export const scope = (word: Word, names: Names): number => named(word, names.scopes, 'scope', 255)
/** A byte, in hex also without 0x, or a name like AF11. */
export const dsfield = (word: Word, names: Names): number =>
  named(word, names.dsfields, 'tos', 255, (text) => (/^(0x)?[\da-f]+$/i.test(text) ? parseInt(text, 16) : null))
/** A protocol over IP. */
export const protocol = (word: Word): number => named(word, protocolNames, 'protocol', 255)

/** An interface's name need not exist where this is asked. */
export const interfaceName = (word: Word): string => {
  if (!/^[^\s/:]{1,15}$/.test(word.text)) throw syntaxError(`"${word.text}" cannot be an interface's name`, word, 'names have 1 to 15 characters, none of them "/", ":" or a space')
  return word.text
}
