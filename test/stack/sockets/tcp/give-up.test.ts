/** SOCK-8: when a connection is given up (RFC 9293 3.8.3). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { pattern } from './puppet.js'

/** Milliseconds until `isOver`, in steps. */
const until = (bed: Bed, isOver: () => boolean, step = 1000, most = 3_600_000): number => {
  const start = bed.now
  while (!isOver()) {
    if (bed.now - start > most) throw new Error(`not within ${most} ms`)
    bed.advance(step)
  }
  return bed.now - start
}

describe('a SYN without an answer', () => {
  it('SOCK-8: is sent again with growing distance, and given up not before 180 s', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    const start = bed.now
    const given = until(bed, () => user.events.length > 0)
    expect(user.events).toEqual(['error ETIMEDOUT', 'close'])
    expect(given).toBeGreaterThanOrEqual(180_000)
    expect(given).toBeLessThanOrEqual(300_000)
    const sent = peer.timeline(start)
    expect(new Set(sent.map(([, text]) => text))).toEqual(new Set(['S 0']))
    expect(sent.length).toBeGreaterThanOrEqual(4)
    const gaps = sent.slice(1).map(([time], index) => time - sent[index]![0])
    expect(gaps[0]).toBe(1000)
    expect(gaps.slice(1).every((gap, index) => gap === Math.min(gaps[index]! * 2, gap) && gap >= gaps[index]!)).toBe(true)
    bed.advance(600_000)
    expect(peer.sent()).toEqual([])
    expect(bed.sockets).toBe(0)
  })

  it('SOCK-8: the error says what was tried', () => {
    const bed = new Bed()
    const user = bed.connect(bed.puppet())
    until(bed, () => user.events.length > 0)
    expect(user.error).toMatchObject({ code: 'ETIMEDOUT', syscall: 'connect', address: '10.0.0.2', port: 5000 })
  })
})

describe('an answer to a SYN without an ACK', () => {
  it('SOCK-8: is sent again at least three times, then forgotten, and nobody hears of it', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S')
    bed.advance(600_000)
    const sent = peer.sent()
    expect(sent.length).toBeGreaterThanOrEqual(4)
    expect(new Set(sent)).toEqual(new Set(['SA 0 ack 1']))
    expect(accepted).toEqual([])
    expect(bed.sockets).toBe(1)
  })
})

describe('data without an ACK', () => {
  it.each([['data', 'A 1:1001 ack 1'], ['a FIN', 'FA 1 ack 1']])('SOCK-8: %s is sent again more than three times and for more than 100 s, then given up', (what, text) => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    if (what === 'data') user.write(pattern(1000))
    else user.shutdown()
    const start = bed.now
    const given = until(bed, () => user.events.length > 0)
    expect(user.events).toEqual(['error ETIMEDOUT', 'close'])
    expect(given).toBeGreaterThanOrEqual(100_000)
    expect(given).toBeLessThanOrEqual(1_800_000)
    const sent = peer.timeline(start)
    expect(new Set(sent.map(([, one]) => one)).has(text)).toBe(true)
    expect(sent.length).toBeGreaterThanOrEqual(4)
    // Far apart at the end: at most a minute or two, at least a few seconds.
    const last = sent.at(-1)![0] - sent.at(-2)![0]
    expect(last).toBeGreaterThanOrEqual(10_000)
    expect(last).toBeLessThanOrEqual(120_000)
    bed.advance(600_000)
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-8: an ACK of something begins the count anew', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.write(pattern(2000))
    for (let i = 1; i <= 20; i++) {
      bed.advance(60_000)
      peer.send('A', { ack: 1 + i * 50 })
    }
    expect(user.events).toEqual([])
    bed.advance(120_000)
    expect(peer.sent().at(-1)).toMatch(/^A 1001:/)
  })

  it('SOCK-8: the time can be set for a connection', () => {
    for (const milliseconds of [5000, 3_000_000]) {
      const bed = new Bed()
      const { user } = bed.opened()
      user.endpoint.setUserTimeout(milliseconds)
      user.write('data')
      bed.advance(milliseconds - 10)
      expect(user.events).toEqual([])
      bed.advance(20)
      expect(user.events).toEqual(['error ETIMEDOUT', 'close'])
    }
  })

  it('SOCK-8: the time can be set for an opening', () => {
    const bed = new Bed()
    const user = bed.connect(bed.puppet())
    user.endpoint.setUserTimeout(5000)
    bed.advance(4990)
    expect(user.events).toEqual([])
    bed.advance(20)
    expect(user.events).toEqual(['error ETIMEDOUT', 'close'])
  })

  it('SOCK-8: duplicate ACKs alone do not', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.write(pattern(1000))
    until(bed, () => {
      peer.send('A', { ack: 1 })
      return user.events.length > 0
    }, 10_000)
    expect(user.events).toEqual(['error ETIMEDOUT', 'close'])
  })
})
