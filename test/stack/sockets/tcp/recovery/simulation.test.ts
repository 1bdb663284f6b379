import { describe, expect, it } from 'vitest'
import { transfer, type Path } from './simulation.js'

const MSS = 1448
const BYTES = 1_500_000

/** Sums over some seeds. */
const several = (path: Omit<Path, 'bytes' | 'seed'>, seeds = 6) => {
  const total = { time: 0, resent: 0, lost: 0, timeouts: 0 }
  for (let seed = 1; seed <= seeds; seed++) {
    const outcome = transfer({ bytes: BYTES, seed, ...path })
    total.time += outcome.time
    total.resent += outcome.resent / MSS
    total.lost += outcome.lost
    total.timeouts += outcome.timeouts
  }
  return { ...total, goodput: (BYTES * seeds * 8) / total.time / 1000 }
}

/** Megabits a second that a window of AIMD with halving gives at a loss, without timeouts: sqrt(3/2) / sqrt(p) segments a round trip. */
const model = (loss: number, rtt: number) => (Math.sqrt(1.5 / loss) * MSS * 8) / rtt / 1000

describe('a transfer', () => {
  it('without loss doubles its window each round trip, and sends nothing twice', () => {
    const { time, resent, timeouts } = several({})
    expect([resent, timeouts]).toEqual([0, 0])
    // 14 480 bytes doubled 7 times are more than all; one round trip for the SYN, two for delayed acknowledgements.
    expect(time / 6).toBeLessThan(10 * 100)
  })

  for (const congestion of ['cubic', 'new-reno'] as const) {
    it(`SACK-3: ${congestion} sends again what is lost, and hardly more, and times out hardly ever, at 1 % and 5 % loss`, () => {
      const one = several({ loss: 0.01, congestion })
      expect(one.resent).toBeLessThanOrEqual(one.lost * 1.05 + 2)
      expect(one.timeouts).toBe(0)
      expect(one.goodput).toBeGreaterThan(0.9 * model(0.01, 100))
      const five = several({ loss: 0.05, congestion })
      expect(five.resent).toBeLessThanOrEqual(five.lost * 1.05 + 2)
      expect(five.timeouts).toBeLessThanOrEqual(6)
      expect(five.goodput).toBeGreaterThan(0.75 * model(0.05, 100))
    })

    it(`${congestion} comes to its end without SACK and timestamps too`, () => {
      for (const loss of [0.01, 0.05]) {
        const outcome = several({ loss, sack: false, timestamps: false, congestion }, 4)
        expect(outcome.goodput).toBeGreaterThan(0.6 * model(loss, 100))
        expect(outcome.resent).toBeLessThan(4 * outcome.lost)
      }
    })
  }

  it('is not slowed down much when acknowledgements are lost', () => {
    const { goodput, resent, lost } = several({ loss: 0.01, ackLoss: 0.05 })
    expect(goodput).toBeGreaterThan(0.8 * model(0.01, 100))
    expect(resent).toBeLessThanOrEqual(lost * 1.1 + 6)
  })

  it('RACK-1, RACK-2: learns that the path changes the order, and sends next to nothing again because of it', () => {
    const { resent, timeouts, goodput } = several({ late: 0.2, jitter: 20 })
    expect(resent).toBeLessThan(6 * 30)
    expect(timeouts).toBe(0)
    expect(goodput).toBeGreaterThan(4)
  })

  it('SACK-2: comes to its end when the other end throws away what it had reported', () => {
    for (const loss of [0.01, 0.05]) expect(several({ loss, renege: 0.02 }, 4).goodput).toBeGreaterThan(0.2)
  })

  it('with superpackets sends single segments of them again', () => {
    const { resent, lost, timeouts } = several({ loss: 0.01, superpacket: 44, every: 44 })
    expect(resent).toBeLessThanOrEqual(lost * 1.1 + 6)
    expect(timeouts).toBeLessThanOrEqual(1)
  })

  it('never stalls: any mixture of what can go wrong', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const bit = (n: number) => (seed >> n) & 1
      const outcome = transfer({
        bytes: 300_000, seed, loss: [0.02, 0.15][bit(0)]!, ackLoss: 0.2 * bit(1), late: 0.2 * bit(2), jitter: 80, renege: 0.02 * bit(3),
        sack: bit(4) === 0, timestamps: bit(5) === 0, congestion: seed % 3 === 0 ? 'new-reno' : 'cubic', window: seed % 5 === 0 ? 10_000 : 1 << 20,
        superpacket: 1 + (seed % 7), delay: seed % 4 === 0 ? 0.2 : 30, initial: seed * 0x3fffff7,
      })
      expect(outcome.resent).toBeLessThan(6 * 300_000)
    }
  })
})
