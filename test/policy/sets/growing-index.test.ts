import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GrowingIndex } from '../../../src/policy/sets/growing-index.js'

describe('growing index', () => {
  it('finds what was added and not removed, while it grows and after', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat()), { minLength: 50, maxLength: 600 }), fc.integer({ min: 0, max: 8 }), (steps, bits) => {
      // Few different hashes make long runs.
      const hashOf = (number: number): number => Math.imul(number, 0x9e3779b1) >>> bits
      const live = new Set<number>()
      const free: number[] = []
      let end = 0
      const index = new GrowingIndex(16, hashOf, (number) => live.has(number))
      for (const [adds, choice] of steps) {
        if (adds || live.size === 0) {
          const number = free.pop() ?? end++
          live.add(number)
          index.insert(hashOf(number), number, end)
        } else {
          const number = [...live][choice % live.size]!
          index.remove(hashOf(number), number)
          live.delete(number)
          free.push(number)
        }
      }
      for (let number = 0; number < end; number++) {
        let found = 0
        const hash = hashOf(number)
        for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) if (index.numberAt(slot) === number) found++
        expect(found).toBe(live.has(number) ? 1 : 0)
      }
    }))
  })

  it('never is more than 4/5 full, and doubles at half', () => {
    const live = new Set<number>()
    const index = new GrowingIndex(16, (number) => number * 7, (number) => live.has(number))
    for (let number = 0; number < 10_000; number++) {
      live.add(number)
      index.insert(number * 7, number, number + 1)
      expect(number + 1).toBeLessThanOrEqual(index.slots * 0.8)
    }
    expect(index.slots).toBe(16_384)
  })
})
