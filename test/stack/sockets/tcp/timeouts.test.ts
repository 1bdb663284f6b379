/** RTO-1 … RTO-3: the retransmission timer (RFC 6298), as a peer without SACK sees it: nothing but the timer sends again what is lost. */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import type { Puppet } from './puppet.js'
import type { User } from './user.js'

/** A connection whose handshake took `rtt` milliseconds. */
const connected = (bed: Bed, rtt: number, timestamps = false): { peer: Puppet; user: User } => {
  const peer = bed.puppet({ timestamps })
  const user = bed.connect(peer)
  peer.syn()
  bed.advance(rtt)
  peer.send('SA')
  peer.sent()
  user.endpoint.setNoDelay(true)
  return { peer, user }
}

/** Times of what was sent since, from now on. */
const times = (bed: Bed, peer: Puppet, milliseconds: number): number[] => {
  const start = bed.now
  bed.advance(milliseconds)
  return peer.timeline(start).map(([time]) => time)
}

/** Sends one segment that is acknowledged after `rtt`. */
const exchange = (bed: Bed, peer: Puppet, user: User, rtt: number): void => {
  user.write('x')
  expect(peer.pending).toBe(1)
  bed.advance(rtt)
  peer.send('A')
  expect(peer.sent()).toHaveLength(1)
}

/** The time from a segment to the next of the same. */
const timeout = (bed: Bed, peer: Puppet, user: User): number => {
  user.write('y')
  peer.sent()
  const start = bed.now
  while (peer.pending === 0) bed.advance(1)
  const [[time]] = peer.timeline(start) as [[number, string]]
  peer.send('A')
  return time
}

describe('the retransmission timer', () => {
  it('RTO-1: is SRTT and four times RTTVAR after each sample of a round trip', () => {
    const samples = [800, 1400, 600, 600, 1900]
    for (let count = 1; count <= samples.length; count++) {
      const bed = new Bed()
      const { peer, user } = connected(bed, samples[0]!)
      let [srtt, rttvar] = [samples[0]!, samples[0]! / 2]
      for (const sample of samples.slice(1, count)) {
        exchange(bed, peer, user, sample)
        rttvar = (3 / 4) * rttvar + (1 / 4) * Math.abs(srtt - sample)
        srtt = (7 / 8) * srtt + (1 / 8) * sample
      }
      const expected = srtt + 4 * rttvar
      const measured = timeout(bed, peer, user)
      expect(measured).toBeGreaterThanOrEqual(expected - 1)
      expect(measured).toBeLessThanOrEqual(expected + 2)
    }
  })

  it('RTO-2: begins with a second', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    bed.connect(peer)
    const start = bed.now
    bed.advance(20_000)
    expect(peer.timeline(start)).toEqual([[0, 'S 0'], [1000, 'S 0'], [3000, 'S 0'], [7000, 'S 0'], [15_000, 'S 0']])
  })

  it('RTO-2: is never shorter than the minimum, which can be that of the RFC', () => {
    const bed = new Bed()
    const short = connected(bed, 0)
    expect(timeout(bed, short.peer, short.user)).toBeGreaterThanOrEqual(200)
    const slow = new Bed({ tcp: { minRto: 1000 } })
    const { peer, user } = connected(slow, 0)
    expect(timeout(slow, peer, user)).toBeGreaterThanOrEqual(1000)
  })

  it('RTO-2: is a minute or more at most', () => {
    const bed = new Bed()
    const { peer, user } = connected(bed, 100)
    user.write('x')
    const all = times(bed, peer, 800_000)
    const gaps = all.slice(1).map((time, index) => time - all[index]!)
    expect(gaps.slice(0, 4)).toEqual([300, 600, 1200, 2400])
    expect(Math.max(...gaps)).toBeGreaterThanOrEqual(60_000)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(120_000)
    expect(gaps.at(-1)).toBe(Math.max(...gaps))
  })

  for (const timestamps of [false, true]) {
    it(`RTO-2: is three seconds for the first data when the SYN was lost${timestamps ? ', with timestamps, too' : ''}`, () => {
      const bed = new Bed()
      const peer = bed.puppet({ timestamps })
      const user = bed.connect(peer)
      bed.advance(1100)
      expect(peer.sent()).toEqual(['S 0', 'S 0'])
      peer.send('SA')
      expect(peer.sent()).toEqual(['A 1 ack 1'])
      user.write('x')
      expect(times(bed, peer, 10_000)).toEqual([0, 3000, 9000])
      // The other end has been measured, once something that was sent once has come back.
      peer.send('A')
      if (!timestamps) exchange(bed, peer, user, 50)
      expect(timeout(bed, peer, user)).toBeLessThan(timestamps ? 30_000 : 500)
    })
  }

  it('RTO-2: is three seconds for the first data when the SYN-ACK was lost', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S')
    bed.advance(1100)
    expect(peer.sent()).toEqual(['SA 0 ack 1', 'SA 0 ack 1'])
    peer.send('A')
    accepted[0]!.write('x')
    expect(times(bed, peer, 10_000)).toEqual([0, 3000, 9000])
  })

  it('RTO-3: takes no sample of what was sent twice: stays doubled until there is one', () => {
    const bed = new Bed()
    const { peer, user } = connected(bed, 100)
    user.write('x')
    expect(times(bed, peer, 350)).toEqual([0, 300])
    peer.send('A')
    expect(timeout(bed, peer, user)).toBe(600)
    // 1200 now. A segment that is sent once is a sample, and the double is gone.
    exchange(bed, peer, user, 100)
    expect(timeout(bed, peer, user)).toBe(300)
  })

  it('RTO-3: with timestamps what was sent twice is a sample', () => {
    const bed = new Bed()
    const { peer, user } = connected(bed, 100, true)
    user.write('x')
    expect(times(bed, peer, 350)).toEqual([0, 300])
    bed.advance(50)
    peer.send('A')
    expect(timeout(bed, peer, user)).toBeLessThan(320)
  })

  it('RTO-3: doubles with each expiry', () => {
    const bed = new Bed()
    const { peer, user } = connected(bed, 100)
    user.write('x')
    expect(times(bed, peer, 10_000)).toEqual([0, 300, 900, 2100, 4500, 9300])
  })

  it('RTO-3: begins anew with each acknowledgment of new data, and not with others', () => {
    const expiry = (acks: number[]): number => {
      const bed = new Bed()
      const { peer, user } = connected(bed, 100)
      for (const letter of 'abcd') user.write(letter)
      expect(peer.sent()).toHaveLength(4)
      const start = bed.now
      for (const ack of acks) {
        bed.advance(90)
        peer.send('A', { ack })
        expect(peer.sent()).toEqual([])
      }
      bed.advance(2000)
      return peer.timeline(start)[0]![0]
    }
    expect(expiry([])).toBe(300)
    const [one, two] = [expiry([2]), expiry([2, 3])]
    expect(one).toBeGreaterThan(300 + 80)
    expect(two).toBeGreaterThan(one + 80)
    expect(expiry([2, 3, 3, 3])).toBe(two)
  })

  it('RTO-3: is off when all is acknowledged', () => {
    const bed = new Bed()
    const { peer, user } = connected(bed, 100)
    exchange(bed, peer, user, 100)
    bed.advance(600_000)
    expect(peer.sent()).toEqual([])
  })
})
