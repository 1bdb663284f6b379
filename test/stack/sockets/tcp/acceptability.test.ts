/** SOCK-5: which segments are taken (RFC 9293 3.10.7.4), with a window and without. */
import { beforeEach, describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { fillWindow, pattern, type Puppet } from './puppet.js'
import type { User } from './user.js'

let bed: Bed
let peer: Puppet
let user: User
/** First byte beyond the window. */
let edge: number

describe('with a window', () => {
  beforeEach(() => {
    bed = new Bed()
    ;({ peer, user } = bed.opened())
    peer.send('A', { data: 'x' })
    bed.advance(500)
    const { ack, window } = peer.segments().at(-1)!
    edge = ack + window
    user.take()
  })

  it('SOCK-5: an empty segment at its beginning is taken', () => {
    user.write('y')
    peer.sent()
    peer.send('A', { seq: 2 })
    expect(peer.sent()).toEqual([])
    expect(user.endpoint.writeLength).toBe(0)
  })

  it('SOCK-5: an empty segment inside of it is taken', () => {
    user.write('y')
    peer.sent()
    peer.send('A', { seq: edge - 1 })
    expect(peer.sent()).toEqual([])
    expect(user.endpoint.writeLength).toBe(0)
  })

  it.each([['before', () => 1], ['long before', () => -100_000], ['behind', () => edge + 1], ['far behind', () => edge + 100_000]])(
    'SOCK-5: an empty segment %s is answered with an ACK and not taken', (_name, seq) => {
      user.write('y')
      peer.sent()
      peer.send('A', { seq: seq() })
      expect(peer.sent()).toEqual(['A 2 ack 2'])
      expect(user.endpoint.writeLength).toBe(1)
    })

  it('SOCK-5: data at its beginning is taken', () => {
    peer.send('A', { seq: 2, data: 'data' })
    expect(user.takeText()).toBe('data')
  })

  it('SOCK-5: data that begins before it is taken from its beginning on', () => {
    peer.send('A', { seq: 1, data: 'xdata' })
    expect(user.takeText()).toBe('data')
  })

  it('SOCK-5: data that came already is answered with an ACK at once', () => {
    peer.send('A', { seq: 1, data: 'x' })
    expect(peer.sent()).toEqual(['A 1 ack 2'])
    expect(user.takeText()).toBe('')
  })

  it('SOCK-5: data inside of it is kept until what is missing comes', () => {
    peer.send('A', { seq: 6, data: 'later' })
    expect(peer.sent()).toEqual(['A 1 ack 2'])
    expect(user.takeText()).toBe('')
    peer.send('A', { seq: 2, data: 'soon' })
    expect(user.takeText()).toBe('soonlater')
    expect(peer.sent()).toEqual(['A 1 ack 11'])
  })

  it('SOCK-5: data that ends behind it is taken up to its end', () => {
    peer.send('A', { seq: edge - 4, data: '12345678' })
    for (let seq = 2; seq < edge - 4; seq += 1460) peer.send('A', { seq, data: Math.min(1460, edge - 4 - seq) })
    bed.advance(500)
    expect(peer.segments().at(-1)!.ack).toBe(edge)
    const bytes = user.take()
    expect(bytes.length).toBe(edge - 2)
    expect(Buffer.from(bytes.subarray(-4)).toString()).toBe('1234')
  })

  it('SOCK-5: data behind it is answered with an ACK and not taken', () => {
    peer.send('A', { seq: edge, data: 'beyond' })
    expect(peer.sent()).toEqual(['A 1 ack 2'])
    peer.send('A', { seq: 2, data: 'x' })
    expect(user.takeText()).toBe('x')
  })

  it.each([['before', () => 1], ['behind', () => edge + 1]])('SOCK-5: a reset %s it is not answered and does nothing', (_name, seq) => {
    peer.send('R', { seq: seq() })
    expect(peer.sent()).toEqual([])
    expect(user.events).toEqual([])
    peer.send('A', { seq: 2, data: 'alive' })
    expect(user.takeText()).toBe('alive')
  })

  it('SOCK-5: a segment without ACK is not taken', () => {
    peer.send('P', { seq: 2, data: 'data' })
    expect(peer.sent()).toEqual([])
    expect(user.takeText()).toBe('')
  })

  it('SOCK-5: a FIN out of order waits for what is missing', () => {
    peer.send('FA', { seq: 6, data: 'last' })
    expect(user.events).toEqual([])
    peer.send('A', { seq: 2, data: 'more' })
    expect(user.takeText()).toBe('morelast')
    expect(user.events).toEqual(['end'])
    expect(peer.sent().at(-1)).toBe('A 1 ack 11')
  })

  it('SOCK-5: a FIN behind the window is not taken', () => {
    peer.send('FA', { seq: edge + 1 })
    expect(user.events).toEqual([])
  })
})

describe('with a window of 0', () => {
  beforeEach(() => {
    bed = new Bed()
    ;({ peer, user } = bed.opened({ isReading: false }))
    fillWindow(bed, peer)
    edge = peer.seq
  })

  it('SOCK-5: ACKs are taken', () => {
    user.write('y')
    expect(peer.sent()).toEqual([`A 1:2 ack ${edge}`])
    peer.send('A')
    expect(user.endpoint.writeLength).toBe(0)
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-5: ACKs beside data that does not fit are taken, the data is not', () => {
    user.write('y')
    peer.sent()
    peer.send('A', { seq: edge, data: 'z' })
    expect(user.endpoint.writeLength).toBe(0)
    expect(peer.segment()).toMatchObject({ text: `A 2 ack ${edge}`, window: 0 })
    user.read()
    expect(user.take().length).toBe(edge - 1)
  })

  it.each([['before', () => edge - 1], ['behind', () => edge + 1]])('SOCK-5: an empty segment %s is answered with an ACK', (_name, seq) => {
    peer.send('A', { seq: seq() })
    expect(peer.sent()).toEqual([`A 1 ack ${edge}`])
  })

  it('SOCK-5: a reset is taken', () => {
    peer.send('R', { seq: edge })
    expect(user.events).toEqual(['error ECONNRESET', 'close'])
  })

  it('SOCK-5: an URG pointer is survived', () => {
    peer.send('AU', { seq: edge, data: 'z', urgent: 1 })
    expect(peer.sent()).toEqual([`A 1 ack ${edge}`])
    expect(user.events).toEqual([])
  })

  it('SOCK-5: what did not fit is taken when it comes again after reading', () => {
    peer.send('A', { seq: edge, data: 'z' }).sent()
    user.read()
    expect(peer.segments().at(-1)!.window).toBeGreaterThan(0)
    user.take()
    user.isReading = true
    peer.send('A', { seq: edge, data: 'z' })
    expect(user.takeText()).toBe('z')
  })
})

describe('the window of the peer', () => {
  it('SOCK-5: an old segment does not change it', () => {
    bed = new Bed()
    ;({ peer, user } = bed.opened())
    peer.send('A', { data: 'a', window: 3000 })
    // Sent before, come late: it spoke of no window.
    peer.send('A', { seq: 1, window: 0 })
    peer.sent()
    user.write(pattern(9000))
    expect(peer.segments().reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(1460)
  })

  it('SOCK-5: of segments with one sequence number that which acknowledges more counts', () => {
    bed = new Bed()
    ;({ peer, user } = bed.opened())
    user.write(pattern(1460))
    peer.sent()
    peer.send('A', { ack: 1461, window: 0 })
    peer.send('A', { ack: 1, window: 60_000 })
    user.write(pattern(1460))
    expect(peer.sent()).toEqual([])
  })
})
