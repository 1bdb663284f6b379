import { describe, expect, it } from 'vitest'
import { NewReno, type CongestionControl } from '../../../../../src/stack/sockets/tcp/recovery/congestion.js'
import { Cubic } from '../../../../../src/stack/sockets/tcp/recovery/cubic.js'

const MSS = 1000

/** Windows at the end of each round trip, all of the window acknowledged in steps of `step` bytes. */
const rounds = (control: CongestionControl, window: number, srtt: number, count: number, step = MSS): number[] => {
  const all: number[] = []
  let now = 0
  for (let round = 0; round < count; round++) {
    const total = Math.floor(window / step)
    for (let i = 0; i < total; i++) window = control.grow(window, step, MSS, srtt, now + (srtt * i) / total)
    now += srtt
    all.push(window)
  }
  return all
}

describe('NewReno', () => {
  it('CC-2: grows by one segment a round trip, into however many acknowledgements it is divided', () => {
    for (const step of [10, MSS, 4 * MSS]) {
      const [first, , third] = rounds(new NewReno(), 40 * MSS, 100, 3, step)
      expect(first).toBe(41 * MSS)
      expect(third! / MSS).toBeLessThanOrEqual(43)
    }
  })
})

describe('Cubic', () => {
  it('takes three tenths of the window away, and is back after the time of RFC 9438 4.2', () => {
    const cubic = new Cubic()
    const window = 1000 * MSS
    expect(cubic.lost(window)).toBe(700 * MSS)
    // K = cbrt(300 / 0.4) = 9.09 s: flat around the old window, steeper after it.
    const windows = rounds(cubic, 700 * MSS, 100, 140)
    expect(windows[89]! / MSS).toBeGreaterThan(990)
    expect(windows[89]! / MSS).toBeLessThan(1001)
    expect(windows[99]! - windows[80]!).toBeLessThan(windows[19]! - windows[0]!)
    expect(windows[139]! / MSS).toBeGreaterThan(1030)
  })

  it('is never below Reno: with small windows and short round trips it grows like it', () => {
    const cubic = new Cubic()
    expect(cubic.lost(20 * MSS)).toBe(14 * MSS)
    const windows = rounds(cubic, 14 * MSS, 20, 30)
    // 3 (1 - 0.7) / (1 + 0.7) = 0.53 segments a round trip, until the old window is reached, one after that.
    expect((windows[9]! - 14 * MSS) / MSS).toBeCloseTo(5.3, 0)
    expect((windows[29]! - windows[19]!) / MSS).toBeCloseTo(10, 0)
  })

  it('grows by a segment a round trip after a timeout, from the threshold on', () => {
    const cubic = new Cubic()
    expect(cubic.lost(20 * MSS)).toBe(14 * MSS)
    cubic.timedOut()
    const windows = rounds(cubic, 14 * MSS, 20, 10)
    expect((windows[9]! - 14 * MSS) / MSS).toBeGreaterThan(9)
    expect((windows[9]! - 14 * MSS) / MSS).toBeLessThanOrEqual(10)
  })

  it('gives way when it is hit below its last maximum', () => {
    const grown = (twice: boolean) => {
      const cubic = new Cubic()
      cubic.lost(1000 * MSS)
      if (twice) cubic.lost(800 * MSS)
      else cubic.lost(1000 * MSS)
      return rounds(cubic, 560 * MSS, 100, 120)[119]!
    }
    expect(grown(true)).toBeLessThan(grown(false) - 100 * MSS)
  })

  it('does not count the time in which the window is not used', () => {
    const cubic = new Cubic()
    const window = cubic.lost(1000 * MSS)
    let busy = cubic.grow(window, MSS, MSS, 100, 1000)
    cubic.unused(60_000)
    busy = cubic.grow(busy, MSS, MSS, 100, 60_000)
    expect(busy - window).toBeLessThan(MSS)
  })
})
