/** Fields of the IPv4 header, and the segment size in a SYN: length, ttl, dscp, tcpmss. */
import type { RangeTest } from '../../model.js'
import { DSCP_CLASSES } from '../dscp-classes.js'
import { bang, type MatchExtension, onlyFor } from '../extension.js'
import { type Given, invertible, value } from '../options.js'
import { hex2, parseChoice, parseNumber, parseRange, rangeText } from '../values.js'

const givenRange = (given: Given, name: string): RangeTest => given.need(name, (word, not) => ({ ...parseRange(word, 0, 65535), not }))
const listed = (test: RangeTest): string => `${test.not ? '!' : ''}${rangeText(test)}`

export const length: MatchExtension<'length'> = {
  name: 'length',
  options: [invertible(value('length'))],
  parse: (given) => ({ module: 'length', ...givenRange(given, 'length') }),
  save: (test) => `${bang(test.not)}--length ${rangeText(test)}`,
  list: (test) => `length ${listed(test)}`,
}

export const tcpmss: MatchExtension<'tcpmss'> = {
  name: 'tcpmss',
  options: [invertible(value('mss'))],
  parse: (given) => ({ module: 'tcpmss', ...givenRange(given, 'mss') }),
  save: (test) => `${bang(test.not)}--mss ${rangeText(test)}`,
  list: (test) => `tcpmss match ${listed(test)}`,
  check: (_, where) => onlyFor('-m tcpmss', where, { tcp: 6 }),
}

const SIGNS = { eq: '==', ne: '!=', lt: '<', gt: '>' } as const
const TTL_OPTIONS = ['ttl-eq', 'ttl-lt', 'ttl-gt'] as const

export const ttl: MatchExtension<'ttl'> = {
  name: 'ttl',
  options: [invertible(value('ttl-eq', 'ttl')), value('ttl-lt'), value('ttl-gt')],
  parse: (given) => {
    const { spec, not, args } = given.one(TTL_OPTIONS)
    const compare = ({ 'ttl-eq': not ? 'ne' : 'eq', 'ttl-lt': 'lt', 'ttl-gt': 'gt' } as const)[spec.name as (typeof TTL_OPTIONS)[number]]
    return { module: 'ttl', compare, value: parseNumber(args[0]!, 0, 255) }
  },
  save: ({ compare, value: hops }) => `${bang(compare === 'ne')}--ttl-${compare === 'ne' ? 'eq' : compare} ${hops}`,
  list: ({ compare, value: hops }) => `TTL match TTL ${SIGNS[compare]} ${hops}`,
}

export const dscp: MatchExtension<'dscp'> = {
  name: 'dscp',
  options: [invertible(value('dscp')), invertible(value('dscp-class'))],
  parse: (given) => {
    const { spec, not, args } = given.one(['dscp', 'dscp-class'])
    const word = args[0]!
    const point = spec.name === 'dscp' ? parseNumber(word, 0, 63) : DSCP_CLASSES[parseChoice(word, 'DSCP class', Object.keys(DSCP_CLASSES))]!
    return { module: 'dscp', value: point, not }
  },
  save: ({ value: point, not }) => `${bang(not)}--dscp ${hex2(point)}`,
  list: ({ value: point, not }) => `DSCP match ${not ? '!' : ''}${hex2(point)}`,
}
