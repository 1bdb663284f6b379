import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { native } from '../../src/native.js'
import { thrownBy } from './network.js'
import { naiveSum } from './packets.js'

describe('checksum', () => {
  it('gives the sum of the example in RFC 1071 section 3', () => {
    expect(native().checksum(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7), 0, 8, 0)).toBe(0xddf2)
  })

  it('equals the naive sum, for any alignment, length and initial value', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(70), fc.nat(0xffff), (bytes, offset, initial) => {
        const slab = new Uint8Array(offset + bytes.length + 8).fill(0xa5)
        slab.set(bytes, offset)
        // 0 and 0xffff are the same number in one's complement
        expect(native().checksum(slab, offset, bytes.length, initial) % 0xffff).toBe(naiveSum(bytes, initial) % 0xffff)
      }),
    )
  })

  it('is zero for zeros only, so that a sum of 0xffff stays one', () => {
    expect(native().checksum(new Uint8Array(64), 0, 64, 0)).toBe(0)
    expect(native().checksum(Uint8Array.of(0xff, 0xff), 0, 2, 0)).toBe(0xffff)
    expect(native().checksum(new Uint8Array(0), 0, 0, 0x1234)).toBe(0x1234)
  })

  it('carries over 64 KiB of ones', () => {
    const slab = new Uint8Array(65535 + 3).fill(0xff)
    expect(native().checksum(slab, 1, 65535, 0)).toBe(0xff00)
    expect(native().checksum(slab, 3, 65535, 0xffff)).toBe(0xff00)
  })

  it('refuses ranges outside the slab', () => {
    const slab = new Uint8Array(100)
    for (const [start, length] of [[-1, 2], [0, 101], [100, 1], [101, 0], [50, -1], [1, 2 ** 40]] as const) {
      expect(thrownBy(() => native().checksum(slab, start, length, 0)).code).toBe('ERR_OUT_OF_RANGE')
    }
    expect(native().checksum(slab, 100, 0, 7)).toBe(7)
  })

  it('refuses what is not a Uint8Array', () => {
    expect(thrownBy(() => native().checksum(new Int32Array(4) as unknown as Uint8Array, 0, 4, 0))).toMatchObject({
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_TYPE',
      message: 'argument "slab" must be a Uint8Array',
    })
  })
})
