/** By chance, or every n-th packet. */
import type { StatisticMatch } from '../../model.js'
import { syntaxError } from '../error.js'
import { bang, type MatchExtension } from '../extension.js'
import { type Given, invertible, value } from '../options.js'
import { parseChoice, parseNumber } from '../values.js'
import type { Word } from '../words.js'

const WHOLE = 0x80000000

const parseProbability = (word: Word): number => {
  const probability = /^(\d+\.?\d*|\.\d+)(e-?\d+)?$/i.test(word.text) ? Number(word.text) : Number.NaN
  if (!(probability <= 1)) throw syntaxError(word, `"${word.text}" is no probability`, 'a number from 0 to 1')
  return Math.round(probability * WHOLE)
}

const exclude = (given: Given, mode: string, names: readonly string[]): void => {
  for (const name of names) {
    const option = given.get(name)
    if (option !== null) throw syntaxError(option.word, `"--${name}" is not for mode ${mode}`)
  }
}

const text = (match: StatisticMatch, dashes: '--' | ''): string => {
  const begin = `${dashes}mode ${match.mode} ${bang(match.not)}${dashes}`
  if (match.mode === 'random') return `${begin}probability ${(match.probability / WHOLE).toFixed(11)}`
  const packet = dashes === '--' || match.packet !== 0 ? ` ${dashes}packet ${match.packet}` : ''
  return `${begin}every ${match.every}${packet}`
}

export const statistic: MatchExtension<'statistic'> = {
  name: 'statistic',
  options: [value('mode'), invertible(value('probability')), invertible(value('every')), value('packet')],
  parse: (given): StatisticMatch => {
    const mode = given.need('mode', (word) => parseChoice<StatisticMatch['mode']>(word, 'mode', ['random', 'nth']))
    if (mode === 'random') {
      exclude(given, mode, ['every', 'packet'])
      return given.need('probability', (word, not) => ({ module: 'statistic', mode, probability: parseProbability(word), not }))
    }
    exclude(given, mode, ['probability'])
    const every = given.need('every', (word, not) => ({ count: parseNumber(word, 1, 0xffffffff), not }))
    const packet = given.read('packet', (word) => parseNumber(word, 0, every.count - 1)) ?? 0
    return { module: 'statistic', mode, every: every.count, packet, not: every.not }
  },
  save: (match) => text(match, '--'),
  list: (match) => `statistic ${text(match, '')}`,
}
