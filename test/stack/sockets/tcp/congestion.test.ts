/** CC-1 … CC-4: the congestion window (RFC 5681, 6928, 6582), seen by how much is sent before an acknowledgment comes. */
import { describe, expect, it } from 'vitest'
import { Bed, type BedOptions } from './bed.js'
import { pattern, type Puppet, type PuppetOptions } from './puppet.js'
import type { User } from './user.js'

const MSS = 1000
const RTT = 100

/** A connection with a round trip of 100 ms, over which much is to be sent. */
const sending = (options: PuppetOptions = {}, bedOptions: BedOptions = {}, bytes = 1 << 20): { bed: Bed; peer: Puppet; user: User } => {
  const bed = new Bed({ tcp: { congestion: 'new-reno' }, ...bedOptions })
  const peer = bed.puppet({ mss: MSS, window: 32_768, scale: 7, ...options })
  const user = bed.connect(peer)
  peer.syn()
  bed.advance(RTT)
  peer.send('SA')
  peer.sent()
  user.endpoint.setNoDelay(true)
  if (bytes > 0) user.write(pattern(bytes))
  return { bed, peer, user }
}

/** Numbers of the segments that were sent since, from 0 on. */
const numbers = (peer: Puppet, mss = MSS): number[] => peer.segments().map(({ seq }) => (seq - 1) / mss)

const acknowledge = (peer: Puppet, segments: number): Puppet => peer.send('A', { ack: 1 + segments * MSS })

describe('the initial window', () => {
  for (const [mtu, mss, segments] of [[1500, 536, 10], [1500, 1460, 10], [1500, 1461, 10], [9000, 8960, 2], [4040, 4000, 3]] as const) {
    it(`CC-1: is ${segments} segments of ${mss}`, () => {
      const { peer } = sending({ mss }, { mtu })
      const lengths = peer.segments().map(({ length }) => length)
      expect(lengths).toHaveLength(segments)
      expect(lengths.reduce((sum, length) => sum + length)).toBeLessThanOrEqual(Math.min(10 * mss, Math.max(2 * mss, 14_600)))
    })
  }

  it('CC-1: is one segment when the SYN-ACK was lost', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80, mss: MSS })
    peer.send('S')
    bed.advance(1100)
    expect(peer.sent()).toEqual(['SA 0 ack 1', 'SA 0 ack 1'])
    peer.send('A')
    accepted[0]!.write(pattern(20 * MSS))
    expect(numbers(peer)).toEqual([0])
  })

  it('CC-1: is one segment when the SYN was lost', () => {
    const bed = new Bed()
    const peer = bed.puppet({ mss: MSS })
    const user = bed.connect(peer)
    bed.advance(1100)
    peer.sent()
    peer.send('SA')
    peer.sent()
    user.write(pattern(20 * MSS))
    expect(numbers(peer)).toEqual([0])
  })

  it('CC-1: is that of a connection that said nothing for longer than the timeout', () => {
    const { bed, peer, user } = sending({}, {}, 0)
    let next = 0
    for (let window = 10; window < 100; window *= 2) {
      user.write(pattern(window * MSS))
      expect(numbers(peer)).toHaveLength(window)
      bed.advance(RTT)
      next += window
      acknowledge(peer, next)
    }
    expect(peer.sent()).toEqual([])
    bed.advance(10_000)
    user.write(pattern(100 * MSS))
    expect(numbers(peer)).toHaveLength(10)
  })
})

describe('the window', () => {
  it('CC-2: grows by a segment with each that is acknowledged alone, in slow start', () => {
    const { bed, peer } = sending()
    expect(numbers(peer)).toHaveLength(10)
    bed.advance(RTT)
    for (let i = 1; i <= 10; i++) {
      acknowledge(peer, i)
      expect(numbers(peer)).toHaveLength(2)
    }
  })

  it('CC-2: does not grow faster when acknowledgments are divided', () => {
    const { bed, peer } = sending()
    peer.sent()
    bed.advance(RTT)
    for (let ack = 50; ack <= 10 * MSS; ack += 50) peer.send('A', { ack: 1 + ack })
    expect(numbers(peer)).toHaveLength(20)
  })

  it('CC-2: grows by a segment a round trip above the threshold, also when acknowledgments are divided', () => {
    for (const step of [MSS, 100]) {
      const { bed, peer } = sending()
      peer.sent()
      // A timeout of 10 segments: the threshold is 5.
      bed.advance(400)
      peer.sent()
      acknowledge(peer, 10)
      let end = 10
      const windows: number[] = []
      for (let round = 0; round < 10; round++) {
        const sent = numbers(peer)
        windows.push(sent.length)
        bed.advance(RTT)
        for (let ack = end * MSS + step; ack <= (end + sent.length) * MSS; ack += step) peer.send('A', { ack: 1 + ack })
        end += sent.length
      }
      const grown = windows.slice(-5).map((window, index) => window - windows.at(-6 + index)!)
      expect(Math.max(...grown)).toBeLessThanOrEqual(1)
      expect(windows.at(-1)).toBeGreaterThan(5)
      expect(windows.at(-1)).toBeLessThanOrEqual(16)
    }
  })

  it('CC-3: is one segment after a timeout, and half of what was outstanding is the threshold, once for a segment', () => {
    const { bed, peer } = sending({ window: 16 * MSS, scale: 0 })
    peer.sent()
    // Half of ten is the threshold after the first timeout; it would be two after the second.
    bed.advance(300 + 600 + 50)
    expect(numbers(peer)).toEqual([0, 0])
    const windows: number[] = []
    let next = 10
    bed.advance(RTT)
    acknowledge(peer, 10)
    for (let round = 0; round < 5; round++) {
      const sent = numbers(peer)
      windows.push(sent.length)
      bed.advance(RTT)
      for (let i = 0; i < sent.length; i++) acknowledge(peer, ++next)
    }
    // Slow start up to 5 or 6, then one a round trip.
    expect(windows[0]).toBeGreaterThanOrEqual(2)
    expect(windows.slice(1).every((window) => window >= 5)).toBe(true)
    expect(windows.at(-1)).toBeLessThanOrEqual(11)
  })

  it('CC-3: knows what is outstanding, not what the window would allow', () => {
    const { bed, peer, user } = sending({}, {}, 0)
    user.write(pattern(4 * MSS))
    peer.sent()
    bed.advance(350)
    expect(numbers(peer)).toEqual([0])
    acknowledge(peer, 4)
    user.write(pattern(60 * MSS))
    const windows: number[] = []
    let next = 4
    for (let round = 0; round < 4; round++) {
      const sent = numbers(peer)
      windows.push(sent.length)
      bed.advance(RTT)
      for (let i = 0; i < sent.length; i++) acknowledge(peer, ++next)
    }
    // The threshold is two segments: one more each round trip.
    expect(windows).toEqual([2, 3, 4, 5])
  })

  it('CC-4: lets new segments leave with the first duplicates, sends again with the third, and with each partial acknowledgment', () => {
    const { bed, peer } = sending()
    expect(numbers(peer)).toHaveLength(10)
    bed.advance(RTT)
    // The second and the fourth are lost.
    acknowledge(peer, 1)
    expect(numbers(peer)).toEqual([10, 11])
    acknowledge(peer, 1)
    expect(numbers(peer)).toEqual([12])
    acknowledge(peer, 1)
    expect(numbers(peer)).toEqual([13])
    acknowledge(peer, 1)
    expect(numbers(peer)).toEqual([1])
    for (let i = 0; i < 4; i++) acknowledge(peer, 1)
    const more = numbers(peer)
    expect(more.every((number) => number > 13)).toBe(true)
    bed.advance(RTT)
    acknowledge(peer, 3)
    expect(numbers(peer)[0]).toBe(3)
    bed.advance(RTT)
    acknowledge(peer, 14 + more.length)
    // Eleven were outstanding: five or six may be, and a round trip's growth.
    const after = numbers(peer).length
    expect(after).toBeGreaterThanOrEqual(4)
    expect(after).toBeLessThanOrEqual(7)
  })

  it('CC-4: duplicates of what was sent again after a timeout are no sign of loss', () => {
    const { bed, peer } = sending()
    peer.sent()
    bed.advance(350)
    expect(numbers(peer)).toEqual([0])
    for (let i = 0; i < 5; i++) acknowledge(peer, 0)
    expect(numbers(peer)).toEqual([])
  })
})
