/** SOCK-10: windows of 0 and windows that shrink (RFC 9293 3.8.6.1, 3.8.6.2.1). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { fillWindow, pattern, type Puppet } from './puppet.js'
import type { User } from './user.js'

/** A connection whose peer has closed its window with data waiting. */
const stopped = (bed: Bed): { peer: Puppet; user: User } => {
  const { peer, user } = bed.opened()
  peer.send('A', { window: 0 })
  user.write(pattern(5000))
  expect(peer.sent()).toEqual([])
  return { peer, user }
}

/** Whether a text is of a probe: the first byte, or nothing at all, before the next one. */
const isProbe = (text: string): boolean => text === 'A 1:2 ack 1' || text === 'A 0 ack 1'

describe('a closed window', () => {
  it('SOCK-10: is probed after the retransmission time-out, then with growing distance', () => {
    const bed = new Bed()
    const { peer } = stopped(bed)
    const start = bed.now
    bed.advance(600_000)
    const probes = peer.timeline(start)
    expect(probes.every(([, text]) => isProbe(text))).toBe(true)
    expect(probes.length).toBeGreaterThanOrEqual(5)
    expect(probes[0]![0]).toBeGreaterThanOrEqual(200)
    expect(probes[0]![0]).toBeLessThanOrEqual(1000)
    const gaps = probes.slice(1).map(([time], index) => time - probes[index]![0])
    expect(gaps.slice(1).every((gap, index) => gap === gaps[index]! * 2 || gap >= 60_000)).toBe(true)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(120_000)
  })

  it('SOCK-10: is probed for ever while probes are acknowledged', () => {
    const bed = new Bed()
    const { peer, user } = stopped(bed)
    let probes = 0
    for (let minute = 0; minute < 24 * 60; minute++) {
      bed.advance(60_000)
      for (const text of peer.sent()) {
        expect(isProbe(text)).toBe(true)
        probes++
        peer.send('A', { ack: 1, window: 0 })
      }
    }
    expect(probes).toBeGreaterThanOrEqual(12 * 60)
    expect(user.events).toEqual([])
    peer.window = 65_535
    peer.send('A', { ack: 1 })
    const sent = peer.segments()
    expect(sent[0]!.text).toBe('A 1:1461 ack 1')
    expect(sent.at(-1)!.end).toBe(5001)
  })

  it('SOCK-10: is given up when probes are not acknowledged', () => {
    const bed = new Bed()
    const { user } = stopped(bed)
    bed.advance(100_000)
    expect(user.events).toEqual([])
    bed.advance(1_700_000)
    expect(user.events).toEqual(['error ETIMEDOUT', 'close'])
  })

  it('SOCK-10: an update that came is used at once', () => {
    const bed = new Bed()
    const { peer } = stopped(bed)
    peer.send('A', { ack: 1, window: 65_535 })
    expect(peer.segments().map(({ length }) => length).reduce((a, b) => a + b)).toBe(5000)
  })

  it('SOCK-10: a probe whose byte is taken goes on from there', () => {
    const bed = new Bed()
    const { peer, user } = stopped(bed)
    bed.advance(1000)
    const [probe] = peer.sent()
    peer.send('A', { ack: probe === 'A 1:2 ack 1' ? 2 : 1, window: 65_535 })
    const sent = peer.segments()
    expect(sent.at(-1)!.end).toBe(5001)
    peer.send('A')
    expect(user.endpoint.writeLength).toBe(0)
  })

  it('SOCK-10: a FIN that waits behind data is not forgotten', () => {
    const bed = new Bed()
    const { peer, user } = stopped(bed)
    user.shutdown()
    bed.advance(5000)
    peer.sent()
    peer.send('A', { ack: 1, window: 65_535 })
    expect(peer.sent().at(-1)).toMatch(/^FA /)
  })

  it('SOCK-10: in an answer to a SYN is no hindrance later', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    user.write('data')
    peer.sent()
    peer.send('SA', { window: 0 })
    expect(peer.sent()).toEqual(['A 1 ack 1'])
    bed.advance(5000)
    expect(peer.sent().length).toBeGreaterThan(0)
    peer.send('A', { ack: 1, window: 1000 })
    expect(peer.sent().at(-1)).toBe('A 1:5 ack 1')
  })
})

describe('a window that shrinks', () => {
  it('SOCK-10: behind what was sent is survived', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.write(pattern(8000))
    expect(peer.segments().at(-1)!.end).toBeGreaterThan(5000)
    peer.send('A', { ack: 1461, window: 100 })
    bed.advance(30_000)
    const later = peer.segments()
    expect(user.events).toEqual([])
    expect(later.every(({ seq }) => seq >= 1461)).toBe(true)
    peer.send('A', { ack: 1461, window: 65_535 })
    peer.send('A', { ack: 8001, window: 65_535 })
    expect(user.endpoint.writeLength).toBe(0)
  })

  it('SOCK-10: to 0 behind what was sent is survived', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.write(pattern(4000))
    peer.sent()
    peer.send('A', { ack: 1461, window: 0 })
    for (let i = 0; i < 60; i++) {
      bed.advance(60_000)
      if (peer.sent().length > 0) peer.send('A', { ack: 1461, window: 0 })
    }
    expect(user.events).toEqual([])
    peer.send('A', { ack: 1461, window: 65_535 })
    // Not after the timeout, which is long by now.
    expect(peer.sent()).toEqual(['A 1461:2921 ack 1'])
    peer.send('A', { ack: 2921, window: 65_535 })
    expect(peer.segments().at(-1)!.end).toBe(4001)
  })
})

describe('the own window', () => {
  it('SOCK-10: is never shrunk', () => {
    const bed = new Bed()
    const { peer } = bed.opened({ isReading: false })
    let edge = 0
    for (let i = 0; i < 60; i++) {
      peer.send('A', { data: 700 })
      bed.advance(500)
      for (const { ack, window } of peer.segments()) {
        expect(ack + window).toBeGreaterThanOrEqual(edge)
        edge = ack + window
      }
      if (peer.seq + 700 > edge) break
    }
    expect(edge).toBeGreaterThan(0)
  })

  it('SOCK-10: opens again with an update, when it is read', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened({ isReading: false })
    const sent = fillWindow(bed, peer)
    peer.send('A', { seq: peer.seq, data: 'z' })
    expect(peer.segment()).toMatchObject({ ack: sent + 1, window: 0 })
    user.read()
    expect(peer.segment()).toMatchObject({ ack: sent + 1, text: `A 1 ack ${sent + 1}` })
    expect(user.take().length).toBe(sent)
  })

  it('SOCK-10: probes of the peer are answered with it', () => {
    const bed = new Bed()
    const { peer } = bed.opened({ isReading: false })
    fillWindow(bed, peer)
    for (let i = 0; i < 20; i++) {
      bed.advance(60_000)
      peer.send('A', { seq: peer.seq - 1 })
      expect(peer.segment()).toMatchObject({ ack: peer.seq, window: 0 })
    }
  })
})
