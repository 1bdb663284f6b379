/** SOCK-9: keepalive (RFC 9293 3.8.4). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'

const HOURS = 3_600_000

describe('keepalive', () => {
  it('SOCK-9: is off unless asked for', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    bed.advance(48 * HOURS)
    expect(peer.sent()).toEqual([])
    expect(user.events).toEqual([])
  })

  it('SOCK-9: begins after 2 hours, with a segment before the next and without data', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.endpoint.setKeepAlive(true)
    bed.advance(2 * HOURS - 1000)
    expect(peer.sent()).toEqual([])
    bed.advance(1000)
    expect(peer.sent()).toEqual(['A 0 ack 1'])
  })

  it('SOCK-9: has the time that it is given', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.endpoint.setKeepAlive(true, 30_000)
    bed.advance(29_000)
    expect(peer.sent()).toEqual([])
    bed.advance(1000)
    expect(peer.sent()).toEqual(['A 0 ack 1'])
  })

  it('SOCK-9: one lost probe is not the end, an answer to the second begins the time anew', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.endpoint.setKeepAlive(true)
    bed.advance(2 * HOURS)
    expect(peer.sent()).toEqual(['A 0 ack 1'])
    while (peer.pending === 0) bed.advance(1000)
    expect(peer.sent()).toEqual(['A 0 ack 1'])
    peer.send('A')
    expect(user.events).toEqual([])
    bed.advance(2 * HOURS - 1000)
    expect(peer.sent()).toEqual([])
    bed.advance(1000)
    expect(peer.sent()).toEqual(['A 0 ack 1'])
  })

  it('SOCK-9: a peer that never answers ends it, after more than one probe', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.endpoint.setKeepAlive(true)
    bed.advance(4 * HOURS)
    const sent = peer.sent()
    expect(sent.filter((text) => text === 'A 0 ack 1').length).toBeGreaterThan(1)
    expect(user.events).toEqual(['error ETIMEDOUT', 'close'])
  })

  it('SOCK-9: a peer that has forgotten the connection ends it', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.endpoint.setKeepAlive(true)
    bed.advance(2 * HOURS)
    peer.send('R', { seq: 1 })
    expect(user.events).toEqual(['error ECONNRESET', 'close'])
  })

  it('SOCK-9: data from the peer is a sign of life', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.endpoint.setKeepAlive(true)
    bed.advance(HOURS)
    peer.send('A', { data: 'x' })
    bed.advance(1000)
    peer.sent()
    bed.advance(2 * HOURS - 2000)
    expect(peer.sent()).toEqual([])
    bed.advance(2000)
    expect(peer.sent()).toEqual(['A 0 ack 2'])
  })

  it('SOCK-9: nothing is probed while data is on its way', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.endpoint.setKeepAlive(true, 1000)
    user.write('data')
    bed.advance(60_000)
    expect(new Set(peer.sent())).toEqual(new Set(['A 1:5 ack 1']))
  })

  it('SOCK-9: can be switched off again', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.endpoint.setKeepAlive(true, 1000)
    bed.advance(500)
    user.endpoint.setKeepAlive(false)
    bed.advance(48 * HOURS)
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-9: probes of the peer are answered', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    peer.send('A', { seq: 0 })
    expect(peer.sent()).toEqual(['A 1 ack 1'])
    peer.send('A', { seq: 0, data: 'x' })
    expect(peer.sent()).toEqual(['A 1 ack 1'])
    expect(user.takeText()).toBe('')
  })
})
