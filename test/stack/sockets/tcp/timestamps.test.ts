/** TS-2 and TS-3: timestamps and what old segments are told by (RFC 7323 3 to 5). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { pattern, type Puppet } from './puppet.js'

const DAY = 24 * 3_600_000

describe('timestamps', () => {
  it('TS-2: are offered in SYNs, and answered where they were offered', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    bed.connect(peer)
    expect(peer.syn().options.timestamps?.[1]).toBe(0)
    bed.listen(80)
    expect(bed.puppet({ stackPort: 80 }).open().options.timestamps).toBeUndefined()
    expect(bed.puppet({ stackPort: 80 }).open({ timestamps: [77, 0] }).options.timestamps?.[1]).toBe(77)
  })

  it('TS-2: are in every segment then, but not in resets', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened({ timestamps: true })
    user.write(pattern(5000))
    peer.send('A')
    peer.send('A', { data: 10 })
    peer.send('S', { seq: 100 })
    bed.advance(500)
    user.shutdown()
    peer.send('A')
    const sent = peer.segments()
    expect(sent.length).toBeGreaterThanOrEqual(5)
    expect(sent.every(({ options }) => options.timestamps !== undefined)).toBe(true)
    user.endpoint.abort()
    expect(peer.segment().flags).toMatch(/R/)
  })

  it('TS-2: are in none, when one side has not offered them', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    peer.accept()
    user.write(pattern(2000))
    peer.send('A', { data: 10 })
    bed.advance(500)
    expect(peer.segments().filter(({ options }) => options.timestamps !== undefined)).toEqual([])
  })

  it('TS-2: when they are missing in a segment, it is dropped without a word, and the connection lives', () => {
    const { peer, user } = new Bed().opened({ timestamps: true })
    peer.send('A', { seq: 1, data: 'without', timestamps: false })
    expect(peer.sent()).toEqual([])
    expect(user.takeText()).toBe('')
    peer.send('A', { data: 'with' })
    expect(user.takeText()).toBe('with')
  })

  it('TS-2: a reset needs none', () => {
    const { peer, user } = new Bed().opened({ timestamps: true })
    peer.send('R', { timestamps: false })
    expect(user.events).toEqual(['error ECONNRESET', 'close'])
  })

  it('TS-2: the stack returns what came with the segment that its acknowledgment is about', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened({ timestamps: true })
    const echoed = (): number => {
      bed.advance(500)
      return peer.segments().at(-1)!.options.timestamps![1]
    }
    const base = 2_000_000
    peer.send('A', { data: 10, timestamps: [base, 0] })
    expect(echoed()).toBe(base)
    // Behind a gap: what it has stays what it returns (RFC 7323 4.3 (A)).
    peer.send('A', { seq: 21, data: 10, timestamps: [base + 5, 0] })
    expect(echoed()).toBe(base)
    peer.send('A', { seq: 11, data: 10, timestamps: [base + 9, 0] })
    expect(echoed()).toBe(base + 9)
    expect(user.take().length).toBe(30)
  })

  it('TS-2: of several segments with one acknowledgment, the first one is returned', () => {
    const bed = new Bed()
    const { peer } = bed.opened({ timestamps: true })
    for (let i = 0; i < 40; i++) peer.send('A', { data: 1460, timestamps: [1_500_000 + i, 0] })
    bed.advance(500)
    peer.sent()
    peer.sendAll(['A', { data: 10, timestamps: [2_000_000, 0] }], ['A', { data: 10, timestamps: [2_000_001, 0] }])
    bed.advance(500)
    expect(peer.segment().options.timestamps![1]).toBe(2_000_000)
  })
})

/** A connection whose peer's clock stands at this. */
const at = (bed: Bed, clock: number): { peer: Puppet; takeText: () => string; events: string[] } => {
  bed.listen(80)
  const listening = bed.listen(81)
  const peer = bed.puppet({ stackPort: 81, timestamps: true })
  peer.open({ timestamps: [clock, 0] })
  peer.send('A', { data: 'x', timestamps: [clock >>> 0, 0] })
  bed.advance(500)
  peer.sent()
  const user = listening.accepted[0]!
  user.take()
  return { peer, takeText: () => user.takeText(), events: user.events }
}

describe('a segment with an old timestamp', () => {
  it.each([1000, 0x7fffffff, 0xffffff00])('TS-3: is acknowledged and not taken, when the clock was at %i', (clock) => {
    const { peer, takeText } = at(new Bed(), clock)
    peer.send('A', { seq: 2, data: 'old', timestamps: [(clock - 1) >>> 0, 0] })
    expect(peer.sent()).toEqual(['A 1 ack 2'])
    expect(takeText()).toBe('')
    peer.send('A', { seq: 2, data: 'same', timestamps: [clock, 0] })
    expect(takeText()).toBe('same')
    peer.send('A', { seq: 6, data: 'later', timestamps: [(clock + 1000) >>> 0, 0] })
    expect(takeText()).toBe('later')
  })

  it('TS-3: its acknowledgment does not count either', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened({ timestamps: true })
    user.write('data')
    peer.sent()
    bed.advance(100)
    peer.send('A', { ack: 5, timestamps: [1, 0] })
    expect(user.endpoint.writeLength).toBe(4)
  })

  it('TS-3: a reset with one works', () => {
    const { peer, events } = at(new Bed(), 5000)
    peer.send('R', { timestamps: [1, 0] })
    expect(events).toEqual(['error ECONNRESET', 'close'])
  })

  it('TS-3: is taken after 24 days of silence, not after 23', () => {
    for (const [days, taken] of [[23, ''], [25, 'after days']] as const) {
      const bed = new Bed()
      const { peer, takeText } = at(bed, 5000)
      bed.advance(days * DAY)
      peer.send('A', { seq: 2, data: 'after days', timestamps: [4000, 0] })
      expect(takeText()).toBe(taken)
    }
  })
})

describe('the clock of timestamps', () => {
  /** Timestamp of the stack's SYN from a port, at a time. */
  const stampOf = (port: number, now: number): number => {
    const bed = new Bed({ now })
    const peer = bed.puppet({ port: 80 })
    bed.connect(peer, { localPort: port })
    return peer.syn().options.timestamps![0]
  }

  it('TS-3: ticks once a millisecond, or as slowly as once a second, and never goes back', () => {
    const first = stampOf(4000, 1_000_000)
    const step = (stampOf(4000, 1_060_000) - first) | 0
    expect(step).toBeGreaterThanOrEqual(60)
    expect(step).toBeLessThanOrEqual(60_000)
    const bed = new Bed()
    const { peer, user } = bed.opened({ timestamps: true })
    let before = 0
    for (let i = 0; i < 50; i++) {
      bed.advance(7)
      user.endpoint.setNoDelay(true)
      user.write('x')
      const stamp = peer.segments().at(-1)!.options.timestamps![0] | 0
      if (i > 0) expect((stamp - before) | 0).toBeGreaterThanOrEqual(0)
      before = stamp
      peer.send('A')
    }
  })

  it('TS-3: begins elsewhere for other ends', () => {
    const stamps = Array.from({ length: 32 }, (_, index) => stampOf(4000 + index, 1_000_000))
    expect(new Set(stamps).size).toBe(32)
    const steps = stamps.slice(1).map((stamp, index) => (stamp - stamps[index]!) | 0)
    expect(new Set(steps).size).toBe(31)
  })

  it('TS-3: two hosts behind one address do not disturb each other', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    for (const clock of [3_000_000, 5000, 2_000_000]) {
      const peer = bed.puppet({ stackPort: 80, timestamps: true })
      peer.open({ timestamps: [clock, 0] })
      peer.send('A', { data: 'hello', timestamps: [clock + 1, 0] })
      expect(accepted.at(-1)!.takeText()).toBe('hello')
    }
  })
})
