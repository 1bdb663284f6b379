/** The TOS byte. */
import { bang, type MatchExtension } from '../extension.js'
import { invertible, value } from '../options.js'
import { parseTos, tosName } from '../tos-names.js'
import { hex2 } from '../values.js'

export const tos: MatchExtension<'tos'> = {
  name: 'tos',
  options: [invertible(value('tos'))],
  parse: (given) => given.need('tos', (word, not) => ({ module: 'tos', ...parseTos(word), not })),
  save: (test) => `${bang(test.not)}--tos ${hex2(test.value)}/${hex2(test.mask)}`,
  list: (test, numeric) => {
    const name = numeric ? undefined : tosName(test.value, test.mask)
    return `tos match${test.not ? '!' : ''}${name === undefined ? `${hex2(test.value)}/${hex2(test.mask)}` : ` ${name}`}`
  },
}
