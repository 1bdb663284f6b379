import { describe, expect, it } from 'vitest'
import { MSS, Sender } from './sender.js'

describe('Recovery: SACK', () => {
  it('SACK-3: two losses of a window are repaired in one round trip, sent again once each, and the window halves once', () => {
    const sender = new Sender()
    sender.send()
    sender.limit = 40
    sender.now += 100
    sender.acknowledge(2)
    sender.send()
    for (let top = 4; top <= 6; top++) sender.acknowledge(2, [[3, top]])
    expect(sender.recovery.ssthresh).toBe(6 * MSS)
    expect(sender.send()[0]).toBe(2)
    sender.acknowledge(2, [[7, 8], [3, 6]])
    sender.acknowledge(2, [[7, 9], [3, 6]])
    sender.acknowledge(2, [[7, 10], [3, 6]])
    expect(sender.send()[0]).toBe(6)
    sender.now += 100
    sender.acknowledge(sender.next)
    // Half of twelve, and the growth of a round trip.
    expect(sender.recovery.ssthresh).toBe(6 * MSS)
    expect(sender.recovery.cwnd).toBeLessThanOrEqual(7 * MSS)
    expect(sender.left.filter((each) => each === 2)).toHaveLength(2)
    expect(sender.left.filter((each) => each === 6)).toHaveLength(2)
  })

  it('SACK-3: fewer than three segments above it do not make a segment lost at once', () => {
    const sender = new Sender()
    sender.send()
    sender.now += 100
    sender.acknowledge(0, [[1, 2]])
    sender.acknowledge(0, [[1, 3]])
    expect(sender.recovery.ssthresh).toBe(Infinity)
    expect(sender.send()).toEqual([10, 11])
  })

  it('RACK-1: waits a quarter of the round trip for what may only be out of order', () => {
    const sender = new Sender()
    sender.send()
    sender.now += 100
    sender.acknowledge(0, [[1, 2]])
    expect(sender.recovery.timer).toBe(200 + 25)
    sender.now += 20
    sender.acknowledge(2)
    expect(sender.recovery.timer).toBeGreaterThan(300)
    expect(sender.recovery.ssthresh).toBe(Infinity)
    // The order has been seen to change: three segments above are no proof any more.
    sender.send()
    sender.now += 100
    for (let top = 5; top <= 8; top++) sender.acknowledge(3, [[4, top]])
    expect(sender.recovery.ssthresh).toBe(Infinity)
    expect(sender.expire()).toBe('lost')
    expect(sender.send()[0]).toBe(3)
  })

  it('RACK-1: finds a lost retransmission without a timeout', () => {
    const sender = new Sender()
    sender.send()
    sender.limit = 40
    sender.now += 100
    for (let top = 2; top <= 10; top++) {
      sender.acknowledge(0, [[1, top]])
      sender.send()
    }
    const sent = sender.next
    expect(sent).toBeGreaterThan(10)
    expect(sender.left.filter((each) => each === 0)).toHaveLength(2)
    sender.now += 100
    sender.acknowledge(0, [[1, sent]])
    expect(sender.send()[0]).toBe(0)
    expect(sender.recovery.retries).toBe(0)
  })

  it('RACK-2: probes the tail after two round trips, once, and then waits for the timeout', () => {
    const sender = new Sender()
    sender.limit = 4
    sender.send()
    expect(sender.recovery.timer).toBe(100 + 202)
    expect(sender.expire()).toBe('probe')
    const range = { start: 0, end: 0 }
    sender.recovery.lastSegment(range)
    expect(((range.end - range.start) | 0)).toBe(MSS)
    sender.recovery.resent(range.start, range.end, sender.now)
    expect(sender.recovery.timer).toBe(sender.now + 300)
    expect(sender.expire()).toBe('rto')
  })

  it('RACK-2: gives the other end time to acknowledge a single segment, and does not wait longer than the timeout', () => {
    const sender = new Sender()
    sender.send(1)
    expect(sender.recovery.timer).toBe(Math.min(100 + 402, 100 + 300))
    const slow = new Sender({ minRto: 1000 })
    slow.send(1)
    expect(slow.recovery.timer).toBe(100 + 402)
    expect(slow.expire()).toBe('probe')
  })

  it('RACK-2: a probe that repairs a loss lets the window shrink, one that was not needed does not', () => {
    const probed = (duplicate: boolean) => {
      const sender = new Sender()
      sender.limit = 8
      sender.send()
      sender.now += 100
      sender.acknowledge(7)
      const before = sender.recovery.cwnd
      expect(sender.expire()).toBe('probe')
      const range = { start: 0, end: 0 }
      sender.recovery.lastSegment(range)
      sender.recovery.resent(range.start, range.end, sender.now)
      sender.now += 100
      sender.acknowledge(8, duplicate ? [[7, 8]] : [])
      sender.limit = 9
      sender.send()
      sender.now += 100
      sender.acknowledge(9)
      return sender.recovery.cwnd < before
    }
    expect([probed(true), probed(false)]).toEqual([false, true])
  })

  it('SACK-2: sends what was reported again when it was thrown away', () => {
    const sender = new Sender()
    sender.limit = 6
    sender.send()
    sender.now += 100
    for (let top = 2; top <= 6; top++) sender.acknowledge(0, [[1, top]])
    expect(sender.send()).toEqual([0])
    sender.now += 100
    sender.acknowledge(1)
    const left: number[] = []
    for (let una = 2; una <= 7; una++) {
      left.push(...sender.send())
      sender.now += 100
      sender.acknowledge(Math.min(una, 6))
    }
    expect(left).toEqual([1, 2, 3, 4, 5])
    expect(sender.recovery.flight).toBe(0)
  })

  it('SACK-2: forgets what was reported at the second timeout in a row', () => {
    const sender = new Sender()
    sender.limit = 4
    sender.send()
    sender.now += 100
    sender.acknowledge(0, [[3, 4]])
    while (sender.expire() !== 'rto') sender.send()
    sender.send()
    while (sender.expire() !== 'rto') sender.send()
    const range = { start: 0, end: 0 }
    expect(sender.recovery.nextLost(range)).toBe(true)
    expect((range.end - range.start) | 0).toBe(4 * MSS)
  })

  it('takes a reduction back when all that was sent again had arrived already (RFC 3708)', () => {
    const sender = new Sender()
    sender.send()
    sender.limit = 12
    sender.now += 100
    for (let top = 2; top <= 5; top++) sender.acknowledge(0, [[1, top]])
    expect(sender.send()[0]).toBe(0)
    expect(sender.recovery.ssthresh).toBe(5 * MSS)
    sender.acknowledge(8)
    sender.now += 100
    sender.acknowledge(10, [[0, 1]])
    expect([sender.recovery.ssthresh, sender.recovery.cwnd >= 10 * MSS]).toEqual([Infinity, true])
  })

  it('takes a timeout back when the first acknowledgement after it is of the first transmission (RFC 3522)', () => {
    const sender = new Sender({ timestamps: true })
    sender.send()
    sender.limit = 10
    while (sender.expire() !== 'rto') {
      const range = { start: 0, end: 0 }
      sender.recovery.lastSegment(range)
      sender.recovery.resent(range.start, range.end, sender.now)
    }
    expect(sender.send()).toEqual([0])
    expect(sender.recovery.cwnd).toBe(MSS)
    sender.now += 10
    sender.acknowledge(3, [], sender.now - 100)
    expect(sender.recovery.cwnd).toBeGreaterThanOrEqual(10 * MSS)
    expect(sender.recovery.ssthresh).toBe(Infinity)
    expect(sender.recovery.nextLost({ start: 0, end: 0 })).toBe(false)
  })

  it('ignores blocks that make no sense', () => {
    const sender = new Sender()
    sender.send()
    sender.now += 100
    sender.acknowledge(2, [[4, 4], [5, 4], [1, 2], [8, 20]])
    sender.acknowledge(2, [[2, 5], [0, 3], [-5, 40], [11, 12]])
    expect([sender.recovery.flight, sender.recovery.nextLost({ start: 0, end: 0 })]).toEqual([8 * MSS, false])
  })
})
