/** What kind of address it is by the routing tables: local, broadcast, … */
import { ADDRESS_TYPES, type AddrtypeMatch, type BitsTest } from '../../model.js'
import { syntaxError } from '../error.js'
import { bang, firstOf, join, type MatchExtension, onlyFrom } from '../extension.js'
import { flag, invertible, value } from '../options.js'
import { bitsText, parseBits } from '../values.js'

const BITS = Object.fromEntries(ADDRESS_TYPES.map((name, bit) => [name, 1 << bit]))

const saved = (test: BitsTest | null, name: string): string | null =>
  test === null ? null : `${bang(test.not)}--${name} ${bitsText(test.bits, BITS)}`
const listed = (test: BitsTest | null, name: string): string | null =>
  test === null ? null : `${name} ${test.not ? '!' : ''}${bitsText(test.bits, BITS)}`

export const addrtype: MatchExtension<'addrtype'> = {
  name: 'addrtype',
  options: [invertible(value('src-type')), invertible(value('dst-type')), flag('limit-iface-in'), flag('limit-iface-out')],
  parse: (given): AddrtypeMatch => {
    const types = (name: string): BitsTest | null =>
      given.read(name, (word, not) => ({ bits: parseBits(word, 'type of address', BITS), not }))
    const [source, destination] = [types('src-type'), types('dst-type')]
    if (source === null && destination === null) throw syntaxError(given.word, 'addrtype needs "--src-type" or "--dst-type"')
    const out = given.get('limit-iface-out')
    if (out !== null && given.has('limit-iface-in')) {
      throw syntaxError(out.word, '"--limit-iface-in" and "--limit-iface-out" exclude each other')
    }
    return { module: 'addrtype', source, destination, limit: out !== null ? 'out' : given.has('limit-iface-in') ? 'in' : null }
  },
  save: ({ source, destination, limit }) =>
    join(saved(source, 'src-type'), saved(destination, 'dst-type'), limit !== null && `--limit-iface-${limit}`),
  list: ({ source, destination, limit }) =>
    join('ADDRTYPE match', listed(source, 'src-type'), listed(destination, 'dst-type'), limit !== null && `limit-${limit}`),
  check: ({ limit }, where) => firstOf(
    limit === 'in' ? onlyFrom('--limit-iface-in', where, ['PREROUTING', 'INPUT', 'FORWARD']) : null,
    limit === 'out' ? onlyFrom('--limit-iface-out', where, ['FORWARD', 'OUTPUT', 'POSTROUTING']) : null,
  ),
}
