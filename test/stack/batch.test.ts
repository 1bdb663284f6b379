import { describe, expect, it } from 'vitest'
import { Batch, createSlab } from '../../src/stack/batch.js'

describe('batch', () => {
  it('is filled in order, up to its capacity', () => {
    const batch = new Batch(2)
    batch.push(64, 20, 1)
    expect(batch.full).toBe(false)
    batch.push(128, 30, 2)
    expect(batch.full).toBe(true)
    expect([...batch.at, ...batch.length, ...batch.link]).toEqual([64, 128, 20, 30, 1, 2])
    batch.clear()
    expect(batch.count).toBe(0)
    expect(batch.full).toBe(false)
  })

  it('asks for one packet after a lone one, for as many as fit after all else', () => {
    const batch = new Batch(8)
    const receive = (count: number): number => {
      batch.clear()
      for (let n = 0; n < count; n++) batch.push(64, 20, 0)
      batch.adapt()
      return batch.limit
    }
    expect(batch.limit).toBe(8)
    expect([receive(3), receive(8), receive(2)]).toEqual([8, 8, 8])
    expect(receive(1)).toBe(1)
    // One of one: there may be more.
    expect([receive(1), receive(1), receive(1)]).toEqual([8, 1, 8])
    expect(receive(0)).toBe(8)
  })
})

describe('slab', () => {
  it('is one buffer seen in two ways', () => {
    const { bytes, view } = createSlab(100)
    view.setUint16(98, 0x1234)
    expect([bytes[98], bytes[99]]).toEqual([0x12, 0x34])
  })
})
