/** TS-1 … TS-3: window scale and timestamps, with PAWS (RFC 7323). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { fillWindow, pattern, type Puppet, type PuppetOptions } from './puppet.js'
import type { User } from './user.js'

const stamped = (options: PuppetOptions = {}): { bed: Bed; peer: Puppet; user: User } => {
  const bed = new Bed()
  return { bed, ...bed.opened({ timestamps: true, ...options }) }
}

describe('the window scale', () => {
  it('TS-1: stands in the SYN, and in the answer to one that has it', () => {
    const bed = new Bed()
    const peer = bed.puppet({ scale: 3 })
    bed.connect(peer)
    expect(peer.segment().options.scale).toBeGreaterThan(0)
    bed.listen(80)
    const with3 = bed.puppet({ stackPort: 80, scale: 3 })
    expect(with3.open().options.scale).toBeLessThanOrEqual(14)
    const without = bed.puppet({ stackPort: 80 })
    expect(without.open().options.scale).toBeUndefined()
    with3.send('A', { data: 1 })
    bed.advance(500)
    expect(with3.segment().options.scale).toBeUndefined()
  })

  it('TS-1: does not count in the window of a SYN, on either side', () => {
    const bed = new Bed()
    bed.listen(80)
    const peer = bed.puppet({ stackPort: 80, scale: 7, window: 5000 })
    const answer = peer.open()
    // As it stands: 64 KiB at most.
    expect(answer.window).toBeGreaterThan(30_000)
    // The SYN-ACK of the other end: 5000 bytes, not 5000 << 7.
    const other = bed.puppet({ scale: 7, mss: 1000 })
    const user = bed.connect(other)
    other.syn()
    user.write(pattern(20_000))
    other.send('SA', { window: 5000 })
    expect(other.segments().at(-1)!.end).toBe(5001)
    other.send('A', { window: 5000 })
    expect(other.segments().at(-1)!.end).toBeGreaterThan(10_001)
  })

  it('TS-1: counts in every other window', () => {
    const bed = new Bed()
    const { peer } = bed.opened({ scale: 7, isReading: false, sack: true })
    const shift = 7
    const room = fillWindow(bed, peer, { size: 1460, shift })
    expect(room).toBeGreaterThan(65_535)
  })

  for (const scale of [14, 15, 255]) {
    it(`TS-1: ${scale} of the peer is 14`, () => {
      const bed = new Bed()
      const peer = bed.puppet({ scale, mss: 1000 })
      const user = bed.connect(peer)
      peer.syn()
      peer.send('SA', { window: 1000 })
      peer.sent()
      user.write(pattern(200_000))
      const outstanding: number[] = []
      for (let round = 0; round < 4; round++) {
        const sent = peer.segments()
        outstanding.push(sent.reduce((sum, { length }) => sum + length, 0))
        bed.advance(10)
        peer.send('A', { window: 1 })
      }
      // 1 << 14 is room for 16 segments of 1000, 1 << 15 would be room for 32.
      expect(outstanding.slice(-2)).toEqual([16_000, 16_000])
    })
  }
})

describe('timestamps', () => {
  it('TS-2: are in every segment but RST when both SYNs had them', () => {
    const { bed, peer, user } = stamped()
    user.write('hello')
    peer.send('A', { data: 'world' })
    bed.advance(500)
    user.shutdown()
    const sent = peer.segments()
    expect(sent.map(({ flags }) => flags)).toContain('FA')
    expect(sent.every(({ options }) => options.timestamps !== undefined)).toBe(true)
    user.endpoint.abort()
    const reset = peer.segments().at(-1)!
    expect([reset.flags.includes('R'), reset.options.timestamps]).toEqual([true, undefined])
  })

  it('TS-2: are in none when one of them had not', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.write('hello')
    expect(peer.segments().every(({ options }) => options.timestamps === undefined)).toBe(true)
    const { peer: other, user: writer } = bed.connected()
    writer.write('hello')
    expect(other.segments().every(({ options }) => options.timestamps === undefined)).toBe(true)
  })

  it('TS-2: a segment without them is dropped without a word, and the connection lives', () => {
    const { bed, peer, user } = stamped()
    peer.send('A', { seq: 1, data: 'lost', timestamps: false })
    bed.advance(1000)
    expect(peer.sent()).toEqual([])
    expect(user.takeText()).toBe('')
    peer.send('A', { data: 'kept' })
    expect(user.takeText()).toBe('kept')
    expect(user.events).toEqual([])
  })

  it('TS-2: return the one of the segment that the last acknowledgment was waiting for, not of later ones', () => {
    const { bed, peer } = stamped()
    const now = bed.now & 0x7fffffff
    const answer = (value: number, seq: number): number => {
      peer.send('A', { seq, data: 1000, timestamps: [now + value, 0] })
      bed.advance(500)
      return peer.segments().at(-1)!.options.timestamps![1] - now
    }
    expect(answer(1000, 1)).toBe(1000)
    // Out of order: the one that was in order last is returned (RFC 7323 4.3, B).
    expect(answer(2000, 2001)).toBe(1000)
    // The hole is filled: that one (C).
    expect(answer(3000, 1001)).toBe(3000)
    expect(answer(4000, 3001)).toBe(4000)
  })

  it('TS-2: return the first of those that one acknowledgment is for', () => {
    const { bed, peer } = stamped()
    for (let i = 0; i < 60; i++) {
      peer.send('A', { data: 1460 })
      bed.advance(10)
    }
    bed.advance(1000)
    peer.sent()
    const now = bed.now & 0x7fffffff
    peer.send('A', { data: 100, timestamps: [now + 1, 0] })
    expect(peer.pending).toBe(0)
    peer.send('A', { data: 2900, timestamps: [now + 5, 0] })
    bed.advance(500)
    expect(peer.segments()[0]!.options.timestamps![1]).toBe(now + 1)
  })

  it('TS-3: an old one makes a segment be answered and dropped, whatever else it says', () => {
    const { bed, peer, user } = stamped()
    const now = bed.now & 0x7fffffff
    peer.send('A', { data: 'abc', timestamps: [now + 100, 0] })
    bed.advance(500)
    peer.sent()
    expect(user.takeText()).toBe('abc')
    peer.send('A', { seq: 4, data: 'old', timestamps: [now + 99, 0] })
    expect(peer.sent()).toEqual(['A 1 ack 4'])
    expect(user.takeText()).toBe('')
    peer.send('A', { seq: 4, data: 'new', timestamps: [now + 100, 0] })
    expect(user.takeText()).toBe('new')
  })

  it('TS-3: an old one in a RST does not count', () => {
    const { bed, peer, user } = stamped()
    const now = bed.now & 0x7fffffff
    peer.send('A', { data: 'abc', timestamps: [now + 100, 0] })
    peer.send('RA', { timestamps: [now - 5000, 0] })
    expect(user.events).toEqual(['error ECONNRESET', 'close'])
  })

  it('TS-3: numbers wrap', () => {
    const { peer, user } = stamped()
    for (const [index, value] of [0x7ffffff0, -0x7fffffff, -5, 3].entries()) peer.send('A', { seq: 1 + index, data: String(index), timestamps: [value >>> 0, 0] })
    expect(user.takeText()).toBe('0123')
  })

  it('TS-3: after 24 days without a segment the last one says nothing', () => {
    for (const [days, accepted] of [[23, false], [25, true]] as const) {
      const { bed, peer, user } = stamped()
      const now = bed.now & 0x7fffffff
      peer.send('A', { data: 'a', timestamps: [now, 0] })
      bed.advance(days * 86_400_000)
      peer.send('A', { data: 'b', timestamps: [(now - 1000) >>> 0, 0] })
      expect(user.takeText()).toBe(accepted ? 'ab' : 'a')
    }
  })

  it('TS-3: tell milliseconds, and never go back', () => {
    const { bed, peer, user } = stamped()
    user.endpoint.setNoDelay(true)
    const values: number[] = []
    for (const pause of [0, 1, 10, 1000, 60_000]) {
      bed.advance(pause)
      user.write('x')
      values.push(peer.segment().options.timestamps![0] | 0)
      peer.send('A')
    }
    expect(values.slice(1).map((value, index) => (value - values[index]!) | 0)).toEqual([1, 10, 1000, 60_000])
  })

  it('TS-3: begin elsewhere for each pair of ends, and go on for the same', () => {
    const bed = new Bed()
    bed.listen(80)
    const first = (port: number): number => {
      const peer = bed.puppet({ stackPort: 80, port, timestamps: true })
      return peer.open().options.timestamps![0]
    }
    const [one, two, three] = [first(6001), first(6002), first(6003)]
    expect(Math.min(Math.abs(one! - two!), Math.abs(two! - three!), Math.abs(one! - three!))).toBeGreaterThan(10_000)
    const again = new Bed({ seed: 9, now: 1_000_500 })
    again.listen(80)
    const peer = again.puppet({ stackPort: 80, port: 6001, timestamps: true })
    expect((peer.open().options.timestamps![0] - one!) | 0).toBe(500)
  })

  it('TS-3: measure the round trip while segments are sent again', () => {
    const bed = new Bed()
    const { peer, user } = bed.connected({ timestamps: true })
    user.endpoint.setNoDelay(true)
    for (let i = 0; i < 30; i++) {
      user.write('x')
      peer.sent()
      bed.advance(400)
      // The echo of what was sent first: the answer took 400 ms each time, though it was sent again meanwhile.
      peer.send('A')
    }
    user.write('y')
    peer.sent()
    const start = bed.now
    while (peer.pending === 0 && bed.now - start < 20_000) bed.advance(1)
    expect(bed.now - start).toBeGreaterThan(100)
    expect(bed.now - start).toBeLessThan(1500)
  })
})
