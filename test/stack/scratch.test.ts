import { describe, expect, it } from 'vitest'
import { HEADROOM } from '../../src/stack/batch.js'
import { Scratch } from '../../src/stack/scratch.js'

describe('scratch', () => {
  it('gives aligned room with headroom before it, without overlap, inside its region', () => {
    const scratch = new Scratch({ start: 1000, end: 5000 })
    let end = 1000
    for (;;) {
      const at = scratch.take(300)
      if (at < 0) break
      expect(at % 64).toBe(0)
      expect(at - HEADROOM).toBeGreaterThanOrEqual(end)
      end = at + 300
      expect(end).toBeLessThanOrEqual(5000)
    }
    expect(end).toBeGreaterThan(4000)
  })

  it('takes less where more does not fit, and everything again after a reset', () => {
    const scratch = new Scratch({ start: 0, end: 1024 })
    const first = scratch.take(900)
    expect(first).toBe(64)
    expect(scratch.take(900)).toBe(-1)
    expect(scratch.take(61)).toBe(-1)
    scratch.reset()
    expect(scratch.take(960)).toBe(64)
    expect(scratch.take(0)).toBe(-1)
    scratch.reset()
    expect(scratch.take(961)).toBe(-1)
  })
})
