/** SOCK-16: closing, in halves and at once (RFC 9293 3.6, RFC 2525 2.17). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { pattern } from './puppet.js'
import { same } from '../../support.js'

describe('closing', () => {
  it('SOCK-16: with a byte that was not read is a reset', () => {
    const { peer, user } = new Bed().opened({ isReading: false })
    peer.send('A', { data: 'x' })
    peer.sent()
    user.close()
    const sent = peer.sent()
    expect(sent).toHaveLength(1)
    expect(sent[0]).toMatch(/^RA? 1( ack 2)?$/)
    expect(user.events).toEqual(['close'])
    peer.send('A', { data: 'more' })
    expect(peer.sent()).toEqual(['R 1'])
  })

  it('SOCK-16: with all read is a FIN', () => {
    const { peer, user } = new Bed().opened()
    peer.send('A', { data: 'x' })
    peer.sent()
    user.close()
    expect(peer.sent()).toEqual(['FA 1 ack 2'])
  })

  it('SOCK-16: with the end of the stream not read is a FIN', () => {
    const { peer, user } = new Bed().opened({ isReading: false })
    peer.send('FA').sent()
    user.close()
    expect(peer.sent()).toEqual(['FA 1 ack 2'])
  })

  it.each([['FIN_WAIT_1', false], ['FIN_WAIT_2', true]])('SOCK-16: data that comes afterwards, in %s, is answered with a reset', (_name, isAcknowledged) => {
    const { peer, user } = new Bed().opened()
    user.close()
    expect(peer.sent()).toEqual(['FA 1 ack 1'])
    if (isAcknowledged) peer.send('A')
    peer.send('A', { data: 'late', ack: isAcknowledged ? 2 : 1 })
    expect(peer.sent()).toEqual(['RA 2 ack 1'])
    peer.send('A', { data: 'later', ack: 2 })
    expect(peer.sent()).toEqual(['R 2'])
    expect(user.events.at(-1)).toBe('close')
  })

  it('SOCK-16: sends what was written before', () => {
    const { peer, user } = new Bed().opened({ window: 2000 })
    user.write(pattern(5000))
    user.close()
    const got: Uint8Array[] = []
    let flags = ''
    for (let turn = 0; turn < 10 && !flags.includes('F'); turn++) {
      for (const segment of peer.segments()) {
        got.push(segment.data)
        flags = segment.flags
      }
      peer.send('A')
    }
    expect(same(Buffer.concat(got), pattern(5000))).toBe(true)
    expect(flags).toBe('FA')
  })

  it('SOCK-16: a FIN without an ACK is sent again', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.close()
    bed.advance(10_000)
    const sent = peer.sent()
    expect(sent.length).toBeGreaterThanOrEqual(3)
    expect(new Set(sent)).toEqual(new Set(['FA 1 ack 1']))
    peer.send('A').send('FA')
    expect(peer.sent()).toEqual(['A 2 ack 2'])
    expect(user.events).toEqual(['finish', 'close'])
    bed.advance(10_000)
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-16: a FIN that goes with data is sent again with it', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.write('data')
    user.close()
    expect(peer.sent().join()).toMatch(/FA/)
    bed.advance(5000)
    expect(peer.sent().join()).toMatch(/FA/)
    peer.send('A', { ack: 6 })
    expect(user.events).toContain('finish')
  })

  it('SOCK-16: before the handshake is done ends the opening', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    peer.sent()
    user.close()
    expect(user.events).toEqual(['close'])
    peer.send('SA')
    expect(peer.sent()).toEqual(['R 1'])
    bed.advance(60_000)
    expect(peer.sent()).toEqual([])
  })
})

describe('half closing', () => {
  it('SOCK-16: the own direction leaves the other one: a megabyte is read after the FIN', () => {
    const { peer, user } = new Bed().opened()
    user.write('request')
    user.shutdown()
    expect(peer.sent().at(-1)).toMatch(/^FA/)
    peer.send('A')
    let arrived = 0
    for (let sent = 0; sent < 1 << 20; sent += 1024) {
      peer.send('A', { data: 1024 })
      arrived += user.take().length
    }
    expect(arrived).toBe(1 << 20)
    expect(user.events).toEqual(['finish'])
    peer.send('FA')
    expect(user.events).toEqual(['finish', 'end', 'close'])
  })

  it('SOCK-16: the direction of the peer leaves the own one: a megabyte is sent after its FIN', () => {
    const { peer, user } = new Bed().opened()
    peer.send('FA')
    expect(user.events).toEqual(['end'])
    expect(peer.sent()).toEqual(['A 1 ack 2'])
    user.write(new Uint8Array(1 << 20))
    let end = 1
    for (let turns = 0; turns < 5000 && end < 1 + (1 << 20); turns++) {
      for (const segment of peer.segments()) end = Math.max(end, segment.end)
      peer.send('A')
    }
    expect(end).toBe(1 + (1 << 20))
    user.shutdown()
    expect(peer.sent()).toEqual([`FA ${end} ack 2`])
    peer.send('A')
    expect(user.events.slice(0, 1).concat(user.events.slice(-2))).toEqual(['end', 'finish', 'close'])
  })

  it('SOCK-16: data that comes before the FIN is read before the end', () => {
    const { peer, user } = new Bed().opened({ isReading: false })
    peer.send('A', { data: 'one' })
    peer.send('FA', { data: 'two' })
    user.read()
    expect(user.takeText()).toBe('onetwo')
    expect(user.events).toEqual(['end'])
  })

  it('SOCK-16: a FIN that comes again is acknowledged again', () => {
    const { peer } = new Bed().opened()
    peer.send('FA').send('FA', { seq: 1 })
    expect(peer.sent()).toEqual(['A 1 ack 2', 'A 1 ack 2'])
  })

  it('SOCK-16: data behind a FIN is not taken', () => {
    const { peer, user } = new Bed().opened()
    peer.send('FA', { data: 'all' })
    peer.send('A', { data: 'beyond' })
    expect(user.takeText()).toBe('all')
    expect(user.events).toEqual(['end'])
  })
})

describe('aborting', () => {
  it('SOCK-16: sends a reset with the number that is next, and nothing after it', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.write(pattern(100))
    peer.sent()
    user.endpoint.abort()
    expect(peer.sent()).toEqual(['RA 101 ack 1'])
    expect(user.events).toEqual(['close'])
    bed.advance(600_000)
    expect(peer.sent()).toEqual([])
    expect(bed.sockets).toBe(1)
  })

  it('SOCK-16: by the peer is told to the user, with what came before it', () => {
    const { peer, user } = new Bed().opened()
    peer.send('A', { data: 'last words' })
    peer.send('R')
    expect(user.takeText()).toBe('last words')
    expect(user.events).toEqual(['error ECONNRESET', 'close'])
    expect(user.error).toMatchObject({ code: 'ECONNRESET' })
    expect(user.error!.errno).toBeLessThan(0)
  })

  it('SOCK-16: of a connection that nothing was heard of is told as what it is', () => {
    const bed = new Bed()
    const { user } = bed.opened()
    user.write('x')
    bed.advance(2_000_000)
    expect(user.events).toEqual(['error ETIMEDOUT', 'close'])
  })

  it('SOCK-16: nothing can be done with what is over', () => {
    const { peer, user } = new Bed().opened()
    user.endpoint.abort()
    peer.sent()
    user.write('x')
    user.shutdown()
    user.close()
    user.endpoint.abort()
    user.endpoint.setKeepAlive(true)
    user.endpoint.setNoDelay(true)
    expect(peer.sent()).toEqual([])
    expect(user.events).toEqual(['close'])
  })
})

describe('closing a listener', () => {
  it('SOCK-16: leaves its connections', () => {
    const { peer, user, listening } = new Bed().opened()
    listening.listener.close()
    peer.send('A', { data: 'still here' })
    expect(user.takeText()).toBe('still here')
  })

  it('SOCK-16: resets what is not a connection yet', () => {
    const bed = new Bed()
    const { listener, accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S').sent()
    listener.close()
    peer.sent()
    peer.send('A', { ack: 1 })
    expect(peer.sent()).toEqual(['R 1'])
    expect(accepted).toEqual([])
  })
})
