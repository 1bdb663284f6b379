/** The packet's mark and the flow's mark. */
import type { MaskedTest } from '../../model.js'
import { bang, type MatchExtension } from '../extension.js'
import { type Given, invertible, value } from '../options.js'
import { maskedText, parseMasked } from '../values.js'

const OPTIONS = [invertible(value('mark'))]

const givenMark = (given: Given): MaskedTest => given.need('mark', (word, not) => ({ ...parseMasked(word), not }))
const save = (test: MaskedTest): string => `${bang(test.not)}--mark ${maskedText(test.value, test.mask)}`

export const mark: MatchExtension<'mark'> = {
  name: 'mark',
  options: OPTIONS,
  parse: (given) => ({ module: 'mark', ...givenMark(given) }),
  save,
  list: (test) => `mark match ${bang(test.not)}${maskedText(test.value, test.mask)}`,
}

export const connmark: MatchExtension<'connmark'> = {
  name: 'connmark',
  options: OPTIONS,
  parse: (given) => ({ module: 'connmark', ...givenMark(given) }),
  save,
  list: (test) => `connmark match ${test.not ? '!' : ''} ${maskedText(test.value, test.mask)}`,
}
