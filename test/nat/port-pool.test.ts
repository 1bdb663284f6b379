import { describe, expect, it } from 'vitest'
import {
  ANY_PARITY, CLASS_IDENTIFIER, CLASS_LOGIN, CLASS_LOWER, CLASS_LOWEST, CLASS_UPPER, classOfPort, type IsFree, netfilterClassOfPort, PortPool,
} from '../../src/nat/port-pool.js'
import { below, type RandomSource, systemRandom } from '../../src/stack/random.js'
import { seededRandom } from '../../src/testing/memory-gateway.js'

const range = function* (from: number, to: number): Generator<number> {
  for (let port = from; port <= to; port++) yield port
}
const all = (): boolean => true
const none = (): boolean => false

/** 1 - p of the chi-square distribution at large degrees of freedom is below 1e-4 above this (Wilson-Hilferty). */
const chiSquareBound = (freedom: number): number => freedom * (1 - 2 / (9 * freedom) + 3.72 * Math.sqrt(2 / (9 * freedom))) ** 3

const draw = (pool: PortPool, wanted: number, random: RandomSource, isFree: IsFree): number => pool.draw(classOfPort(wanted), ANY_PARITY, random, isFree)

describe('port pool', () => {
  it('UDP-4 (REQ-3a): another port of the same class when it has to change', () => {
    const pool = new PortPool(range(1, 65535))
    const random = systemRandom()
    for (let round = 0; round < 500; round++) {
      const low = draw(pool, 700, random, (port) => port !== 700)
      expect(low).toBeGreaterThanOrEqual(1)
      expect(low).toBeLessThan(1024)
      const high = draw(pool, 5000, random, (port) => port !== 5000)
      expect(high).toBeGreaterThanOrEqual(1024)
      expect(high).not.toBe(5000)
    }
  })

  it('NAT-3: classes of netfilter: 1-511, 600-1023 for 512-1023, 1024-65535, identifiers 0-65535', () => {
    const pool = new PortPool(range(1, 65535))
    const bounds = (portClass: number): number[] => {
      const seen = new Set<number>()
      // Whatever is not free is asked for once: thus all of a class is.
      pool.draw(portClass, ANY_PARITY, seededRandom(1), (port) => (seen.add(port), false))
      return [Math.min(...seen), Math.max(...seen), seen.size]
    }
    expect(bounds(netfilterClassOfPort(1))).toEqual([1, 511, 511])
    expect(bounds(netfilterClassOfPort(511))).toEqual([1, 511, 511])
    expect(bounds(netfilterClassOfPort(512))).toEqual([600, 1023, 424])
    expect(bounds(netfilterClassOfPort(700))).toEqual([600, 1023, 424])
    expect(bounds(netfilterClassOfPort(1024))).toEqual([1024, 65535, 64512])
    expect(bounds(CLASS_IDENTIFIER)).toEqual([0, 65535, 65536])
    // Where the pool has none of the class, of the whole lower one; at last of the upper one.
    const shared = new PortPool([...range(512, 599), 40000])
    for (const one of [CLASS_LOWEST, CLASS_LOGIN, CLASS_LOWER]) expect(shared.draw(one, ANY_PARITY, seededRandom(1), all)).toBeLessThan(600)
    for (const one of [CLASS_LOWEST, CLASS_LOGIN, CLASS_LOWER]) expect(new PortPool([40000]).draw(one, ANY_PARITY, seededRandom(1), all)).toBe(40000)
  })

  it('identifier 0 is one where all of them may be used', () => {
    expect(new PortPool(range(1, 65535)).hasIdentifier(0)).toBe(true)
    expect(new PortPool(range(1, 65534)).hasIdentifier(0)).toBe(false)
    expect(new PortPool([7]).hasIdentifier(7)).toBe(true)
    expect(new PortPool(range(1, 65535)).has(0)).toBe(false)
  })

  it('uses only what is in the pool, and never 0', () => {
    const pool = new PortPool([0, 2000, 2001, 40000])
    const random = seededRandom(3)
    const seen = new Set(Array.from({ length: 200 }, () => draw(pool, 5000, random, all)))
    expect([...seen].sort()).toEqual([2000, 2001, 40000])
    expect(pool.has(0)).toBe(false)
    expect(pool.has(2000)).toBe(true)
    expect(pool.has(2002)).toBe(false)
    expect(draw(pool, 0, random, all)).toBeGreaterThan(0)
  })

  it('takes the other class where the pool has none of this one', () => {
    expect(draw(new PortPool([40000]), 123, seededRandom(1), all)).toBe(40000)
    expect(draw(new PortPool([600]), 5000, seededRandom(1), all)).toBe(600)
    expect(draw(new PortPool([600, 40000]), 123, seededRandom(1), (port) => port !== 600)).toBe(-1)
  })

  it('UDP-5 (REQ-4): of the parity that is asked for, of the other one when there is none', () => {
    const pool = new PortPool(range(1, 65535))
    const random = systemRandom()
    for (const parity of [0, 1]) {
      for (const one of [CLASS_LOWER, CLASS_UPPER, CLASS_LOWEST, CLASS_LOGIN]) {
        for (let round = 0; round < 200; round++) expect(pool.draw(one, parity, random, all) & 1).toBe(parity)
      }
      const few = new PortPool([2000, 2002, 2005])
      const seen = new Set(Array.from({ length: 100 }, () => few.draw(CLASS_UPPER, parity, random, all)))
      expect([...seen].sort()).toEqual(parity === 0 ? [2000, 2002] : [2005])
      expect(few.draw(CLASS_UPPER, parity, random, (port) => (port & 1) !== parity) & 1).toBe(parity ^ 1)
      expect(few.draw(CLASS_UPPER, parity, random, none)).toBe(-1)
    }
  })

  it('sequentially: the next free one of the class, and round again', () => {
    const pool = new PortPool([5, 2000, 2001, 2004, 40000])
    const walk = (parity: number, isFree: IsFree = all): number[] => {
      let last = 0
      return Array.from({ length: 6 }, () => (last = pool.next(CLASS_UPPER, last, parity, isFree)))
    }
    expect(walk(ANY_PARITY)).toEqual([2000, 2001, 2004, 40000, 2000, 2001])
    expect(walk(ANY_PARITY, (port) => port !== 2001)).toEqual([2000, 2004, 40000, 2000, 2004, 40000])
    expect(walk(0)).toEqual([2000, 2004, 40000, 2000, 2004, 40000])
    expect(walk(1)).toEqual([2001, 2001, 2001, 2001, 2001, 2001])
    expect(pool.next(CLASS_UPPER, 65535, ANY_PARITY, all)).toBe(2000)
    expect(pool.next(CLASS_UPPER, 0, ANY_PARITY, none)).toBe(-1)
    expect(new PortPool([]).next(CLASS_UPPER, 0, ANY_PARITY, all)).toBe(-1)
  })

  it('within a range: only allowed ones, of the parity as long as there are', () => {
    const pool = new PortPool([2000, 2001, 2003, 2100])
    const random = systemRandom()
    const seen = (parity: number, isFree: IsFree = all): number[] =>
      [...new Set(Array.from({ length: 200 }, () => pool.drawWithin(1990, 64, parity, random, isFree)))].sort()
    expect(seen(ANY_PARITY)).toEqual([2000, 2001, 2003])
    expect(seen(1)).toEqual([2001, 2003])
    expect(seen(1, (port) => port === 2000)).toEqual([2000])
    expect(seen(ANY_PARITY, none)).toEqual([-1])
    expect(pool.drawWithin(2004, 96, ANY_PARITY, random, all)).toBe(-1)
  })

  it('RND-4: returns promptly when none is free, whatever the size', () => {
    expect(draw(new PortPool([]), 5000, seededRandom(1), none)).toBe(-1)
    let asked = 0
    const pool = new PortPool(range(1, 65535))
    expect(draw(pool, 5000, seededRandom(1), () => (asked++, false))).toBe(-1)
    expect(asked).toBeLessThan(64512 + 100)
  })

  it('finds the last free port', () => {
    const pool = new PortPool(range(1024, 65535))
    for (const last of [1024, 33333, 65535]) expect(draw(pool, 5000, seededRandom(last), (port) => port === last)).toBe(last)
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
    for (let round = 0; round < draws; round++) {
      const port = draw(pool, 5000, random, all) - 40000
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
    expect(draw(pool, 2000, seededRandom(1), all)).toBe(3000)
  })

  it('knows the classes', () => {
    expect([0, 1, 1023, 1024, 65535].map(classOfPort)).toEqual([CLASS_UPPER, CLASS_LOWER, CLASS_LOWER, CLASS_UPPER, CLASS_UPPER])
    expect([0, 1, 511, 512, 1023, 1024].map(netfilterClassOfPort)).toEqual([CLASS_UPPER, CLASS_LOWEST, CLASS_LOWEST, CLASS_LOGIN, CLASS_LOGIN, CLASS_UPPER])
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
