/** Token buckets by address and port. */
import { HASHLIMIT_MODE, type HashlimitMatch } from '../../model.js'
import { syntaxError } from '../error.js'
import { join, type MatchExtension } from '../extension.js'
import { flag, type Given, invertible, value } from '../options.js'
import { bytesOf, bytesText, parsePeriod, periodText } from '../rate.js'
import { bitsText, parseBits, parseName, parseNumber } from '../values.js'

/** Parts of a second in which a packet's time is counted. */
const SCALE = 1_000_000
const BURST = 5
const BURST_MAX = 1_000_000
const U32 = 0xffffffff
const TABLE = ['htable-size', 'htable-max', 'htable-gcinterval', 'htable-expire'] as const

type Rate = HashlimitMatch['rate']

const givenRate = (given: Given, name: string): Rate => {
  const { args } = given.get(name)!
  const word = args[0]!
  const burst = given.get('hashlimit-burst')?.args[0]
  const bytes = bytesOf(word.text)
  if (bytes === undefined) {
    return {
      unit: 'packets', period: parsePeriod(word, SCALE), burst: burst === undefined ? BURST : parseNumber(burst, 1, BURST_MAX),
    }
  }
  if (bytes === 0) throw syntaxError(word, `"${word.text}" lets nothing pass`, 'at least 1b/s')
  if (burst === undefined) return { unit: 'bytes', bytes, burst: null }
  const size = bytesOf(burst.text) ?? parseNumber(burst, 1, U32)
  if (size < bytes) throw syntaxError(burst, `a burst of ${burst.text} is less than a second of ${word.text}`, `at least ${bytes}b`)
  return { unit: 'bytes', bytes, burst: size }
}

const rateText = (rate: Rate): string => (rate.unit === 'bytes' ? `${bytesText(rate.bytes)}/s` : periodText(rate.period, SCALE))

/** When the rate is measured over an interval, `-L` shows it for a second. */
const listedRate = ({ rate, rateInterval }: HashlimitMatch): string =>
  rate.unit === 'packets' ? periodText(rate.period * rateInterval, SCALE) : `${bytesText(rate.bytes)}/s`

const burstText = (rate: Rate): string | null =>
  rate.unit === 'packets' ? `burst ${rate.burst}` : rate.burst === null ? null : `burst ${bytesText(rate.burst)}`

const tableWords = (match: HashlimitMatch): (string | null)[] => {
  const values = [match.tableSize, match.tableMax, match.collectInterval, match.expire]
  return TABLE.map((name, index) => (values[index] === null ? null : `${name} ${values[index]!}`))
}

const lastWords = (match: HashlimitMatch): (string | false)[] => [
  match.sourcePrefix !== 32 && `srcmask ${match.sourcePrefix}`,
  match.destinationPrefix !== 32 && `dstmask ${match.destinationPrefix}`,
  match.rateMatch && 'rate-match',
  match.rateMatch && match.rateInterval !== 1 && `rate-interval ${match.rateInterval}`,
]

const dashed = (words: readonly (string | null | false)[]): string =>
  join(...words.map((word) => (word === null || word === false ? null : `--hashlimit-${word}`)))

export const hashlimit: MatchExtension<'hashlimit'> = {
  name: 'hashlimit',
  options: [
    invertible(value('hashlimit-upto', 'hashlimit')), invertible(value('hashlimit-above')), value('hashlimit-burst'),
    value('hashlimit-mode'), value('hashlimit-name'), value('hashlimit-srcmask'), value('hashlimit-dstmask'),
    ...TABLE.map((name) => value(`hashlimit-${name}`)), flag('hashlimit-rate-match'), value('hashlimit-rate-interval'),
  ],
  parse: (given) => {
    const { spec, not } = given.one(['hashlimit-upto', 'hashlimit-above'])
    const number = (name: string, max: number): number | null => given.read(`hashlimit-${name}`, (word) => parseNumber(word, 0, max))
    const interval = given.get('hashlimit-rate-interval')
    if (interval !== null && !given.has('hashlimit-rate-match')) {
      throw syntaxError(interval.word, '"--hashlimit-rate-interval" needs "--hashlimit-rate-match"')
    }
    return {
      module: 'hashlimit',
      above: (spec.name === 'hashlimit-above') !== not,
      rate: givenRate(given, spec.name),
      mode: given.read('hashlimit-mode', (word) => parseBits(word, 'mode', HASHLIMIT_MODE)) ?? 0,
      name: given.need('hashlimit-name', (word) => parseName(word, 'the name of the limit', 255)),
      sourcePrefix: number('srcmask', 32) ?? 32,
      destinationPrefix: number('dstmask', 32) ?? 32,
      tableSize: number('htable-size', U32),
      tableMax: number('htable-max', U32),
      collectInterval: number('htable-gcinterval', U32),
      expire: number('htable-expire', U32),
      rateMatch: given.has('hashlimit-rate-match'),
      rateInterval: interval === null ? 1 : parseNumber(interval.args[0]!, 1, U32),
    }
  },
  save: (match) => dashed([
    `${match.above ? 'above' : 'upto'} ${rateText(match.rate)}`,
    burstText(match.rate),
    match.mode !== 0 && `mode ${bitsText(match.mode, HASHLIMIT_MODE)}`,
    `name ${match.name}`,
    ...tableWords(match),
    ...lastWords(match),
  ]),
  list: (match) => join(
    `limit: ${match.above ? 'above' : 'up to'} ${listedRate(match)}`,
    burstText(match.rate),
    match.mode !== 0 && `mode ${bitsText(match.mode, HASHLIMIT_MODE).replaceAll(',', '-')}`,
    ...tableWords(match),
    ...lastWords(match),
  ),
}
