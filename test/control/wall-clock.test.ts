import { expect, it } from 'vitest'
import { createWallClock } from '../../src/control/wall-clock.js'

it('follows a clock that is set, and keeps the order of times within a second', () => {
  let today = 1_000_000
  let monotonic = 500
  const wallTime = createWallClock(() => monotonic, () => today)
  expect(wallTime(500)).toBe(1_000_000)
  today += 7
  monotonic += 5
  expect([wallTime(503.4), wallTime(505)]).toEqual([1_000_003, 1_000_005])
  today += 5000
  monotonic += 1000
  expect(wallTime(1505)).toBe(1_005_007)
  expect(wallTime(1499)).toBe(1_005_001)
})
