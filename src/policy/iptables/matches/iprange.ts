/** Ranges of addresses that are no prefix. */
import type { RangeTest } from '../../model.js'
import { formatIpv4 } from '../../../stack/wire/address.js'
import { syntaxError } from '../error.js'
import { bang, join, type MatchExtension } from '../extension.js'
import { invertible, value } from '../options.js'
import { parseAddressRange } from '../values.js'

const text = ({ first, last }: RangeTest): string => `${formatIpv4(first)}-${formatIpv4(last)}`
const saved = (test: RangeTest | null, name: string): string | null => (test === null ? null : `${bang(test.not)}--${name} ${text(test)}`)
const listed = (test: RangeTest | null, name: string): string | null => (test === null ? null : `${name} IP range ${bang(test.not)}${text(test)}`)

export const iprange: MatchExtension<'iprange'> = {
  name: 'iprange',
  options: [invertible(value('src-range')), invertible(value('dst-range'))],
  parse: (given) => {
    if (given.empty) throw syntaxError(given.word, 'iprange needs "--src-range" or "--dst-range"')
    const range = (name: string): RangeTest | null => given.read(name, (word, not) => ({ ...parseAddressRange(word), not }))
    return { module: 'iprange', source: range('src-range'), destination: range('dst-range') }
  },
  save: ({ source, destination }) => join(saved(source, 'src-range'), saved(destination, 'dst-range')),
  list: ({ source, destination }) => join(listed(source, 'source'), listed(destination, 'destination')),
}
