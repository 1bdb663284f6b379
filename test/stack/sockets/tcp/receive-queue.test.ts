import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ReceiveQueue } from '../../../../src/stack/sockets/tcp/receive-queue.js'

const byteAt = (offset: number) => (offset * 31 + (offset >>> 8) * 7) & 0xff
const bytesAt = (offset: number, length: number) => Uint8Array.from({ length }, (_, i) => byteAt(offset + i))
const FIRST = 0x7ffffc00

/** Positions from FIRST, so that a test reads easily while numbers wrap. */
const harness = (first = FIRST) => {
  const queue = new ReceiveQueue(first)
  const target = new Int32Array(8)
  return {
    queue,
    insert: (from: number, length: number) => queue.insert((first + from) | 0, bytesAt(from, length)),
    blocks: (max = 4) => Array.from({ length: queue.blocks(target, max) }, (_, i) => [(target[2 * i]! - first) | 0, (target[2 * i + 1]! - first) | 0]),
    next: () => (queue.next - first) | 0,
  }
}

describe('ReceiveQueue', () => {
  it('SACK-1: the first block has what came last, the others follow as they were touched', () => {
    const { insert, blocks } = harness()
    insert(1000, 100)
    insert(3000, 100)
    insert(5000, 100)
    expect(blocks()).toEqual([[5000, 5100], [3000, 3100], [1000, 1100]])
    insert(1100, 100)
    expect(blocks()).toEqual([[1000, 1200], [5000, 5100], [3000, 3100]])
    insert(7000, 100)
    expect(blocks(3)).toEqual([[7000, 7100], [1000, 1200], [5000, 5100]])
  })

  it('SACK-1: joins blocks when the hole between them is filled, and reports none when all holes are', () => {
    const { queue, insert, blocks, next } = harness()
    insert(1000, 1000)
    insert(3000, 1000)
    insert(2000, 1000)
    expect(blocks()).toEqual([[1000, 4000]])
    insert(0, 1000)
    expect(blocks()).toEqual([])
    expect([next(), queue.readable, queue.held]).toEqual([4000, 4000, 0])
  })

  it('reports a duplicate below the next byte first, and once (RFC 2883 4)', () => {
    const { insert, blocks } = harness()
    insert(0, 500)
    insert(1000, 500)
    insert(100, 300)
    expect(blocks()).toEqual([[100, 400], [1000, 1500]])
    expect(blocks()).toEqual([[1000, 1500]])
  })

  it('reports a duplicate of an island, followed by that island (RFC 2883 4, 4.1)', () => {
    const { insert, blocks, queue } = harness()
    insert(1000, 500)
    insert(3000, 500)
    insert(1100, 100)
    expect(blocks()).toEqual([[1100, 1200], [1000, 1500], [3000, 3500]])
    expect(queue.held).toBe(1000)
    insert(900, 200)
    expect(blocks()).toEqual([[1000, 1100], [900, 1500], [3000, 3500]])
  })

  it('keeps a bounded number of islands, and none that it does not report', () => {
    const { queue, insert } = harness()
    for (let i = 1; i <= 2000; i++) insert(2 * i, 1)
    expect(queue.held).toBeLessThanOrEqual(512)
    insert(0, 2)
    expect(queue.readable).toBeGreaterThanOrEqual(3)
    for (let i = 0; i < 2000; i++) insert(2 * i + 1, 2)
    expect(queue.readable).toBe(4001)
  })

  it('is an array of bytes, whatever comes in whatever order', () => {
    const part = fc.record({ from: fc.nat(3000), length: fc.oneof(fc.nat(20), fc.nat(700)), read: fc.boolean() })
    fc.assert(fc.property(fc.integer(), fc.array(part, { maxLength: 120 }), (first, parts) => {
      const { queue, insert, blocks, next } = harness(first)
      const present = new Uint8Array(4000)
      let read = 0
      for (const { from, length, read: reads } of parts) {
        insert(from, length)
        present.fill(1, from, from + length)
        const missing = present.indexOf(0)
        const held = present.subarray(missing).reduce((sum, each) => sum + each, 0)
        expect([next(), queue.readable, queue.held]).toEqual([missing, missing - read, held])
        const edges = blocks(4)
        for (const [left, right] of edges) {
          expect(right).toBeGreaterThan(left!)
          expect(present.subarray(left, right).includes(0)).toBe(false)
        }
        // All but a duplicate are maximal, above the next byte, and no two the same.
        const again = blocks(4)
        for (const [left, right] of again) {
          expect(left).toBeGreaterThan(missing)
          expect([present[left! - 1], present[right!]]).toEqual([0, 0])
        }
        expect(new Set(again.map(String)).size).toBe(again.length)
        if (held > 0) expect(again.length).toBeGreaterThan(0)
        if (!reads) continue
        for (let bytes = queue.read(); bytes !== null; bytes = queue.read()) {
          expect(Buffer.compare(bytes, bytesAt(read, bytes.length))).toBe(0)
          read += bytes.length
        }
        expect(read).toBe(missing)
      }
    }), { numRuns: 300 })
  })
})
