/** SOCK-12: when acknowledgments are sent (RFC 9293 3.8.6.3, RFC 5681 4.2). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import type { Puppet } from './puppet.js'
import type { User } from './user.js'

/** A connection that has gone on for a while, so that nothing is acknowledged at once for being new. */
const old = (bed: Bed): { peer: Puppet; user: User; at: number } => {
  const { peer, user } = bed.opened()
  for (let i = 0; i < 60; i++) {
    peer.send('A', { data: 1460 })
    bed.advance(10)
  }
  bed.advance(1000)
  peer.sent()
  user.take()
  return { peer, user, at: peer.seq }
}

describe('an acknowledgment', () => {
  it('SOCK-12: of one segment waits less than 500 ms', () => {
    const bed = new Bed()
    const { peer, at } = old(bed)
    peer.send('A', { data: 1460 })
    expect(peer.sent()).toEqual([])
    const start = bed.now
    bed.advance(499)
    const [[time, text]] = peer.timeline(start) as [[number, string]]
    expect(text).toBe(`A 1 ack ${at + 1460}`)
    expect(time).toBeLessThan(500)
    bed.advance(5000)
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-12: of one small segment too', () => {
    const bed = new Bed()
    const { peer, at } = old(bed)
    peer.send('A', { data: 1 })
    bed.advance(499)
    expect(peer.sent()).toEqual([`A 1 ack ${at + 1}`])
  })

  it('SOCK-12: is there for at least every second full segment', () => {
    const bed = new Bed()
    const { peer, at } = old(bed)
    for (let i = 0; i < 10; i++) peer.send('A', { data: 1460 })
    const sent = peer.sent()
    expect(sent.length).toBeGreaterThanOrEqual(5)
    expect(sent.length).toBeLessThan(10)
    expect(sent.at(-1)).toBe(`A 1 ack ${at + 14_600}`)
  })

  it('SOCK-12: is sent once for all that came together', () => {
    const bed = new Bed()
    const { peer, at } = old(bed)
    peer.sendAll(...Array.from({ length: 10 }, () => ['A', { data: 1460 }] as const))
    expect(peer.sent()).toEqual([`A 1 ack ${at + 14_600}`])
  })

  it('SOCK-12: goes with data, where there is some', () => {
    const bed = new Bed()
    const { peer, user, at } = old(bed)
    peer.send('A', { data: 100 })
    user.write('answer')
    expect(peer.sent()).toEqual([`A 1:7 ack ${at + 100}`])
    bed.advance(100)
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-12: of a segment behind a gap is sent at once, each time', () => {
    const bed = new Bed()
    const { peer, user, at } = old(bed)
    for (let i = 1; i <= 5; i++) {
      peer.send('A', { seq: at + i * 1460, data: 1460 })
      expect(peer.sent()).toEqual([`A 1 ack ${at}`])
    }
    expect(user.take().length).toBe(0)
    peer.send('A', { seq: at, data: 1460 })
    expect(peer.sent()).toEqual([`A 1 ack ${at + 6 * 1460}`])
    expect(user.take().length).toBe(6 * 1460)
  })

  it('SOCK-12: of what fills part of a gap is sent at once', () => {
    const bed = new Bed()
    const { peer, at } = old(bed)
    peer.send('A', { seq: at + 2000, data: 1000 }).sent()
    peer.send('A', { seq: at, data: 1000 })
    expect(peer.sent()).toEqual([`A 1 ack ${at + 1000}`])
  })

  it('SOCK-12: several gaps in one go are told at once', () => {
    const bed = new Bed()
    const { peer, at } = old(bed)
    peer.sendAll(['A', { seq: at + 1460, data: 1460 }], ['A', { seq: at + 2920, data: 1460 }], ['A', { seq: at + 4380, data: 1460 }])
    const sent = peer.sent()
    expect(sent.length).toBeGreaterThanOrEqual(1)
    expect(new Set(sent)).toEqual(new Set([`A 1 ack ${at}`]))
  })

  it('SOCK-12: of a FIN is sent at once', () => {
    const bed = new Bed()
    const { peer, at } = old(bed)
    peer.send('FA')
    expect(peer.sent()).toEqual([`A 1 ack ${at + 1}`])
  })

  it('SOCK-12: is not sent for an acknowledgment', () => {
    const bed = new Bed()
    const { peer, user } = old(bed)
    user.write('data')
    peer.sent()
    peer.send('A')
    bed.advance(1000)
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-12: of a superpacket counts its segments', () => {
    const bed = new Bed()
    const { peer, at } = old(bed)
    peer.send('A', { data: 14_600, gso: 1460 })
    expect(peer.sent()).toEqual([`A 1 ack ${at + 14_600}`])
  })
})

