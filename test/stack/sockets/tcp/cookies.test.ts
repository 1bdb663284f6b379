import { describe, expect, it } from 'vitest'
import { KeyedHash } from '../../../../src/stack/sockets/siphash.js'
import { Cookies, readStamp, type Remembered, writeStamp } from '../../../../src/stack/sockets/tcp/cookies.js'

const hash = new KeyedHash(new Uint8Array(16).fill(9))
const ENDS = [0x0a000002, 5000, 0x0a000001, 80] as const
const NOW = 1_000_000

describe('a cookie', () => {
  it.each([[1, 64], [536, 536], [1459, 1440], [1460, 1460], [9000, 1460]])('remembers an MSS of %i as %i', (mss, remembered) => {
    const cookies = new Cookies(hash)
    expect(cookies.check(NOW, cookies.make(NOW, mss, ...ENDS, 77), ...ENDS, 77)).toBe(remembered)
  })

  it('is good for one to two periods of 64 s', () => {
    const cookies = new Cookies(hash)
    const begin = 64_000 * 100
    const cookie = cookies.make(begin, 1460, ...ENDS, 77)
    expect(cookies.check(begin + 127_999, cookie, ...ENDS, 77)).toBe(1460)
    cookies.make(begin + 128_000, 1460, ...ENDS, 1)
    expect(cookies.check(begin + 128_000, cookie, ...ENDS, 77)).toBe(0)
  })

  it('is good for its ends and number only, and while cookies are in use', () => {
    const cookies = new Cookies(hash)
    const cookie = cookies.make(NOW, 1460, ...ENDS, 77)
    expect(cookies.check(NOW, cookie, ...ENDS, 78)).toBe(0)
    expect(cookies.check(NOW, cookie, 0x0a000003, 5000, 0x0a000001, 80, 77)).toBe(0)
    expect(cookies.check(NOW, cookie, 0x0a000002, 5001, 0x0a000001, 80, 77)).toBe(0)
    expect(cookies.check(NOW, cookie ^ 1, ...ENDS, 77)).toBe(0)
    expect(new Cookies(hash).check(NOW, cookie, ...ENDS, 77)).toBe(0)
  })
})

describe('a timestamp', () => {
  it.each([[-1, false], [0, true], [7, true], [14, false]])('remembers window scale %i and SACK %s, and is not later than now', (scale, sack) => {
    for (const now of [0, 1, 31, 32, 0x7fffffff, -0x80000000, -1, 123_456_789]) {
      const stamp = writeStamp(now, scale, sack)
      const read: Remembered = { mss: 0, scale: 0, sack: false }
      readStamp(stamp, read)
      expect(read).toMatchObject({ scale, sack })
      expect((now - stamp) | 0).toBeGreaterThanOrEqual(0)
      expect((now - stamp) | 0).toBeLessThan(64)
    }
  })
})
