/** SOCK-3 and SOCK-17: opening a connection, from one side and from both. */
import { describe, expect, it } from 'vitest'
import { pattern } from './puppet.js'
import { Bed } from './bed.js'
import { same } from '../../support.js'

describe('opening', () => {
  it('SOCK-3: a listener answers a SYN, and has a connection with the ACK', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S')
    expect(peer.sent()).toEqual(['SA 0 ack 1'])
    expect(accepted).toEqual([])
    peer.send('A')
    expect(accepted).toHaveLength(1)
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-3: a connection is there with the answer to its SYN', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    expect(peer.sent()).toEqual(['S 0'])
    expect(user.events).toEqual([])
    peer.send('SA')
    expect(user.events).toEqual(['connect'])
    expect(peer.sent()).toEqual(['A 1 ack 1'])
  })

  it.each([
    ['RA', 1], ['R', 1],
  ])('SOCK-3: of resets without what acknowledges the SYN, %s does nothing', (letters) => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    peer.sent()
    peer.send(letters, letters === 'RA' ? { seq: 0, ack: 5000 } : { seq: 0 })
    expect(peer.sent()).toEqual([])
    expect(user.events).toEqual([])
    peer.send('RA', { seq: 0, ack: 1 })
    expect(user.events).toEqual(['error ECONNREFUSED', 'close'])
  })

  it('SOCK-3: an answer that acknowledges something else is reset, and the opening goes on', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    peer.sent()
    peer.send('SA', { seq: 0, ack: 77 })
    expect(peer.sent()).toEqual(['R 77'])
    peer.send('A', { seq: 0, ack: 0 })
    expect(peer.sent()).toEqual(['R 0'])
    expect(user.events).toEqual([])
    peer.send('SA')
    expect(user.events).toEqual(['connect'])
  })

  it('SOCK-3: a repeated SYN is answered as the first', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S').send('S', { seq: 0 })
    const answers = peer.segments()
    expect(answers.map(({ text }) => text)).toEqual(['SA 0 ack 1', 'SA 0 ack 1'])
    peer.send('A')
    expect(accepted).toHaveLength(1)
  })

  it('SOCK-3: a SYN-ACK that comes again is acknowledged again', () => {
    const { peer, user } = new Bed().connected()
    peer.send('SA', { seq: 0, ack: 1 })
    expect(peer.sent()).toEqual(['A 1 ack 1'])
    expect(user.events).toEqual(['connect'])
  })
})

describe('simultaneous opening', () => {
  it.each([
    ['with a SYN-ACK', 'SA', 0],
    ['with an ACK', 'A', 1],
  ])('SOCK-3: is done %s', (_name, letters, seq) => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    expect(peer.sent()).toEqual(['S 0'])
    peer.send('S')
    expect(peer.sent()).toEqual(['SA 0 ack 1'])
    expect(user.events).toEqual([])
    peer.send(letters, { seq, ack: 1 })
    expect(user.events).toEqual(['connect'])
    peer.sent()
    peer.send('A', { data: 'hello' })
    expect(user.takeText()).toBe('hello')
    user.write('world')
    expect(peer.sent().at(-1)).toBe('A 1:6 ack 6')
  })

  it('SOCK-3: two stacks that connect to each other have one connection', () => {
    const [left, right] = [new Bed({ addresses: ['10.0.0.1'] }), new Bed({ addresses: ['10.0.0.2'], secret: new Uint8Array(16).fill(9) })]
    const wires: Uint8Array[][] = [[], []]
    left.network.onSend = ({ wire }) => void wires[0]!.push(...wire)
    right.network.onSend = ({ wire }) => void wires[1]!.push(...wire)
    const a = left.connectTo('10.0.0.2', 2000, { localPort: 1000 })
    const b = right.connectTo('10.0.0.1', 1000, { localPort: 2000 })
    for (let turn = 0; turn < 10; turn++) {
      const [there, back] = [wires[0]!.splice(0), wires[1]!.splice(0)]
      right.network.receive(there.map((bytes) => ({ bytes })))
      left.network.receive(back.map((bytes) => ({ bytes })))
    }
    expect([a.events, b.events]).toEqual([['connect'], ['connect']])
    a.write('ping')
    right.network.receive(wires[0]!.splice(0).map((bytes) => ({ bytes })))
    expect(b.takeText()).toBe('ping')
  })

  it('SOCK-3: a reset in SYN_RCVD ends it with an error, as somebody opened it', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    peer.send('S').sent()
    peer.send('R', { seq: 1 })
    expect(user.events).toEqual(['error ECONNREFUSED', 'close'])
    expect(peer.sent()).toEqual([])
  })
})

describe('SYN_RCVD of a listener', () => {
  it('SOCK-3: a reset leaves the listener as it was', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S')
    expect(peer.sent()).toEqual(['SA 0 ack 1'])
    peer.send('R', { seq: 1 })
    bed.advance(10_000)
    expect(peer.sent()).toEqual([])
    expect(accepted).toEqual([])
    peer.seq = 0
    peer.open()
    expect(accepted).toHaveLength(1)
  })

  it('SOCK-3: a reset outside of the window leaves it waiting', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S').sent()
    peer.send('R', { seq: 100_000_000 })
    peer.send('A')
    expect(accepted).toHaveLength(1)
  })

  it('SOCK-3: an ACK of something else is reset, and it goes on waiting', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S').sent()
    peer.send('A', { ack: 999 })
    expect(peer.sent()).toEqual(['R 999'])
    expect(accepted).toEqual([])
    peer.send('A', { ack: 1 })
    expect(accepted).toHaveLength(1)
  })

  it('SOCK-3: data with the ACK that ends the handshake is delivered', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S').sent()
    peer.send('A', { data: 'early' })
    expect(accepted[0]!.takeText()).toBe('early')
  })

  it('SOCK-3: data out of order ends the handshake as an ACK does, and is delivered in order', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S').sent()
    peer.send('A', { seq: 6, data: 'world' })
    peer.send('A', { seq: 1, data: 'hello' })
    expect(accepted[0]!.takeText()).toBe('helloworld')
  })
})

describe('data with a SYN', () => {
  it('SOCK-17: is delivered once the handshake is done', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S', { data: '0123456789' })
    const { ack } = peer.segment()
    expect([1, 11]).toContain(ack)
    expect(accepted).toEqual([])
    // What was not acknowledged with the SYN comes again.
    if (ack === 1) peer.send('A', { seq: 1, ack: 1, data: '0123456789' })
    else peer.send('A')
    expect(accepted[0]!.takeText()).toBe('0123456789')
    peer.send('A', { data: 'more' })
    expect(accepted[0]!.takeText()).toBe('more')
  })

  it('SOCK-17: is queued and acknowledged with the SYN', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S', { data: '0123456789' })
    expect(peer.sent()).toEqual(['SA 0 ack 11'])
    peer.send('A')
    expect(accepted[0]!.takeText()).toBe('0123456789')
  })

  it('SOCK-17: with the answer to a SYN is delivered', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    peer.sent()
    peer.send('SA', { data: 'welcome' })
    expect(user.takeText()).toBe('welcome')
    expect(peer.sent()).toEqual(['A 1 ack 8'])
  })
})

describe('written before the handshake is done', () => {
  it('SOCK-3: leaves with the end of the handshake', () => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    user.write(pattern(100))
    expect(peer.sent()).toEqual(['S 0'])
    peer.send('SA')
    const sent = peer.segments()
    expect(sent.at(-1)!.text).toBe('A 1:101 ack 1')
    expect(same(sent.at(-1)!.data, pattern(100))).toBe(true)
  })
})
