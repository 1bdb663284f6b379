/** Tests that remember something from packet to packet, or look at the time. Each packet has to be asked about. */
import type { ConnlimitMatch, HashlimitMatch, LimitMatch, StatisticMatch, TimeMatch } from '../model.js'
import { ConnectionCounts } from './connection-counts.js'
import { FULL, HashlimitTable, OVER, settingsOf } from './hashlimit-table.js'
import type { HeaderTest } from './header-tests.js'
import { LimitBucket } from './limit-bucket.js'
import { NthCounter } from './nth-counter.js'
import { DEPENDS_PACKET } from './outcome.js'
import type { MatchPlace } from './test.js'
import { isInTime } from './time-test.js'

const depends = DEPENDS_PACKET
const PROBABILITY_BITS = 0x7fffffff

export const limitTest = ({ period, burst }: LimitMatch, place: MatchPlace): HeaderTest => {
  const { clock } = place.environment
  const bucket = place.keep(null, { type: LimitBucket, make: () => new LimitBucket(period, burst, clock.now) })
  return { depends, holds: (_, { isDry }) => bucket.take(clock.now, isDry) }
}

/** Matches that give the same name share a table, made as the first of them says. */
export const hashlimitTest = (match: HashlimitMatch, place: MatchPlace): HeaderTest => {
  const { environment: { clock, random } } = place
  const settings = settingsOf(match)
  const table = place.keep(`hashlimit ${match.name}`, {
    type: HashlimitTable, make: () => new HashlimitTable(match, random.next()), fits: (before) => before.settings === settings,
  })
  return {
    depends,
    holds: (packet, outcome) => {
      const result = table.take(packet, clock.now, outcome.isDry)
      if (result === FULL) outcome.hotDrop = true
      return result !== FULL && (result === OVER) === match.above
    },
  }
}

export const connlimitTest = ({ above, limit, prefix, by }: ConnlimitMatch, place: MatchPlace): HeaderTest => {
  const { environment } = place
  const counts = place.keep(null, { type: ConnectionCounts, make: () => new ConnectionCounts(environment, environment.random.next()) })
  const mask = prefix === 0 ? 0 : -1 << (32 - prefix)
  return {
    depends,
    holds: (packet, outcome) => {
      const address = (by === 'source' ? packet.source : packet.destination) & mask
      const count = counts.count(address, packet, outcome.isTracked, outcome.isDry)
      if (count < 0) outcome.hotDrop = true
      return count >= 0 && (count > limit) === above
    },
  }
}

export const statisticTest = (match: StatisticMatch, place: MatchPlace): HeaderTest => {
  const { not } = match
  if (match.mode === 'random') {
    const { probability } = match
    const { random } = place.environment
    return { depends, holds: () => ((random.next() & PROBABILITY_BITS) < probability) !== not }
  }
  const counter = place.keep(null, { type: NthCounter, make: () => new NthCounter(match.every, match.packet) })
  return { depends, holds: (_, { isDry }) => counter.take(isDry) !== not }
}

export const timeTest = (match: TimeMatch, { environment }: MatchPlace): HeaderTest => ({
  depends,
  holds: () => {
    const seconds = Math.floor((environment.clock.now + environment.wallOffset) / 1000)
    return isInTime(match, match.localZone ? seconds + environment.zoneSeconds : seconds)
  },
})
