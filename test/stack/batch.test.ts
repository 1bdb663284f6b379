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
})

describe('slab', () => {
  it('is one buffer seen in two ways', () => {
    const { bytes, view } = createSlab(100)
    view.setUint16(98, 0x1234)
    expect([bytes[98], bytes[99]]).toEqual([0x12, 0x34])
  })
})
