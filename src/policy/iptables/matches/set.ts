/** Sets of ipset: is what the packet has in the set? */
import type { CounterTest, SetMatch } from '../../model.js'
import { syntaxError } from '../error.js'
import { bang, join, type MatchExtension } from '../extension.js'
import { flag, type Given, invertible, pair, value } from '../options.js'
import { parseSetReference, setReferenceText } from '../set-reference.js'
import { parseNumber } from '../values.js'

const COMPARISONS = ['eq', 'lt', 'gt'] as const

const counterOptions = (what: string) => COMPARISONS.map((compare) => {
  const option = value(`${what}-${compare}`)
  return compare === 'eq' ? invertible(option) : option
})

const givenCounter = (given: Given, what: 'packets' | 'bytes'): CounterTest | null => {
  const names = COMPARISONS.map((compare) => `${what}-${compare}`)
  if (!names.some((name) => given.has(name))) return null
  const { spec, not, args } = given.one(names)
  return { compare: COMPARISONS[names.indexOf(spec.name)]!, value: parseNumber(args[0]!, 0, Number.MAX_SAFE_INTEGER), not }
}

const counterText = (test: CounterTest | null, what: string, dashes: string): string | null =>
  test === null ? null : `${bang(test.not)}${dashes}${what}-${test.compare} ${test.value}`

const text = (match: SetMatch, dashes: '--' | ''): string => join(
  `${bang(match.not)}${dashes}match-set ${setReferenceText(match)}`,
  match.returnNoMatch && `${dashes}return-nomatch`,
  !match.updateCounters && `! ${dashes}update-counters`,
  !match.updateSubcounters && `! ${dashes}update-subcounters`,
  counterText(match.packets, 'packets', dashes),
  counterText(match.bytes, 'bytes', dashes),
)

/** `--update-counters` is what happens anyway; only its opposite says something. */
const updates = (given: Given, name: string): boolean => !(given.get(name)?.not ?? false)

export const set: MatchExtension<'set'> = {
  name: 'set',
  options: [
    invertible(pair('match-set', 'set')), flag('return-nomatch'), invertible(flag('update-counters')),
    invertible(flag('update-subcounters')), ...counterOptions('packets'), ...counterOptions('bytes'),
  ],
  parse: (given) => {
    const reference = given.get('match-set')
    if (reference === null) throw syntaxError(given.word, 'set needs "--match-set"', '--match-set NAME src[,dst…]')
    return {
      module: 'set',
      ...parseSetReference(reference),
      not: reference.not,
      returnNoMatch: given.has('return-nomatch'),
      updateCounters: updates(given, 'update-counters'),
      updateSubcounters: updates(given, 'update-subcounters'),
      packets: givenCounter(given, 'packets'),
      bytes: givenCounter(given, 'bytes'),
    }
  },
  save: (match) => text(match, '--'),
  list: (match) => text(match, ''),
}
