/** Types and codes of ICMP. */
import type { IcmpMatch } from '../../model.js'
import { bang, type MatchExtension, onlyFor } from '../extension.js'
import { invertible, value } from '../options.js'
import { numberOf, parseChoice, parseNumber } from '../values.js'
import type { Word } from '../words.js'
import { ICMP_NAMES } from './icmp-names.js'

/** What iptables takes for "any type". */
const ANY = 255
const ANY_TYPE = { type: null, code: null }
const NAMES = ['any', ...ICMP_NAMES.map(([name]) => name)]

const parseType = (word: Word): { type: number | null; code: number | null } => {
  const [first, second] = word.text.split(/\/(.*)/s)
  if (numberOf(first!) === undefined) {
    const name = parseChoice(word, 'ICMP type', NAMES)
    const [, type, code] = ICMP_NAMES.find(([known]) => known === name) ?? [name, null, null]
    return { type, code }
  }
  const type = parseNumber(word, 0, ANY, first)
  const code = second === undefined ? null : parseNumber(word, 0, 255, second)
  return type === ANY ? ANY_TYPE : { type, code }
}

const codeText = (code: number | null, separator: string): string => (code === null ? '' : `${separator}${code}`)

const nameOf = ({ type, code }: IcmpMatch): string | undefined =>
  type === null ? 'any' : ICMP_NAMES.find(([, knownType, knownCode]) => knownType === type && knownCode === code)?.[0]

export const icmp: MatchExtension<'icmp'> = {
  name: 'icmp',
  options: [invertible(value('icmp-type'))],
  parse: (given) => given.need('icmp-type', (word, not) => ({ module: 'icmp', ...parseType(word), not })),
  save: ({ type, code, not }) => `${bang(not)}--icmp-type ${type === null ? 'any' : `${type}${codeText(code, '/')}`}`,
  list: (match, numeric) => {
    const { type, code, not } = match
    const name = numeric ? undefined : nameOf(match)
    if (name !== undefined) return `icmp ${not ? '!' : ''}${name}`
    return `icmp${not ? ' !' : ''}type ${type ?? ANY}${codeText(code, ' code ')}`
  },
  check: (_, where) => onlyFor('-m icmp', where, { icmp: 1 }),
}
