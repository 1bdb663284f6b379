import { describe, expect, it } from 'vitest'
import { TokenBucket } from '../../src/stack/token-bucket.js'

const count = (bucket: TokenBucket, now: number, tries: number): number => {
  let taken = 0
  for (let n = 0; n < tries; n++) if (bucket.take(now)) taken++
  return taken
}

describe('token bucket', () => {
  it('RTR-4: gives a burst, then its rate', () => {
    const bucket = new TokenBucket(100, 50)
    expect(count(bucket, 5000, 1000)).toBe(50)
    expect(count(bucket, 5000, 1000)).toBe(0)
    expect(count(bucket, 5100, 1000)).toBe(10)
    expect(count(bucket, 5105, 1000)).toBe(0)
    expect(count(bucket, 5110, 1000)).toBe(1)
    expect(count(bucket, 99_000, 1000)).toBe(50)
  })

  it('gives what its rate says over a long time, however often it is asked', () => {
    const bucket = new TokenBucket(7, 1)
    let taken = count(bucket, 1000, 1)
    for (let now = 1000; now < 101_000; now += 3) taken += count(bucket, now, 2)
    expect(taken).toBeGreaterThanOrEqual(690)
    expect(taken).toBeLessThanOrEqual(702)
  })

  it('refuses everything at rate 0', () => {
    expect(count(new TokenBucket(0, 50), 1000, 100)).toBe(0)
  })

  it('takes no harm from a clock that stands still', () => {
    const bucket = new TokenBucket(1000, 2)
    expect(count(bucket, 0, 10)).toBe(2)
    expect(count(bucket, 0, 10)).toBe(0)
  })
})
