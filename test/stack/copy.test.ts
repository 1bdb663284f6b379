import { describe, expect, it } from 'vitest'
import { native } from '../../src/native.js'
import { copyBytes } from '../../src/stack/copy.js'

const SIZE = 70_000

const filled = (bytes: Uint8Array): Uint8Array => {
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7) ^ (i >>> 8)
  return bytes
}

describe('copyBytes', () => {
  const own = (): Uint8Array => new Uint8Array(SIZE)
  const shared = (): Uint8Array => new Uint8Array(new SharedArrayBuffer(SIZE))
  const view = (): Uint8Array => new Uint8Array(new SharedArrayBuffer(SIZE + 100), 52, SIZE)

  it.each([['own to shared', own, shared], ['shared to own', shared, own], ['shared to shared', view, shared], ['own to a view', own, view]] as const)(
    'copies what is asked for, and nothing else: %s memory, of any length and alignment', (_, makeSource, makeTarget) => {
      for (const [from, length, at] of [[0, 0, 0], [3, 1, 8], [1, 511, 6], [52, 512, 0], [52, 65_160, 3], [0, SIZE, 0], [SIZE, 0, SIZE]] as const) {
        const source = filled(makeSource())
        const target = makeTarget().fill(0xee)
        copyBytes(source, from, length, target, at)
        const expected = new Uint8Array(SIZE).fill(0xee)
        expected.set(source.slice(from, from + length), at)
        expect(Buffer.compare(target, expected)).toBe(0)
      }
    })

  it('refuses what does not lie inside', () => {
    for (const [from, length, at] of [[SIZE - 511, 512, 0], [0, 512, SIZE - 511], [-1, 512, 0], [0, 512, -1], [0, SIZE + 1, 0]] as const) {
      expect(() => copyBytes(own(), from, length, own(), at)).toThrow(RangeError)
    }
    expect(() => native().copy(own(), 0, -1, own(), 0)).toThrow(RangeError)
  })
})
