import { describe, expect, it } from 'vitest'
import { Recovery, type RecoveryOptions } from '../../../../../src/stack/sockets/tcp/recovery/recovery.js'

const MSS = 1000
const ISS = 0x7ffffff0

/** A sender in segments of MSS, numbered from 0 on. */
class Sender {
  readonly recovery: Recovery
  now = 0
  next = 0
  /** Numbers of segments that left, lost ones sent again included. */
  left: number[] = []
  /** Sends new data as far as there is room; else only what is asked for. */
  limit = Infinity

  constructor(options: Partial<RecoveryOptions> = {}, rtt = 100) {
    this.recovery = new Recovery({
      mss: MSS, sack: true, timestamps: false, initialSequence: ISS, congestion: 'new-reno', minRto: 200, initialRto: 1000, ...options,
    })
    this.recovery.sent(ISS, this.#seq(0), this.now)
    if (rtt < 0) return
    this.now = rtt
    this.acknowledge(0)
  }

  /** Sends what may be sent, and says which segments that were. */
  send(count = Infinity): number[] {
    const range = { start: 0, end: 0 }
    const { recovery } = this
    const left: number[] = []
    while (left.length < count) {
      if (recovery.room < MSS) break
      if (recovery.nextLost(range)) {
        recovery.resent(range.start, (range.start + MSS) | 0, this.now)
        left.push(((range.start - this.#seq(0)) | 0) / MSS)
      } else if (this.next < this.limit) {
        recovery.sent(this.#seq(this.next), this.#seq(this.next + 1), this.now)
        left.push(this.next++)
      } else break
    }
    this.left.push(...left)
    return left
  }

  /** @param una segments that are acknowledged  @param blocks pairs of segments, the second not included */
  acknowledge(una: number, blocks: [number, number][] = [], rtt = -1): number {
    const sacks = new Int32Array(8)
    for (const [i, [left, right]] of blocks.entries()) sacks.set([this.#seq(left), this.#seq(right)], 2 * i)
    const duplicate = this.#una === una
    this.#una = Math.max(this.#una, una)
    this.recovery.acknowledged(this.#seq(una), sacks, blocks.length, rtt, duplicate && this.recovery.flight > 0, this.now)
    return this.recovery.cwnd / MSS
  }

  /** Lets the time of the timer come. */
  expire() {
    this.now = this.recovery.timer
    return this.recovery.expired(this.now)
  }

  #una = -1
  #seq(segment: number): number {
    return (ISS + 1 + segment * MSS) | 0
  }
}

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
