import { expect, it } from 'vitest'
import { KeyedHash } from '../../../src/stack/sockets/siphash.js'

const counting = Uint8Array.from({ length: 16 }, (_, index) => index)

it('is SipHash-2-4: the reference vector of sixteen bytes', () => {
  expect(new KeyedHash(counting).of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c) >>> 0).toBe(0x57c29bdb)
})

it('depends on the secret and on each word', () => {
  const hash = new KeyedHash(counting)
  const base = hash.of(1, 2, 3, 4)
  const others = [hash.of(2, 2, 3, 4), hash.of(1, 3, 3, 4), hash.of(1, 2, 4, 4), hash.of(1, 2, 3, 5), new KeyedHash(counting.map((byte) => byte + 1)).of(1, 2, 3, 4)]
  expect(new Set([base, ...others]).size).toBe(6)
  expect(hash.of(1, 2, 3, 4)).toBe(base)
})
