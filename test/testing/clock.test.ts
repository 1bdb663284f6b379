import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../src/testing/clock.js'

describe('fake clock', () => {
  it('stands still until it is moved', () => {
    const clock = new FakeClock(10)
    const { seconds, milliseconds, microseconds } = clock
    expect([seconds(), milliseconds(), microseconds()]).toEqual([10, 10_000, 10_000_000])
    clock.advance(0.5)
    clock.advanceMilliseconds(499)
    expect([seconds(), milliseconds()]).toEqual([10, 10_999])
    clock.advanceMilliseconds(1)
    expect(seconds()).toBe(11)
    expect(new FakeClock().seconds()).toBe(0)
  })

  it('never goes back', () => {
    const clock = new FakeClock()
    expect(() => clock.advance(-1)).toThrow('cannot advance by -1000 ms')
    expect(() => clock.advanceMilliseconds(Number.NaN)).toThrow(RangeError)
  })
})
