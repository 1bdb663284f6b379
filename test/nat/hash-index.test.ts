import { describe, expect, it } from 'vitest'
import { HashIndex, hashWords, indexSlots } from '../../src/nat/hash-index.js'

/** The numbers of a hash: of what a search comes by, those that have it. */
const found = (index: HashIndex, hash: number, hashOf: (number: number) => number): number[] => {
  const numbers: number[] = []
  for (let slot = index.first(hash); slot >= 0; slot = index.next(slot, hash)) numbers.push(index.numberAt(slot))
  return numbers.filter((number) => hashOf(number) === hash).sort((a, b) => a - b)
}

describe('hash index', () => {
  it('has slots for at most 4/5 of them to be used, a power of two', () => {
    expect([0, 1, 12, 13, 25, 26, 1000, 16_777_216].map(indexSlots)).toEqual([16, 16, 16, 32, 32, 64, 2048, 33_554_432])
  })

  it('finds every number of a hash, 0 among them', () => {
    const hashes = [7, 7, 23, -9, 7]
    const hashOf = (number: number): number => hashes[number]!
    const index = new HashIndex(new Int32Array(16), 5, hashOf)
    hashes.forEach((hash, number) => index.insert(hash, number))
    expect(found(index, 7, hashOf)).toEqual([0, 1, 4])
    expect(found(index, 23, hashOf)).toEqual([2])
    expect(found(index, -9, hashOf)).toEqual([3])
    expect(found(index, 39, hashOf)).toEqual([])
    index.remove(7, 1)
    expect(found(index, 7, hashOf)).toEqual([0, 4])
    expect(found(index, 23, hashOf)).toEqual([2])
  })

  it('looks at no number whose hash differs in its top bits', () => {
    const index = new HashIndex(new Int32Array(16), 100, () => 0)
    index.insert(0x12345670, 1)
    expect(index.first(0x12345670)).toBe(0)
    expect(index.first(0x52345670)).toBe(-1)
  })

  it('closes holes over the end of the slots', () => {
    const words = new Int32Array(16)
    // Homes 14, 15, 15, 0, 14: the run goes from slot 14 to slot 2.
    const entries = [[14, 1], [15, 2], [31, 3], [16, 4], [30, 5]] as const
    const hashOf = (number: number): number => entries.find(([, one]) => one === number)![0]
    const index = new HashIndex(words, 6, hashOf)
    for (const [hash, number] of entries) index.insert(hash, number)
    for (const [removed, number] of [[14, 1], [31, 3], [16, 4]] as const) {
      index.remove(removed, number)
      expect(found(index, removed, hashOf)).toEqual([])
    }
    expect([found(index, 15, hashOf), found(index, 30, hashOf)]).toEqual([[2], [5]])
    index.remove(15, 2)
    index.remove(30, 5)
    expect(words.every((word) => word === 0)).toBe(true)
  })

  it('does what a list of pairs does, as full as it may be, with few hashes', () => {
    const words = new Int32Array(32)
    const model: [hash: number, number: number][] = []
    const hashOf = (number: number): number => model.find(([, one]) => one === number)![0]
    const index = new HashIndex(words, 20_000, hashOf)
    let state = 1
    const random = (bound: number): number => (state = (Math.imul(state, 48271) >>> 0) % 0x7fffffff) % bound
    for (let step = 0; step < 20_000; step++) {
      if (model.length < 25 && random(2) === 0) {
        const entry: [number, number] = [random(3) === 0 ? random(9) : (random(1 << 30) * 4) | 0, step]
        model.push(entry)
        index.insert(...entry)
      } else if (model.length > 0) {
        index.remove(...model.splice(random(model.length), 1)[0]!)
      }
      const hash = model.length > 0 && random(2) === 0 ? model[random(model.length)]![0] : random(9)
      expect(found(index, hash, hashOf)).toEqual(model.filter(([of]) => of === hash).map(([, number]) => number).sort((a, b) => a - b))
    }
    while (model.length > 0) index.remove(...model.pop()!)
    expect(words.every((word) => word === 0)).toBe(true)
  })

  it('RND: the hash depends on its seed and on every bit of its words', () => {
    expect(hashWords(1, 1, 2, 3, 4)).not.toBe(hashWords(2, 1, 2, 3, 4))
    for (let bit = 0; bit < 128; bit++) {
      const words = [1, 2, 3, 4]
      words[bit >> 5]! ^= 1 << (bit & 31)
      const [a, b, c, d] = words as [number, number, number, number]
      expect(hashWords(1, a, b, c, d)).not.toBe(hashWords(1, 1, 2, 3, 4))
    }
    // Consecutive keys spread over the low bits.
    const buckets = new Set(Array.from({ length: 4096 }, (_, key) => hashWords(7, key, 0, 0, 17) & 4095))
    expect(buckets.size).toBeGreaterThan(4096 * 0.58)
  })
})
