/** Numbers and addresses in ipset's words. */
import { parseIpv4 } from '../../stack/wire/address.js'
import { syntaxError } from './error.js'
import type { Word } from './words.js'

const NUMBER = /^(?:0[xX][\da-fA-F]{1,16}|\d{1,20})$/

/** Decimal, hexadecimal (0x) or octal (leading 0); undefined when it is no number. */
const numberOf = (text: string): number | undefined => {
  if (!NUMBER.test(text)) return undefined
  if (/^0\d/.test(text)) return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined
  return Number(text)
}

export const isNumber = (text: string): boolean => numberOf(text) !== undefined

/**
 * @param what what it is the number of, for the message
 * @param text the part of the word that is the number
 */
export const parseNumber = (word: Word, what: string, min: number, max: number, text: string = word.text): number => {
  const value = numberOf(text)
  if (value === undefined) throw syntaxError(word, `${what}: "${text}" is no number`, `a number from ${min} to ${max}, also as 0x…`)
  if (value < min || value > max) throw syntaxError(word, `${what}: ${text} is out of range`, `a number from ${min} to ${max}`)
  return value
}

/** Four numbers with dots; or fewer, the last of which stands for all bytes that are left: 10.1 is 10.0.0.1. */
export const parseAddress = (word: Word, text: string): number => {
  const whole = parseIpv4(text)
  if (whole !== null) return whole
  if (text.includes(':') && /^[\da-fA-F:.]+$/.test(text)) throw syntaxError(word, `"${text}" is an IPv6 address`, 'sets are for IPv4')
  const parts = /^\d{1,3}(\.\d{1,3}){0,2}$/.test(text) ? text.split('.').map(Number) : []
  const missing = 4 - parts.length
  if (parts.length > 0 && parts.every((part) => part <= 255)) {
    const last = parts.pop()!
    return (parts.reduce((sum, part) => sum * 256 + part, 0) * 256 ** (missing + 1) + last) | 0
  }
  throw syntaxError(word, `"${text}" is no IPv4 address`, 'four numbers with dots; names of hosts are not resolved')
}
