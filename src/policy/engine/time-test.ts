/** `-m time`: dates, hours of the day, days of the week and of the month. Seconds are since 1970, in the zone of the match. */
import type { TimeMatch } from '../model.js'

const DAY = 86400
const ALL_MONTH_DAYS = 0xfffffffe

/** 1 is Monday, 7 Sunday. 1970-01-01 was a Thursday. */
const weekDay = (day: number): number => ((day + 3) % 7) + 1

/** The day of the month, 1..31, of a day since 1970. Years are counted from March 0000, so that a leap day ends one. */
const monthDay = (day: number): number => {
  const sinceMarch0 = day + 719468
  const dayOfEra = sinceMarch0 % 146097
  const yearOfEra = Math.floor((dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36524) - Math.floor(dayOfEra / 146096)) / 365)
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const month = Math.floor((5 * dayOfYear + 2) / 153)
  return dayOfYear - Math.floor((153 * month + 2) / 5) + 1
}

/** @param seconds whole, 0 or more */
export const isInTime = (match: TimeMatch, seconds: number): boolean => {
  if (seconds < match.dateStart || seconds > match.dateStop) return false
  const ofDay = seconds % DAY
  let day = Math.floor(seconds / DAY)
  if (match.dayStart < match.dayStop) {
    if (ofDay < match.dayStart || ofDay > match.dayStop) return false
  } else {
    if (ofDay < match.dayStart && ofDay > match.dayStop) return false
    // The hours after midnight belong to the day on which the span began.
    if (match.contiguous && ofDay <= match.dayStop) day--
  }
  if ((match.weekDays & (1 << weekDay(day))) === 0) return false
  return match.monthDays === ALL_MONTH_DAYS || (match.monthDays & (1 << monthDay(day))) !== 0
}
