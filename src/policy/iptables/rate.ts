/** Rates as limit and hashlimit write them: `10/sec`, `3/minute`, `512kb/s`. */
import { syntaxError } from './error.js'
import { numberOf } from './values.js'
import type { Word } from './words.js'

const UNITS = [
  { name: 'day', long: 'day', seconds: 86400 },
  { name: 'hour', long: 'hour', seconds: 3600 },
  { name: 'min', long: 'minute', seconds: 60 },
  { name: 'sec', long: 'second', seconds: 1 },
] as const

/** What a rate says: so many packets in so many seconds. */
interface CountedRate {
  readonly count: number
  readonly seconds: number
}

export const parseRate = (word: Word): CountedRate => {
  const [count, unitName = 'second'] = word.text.split(/\/(.*)/s)
  const rate = numberOf(count!)
  const unit = UNITS.find(({ long }) => unitName !== '' && long.startsWith(unitName.toLowerCase()))
    ?? UNITS.find(({ name }) => name === unitName.toLowerCase())
  if (rate === undefined || rate === 0 || unit === undefined) {
    throw syntaxError(word, `"${word.text}" is no rate`, 'a number, and /second, /minute, /hour or /day')
  }
  return { count: rate, seconds: unit.seconds }
}

/**
 * The time for one packet, rounded down.
 * @param scale of it, parts of a second
 */
export const periodOf = (word: Word, { count, seconds }: CountedRate, scale: number): number => {
  const period = Math.floor((scale * seconds) / count)
  if (period === 0) throw syntaxError(word, `the rate "${word.text}" is too fast`, `at most ${scale} a second`)
  return period
}

export const parsePeriod = (word: Word, scale: number): number => periodOf(word, parseRate(word), scale)

/** The largest unit in which the rate is close to a whole number. */
const unitOf = (period: number, scale: number): (typeof UNITS)[number] => {
  let best: (typeof UNITS)[number] = UNITS[0]
  for (const unit of UNITS.slice(1)) {
    const whole = scale * unit.seconds
    if (period > whole || Math.floor(whole / period) < whole % period) break
    best = unit
  }
  return best
}

/** Seconds of the unit in which the rate is shown. */
export const unitSeconds = (period: number, scale: number): number => unitOf(period, scale).seconds

export const periodText = (period: number, scale: number): string => {
  const { name, seconds } = unitOf(period, scale)
  return `${Math.floor((scale * seconds) / period)}/${name}`
}

const BYTES = /^(\d{1,15})(k|m)?b(?:\/s(?:ec(?:ond)?)?)?$/i
const MULTIPLES = { '': 1, k: 1024, m: 1024 * 1024 } as const

/** `512kb`, with or without `/s`; undefined when it is no number of bytes. */
export const bytesOf = (text: string): number | undefined => {
  const match = BYTES.exec(text)
  return match === null ? undefined : Number(match[1]) * MULTIPLES[(match[2] ?? '').toLowerCase() as keyof typeof MULTIPLES]
}

export const bytesText = (bytes: number): string => {
  if (bytes % MULTIPLES.m === 0) return `${bytes / MULTIPLES.m}mb`
  return bytes % MULTIPLES.k === 0 ? `${bytes / MULTIPLES.k}kb` : `${bytes}b`
}
