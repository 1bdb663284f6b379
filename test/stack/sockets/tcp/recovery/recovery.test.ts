import { describe, expect, it } from 'vitest'
import { Recovery } from '../../../../../src/stack/sockets/tcp/recovery/recovery.js'
import { ISS, MSS, Sender } from './sender.js'

/** Reno without SACK. */
const withoutSack = { sack: false }

describe('Recovery: the timer', () => {
  it('RTO-1: has the timeout of RFC 6298 2.2 after the first sample', () => {
    const sender = new Sender({}, 500)
    expect([sender.recovery.srtt, sender.recovery.rto]).toEqual([500, 1500])
  })

  it('RTO-2: a lost SYN is sent again after 1, 2, 4 s; data begins with 3 s and one segment then', () => {
    const sender = new Sender({ timestamps: true }, -1)
    const times = [0, 1, 2].map(() => {
      expect(sender.expire()).toBe('rto')
      const range = { start: 0, end: 0 }
      expect(sender.recovery.nextLost(range)).toBe(true)
      expect([range.start, range.end]).toEqual([ISS, (ISS + 1) | 0])
      sender.recovery.resent(range.start, range.end, sender.now)
      return sender.now
    })
    expect(times).toEqual([1000, 3000, 7000])
    sender.now += 50
    sender.acknowledge(0, [], 50)
    expect(sender.recovery.timer).toBe(Infinity)
    expect(sender.send()).toEqual([0])
    expect(sender.recovery.timer).toBe(sender.now + 3000)
    sender.now += 100
    sender.acknowledge(1)
    expect(sender.recovery.rto).toBeLessThan(1000)
  })

  it('RTO-3: takes no sample of what was sent twice (Karn), doubles, begins anew with each acknowledgement, stops when all is acknowledged', () => {
    const sender = new Sender(withoutSack, 100)
    expect(sender.send(2)).toEqual([0, 1])
    expect(sender.recovery.timer).toBe(100 + 300)
    expect(sender.expire()).toBe('rto')
    expect(sender.send()).toEqual([0])
    expect([sender.recovery.rto, sender.recovery.retries]).toEqual([600, 1])
    expect(sender.recovery.timer).toBe(sender.now + 600)
    sender.now += 500
    sender.acknowledge(1)
    expect([sender.recovery.srtt, sender.recovery.rto, sender.recovery.retries]).toEqual([100, 600, 0])
    expect(sender.recovery.timer).toBe(sender.now + 600)
    sender.limit = 2
    expect(sender.send()).toEqual([1])
    sender.now += 90
    sender.acknowledge(2)
    expect([sender.recovery.srtt, sender.recovery.timer]).toEqual([100, Infinity])
  })

  it('RTO-3: with timestamps takes a sample of what was sent twice', () => {
    const sender = new Sender({ ...withoutSack, timestamps: true }, 100)
    sender.send(1)
    sender.expire()
    sender.send()
    sender.now += 180
    sender.acknowledge(1, [], 180)
    expect(sender.recovery.srtt).toBe(110)
  })
})

describe('Recovery: the window', () => {
  it('CC-1: begins with ten segments, or 14 600 bytes, or two segments', () => {
    const window = (mss: number) => new Recovery({
      mss, sack: true, timestamps: true, initialSequence: 1, congestion: 'cubic', minRto: 200, initialRto: 1000,
    }).cwnd
    expect([536, 1460, 1461, 5000, 9000].map(window)).toEqual([5360, 14_600, 14_600, 14_600, 18_000])
  })

  it('CC-1: after a pause longer than the timeout begins with the initial window again, and knows its threshold', () => {
    const sender = new Sender()
    sender.send()
    sender.now += 100
    for (let i = 1; i <= 10; i++) {
      sender.acknowledge(i)
      sender.send()
    }
    sender.limit = sender.next
    sender.now += 100
    expect(sender.acknowledge(30)).toBe(40)
    sender.recovery.idle(sender.now + 200)
    expect(sender.recovery.cwnd).toBe(40 * MSS)
    sender.recovery.idle(sender.now + 10_000)
    expect(sender.recovery.cwnd).toBe(10 * MSS)
    expect(sender.recovery.ssthresh).toBe(Infinity)
  })

  it('CC-2: acknowledgements of parts of segments let it grow no more than those of whole ones', () => {
    const grown = (parts: number) => {
      const recovery = new Recovery({ mss: MSS, sack: true, timestamps: false, initialSequence: -1, congestion: 'new-reno', minRto: 200, initialRto: 1000 })
      recovery.sent(-1, 0, 0)
      recovery.acknowledged(0, new Int32Array(8), 0, -1, false, 100)
      recovery.sent(0, 10 * MSS, 100)
      for (let i = 1; i <= 10 * parts; i++) recovery.acknowledged((i * MSS) / parts, new Int32Array(8), 0, -1, false, 200)
      return recovery.cwnd
    }
    expect([grown(1), grown(100)]).toEqual([20 * MSS, 20 * MSS])
  })

  it('does not let a window grow that is not used', () => {
    const sender = new Sender()
    for (let i = 1; i <= 30; i++) {
      sender.send(1)
      sender.now += 100
      sender.acknowledge(i)
    }
    expect(sender.recovery.cwnd).toBe(10 * MSS)
  })

  it('CC-3: a timeout halves what was outstanding, once for a segment, and leaves one segment', () => {
    const sender = new Sender(withoutSack)
    sender.send(8)
    expect(sender.expire()).toBe('rto')
    expect([sender.recovery.ssthresh, sender.recovery.cwnd]).toEqual([4 * MSS, MSS])
    expect(sender.send()).toEqual([0])
    expect(sender.expire()).toBe('rto')
    expect([sender.recovery.ssthresh, sender.recovery.cwnd, sender.recovery.retries]).toEqual([4 * MSS, MSS, 2])
    expect(sender.send()).toEqual([0])
    sender.now += 100
    sender.limit = 8
    sender.acknowledge(1)
    expect(sender.send()).toEqual([1, 2])
  })

  it('CC-4: without SACK sends new data for two duplicates, what is lost with the third, and with each partial acknowledgement', () => {
    const sender = new Sender(withoutSack)
    sender.limit = 40
    expect(sender.send()).toHaveLength(10)
    // 1 and 3 are lost (counted from 0).
    sender.now += 100
    sender.acknowledge(1)
    expect(sender.send()).toEqual([10, 11])
    sender.acknowledge(1)
    expect(sender.send()).toEqual([12])
    sender.acknowledge(1)
    expect(sender.send()).toEqual([13])
    sender.acknowledge(1)
    expect(sender.send()[0]).toBe(1)
    expect(sender.recovery.ssthresh).toBe(5.5 * MSS)
    for (let i = 0; i < 4; i++) {
      sender.acknowledge(1)
      sender.send()
    }
    expect(sender.left.filter((each) => each === 3)).toHaveLength(1)
    sender.now += 100
    sender.acknowledge(3)
    expect(sender.send()[0]).toBe(3)
    sender.now += 100
    sender.acknowledge(sender.next)
    expect(sender.recovery.ssthresh).toBe(5.5 * MSS)
    expect(sender.recovery.cwnd).toBeLessThanOrEqual(7 * MSS)
    expect(sender.left.filter((each) => each === 2)).toHaveLength(1)
  })
})
