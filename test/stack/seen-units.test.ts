import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PARTLY_SEEN, SEEN, SeenUnits, UNSEEN } from '../../src/stack/seen-units.js'

describe('seen units', () => {
  it('are those that were marked, at every border of a word', () => {
    for (const [first, end] of [[0, 1], [31, 32], [31, 33], [32, 64], [0, 64], [1, 95], [8190, 8192], [0, 8192]] as const) {
      const units = new SeenUnits(3)
      units.mark(1, first, end)
      expect(units.compare(1, first, end)).toBe(SEEN)
      if (first > 0) expect([units.compare(1, 0, first), units.compare(1, first - 1, end)]).toEqual([UNSEEN, PARTLY_SEEN])
      if (end < 8192) expect([units.compare(1, end, 8192), units.compare(1, first, end + 1)]).toEqual([UNSEEN, PARTLY_SEEN])
      for (const other of [0, 2]) expect(units.compare(other, 0, 8192)).toBe(UNSEEN)
      units.clear(1, end)
      expect(units.compare(1, 0, 8192)).toBe(UNSEEN)
    }
  })

  it('against a plain list of them', () => {
    const range = fc.tuple(fc.nat(200), fc.integer({ min: 1, max: 100 })).map(([first, length]) => [first, first + length] as const)
    fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), range), { maxLength: 30 }), (steps) => {
      const units = new SeenUnits(1)
      const plain = new Set<number>()
      for (const [marks, [first, end]] of steps) {
        const among = Array.from({ length: end - first }, (_, index) => first + index)
        const seen = among.filter((unit) => plain.has(unit)).length
        expect(units.compare(0, first, end)).toBe(seen === 0 ? UNSEEN : seen === among.length ? SEEN : PARTLY_SEEN)
        if (!marks) continue
        units.mark(0, first, end)
        for (const unit of among) plain.add(unit)
      }
    }))
  })
})
