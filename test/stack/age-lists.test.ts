import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AgeLists } from '../../src/stack/age-lists.js'

describe('lists by age', () => {
  it('give the oldest first, whatever is taken off between', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(9)), { maxLength: 100 }), (steps) => {
      const lists = new AgeLists(3, 10)
      const plain: number[][] = [[], [], []]
      for (const [list, number] of steps) {
        const at = plain.findIndex((numbers) => numbers.includes(number))
        if (at >= 0) {
          lists.remove(at, number)
          plain[at] = plain[at]!.filter((other) => other !== number)
        } else {
          lists.append(list, number)
          plain[list]!.push(number)
        }
        expect([0, 1, 2].map((index) => [lists.oldest(index), lists.count(index)])).toEqual(plain.map((numbers) => [numbers[0] ?? -1, numbers.length]))
      }
    }))
  })
})
