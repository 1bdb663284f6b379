import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Fib } from '../../src/route/fib.js'
import { maskOf, parsePrefix } from '../../src/stack/wire/address.js'
import { seededRandom } from '../../src/testing/memory-gateway.js'

/** Longest prefix match as one would say it: look at all of them. */
class Naive {
  readonly prefixes = new Map<string, { prefix: number; length: number; value: number }>()

  set(prefix: number, length: number, value: number): void {
    this.prefixes.set(`${prefix}/${length}`, { prefix, length, value })
  }

  delete(prefix: number, length: number): boolean {
    return this.prefixes.delete(`${prefix}/${length}`)
  }

  find(address: number, maxLength: number): { value: number; length: number } {
    let best = { value: 0, length: -1 }
    for (const { prefix, length, value } of this.prefixes.values()) {
      if (length <= maxLength && length > best.length && ((address ^ prefix) & maskOf(length)) === 0) best = { value, length }
    }
    return best
  }
}

const expectSame = (fib: Fib, naive: Naive, addresses: readonly number[], maxLength: number): void => {
  for (const address of addresses) {
    const { value, length } = naive.find(address, maxLength)
    expect(fib.find(address, maxLength)).toBe(value)
    if (value !== 0) expect(fib.foundLength).toBe(length)
  }
}

const set = (fib: Fib, text: string, value: number): void => {
  const { address, length } = parsePrefix(text)!
  fib.set(address, length, value)
}
const find = (fib: Fib, text: string): number => fib.find(parsePrefix(`${text}/32`)!.address, 32)

describe('Fib', () => {
  it('finds the longest prefix', () => {
    const fib = new Fib()
    expect(find(fib, '1.2.3.4')).toBe(0)
    set(fib, '10.0.0.0/8', 1)
    set(fib, '10.1.0.0/16', 2)
    set(fib, '10.1.2.3/32', 3)
    expect(['10.2.0.1', '10.1.0.1', '10.1.2.3', '11.0.0.0'].map((address) => find(fib, address))).toEqual([1, 2, 3, 0])
    set(fib, '0.0.0.0/0', 4)
    expect(find(fib, '255.255.255.255')).toBe(4)
    expect(fib.size).toBe(4)
    set(fib, '10.1.0.0/16', 5)
    expect(fib.size).toBe(4)
    expect(fib.get(0x0a010000, 16)).toBe(5)
    expect(fib.get(0x0a010000, 17)).toBe(0)
  })

  it('goes on with shorter prefixes when asked to', () => {
    const fib = new Fib()
    set(fib, '10.0.0.0/8', 1)
    set(fib, '10.1.0.0/16', 2)
    expect(fib.find(0x0a010001, 32)).toBe(2)
    expect(fib.find(0x0a010001, fib.foundLength - 1)).toBe(1)
    expect(fib.find(0x0a010001, fib.foundLength - 1)).toBe(0)
  })

  // Few bits that differ, so that prefixes nest and part often, in the upper half, the lower, and both.
  const anyAddress = fc.tuple(fc.constantFrom(0, 0x0a000000, 0xc0a80000, 0xfffe0000), fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 31 }))
    .map(([base, middle, low]) => (base | (middle << 15) | low | (low << 20)) | 0)
  const anyPrefix = fc.tuple(anyAddress, fc.integer({ min: 0, max: 32 })).map(([address, length]) => ({ prefix: address & maskOf(length), length }))

  it('agrees with looking at all prefixes, while they come and go', () => {
    const step = fc.record({ prefix: anyPrefix, remove: fc.boolean(), value: fc.integer({ min: 1, max: 1000 }) })
    fc.assert(fc.property(fc.array(step, { maxLength: 60 }), fc.array(anyAddress, { minLength: 10, maxLength: 10 }), fc.integer({ min: -1, max: 32 }), (steps, addresses, maxLength) => {
      const fib = new Fib()
      const naive = new Naive()
      for (const { prefix: { prefix, length }, remove, value } of steps) {
        if (remove) expect(fib.delete(prefix, length)).toBe(naive.delete(prefix, length))
        else {
          fib.set(prefix, length, value)
          naive.set(prefix, length, value)
        }
        expect(fib.size).toBe(naive.prefixes.size)
      }
      expectSame(fib, naive, addresses, 32)
      expectSame(fib, naive, addresses, maxLength)
    }), { numRuns: 300 })
  })

  it('agrees also with an index, which changes keep up to date', () => {
    const random = seededRandom(11)
    const fib = new Fib()
    const naive = new Naive()
    // Long prefixes in one corner, so that the table is large enough for an index and the naive one stays quick elsewhere.
    for (let i = 0; i < 5000; i++) {
      fib.set((0xe0000000 + (i << 8)) | 0, 24, 7)
      naive.set((0xe0000000 + (i << 8)) | 0, 24, 7)
    }
    const stored: { prefix: number; length: number }[] = []
    for (let round = 0; round < 600; round++) {
      if (stored.length > 0 && random.next() % 5 < 2) {
        const [gone] = stored.splice(random.next() % stored.length, 1)
        expect(fib.delete(gone!.prefix, gone!.length)).toBe(naive.delete(gone!.prefix, gone!.length))
      } else {
        const length = random.next() % 25
        const prefix = random.next() & 0x3fffffff & maskOf(length)
        const value = 1 + (random.next() % 1000)
        if (!naive.prefixes.has(`${prefix}/${length}`)) stored.push({ prefix, length })
        fib.set(prefix, length, value)
        naive.set(prefix, length, value)
      }
      if (round % 20 === 0) {
        const near = stored.slice(-3).map(({ prefix, length }) => prefix | (random.next() & ~maskOf(length)))
        expectSame(fib, naive, [...near, random.next() | 0, random.next() & 0x3fffffff, 0, -1, 0xe0000001 | 0], 32)
        expectSame(fib, naive, near, 15)
        expectSame(fib, naive, near, 20)
      }
    }
  })

  it('agrees with looking at all of a million prefixes', () => {
    const random = seededRandom(17)
    const fib = new Fib()
    const count = 1_000_000
    const prefixes = new Int32Array(count)
    const lengths = new Int8Array(count)
    for (let at = 0; at < count;) {
      // A third lies in one that is there already; none comes twice.
      const length = 8 + (random.next() % 25)
      const within = at > 0 && random.next() % 3 === 0 ? random.next() % at : -1
      const base = within < 0 ? random.next() : prefixes[within]! | (random.next() & ~maskOf(lengths[within]!))
      const prefix = base & maskOf(length)
      if (fib.get(prefix, length) !== 0) continue
      prefixes[at] = prefix
      lengths[at] = length
      fib.set(prefix, length, ++at)
    }
    expect(fib.size).toBe(count)
    for (let sample = 0; sample < 40; sample++) {
      const near = random.next() % count
      const address = sample % 4 === 0 ? random.next() | 0 : prefixes[near]! | (random.next() & ~maskOf(lengths[near]!))
      let [value, longest] = [0, -1]
      for (let at = 0; at < count; at++) {
        if (lengths[at]! > longest && ((address ^ prefixes[at]!) & maskOf(lengths[at]!)) === 0) [value, longest] = [at + 1, lengths[at]!]
      }
      expect(fib.find(address, 32)).toBe(value)
      if (value !== 0) expect(fib.foundLength).toBe(longest)
    }
  })

  it('uses its memory again', () => {
    const fib = new Fib()
    const fill = (): void => { for (let i = 0; i < 3000; i++) fib.set(i << 12, 24, 1) }
    const empty = (): void => { for (let i = 0; i < 3000; i++) expect(fib.delete(i << 12, 24)).toBe(true) }
    fill()
    const { bytes } = fib
    empty()
    expect(fib.size).toBe(0)
    expect(fib.find(0, 32)).toBe(0)
    fill()
    expect(fib.bytes).toBe(bytes)
  })

  it('moves to another thread as it is', () => {
    const fib = new Fib()
    for (let i = 0; i < 5000; i++) fib.set(i << 10, 24, i + 1)
    const moved = new Fib(structuredClone(fib.image()))
    expect(moved.size).toBe(5000)
    expect(moved.find((77 << 10) | 5, 32)).toBe(78)
    moved.set(0, 0, 9999)
    expect(moved.find(-1, 32)).toBe(9999)
    expect(fib.find(-1, 32)).toBe(0)
  })
})
