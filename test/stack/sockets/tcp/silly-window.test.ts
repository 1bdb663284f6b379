/** SOCK-11: no silly windows, from either end, and Nagle's algorithm (RFC 9293 3.7.4, 3.8.6.2). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { fillWindow, pattern } from './puppet.js'

describe("Nagle's algorithm", () => {
  it('SOCK-11: small writes wait together for the ACK of the first', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    for (const letter of 'abcdefghij') user.write(letter)
    expect(peer.sent()).toEqual(['A 1:2 ack 1'])
    peer.send('A')
    const [rest, ...more] = peer.segments()
    expect(rest!.text).toBe('A 2:11 ack 1')
    expect(Buffer.from(rest!.data).toString()).toBe('bcdefghij')
    expect(more).toEqual([])
  })

  it('SOCK-11: full segments do not wait', () => {
    const { peer, user } = new Bed().opened()
    user.write('a')
    user.write(pattern(3000))
    expect(peer.sent()).toEqual(['A 1:2 ack 1', 'A 2:1462 ack 1', 'A 1462:2922 ack 1'])
    peer.send('A')
    expect(peer.sent()).toEqual(['A 2922:3002 ack 1'])
  })

  it('SOCK-11: the end of the stream does not wait', () => {
    const { peer, user } = new Bed().opened()
    user.write('a')
    user.write('b')
    user.shutdown()
    expect(peer.sent()).toEqual(['A 1:2 ack 1', 'FA 2:3 ack 1'])
  })

  it('SOCK-11: can be switched off', () => {
    const { peer, user } = new Bed().opened()
    user.endpoint.setNoDelay(true)
    for (const letter of 'abc') user.write(letter)
    expect(peer.sent()).toEqual(['A 1:2 ack 1', 'A 2:3 ack 1', 'A 3:4 ack 1'])
  })

  it('SOCK-11: what waits leaves when it is switched off, and waits again when it is on', () => {
    const { peer, user } = new Bed().opened()
    user.write('a')
    user.write('b')
    expect(peer.sent()).toEqual(['A 1:2 ack 1'])
    user.endpoint.setNoDelay(true)
    expect(peer.sent()).toEqual(['A 2:3 ack 1'])
    user.endpoint.setNoDelay(false)
    user.write('c')
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-11: the last segment of what was written has PSH', () => {
    const { peer, user } = new Bed().opened()
    user.write(pattern(2000))
    peer.send('A')
    expect(peer.segments().at(-1)!.push).toBe(true)
  })
})

describe('a small window of the peer', () => {
  it('SOCK-11: is not filled at once, but after a while', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    peer.send('A', { window: 100 })
    user.write(pattern(5000))
    expect(peer.sent()).toEqual([])
    const start = bed.now
    while (peer.pending === 0 && bed.now - start < 10_000) bed.advance(50)
    expect(bed.now - start).toBeLessThanOrEqual(1000)
    const sent = peer.segments()
    expect(sent[0]!.end).toBeGreaterThan(1)
    expect(sent[0]!.end).toBeLessThanOrEqual(101)
  })

  it('SOCK-11: is filled when it is half of the largest that the peer had', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened({ window: 1000 })
    user.write(pattern(5000))
    expect(peer.sent()).toEqual(['A 1:1001 ack 1'])
    peer.send('A', { window: 400 })
    expect(peer.sent()).toEqual([])
    peer.send('A', { window: 500 })
    expect(peer.sent()).toEqual(['A 1001:1501 ack 1'])
  })

  it('SOCK-11: is filled by what ends in it', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    peer.send('A', { window: 100 })
    user.write('data')
    expect(peer.sent()).toEqual(['A 1:5 ack 1'])
  })
})

describe('the own window', () => {
  it('SOCK-11: does not open by less than a full segment', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened({ isReading: false })
    fillWindow(bed, peer)
    peer.sent()
    // Chunks are read one by one, as they came.
    let last = 0
    for (let i = 0; i < 40; i++) {
      user.read(1)
      for (const { window } of peer.segments()) {
        expect(window - last).toBeGreaterThanOrEqual(1460)
        last = window
      }
    }
    expect(last).toBeGreaterThanOrEqual(1460)
  })

  it('SOCK-11: small segments that are read one by one are not answered with an update each', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened({ isReading: false })
    fillWindow(bed, peer, { size: 100 })
    peer.sent()
    let [read, last] = [0, 0]
    while (peer.pending === 0) {
      const before = read
      read += user.read(1).take().length
      expect(read).toBeGreaterThan(before)
    }
    for (const { window } of peer.segments()) last = window
    expect(read).toBeGreaterThanOrEqual(1400)
    expect(last).toBeGreaterThanOrEqual(1460)
  })
})
