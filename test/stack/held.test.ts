import { describe, expect, it } from 'vitest'
import { createSlab } from '../../src/stack/batch.js'
import { HeldPackets, NO_BLOCK } from '../../src/stack/held.js'
import { AT, bytesOf, same } from './support.js'

const START = 8192
/** A region of `size` bytes after START, the slab full of 0xee, packets to hold placed at AT. */
const setUp = (size: number) => {
  const slab = createSlab(START + size + 4096)
  slab.bytes.fill(0xee)
  const held = new HeldPackets(slab, { start: START, end: START + size })
  const hold = (length: number, seed = 1, owner = 0, generation = 0): number => {
    slab.bytes.set(bytesOf(length, seed), AT)
    slab.bytes.fill(seed & 255, AT - 64, AT)
    return held.hold(AT, length, owner, generation)
  }
  const isWhole = (block: number, length: number, seed: number): boolean => {
    const at = held.packetAt(block)
    return held.lengthOf(block) === length && same(slab.bytes.subarray(at, at + length), bytesOf(length, seed)) && slab.bytes[at - 10] === (seed & 255)
  }
  const untouched = (): boolean =>
    slab.bytes.subarray(AT + 3000, START).every((byte) => byte === 0xee) && slab.bytes.subarray(START + size).every((byte) => byte === 0xee)
  return { slab, held, hold, isWhole, untouched }
}

describe('held packets', () => {
  it('keeps a copy with its headroom, and what belongs to it', () => {
    const { slab, held, hold, isWhole } = setUp(4096)
    const block = hold(100, 5, 77, -3)
    slab.bytes.fill(0, 0, START)
    expect(isWhole(block, 100, 5)).toBe(true)
    expect(held.ownerOf(block)).toBe(77)
    expect(held.generationOf(block)).toBe(-3)
    expect(held.next(block)).toBe(NO_BLOCK)
    expect(held.packetAt(block) % 64).toBe(0)
    held.link(block, 1234)
    expect(held.next(block)).toBe(1234)
  })

  it('refuses what does not fit', () => {
    const { held, hold } = setUp(512)
    expect(hold(512)).toBe(NO_BLOCK)
    const block = hold(512 - 128)
    expect(block).toBeGreaterThan(0)
    expect(hold(1)).toBe(NO_BLOCK)
    held.release(block)
    expect(held.used).toBe(0)
    expect(hold(1)).toBeGreaterThan(0)
  })

  it('stays whole when it is full to the last byte and another is refused', () => {
    const { held, hold, isWhole } = setUp(192 * 4)
    const blocks = [1, 2, 3, 4].map((seed) => hold(64, seed))
    for (const block of blocks.splice(0, 3)) held.release(block)
    for (const seed of [5, 6, 7]) blocks.push(hold(64, seed))
    // The next search begins behind the newest, in the middle.
    for (const length of [64, 300, 400]) expect(hold(length, 9)).toBe(NO_BLOCK)
    expect(held.used).toBe(192 * 4)
    for (const [index, seed] of [4, 5, 6, 7].entries()) expect(isWhole(blocks[index]!, 64, seed)).toBe(true)
    for (const index of [1, 3, 2, 0]) held.release(blocks[index]!)
    expect(held.used).toBe(0)
  })

  it('uses any room that was freed again, and puts pieces together', () => {
    const { held, hold, isWhole } = setUp(192 * 3 + 64)
    const [one, two, three] = [1, 2, 3].map((seed) => hold(64, seed)) as [number, number, number]
    expect(hold(64)).toBe(NO_BLOCK)
    held.release(two)
    const four = hold(64, 4)
    expect(four).toBe(two)
    held.release(one)
    held.release(four)
    expect(hold(257)).toBe(NO_BLOCK)
    const five = hold(256, 5)
    expect(five).toBe(one)
    expect(isWhole(three, 64, 3)).toBe(true)
    expect(isWhole(five, 256, 5)).toBe(true)
    expect(held.used).toBe(192 * 3)
    held.release(three)
    // Its room, and what was left of the region behind it.
    expect(hold(128, 6)).toBe(three)
  })

  it('one packet that is held long takes no room but its own', () => {
    const { held, hold, isWhole } = setUp(4096)
    const old = hold(64, 1)
    for (let round = 0; round < 1000; round++) {
      const block = hold(1000, round)
      expect(block).toBeGreaterThan(0)
      held.release(block)
    }
    expect(held.used).toBe(192)
    expect(isWhole(old, 64, 1)).toBe(true)
  })

  it('gives up after many packets in its way, and goes on from there', () => {
    const { held, hold } = setUp(192 * 1001)
    const blocks = Array.from({ length: 1001 }, (_, seed) => hold(64, seed))
    expect(blocks).not.toContain(NO_BLOCK)
    held.release(blocks[600]!)
    const tries = Array.from({ length: 4 }, () => hold(64))
    expect(tries).toEqual([NO_BLOCK, NO_BLOCK, blocks[600], NO_BLOCK])
  })

  it('holds any mixture of packets against a plain list of them', () => {
    let state = 12345
    const random = (bound: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
      return (state >>> 8) % bound
    }
    const { held, hold, isWhole, untouched } = setUp(20_000)
    const live: { block: number; length: number; seed: number }[] = []
    let refused = 0
    for (let step = 0; step < 20_000; step++) {
      if (random(100) < 52) {
        const length = random(10) === 0 ? random(3000) : random(200)
        const block = hold(length, step)
        if (block === NO_BLOCK) refused++
        else live.push({ block, length, seed: step })
      } else if (live.length > 0) {
        const [gone] = live.splice(random(3) === 0 ? random(live.length) : 0, 1)
        expect(isWhole(gone!.block, gone!.length, gone!.seed)).toBe(true)
        held.release(gone!.block)
      }
    }
    for (const { block, length, seed } of live) {
      expect(isWhole(block, length, seed)).toBe(true)
      held.release(block)
    }
    expect(held.used).toBe(0)
    expect(refused).toBeGreaterThan(100)
    expect(untouched()).toBe(true)
  })
})
