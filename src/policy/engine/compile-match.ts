/** A match as the data plane tests it. */
import type { Match } from '../model.js'
import { addrtypeTest, connmarkTest, conntrackTest, markTest, setTest, socketTest, stateTest } from './flow-tests.js'
import { headerTest, type HeaderTest } from './header-tests.js'
import { connlimitTest, hashlimitTest, limitTest, statisticTest, timeTest } from './state-tests.js'
import type { MatchPlace, Test } from './test.js'

/** Null for a match that always holds. */
const testOf = (match: Match, place: MatchPlace): HeaderTest | null => {
  const { environment } = place
  switch (match.module) {
    case 'comment': return null
    case 'conntrack': return conntrackTest(match)
    case 'state': return stateTest(match)
    case 'mark': return markTest(match)
    case 'connmark': return connmarkTest(match)
    case 'set': return setTest(match, environment)
    case 'addrtype': return addrtypeTest(match, environment)
    case 'socket': return socketTest(match, environment)
    case 'limit': return limitTest(match, place)
    case 'hashlimit': return hashlimitTest(match, place)
    case 'connlimit': return connlimitTest(match, place)
    case 'statistic': return statisticTest(match, place)
    case 'time': return timeTest(match, place)
    default: return headerTest(match, environment)
  }
}

export const compileMatch = (match: Match, place: MatchPlace): Test | null => {
  const test = testOf(match, place)
  return test === null ? null : { ...test, match: place.index }
}

/** Matches that do something, so that what stands before them must be tested before them. */
const ACTING: ReadonlySet<Match['module']> = new Set(['set', 'limit', 'hashlimit', 'connlimit', 'statistic', 'socket'] as const)

export const acts = ({ module }: Match): boolean => ACTING.has(module)
