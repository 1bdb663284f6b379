/** Up to fifteen ports; a range takes the place of two. */
import type { MultiportMatch, Range } from '../../model.js'
import { syntaxError } from '../error.js'
import { bang, type MatchExtension, onlyFor, WITH_PORTS } from '../extension.js'
import { protocolName, serviceName } from '../names.js'
import { invertible, value } from '../options.js'
import { parsePortRange, rangeText } from '../values.js'
import type { Word } from '../words.js'

const PORTS_MAX = 15
const OPTION_OF = { source: 'sports', destination: 'dports', either: 'ports' } as const
const DIRECTIONS = ['source', 'destination', 'either'] as const

const parsePorts = (word: Word): Range[] => {
  const ports = word.text.split(',').map((text) => parsePortRange(word, ':', text))
  const places = ports.reduce((sum, { first, last }) => sum + (first === last ? 1 : 2), 0)
  if (places > PORTS_MAX) throw syntaxError(word, `${places} ports are too many`, `at most ${PORTS_MAX}, where a range counts as two`)
  return ports
}

const listed = ({ first, last }: Range, protocol: string): string => {
  const name = (port: number): string => serviceName(port, protocol)
  return first === last ? name(first) : `${name(first)}:${name(last)}`
}

export const multiport: MatchExtension<'multiport'> = {
  name: 'multiport',
  options: [
    invertible(value('sports', 'source-ports')), invertible(value('dports', 'destination-ports')), invertible(value('ports')),
  ],
  parse: (given): MultiportMatch => {
    const { spec, not, args } = given.one(['sports', 'dports', 'ports'])
    const direction = DIRECTIONS.find((each) => OPTION_OF[each] === spec.name)!
    return { module: 'multiport', direction, ports: parsePorts(args[0]!), not }
  },
  save: ({ direction, ports, not }) => `${bang(not)}--${OPTION_OF[direction]} ${ports.map((range) => rangeText(range)).join(',')}`,
  list: ({ direction, ports, not }, numeric, { protocol }) => {
    const name = protocol === null ? '' : protocolName(protocol.number)
    const texts = ports.map((range) => (numeric ? rangeText(range) : listed(range, name)))
    return `multiport ${OPTION_OF[direction]} ${not ? ' !' : ''}${texts.join(',')}`
  },
  check: (_, where) => onlyFor('-m multiport', where, WITH_PORTS),
}
