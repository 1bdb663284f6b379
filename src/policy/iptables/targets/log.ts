/** LOG and NFLOG. */
import { LOG_FLAGS, type LogTarget, type NflogTarget } from '../../model.js'
import { join, type TargetExtension } from '../extension.js'
import { flag, value } from '../options.js'
import { numberOf, parseNumber, parseText } from '../values.js'
import { unknownWord } from '../error.js'
import { quote, type Word } from '../words.js'

const LEVELS = ['emerg', 'alert', 'crit', 'err', 'warn', 'notice', 'info', 'debug'] as const
/** Further words for levels. */
const LEVEL_WORDS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(LEVELS.map((name, level) => [name, level])), error: 3, warning: 4, panic: 0,
}
const DEFAULT_LEVEL = 4
const PREFIX_MAX = 29
/** All but nflog, a bit of the kernel without an option. */
const OPTION_FLAGS = LOG_FLAGS.filter((name) => name !== 'nflog')
const bitOf = (name: (typeof LOG_FLAGS)[number]): number => 1 << LOG_FLAGS.indexOf(name)

const parseLevel = (word: Word): number => {
  if (numberOf(word.text) !== undefined) return parseNumber(word, 0, 7)
  const level = LEVEL_WORDS[word.text.toLowerCase()]
  if (level === undefined) throw unknownWord(word, 'level', Object.keys(LEVEL_WORDS))
  return level
}

const namesOf = (flags: number): string[] => OPTION_FLAGS.filter((name) => (flags & bitOf(name)) !== 0)

export const log: TargetExtension<LogTarget> = {
  name: 'LOG',
  options: [value('log-level'), value('log-prefix'), ...OPTION_FLAGS.map((name) => flag(`log-${name}`))],
  parse: (given) => ({
    kind: 'LOG',
    level: given.read('log-level', parseLevel) ?? DEFAULT_LEVEL,
    prefix: given.read('log-prefix', (word) => parseText(word, 'the prefix', PREFIX_MAX)) ?? '',
    flags: OPTION_FLAGS.reduce((bits, name) => (given.has(`log-${name}`) ? bits | bitOf(name) : bits), 0),
  }),
  save: ({ level, prefix, flags }) => join(
    prefix !== '' && `--log-prefix ${quote(prefix)}`,
    level !== DEFAULT_LEVEL && `--log-level ${level}`,
    ...namesOf(flags).map((name) => `--log-${name}`),
  ),
  list: ({ level, prefix, flags }, numeric) => join(
    'LOG',
    numeric ? `flags ${flags} level ${level}` : `level ${LEVELS[level]!}`,
    ...(numeric ? [] : namesOf(flags)),
    prefix !== '' && `prefix "${prefix}"`,
  ),
}

const nflogWords = (target: NflogTarget, dashes: '--' | ''): string => join(
  target.prefix !== '' && `${dashes}nflog-prefix ${quote(target.prefix)}`,
  target.group !== 0 && `${dashes}nflog-group ${target.group}`,
  target.size !== null && `${dashes}nflog-size ${target.size}`,
  target.range !== null && `${dashes}nflog-range ${target.range}`,
  target.threshold !== null && `${dashes}nflog-threshold ${target.threshold}`,
)

export const nflog: TargetExtension<NflogTarget> = {
  name: 'NFLOG',
  options: ['nflog-group', 'nflog-prefix', 'nflog-size', 'nflog-range', 'nflog-threshold'].map((name) => value(name)),
  parse: (given) => ({
    kind: 'NFLOG',
    group: given.read('nflog-group', (word) => parseNumber(word, 0, 65535)) ?? 0,
    prefix: given.read('nflog-prefix', (word) => parseText(word, 'the prefix', 63)) ?? '',
    size: given.read('nflog-size', (word) => parseNumber(word, 0, 0xffffffff)),
    range: given.read('nflog-range', (word) => parseNumber(word, 1, 0xffffffff)),
    threshold: given.read('nflog-threshold', (word) => parseNumber(word, 1, 65535)),
  }),
  save: (target) => nflogWords(target, '--'),
  list: (target) => nflogWords(target, ''),
}
