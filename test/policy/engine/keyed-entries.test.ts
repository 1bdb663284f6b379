import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KeyedEntries } from '../../../src/policy/engine/keyed-entries.js'

describe('keyed entries', () => {
  it('are found as in a list, whatever was added and removed', () => {
    const step = fc.record({ adds: fc.boolean(), key: fc.integer({ min: -20, max: 20 }) })
    fc.assert(fc.property(fc.array(step, { maxLength: 400, size: 'max' }), fc.integer(), (steps, seed) => {
      const capacities: number[] = []
      const entries = new KeyedEntries(seed, 100, (capacity) => capacities.push(capacity))
      const model = new Map<number, number>()
      const alike = (key: number): number[] => {
        const found: number[] = []
        for (let entry = entries.find(key, 1, key); entry >= 0; entry = entries.nextAlike(entry)) found.push(entry)
        return found.sort((a, b) => a - b)
      }
      for (const { adds, key } of steps) {
        if (adds) {
          const entry = entries.add(key, 1, key)
          expect(entry < 0).toBe(model.size === 100)
          if (entry >= 0) model.set(entry, key)
        } else if (entries.find(key, 1, key) >= 0) {
          const entry = entries.find(key, 1, key)
          entries.remove(entry)
          model.delete(entry)
        }
        expect(entries.count).toBe(model.size)
      }
      for (let key = -20; key <= 20; key++) expect(alike(key)).toEqual([...model].filter(([, each]) => each === key).map(([entry]) => entry).sort((a, b) => a - b))
      for (let entry = 0; entry < entries.end; entry++) expect(entries.isUsed(entry)).toBe(model.has(entry))
      expect(capacities).toEqual(entries.end > 64 ? [64, 100] : [64])
    }))
  })
})
