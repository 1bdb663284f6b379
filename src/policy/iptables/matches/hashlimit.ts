/** Token buckets by address and port. */
import { HASHLIMIT_MODE, type HashlimitMatch } from '../../model.js'
import { syntaxError } from '../error.js'
import { join, type MatchExtension } from '../extension.js'
import { flag, type Given, invertible, value } from '../options.js'
import { bytesOf, bytesText, parseRate, periodOf, periodText, unitSeconds } from '../rate.js'
import { bitsText, parseBits, parseName, parseNumber } from '../values.js'

/** Parts of a second in which a packet's time is counted. */
const SCALE = 1_000_000
const BURST = 5
const BURST_MAX = 1_000_000
const U32 = 0xffffffff
const TABLE = ['htable-size', 'htable-max', 'htable-gcinterval', 'htable-expire'] as const

type Rate = HashlimitMatch['rate']

/** A rate, and the seconds of the unit that it is written in. */
interface GivenRate {
  readonly rate: Rate
  readonly seconds: number
}

/** Measured over an interval, the rate is a number of packets for that interval, whatever its unit. */
const givenRate = (given: Given, name: string, rateMatch: boolean): GivenRate => {
  const { args } = given.get(name)!
  const word = args[0]!
  const burst = given.get('hashlimit-burst')?.args[0]
  const bytes = bytesOf(word.text)
  if (bytes === undefined) {
    const { count, seconds } = parseRate(word)
    const period = periodOf(word, { count, seconds: rateMatch ? 1 : seconds }, SCALE)
    return { rate: { unit: 'packets', period, burst: burst === undefined ? BURST : parseNumber(burst, 1, BURST_MAX) }, seconds }
  }
  if (bytes === 0) throw syntaxError(word, `"${word.text}" lets nothing pass`, 'at least 1b/s')
  if (burst === undefined) return { rate: { unit: 'bytes', bytes, burst: null }, seconds: 1 }
  const size = bytesOf(burst.text) ?? parseNumber(burst, 1, U32)
  if (size < bytes) throw syntaxError(burst, `a burst of ${burst.text} is less than a second of ${word.text}`, `at least ${bytes}b`)
  return { rate: { unit: 'bytes', bytes, burst: size }, seconds: 1 }
}

const rateText = (rate: Rate): string => (rate.unit === 'bytes' ? `${bytesText(rate.bytes)}/s` : periodText(rate.period, SCALE))

/** When the rate is measured over an interval, `-L` shows it for a second. */
const listedRate = ({ rate, rateInterval }: HashlimitMatch): Rate =>
  rate.unit === 'packets' ? { ...rate, period: rate.period * rateInterval } : rate

/**
 * Milliseconds after which a bucket is forgotten when nothing is said.
 * @param seconds of the unit that the rate is written in
 */
const usualExpiry = (rate: Rate, seconds: number): number =>
  (rate.unit === 'packets' ? seconds : rate.burst === null ? 15 : 60) * 1000

const shownExpiry = (rate: Rate): number => usualExpiry(rate, rate.unit === 'packets' ? unitSeconds(rate.period, SCALE) : 1)

const burstText = (rate: Rate): string | null =>
  rate.unit === 'packets' ? `burst ${rate.burst}` : rate.burst === null ? null : `burst ${bytesText(rate.burst)}`

/** The expiry is left out where the rate that is shown implies it. */
const tableWords = (match: HashlimitMatch, shown: Rate): (string | null)[] => {
  const values = [match.tableSize, match.tableMax, match.collectInterval, match.expire === shownExpiry(shown) ? null : match.expire]
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
    const rateMatch = given.has('hashlimit-rate-match')
    const { rate, seconds } = givenRate(given, spec.name, rateMatch)
    const interval = given.get('hashlimit-rate-interval')
    if (interval !== null && !rateMatch) {
      throw syntaxError(interval.word, '"--hashlimit-rate-interval" needs "--hashlimit-rate-match"')
    }
    return {
      module: 'hashlimit',
      above: (spec.name === 'hashlimit-above') !== not,
      rate,
      mode: given.read('hashlimit-mode', (word) => parseBits(word, 'mode', HASHLIMIT_MODE)) ?? 0,
      name: given.need('hashlimit-name', (word) => parseName(word, 'the name of the limit', 255)),
      sourcePrefix: number('srcmask', 32) ?? 32,
      destinationPrefix: number('dstmask', 32) ?? 32,
      tableSize: number('htable-size', U32),
      tableMax: number('htable-max', U32),
      collectInterval: number('htable-gcinterval', U32),
      expire: number('htable-expire', U32) ?? usualExpiry(rate, seconds),
      rateMatch,
      rateInterval: interval === null ? (rateMatch ? seconds : 1) : parseNumber(interval.args[0]!, 1, U32),
    }
  },
  save: (match) => dashed([
    `${match.above ? 'above' : 'upto'} ${rateText(match.rate)}`,
    burstText(match.rate),
    match.mode !== 0 && `mode ${bitsText(match.mode, HASHLIMIT_MODE)}`,
    `name ${match.name}`,
    ...tableWords(match, match.rate),
    ...lastWords(match),
  ]),
  list: (match) => join(
    `limit: ${match.above ? 'above' : 'up to'} ${rateText(listedRate(match))}`,
    burstText(match.rate),
    match.mode !== 0 && `mode ${bitsText(match.mode, HASHLIMIT_MODE).replaceAll(',', '-')}`,
    ...tableWords(match, listedRate(match)),
    ...lastWords(match),
  ),
}
