import { describe, expect, it } from 'vitest'
import { isLowerClass, PortPool } from '../../src/nat/port-pool.js'
import { below, systemRandom } from '../../src/nat/random.js'
import { seededRandom } from '../../src/testing/memory-gateway.js'

const range = function* (from: number, to: number): Generator<number> {
  for (let port = from; port <= to; port++) yield port
}
const all = (): boolean => true
const none = (): boolean => false

/** 1 - p of the chi-square distribution at large degrees of freedom is below 1e-4 above this (Wilson-Hilferty). */
const chiSquareBound = (freedom: number): number => freedom * (1 - 2 / (9 * freedom) + 3.72 * Math.sqrt(2 / (9 * freedom))) ** 3

describe('port pool', () => {
  it('keeps the port when it is in the pool and free', () => {
    const pool = new PortPool(range(1, 65535))
    for (const port of [1, 80, 1023, 1024, 5000, 65535]) expect(pool.choose(port, seededRandom(1), all)).toBe(port)
  })

  it('UDP-4 (REQ-3a): another port of the same class when it has to change', () => {
    const pool = new PortPool(range(1, 65535))
    const random = systemRandom()
    for (let round = 0; round < 500; round++) {
      const low = pool.choose(700, random, (port) => port !== 700)
      expect(low).toBeGreaterThanOrEqual(1)
      expect(low).toBeLessThan(1024)
      const high = pool.choose(5000, random, (port) => port !== 5000)
      expect(high).toBeGreaterThanOrEqual(1024)
      expect(high).not.toBe(5000)
    }
  })

  it('uses only what is in the pool, and never 0', () => {
    const pool = new PortPool([0, 2000, 2001, 40000])
    const random = seededRandom(3)
    const seen = new Set(Array.from({ length: 200 }, () => pool.choose(5000, random, all)))
    expect([...seen].sort()).toEqual([2000, 2001, 40000])
    expect(pool.has(0)).toBe(false)
    expect(pool.has(2000)).toBe(true)
    expect(pool.has(2002)).toBe(false)
    expect(pool.choose(0, random, all)).toBeGreaterThan(0)
  })

  it('takes the other class where the pool has none of this one', () => {
    expect(new PortPool([40000]).choose(123, seededRandom(1), all)).toBe(40000)
    expect(new PortPool([600]).choose(5000, seededRandom(1), all)).toBe(600)
    expect(new PortPool([600, 40000]).choose(123, seededRandom(1), (port) => port !== 600)).toBe(-1)
  })

  it('RND-4: returns promptly when none is free, whatever the size', () => {
    expect(new PortPool([]).choose(5000, seededRandom(1), none)).toBe(-1)
    let asked = 0
    const pool = new PortPool(range(1, 65535))
    expect(pool.choose(5000, seededRandom(1), () => (asked++, false))).toBe(-1)
    expect(asked).toBeLessThan(64512 + 100)
  })

  it('finds the last free port', () => {
    const pool = new PortPool(range(1024, 65535))
    for (const last of [1024, 33333, 65535]) expect(pool.choose(5000, seededRandom(last), (port) => port === last)).toBe(last)
  })

  it('RND-2, UPD-9: chooses uniformly', () => {
    const ports = 200
    const pool = new PortPool(range(40000, 40000 + ports - 1))
    const random = systemRandom()
    const seen = new Float64Array(ports)
    const draws = 100_000
    let sameAsBefore = 0
    let correlation = 0
    let before = 0
    for (let draw = 0; draw < draws; draw++) {
      const port = pool.choose(5000, random, all) - 40000
      seen[port]!++
      if (port === before) sameAsBefore++
      correlation += (port - (ports - 1) / 2) * (before - (ports - 1) / 2)
      before = port
    }
    const expected = draws / ports
    const chiSquare = seen.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    expect(chiSquare).toBeLessThan(chiSquareBound(ports - 1))
    expect(sameAsBefore / draws).toBeLessThan(2 / ports)
    const variance = (ports ** 2 - 1) / 12
    expect(Math.abs(correlation / draws / variance)).toBeLessThan(0.02)
  })

  it('can be set anew', () => {
    const pool = new PortPool([2000])
    pool.replace([3000])
    expect(pool.has(2000)).toBe(false)
    expect(pool.choose(2000, seededRandom(1), all)).toBe(3000)
  })

  it('knows the classes', () => {
    expect([0, 1, 1023, 1024, 65535].map(isLowerClass)).toEqual([false, true, true, false, false])
  })
})

describe('random', () => {
  it('RND-3: comes from the system, in blocks, without repeating', () => {
    const random = systemRandom()
    const seen = new Set(Array.from({ length: 5000 }, () => random.next()))
    expect(seen.size).toBeGreaterThan(4990)
    expect(Math.max(...seen)).toBeLessThan(2 ** 32)
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(0)
    expect(systemRandom().next()).not.toBe(systemRandom().next())
  })

  it('draws below a bound without modulo bias', () => {
    // The incomplete last interval is drawn again.
    const values = [0xffff_ffff, 0xffff_fffe, 7]
    expect(below({ next: () => values.shift()! }, 0x6000_0000)).toBe(7)
    for (const bound of [1, 2, 3, 64512, 65535]) {
      const random = seededRandom(bound)
      for (let draw = 0; draw < 1000; draw++) expect(below(random, bound)).toBeLessThan(bound)
    }
  })
})
