import { describe, expect, it } from 'vitest'
import { Rtt } from '../../../../../src/stack/sockets/tcp/recovery/rtt.js'

/** One sample a round trip. */
const rounds = (rtt: Rtt, samples: number[]) => samples.map((sample, i) => {
  rtt.sample(sample, i * 1000 + 1, (i + 1) * 1000, i * 5000)
  return [rtt.srtt, rtt.rttvar, rtt.rto]
})

describe('Rtt', () => {
  it('RTO-1: follows RFC 6298 2, number by number', () => {
    const rtt = new Rtt(10, 1000)
    expect(rtt.rto).toBe(1000)
    // SRTT = R, RTTVAR = R/2; then RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R| with the old SRTT, SRTT = 7/8 SRTT + 1/8 R.
    expect(rounds(rtt, [500, 600, 400, 400, 2000])).toEqual([
      [500, 250, 1500],
      [512.5, 212.5, 1362.5],
      [498.4375, 187.5, 1248.4375],
      [486.1328125, 165.234375, 1147.0703125],
      [675.3662109375, 502.392578125, 2684.9365234375],
    ])
  })

  it('RTO-1: puts the minimum in the place of the clock\'s granularity', () => {
    const rtt = new Rtt(200, 1000)
    rounds(rtt, new Array<number>(60).fill(100))
    expect(rtt.rto).toBe(300)
    const slow = new Rtt(1000, 1000)
    rounds(slow, [20])
    expect(slow.rto).toBe(1020)
  })

  it('RTO-2: doubles up to two minutes, and is as before with the next sample', () => {
    const rtt = new Rtt(200, 1000)
    const timeouts = Array.from({ length: 9 }, () => {
      rtt.backOff()
      return rtt.rto
    })
    expect(timeouts).toEqual([2000, 4000, 8000, 16_000, 32_000, 64_000, 120_000, 120_000, 120_000])
    rounds(rtt, [400])
    expect(rtt.rto).toBe(1200)
  })

  it('lets the variance fall once a round trip, however many samples there are', () => {
    const rtt = new Rtt(10, 1000)
    rtt.sample(400, 1, 1000, 0)
    for (let una = 2; una <= 1000; una += 10) rtt.sample(400, una, 2000, una)
    expect(rtt.rttvar).toBe(200)
    rtt.sample(400, 1001, 3000, 1100)
    expect(rtt.rttvar).toBe(150)
    rtt.sample(1400, 1002, 3000, 1101)
    expect(rtt.rttvar).toBe(362.5)
  })

  it('forgets the least round-trip time after two minutes at most', () => {
    const rtt = new Rtt(200, 1000)
    for (let now = 0; now <= 200_000; now += 1000) {
      rtt.sample(now < 30_000 ? 10 : 50, 0, 1, now)
      if (now < 60_000) expect(rtt.minimum).toBe(10)
    }
    expect(rtt.minimum).toBe(50)
  })
})
