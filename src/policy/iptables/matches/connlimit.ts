/** How many flows an address, or a prefix, has. */
import { syntaxError } from '../error.js'
import { type MatchExtension } from '../extension.js'
import { flag, invertible, value } from '../options.js'
import { parseNumber } from '../values.js'

export const connlimit: MatchExtension<'connlimit'> = {
  name: 'connlimit',
  options: [
    invertible(value('connlimit-upto')), invertible(value('connlimit-above')), value('connlimit-mask'), flag('connlimit-saddr'),
    flag('connlimit-daddr'),
  ],
  parse: (given) => {
    const { spec, not, args } = given.one(['connlimit-upto', 'connlimit-above'])
    const destination = given.get('connlimit-daddr')
    if (destination !== null && given.has('connlimit-saddr')) {
      throw syntaxError(destination.word, '"--connlimit-saddr" and "--connlimit-daddr" exclude each other')
    }
    return {
      module: 'connlimit',
      above: (spec.name === 'connlimit-above') !== not,
      limit: parseNumber(args[0]!, 0, 0xffffffff),
      prefix: given.read('connlimit-mask', (word) => parseNumber(word, 0, 32)) ?? 32,
      by: destination === null ? 'source' : 'destination',
    }
  },
  save: ({ above, limit, prefix, by }) =>
    `--connlimit-${above ? 'above' : 'upto'} ${limit} --connlimit-mask ${prefix} --connlimit-${by === 'source' ? 'saddr' : 'daddr'}`,
  list: ({ above, limit, prefix, by }) => `#conn ${by === 'source' ? 'src' : 'dst'}/${prefix} ${above ? '>' : '<='} ${limit}`,
}
