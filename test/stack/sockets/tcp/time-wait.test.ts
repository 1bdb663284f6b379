/** SOCK-7: TIME_WAIT (RFC 9293 3.6, RFC 1337, RFC 6191). */
import { describe, expect, it } from 'vitest'
import { Bed, type BedOptions, type Listening } from './bed.js'
import type { Puppet, PuppetOptions } from './puppet.js'
import type { User } from './user.js'

/** Milliseconds that it lasts. */
const LASTS = 60_000

interface Waiting {
  readonly bed: Bed
  readonly peer: Puppet
  readonly user: User
  readonly listening: Listening
}

/** A connection of a listener that the stack closed first. */
const waiting = (options: PuppetOptions = {}, bedOptions: BedOptions = {}): Waiting => {
  const bed = new Bed(bedOptions)
  const { peer, user, listening } = bed.opened(options)
  user.close()
  expect(peer.sent()).toEqual(['FA 1 ack 1'])
  peer.send('A').send('FA')
  expect(peer.sent()).toEqual(['A 2 ack 2'])
  expect(user.events).toEqual(['finish', 'close'])
  return { bed, peer, user, listening }
}

/** The FIN again. */
const again = (peer: Puppet): string[] => {
  peer.send('FA', { seq: 1, ack: 2 })
  return peer.sent()
}

describe('TIME_WAIT', () => {
  it('SOCK-7: acknowledges a FIN that comes again, and lasts from then on anew', () => {
    const { bed, peer } = waiting()
    bed.advance(LASTS - 1000)
    expect(again(peer)).toEqual(['A 2 ack 2'])
    bed.advance(LASTS - 1000)
    expect(again(peer)).toEqual(['A 2 ack 2'])
  })

  it('SOCK-7: lasts 60 s', () => {
    const early = waiting()
    early.bed.advance(LASTS - 1000)
    expect(again(early.peer)).toEqual(['A 2 ack 2'])
    const late = waiting()
    late.bed.advance(LASTS + 1000)
    expect(again(late.peer)).toEqual(['R 2'])
  })

  it('SOCK-7: comes of closing at the same time, too', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.close()
    expect(peer.sent()).toEqual(['FA 1 ack 1'])
    peer.send('FA', { ack: 1 })
    expect(peer.sent()).toEqual(['A 2 ack 2'])
    expect(user.events).not.toContain('close')
    peer.send('A', { ack: 2 })
    expect(user.events).toContain('close')
    expect(again(peer)).toEqual(['A 2 ack 2'])
    bed.advance(LASTS + 1000)
    expect(again(peer)).toEqual(['R 2'])
  })

  it('SOCK-7: comes of a FIN together with the ACK of the own FIN, too', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.close()
    peer.sent()
    peer.send('FA', { ack: 2 })
    expect(peer.sent()).toEqual(['A 2 ack 2'])
    expect(user.events).toEqual(['finish', 'close'])
    expect(again(peer)).toEqual(['A 2 ack 2'])
  })

  it('SOCK-7: is not for the side that closed second', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    peer.send('FA')
    expect(peer.sent()).toEqual(['A 1 ack 2'])
    user.close()
    expect(peer.sent()).toEqual(['FA 1 ack 2'])
    peer.send('A')
    expect(user.events).toEqual(['end', 'finish', 'close'])
    expect(again(peer)).toEqual(['R 2'])
  })

  it('SOCK-7: answers what is not acceptable with an ACK', () => {
    const { peer } = waiting()
    peer.send('A', { seq: 100_000_000, data: 'x' })
    expect(peer.sent()).toEqual(['A 2 ack 2'])
    peer.send('A', { seq: 2, ack: 2 })
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-7: is not left for a reset (RFC 1337)', () => {
    const { bed, peer } = waiting()
    peer.send('R', { seq: 2 })
    expect(peer.sent()).toEqual([])
    expect(again(peer)).toEqual(['A 2 ack 2'])
    bed.advance(LASTS - 1000)
    expect(again(peer)).toEqual(['A 2 ack 2'])
  })
})

describe('TIME_WAIT as it is set', () => {
  it('SOCK-7: is left for a reset, where that is asked for (RFC 9293)', () => {
    const { bed, peer } = waiting({}, { tcp: { ignoreTimeWaitResets: false } })
    peer.send('R', { seq: 3 })
    expect(again(peer)).toEqual(['A 2 ack 2'])
    peer.send('R', { seq: 2 })
    expect(peer.sent()).toEqual([])
    expect(again(peer)).toEqual(['R 2'])
    expect(bed.sockets).toBe(1)
  })

  it('SOCK-7: lasts 240 s, where that is asked for', () => {
    const { bed, peer } = waiting({}, { tcp: { timeWait: 240_000 } })
    bed.advance(239_000)
    expect(again(peer)).toEqual(['A 2 ack 2'])
    bed.advance(241_000)
    expect(again(peer)).toEqual(['R 2'])
  })

  it('SOCK-7: keeps its ends from being used for another connection of this host', () => {
    const bed = new Bed()
    const { peer, user } = bed.connected()
    const { localPort, localAddress } = user.endpoint
    user.close()
    peer.sent()
    peer.send('A').send('FA')
    expect(user.events.at(-1)).toBe('close')
    expect(() => bed.connect(peer, { localPort, localAddress })).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }))
    bed.advance(LASTS + 1000)
    peer.sent()
    bed.connect(peer, { localPort, localAddress })
    expect(peer.segment().flags).toBe('S')
  })
})

describe('a SYN in TIME_WAIT', () => {
  it('SOCK-7: with a higher number opens a new connection of the listener', () => {
    const { peer, listening } = waiting()
    const before = peer.stackFirst
    peer.send('S', { seq: 3 })
    const answer = peer.segment()
    expect([answer.flags, answer.ack]).toEqual(['SA', 4])
    // The new numbers are beyond all old ones.
    expect((peer.stackFirst - (before + 2)) | 0).toBeGreaterThan(0)
    peer.send('A', { seq: 4, ack: 1 })
    expect(listening.accepted).toHaveLength(2)
  })

  it('SOCK-7: with a lower number is answered with an ACK of the old connection', () => {
    const { peer, listening } = waiting()
    peer.send('S', { seq: 1 })
    expect(peer.sent()).toEqual(['A 2 ack 2'])
    peer.send('S', { seq: -100_000 })
    expect(peer.sent()).toEqual(['A 2 ack 2'])
    expect(listening.accepted).toHaveLength(1)
  })

  it('SOCK-7: with a later timestamp opens a new one, whatever its number (RFC 6191)', () => {
    const { bed, peer, listening } = waiting({ timestamps: true })
    bed.advance(10)
    peer.send('S', { seq: -100_000, timestamps: [bed.now, 0] })
    const answer = peer.segment()
    expect([answer.flags, answer.ack]).toEqual(['SA', -99_999])
    peer.send('A', { seq: -99_999, ack: 1 })
    expect(listening.accepted).toHaveLength(2)
  })

  it('SOCK-7: with an earlier timestamp opens none', () => {
    const { bed, peer } = waiting({ timestamps: true })
    peer.send('S', { seq: 100_000, timestamps: [bed.now - 10_000, 0] })
    expect(peer.sent()).toEqual(['A 2 ack 2'])
  })

  it('SOCK-7: opens none where nobody listens any more', () => {
    const { peer, listening } = waiting()
    listening.listener.close()
    peer.send('S', { seq: 100 })
    expect(peer.sent()).not.toContain('SA 0 ack 101')
    expect(listening.accepted).toHaveLength(1)
  })
})

describe('the states before TIME_WAIT', () => {
  it('SOCK-7: FIN_WAIT_2 of what nobody holds any more ends by itself, too', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.close()
    peer.sent()
    peer.send('A')
    bed.advance(600_000)
    expect(user.events).toContain('close')
    expect(bed.sockets).toBe(1)
    peer.send('FA')
    expect(peer.sent()).toEqual(['R 2'])
  })
})
