/** SEC-1 to SEC-4: what somebody who guesses numbers cannot do (RFC 5961). */
import { beforeEach, describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { pattern, type Puppet } from './puppet.js'
import type { User } from './user.js'

let bed: Bed
let peer: Puppet
let user: User

beforeEach(() => {
  bed = new Bed()
  ;({ peer, user } = bed.opened())
  peer.send('A', { data: 'begun' })
  bed.advance(1000)
  peer.sent()
  user.take()
})

/** The connection works. */
const lives = (): void => {
  expect(user.events).toEqual([])
  peer.sent()
  user.take()
  peer.send('A', { data: 'alive' })
  expect(user.takeText()).toBe('alive')
}

describe('a reset', () => {
  it('SEC-1: with exactly the number that is next ends the connection', () => {
    peer.send('R', { seq: 6 })
    expect(user.events).toEqual(['error ECONNRESET', 'close'])
    expect(peer.sent()).toEqual([])
  })

  it.each([7, 1000, 60_000])('SEC-1: with the number %i of the window is answered with a challenge ACK', (seq) => {
    peer.send('R', { seq })
    expect(peer.sent()).toEqual(['A 1 ack 6'])
    lives()
  })

  it.each([5, -1, -100_000, 100_000_000, 0x7fffffff])('SEC-1: with the number %i outside of the window is dropped', (seq) => {
    peer.send('R', { seq })
    peer.send('RA', { seq })
    expect(peer.sent()).toEqual([])
    lives()
  })

  it('SEC-1: the answer of an honest peer to the challenge ends the connection', () => {
    peer.send('R', { seq: 10 })
    expect(peer.sent()).toEqual(['A 1 ack 6'])
    peer.send('R', { seq: 6 })
    expect(user.events).toEqual(['error ECONNRESET', 'close'])
  })

  it('SEC-1: in states of closing, too', () => {
    user.shutdown()
    peer.sent()
    peer.send('R', { seq: 100 })
    expect(peer.sent()).toEqual(['A 2 ack 6'])
    expect(user.events).toEqual([])
    peer.send('R', { seq: 6 })
    expect(user.events).toEqual(['error ECONNRESET', 'close'])
  })
})

describe('a SYN in a connection', () => {
  it.each(['S', 'SA'])('SEC-2: %s is answered with one challenge ACK, whatever its number', (letters) => {
    for (const seq of [6, 7, 60_000, 0, -100_000, 100_000_000]) {
      bed.advance(60_000)
      peer.send(letters, { seq, ack: 1 })
      expect(peer.sent()).toEqual(['A 1 ack 6'])
    }
    lives()
  })

  it('SEC-2: with data, the data is not taken', () => {
    peer.send('S', { seq: 5, data: 'evil' })
    expect(peer.sent()).toEqual(['A 1 ack 6'])
    expect(user.takeText()).toBe('')
    lives()
  })

  it('SEC-2: of a peer that was restarted ends the connection by its reset', () => {
    peer.send('S', { seq: 1_000_000 })
    const challenge = peer.segment()
    // It knows nothing of such a connection: RFC 9293 3.5.1.
    peer.send('R', { seq: challenge.ack })
    expect(user.events).toEqual(['error ECONNRESET', 'close'])
  })
})

describe('an acknowledgment', () => {
  beforeEach(() => {
    user.write(pattern(3000))
    user.write(pattern(1000))
    peer.sent()
    peer.send('A').sent()
    peer.send('A').sent()
    expect(user.endpoint.writeLength).toBe(0)
  })

  it('SEC-3: of what was not sent is answered with an ACK, and its data not taken', () => {
    const next = peer.ack
    peer.send('A', { seq: 6, ack: next + 1, data: 'evil' })
    expect(peer.sent()).toEqual([`A ${next} ack 6`])
    expect(user.takeText()).toBe('')
    lives()
  })

  it('SEC-3: older than the largest window is answered with an ACK, and its data not taken', () => {
    const una = peer.ack
    peer.send('A', { seq: 6, ack: una - 65_535 - 1, data: 'evil' })
    expect(peer.sent()).toEqual([`A ${una} ack 6`])
    expect(user.takeText()).toBe('')
    lives()
  })

  it('SEC-3: old, but not older than that, does not hinder its data', () => {
    peer.send('A', { seq: 6, ack: peer.ack - 65_535, data: 'late' })
    expect(user.takeText()).toBe('late')
  })

  it('SEC-3: of what is on its way is taken', () => {
    user.write(pattern(100))
    peer.sent()
    peer.send('A', { ack: peer.ack - 50 })
    expect(user.endpoint.writeLength).toBe(50)
  })
})

describe('challenge ACKs', () => {
  it('SEC-4: are throttled, connection by connection', () => {
    const other = bed.puppet({ stackPort: 80 })
    other.open()
    let answers = 0
    for (let i = 0; i < 1000; i++) {
      peer.send('S', { seq: 1000 + i })
      answers += peer.sent().length
    }
    expect(answers).toBeGreaterThanOrEqual(1)
    expect(answers).toBeLessThanOrEqual(100)
    other.send('S', { seq: 1000 })
    expect(other.sent()).toEqual(['A 1 ack 1'])
    // How many one gets tells nothing of the other.
    let others = 1
    for (let i = 0; i < 1000; i++) {
      other.send('S', { seq: 1000 + i })
      others += other.sent().length
    }
    expect(others).toBe(answers)
  })

  it('SEC-4: come again when time has passed', () => {
    for (let i = 0; i < 1000; i++) peer.send('R', { seq: 1000 + i })
    peer.sent()
    bed.advance(60_000)
    peer.send('R', { seq: 1000 })
    expect(peer.sent()).toEqual(['A 1 ack 6'])
    lives()
  })

  it('SEC-4: throttled ones do not hinder ACKs of data', () => {
    for (let i = 0; i < 1000; i++) peer.send('S', { seq: 1000 + i })
    peer.sent()
    peer.send('A', { seq: 100, data: 'gap' })
    expect(peer.sent()).toEqual(['A 1 ack 6'])
    lives()
  })
})
