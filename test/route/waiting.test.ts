import { describe, expect, it } from 'vitest'
import { WaitingPackets } from '../../src/route/waiting.js'
import { createSlab } from '../../src/stack/batch.js'
import { HeldPackets, NO_BLOCK } from '../../src/stack/held.js'

const setUp = (size = 1 << 20) => {
  const slab = createSlab(4096 + size)
  const held = new HeldPackets(slab, { start: 4096, end: 4096 + size })
  const waiting = new WaitingPackets(held)
  const owners = (link: number): number[] => {
    const found: number[] = []
    for (let block = waiting.takeAll(link); block !== NO_BLOCK; ) {
      const next = held.next(block)
      found.push(held.ownerOf(block))
      held.release(block)
      block = next
    }
    return found
  }
  return { held, waiting, owners }
}

describe('waiting packets', () => {
  it('come back in order, each to its neighbour', () => {
    const { held, waiting, owners } = setUp()
    for (let n = 0; n < 6; n++) waiting.add(n % 2 === 0 ? 3 : 65535, 1024, 100, n, n * 10, -1)
    expect(owners(3)).toEqual([0, 2, 4])
    expect(owners(3)).toEqual([])
    expect(owners(65535)).toEqual([1, 3, 5])
    expect(held.used).toBe(0)
  })

  it('are bounded for each neighbour', () => {
    const { waiting, owners } = setUp()
    for (let n = 0; n < 64; n++) expect(waiting.add(3, 1024, 100, n, 0, -1)).toBe(true)
    expect(waiting.add(3, 1024, 100, 64, 0, -1)).toBe(false)
    expect(waiting.add(4, 1024, 100, 65, 0, -1)).toBe(true)
    expect(owners(3)).toHaveLength(64)
    expect(waiting.add(3, 1024, 100, 66, 0, -1)).toBe(true)
    expect(owners(3)).toEqual([66])
  })

  it('are bounded in memory', () => {
    const { waiting, owners } = setUp(1024)
    expect(waiting.add(3, 1024, 500, 1, 0, -1)).toBe(true)
    expect(waiting.add(4, 1024, 500, 2, 0, -1)).toBe(false)
    expect(owners(4)).toEqual([])
    expect(owners(3)).toEqual([1])
    expect(waiting.add(4, 1024, 500, 2, 0, -1)).toBe(true)
  })
})
