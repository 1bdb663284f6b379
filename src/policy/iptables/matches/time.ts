/** When the packet comes: dates, hours, days. */
import type { TimeMatch } from '../../model.js'
import { syntaxError, unknownWord } from '../error.js'
import { join, type MatchExtension } from '../extension.js'
import { flag, type GivenOption, invertible, value } from '../options.js'
import { parseNumber } from '../values.js'
import type { Word } from '../words.js'

const DATE_MAX = 0x7fffffff
const DAY_END = 86399
const WEEK = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const
const ALL_WEEK_DAYS = 0xfe
const ALL_MONTH_DAYS = 0xfffffffe

const DATE = /^(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:T(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}))?)?)?)?)?$/
const CLOCK = /^(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?$/

const parseDate = (word: Word): number => {
  const [, ...parts] = DATE.exec(word.text) ?? []
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts.map((part) => (part === undefined ? undefined : Number(part)))
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second))
  const same = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && date.getUTCHours() === hour
  const seconds = date.getTime() / 1000
  if (parts.length > 0 && same && date.getUTCMinutes() === minute && date.getUTCSeconds() === second && seconds >= 0 && seconds <= DATE_MAX) {
    return seconds
  }
  throw syntaxError(word, `"${word.text}" is no date`, 'YYYY-MM-DDThh:mm:ss, from 1970 to 2038-01-19T03:14:07')
}

const parseClock = (word: Word): number => {
  const [, ...parts] = CLOCK.exec(word.text) ?? []
  const [hour = 24, minute = 0, second = 0] = parts.map((part) => (part === undefined ? undefined : Number(part)))
  if (hour > 23 || minute > 59 || second > 59) throw syntaxError(word, `"${word.text}" is no time of day`, 'hh:mm or hh:mm:ss')
  return hour * 3600 + minute * 60 + second
}

const bit = (number: number): number => (1 << number) >>> 0

const parseDays = (option: GivenOption, all: number, read: (word: Word, text: string) => number): number => {
  const word = option.args[0]!
  const days = word.text.split(',').reduce((bits, text) => (bits | bit(read(word, text))) >>> 0, 0)
  const left = option.not ? (all & ~days) >>> 0 : days
  if (left === 0) throw syntaxError(word, `"! --${option.spec.name} ${word.text}" leaves no day`)
  return left
}

const parseWeekDay = (word: Word, text: string): number => {
  if (/^\d+$/.test(text)) return parseNumber(word, 1, 7, text)
  const index = WEEK.findIndex((day) => text.length >= 2 && day.toLowerCase().startsWith(text.toLowerCase()))
  if (index < 0) throw unknownWord(word, 'day of the week', WEEK, text)
  return index + 1
}

const daysIn = (bits: number, last: number): number[] => {
  const days: number[] = []
  for (let day = 1; day <= last; day++) if ((bits & bit(day)) !== 0) days.push(day)
  return days
}

const dateText = (seconds: number, between: string): string => new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', between)
const clockText = (seconds: number): string => new Date(seconds * 1000).toISOString().slice(11, 19)

/** By the last digit alone, as iptables has it: 11st, 12nd, 13rd. */
const ordinal = (day: number): string => `${day}${['th', 'st', 'nd', 'rd'][day % 10] ?? 'th'}`

const allDay = (match: TimeMatch): boolean => match.dayStart === 0 && match.dayStop === DAY_END
const weekText = ({ weekDays }: TimeMatch): string => daysIn(weekDays, 7).map((day) => WEEK[day - 1]).join(',')

export const time: MatchExtension<'time'> = {
  name: 'time',
  options: [
    value('datestart'), value('datestop'), value('timestart'), value('timestop'), invertible(value('monthdays')),
    invertible(value('weekdays')), flag('contiguous'), flag('kerneltz'), flag('utc'),
  ],
  parse: (given) => {
    const [monthDays, weekDays] = [given.get('monthdays'), given.get('weekdays')]
    const match: TimeMatch = {
      module: 'time',
      dateStart: given.read('datestart', parseDate) ?? 0,
      dateStop: given.read('datestop', parseDate) ?? DATE_MAX,
      dayStart: given.read('timestart', parseClock) ?? 0,
      dayStop: given.read('timestop', parseClock) ?? DAY_END,
      monthDays: monthDays === null ? ALL_MONTH_DAYS : parseDays(monthDays, ALL_MONTH_DAYS, (word, text) => parseNumber(word, 1, 31, text)),
      weekDays: weekDays === null ? ALL_WEEK_DAYS : parseDays(weekDays, ALL_WEEK_DAYS, parseWeekDay),
      contiguous: given.has('contiguous'),
      localZone: given.has('kerneltz'),
    }
    if (match.contiguous && match.dayStart <= match.dayStop) {
      throw syntaxError(given.get('contiguous')!.word, '"--contiguous" needs "--timestop" to be before "--timestart"')
    }
    if (match.localZone && given.has('utc')) throw syntaxError(given.get('utc')!.word, '"--utc" and "--kerneltz" exclude each other')
    return match
  },
  save: (match) => join(
    !allDay(match) && `--timestart ${clockText(match.dayStart)} --timestop ${clockText(match.dayStop)}`,
    match.monthDays !== ALL_MONTH_DAYS && `--monthdays ${daysIn(match.monthDays, 31).join(',')}`,
    match.weekDays !== ALL_WEEK_DAYS && `--weekdays ${weekText(match)}`,
    match.dateStart !== 0 && `--datestart ${dateText(match.dateStart, 'T')}`,
    `--datestop ${dateText(match.dateStop, 'T')}`,
    match.localZone && '--kerneltz',
    match.contiguous && '--contiguous',
  ),
  list: (match) => join(
    'TIME',
    !allDay(match) && `from ${clockText(match.dayStart)} to ${clockText(match.dayStop)}`,
    match.weekDays !== ALL_WEEK_DAYS && `on ${weekText(match)}`,
    match.monthDays !== ALL_MONTH_DAYS && `on ${daysIn(match.monthDays, 31).map(ordinal).join(',')}`,
    match.dateStart !== 0 && `starting from ${dateText(match.dateStart, ' ')}`,
    match.dateStop !== DATE_MAX && `until date ${dateText(match.dateStop, ' ')}`,
    !match.localZone && 'UTC',
    match.contiguous && 'contiguous',
  ),
}
