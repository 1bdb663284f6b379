/** SOCK-6: segments that belong to no connection (RFC 9293 3.10.7.1, 3.10.7.2). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import type { Puppet, SendOptions } from './puppet.js'

const closed = (): Puppet => new Bed().puppet({ stackPort: 81 })

describe('a port where nobody listens', () => {
  it.each<readonly [string, string, SendOptions, string]>([
    ['an ACK', 'A', { seq: 100, ack: 500 }, 'R 500'],
    ['a SYN', 'S', { seq: 100 }, 'RA 0 ack 101'],
    ['a SYN with data', 'S', { seq: 100, data: 10 }, 'RA 0 ack 111'],
    ['a SYN-ACK', 'SA', { seq: 100, ack: 500 }, 'R 500'],
    ['a FIN', 'F', { seq: 100 }, 'RA 0 ack 101'],
    ['a FIN with ACK', 'FA', { seq: 100, ack: 500 }, 'R 500'],
    ['data', 'P', { seq: 100, data: 10 }, 'RA 0 ack 110'],
    ['data with ACK', 'PA', { seq: 100, ack: 500, data: 10 }, 'R 500'],
    ['a segment without flags', '', { seq: 100 }, 'RA 0 ack 100'],
    ['SYN and FIN together', 'SF', { seq: 100 }, 'RA 0 ack 102'],
    ['an ACK at the end of the numbers', 'A', { seq: 100, ack: 0x7fffffff }, `R ${0x7fffffff}`],
  ])('SOCK-6: %s is answered with RST', (_name, letters, options, answer) => {
    const peer = closed()
    peer.send(letters, options)
    const segment = peer.segment()
    expect(segment.text).toBe(answer)
    expect([segment.window, segment.length, segment.kinds]).toEqual([0, 0, []])
    const field = new DataView(segment.bytes.buffer).getInt32(28)
    if (!segment.flags.includes('A')) expect(field).toBe(0)
  })

  it.each<readonly [string, string, SendOptions]>([
    ['a reset', 'R', { seq: 100 }],
    ['a reset with ACK', 'RA', { seq: 100, ack: 500 }],
    ['a reset with SYN', 'RS', { seq: 100 }],
    ['a segment with a wrong checksum', 'A', { seq: 100, ack: 500, packet: { corrupt: 'transport' } }],
  ])('SOCK-6: %s gets no answer', (_name, letters, options) => {
    const peer = closed()
    peer.send(letters, options)
    expect(peer.sent()).toEqual([])
  })

  it('SOCK-6: the answer comes from the address that was asked, with nothing left behind', () => {
    const bed = new Bed({ addresses: ['10.0.0.1', '10.0.0.7'] })
    const peer = bed.puppet({ stackPort: 81, stackAddress: '10.0.0.7' })
    peer.send('S')
    expect(peer.sent()).toEqual(['RA 0 ack 1'])
    bed.advance(300_000)
    expect(peer.sent()).toEqual([])
    expect(bed.sockets).toBe(0)
  })
})

describe('a listener', () => {
  it.each<readonly [string, string, SendOptions, readonly string[]]>([
    ['an ACK is answered with RST', 'A', { seq: 100, ack: 500 }, ['R 500']],
    ['a SYN-ACK is answered with RST', 'SA', { seq: 100, ack: 500 }, ['R 500']],
    ['a FIN with ACK is answered with RST', 'FA', { seq: 100, ack: 500 }, ['R 500']],
    ['a reset is ignored', 'R', { seq: 100 }, []],
    ['a reset with ACK is ignored', 'RA', { seq: 100, ack: 500 }, []],
    ['a reset with SYN is ignored', 'RS', { seq: 100 }, []],
    ['a segment without flags is ignored', '', { seq: 100 }, []],
    ['a FIN without ACK is ignored', 'F', { seq: 100 }, []],
    ['data without ACK is ignored', 'P', { seq: 100, data: 10 }, []],
  ])('SOCK-6: %s', (_name, letters, options, answers) => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send(letters, options)
    expect(peer.sent()).toEqual(answers)
    expect(accepted).toEqual([])
    peer.open()
    expect(accepted).toHaveLength(1)
  })

  it('SOCK-6: one that closed is answered for with RST', () => {
    const bed = new Bed()
    const { listener } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    listener.close()
    peer.send('S')
    expect(peer.sent()).toEqual(['RA 0 ack 1'])
  })

  it('SOCK-6: one at another address does not answer', () => {
    const bed = new Bed({ addresses: ['10.0.0.1', '10.0.0.7'] })
    bed.listen(80, { address: 0x0a000007 })
    const [peer, other] = [bed.puppet({ stackPort: 80 }), bed.puppet({ stackPort: 80, stackAddress: '10.0.0.7' })]
    peer.send('S')
    expect(peer.sent()).toEqual(['RA 0 ack 1'])
    other.send('S')
    expect(other.sent()).toEqual(['SA 0 ack 1'])
  })
})

describe('a connection that is over', () => {
  it('SOCK-6: is answered for with RST', () => {
    const bed = new Bed()
    const { peer, user, listening } = bed.opened()
    user.endpoint.abort()
    expect(peer.sent()).toEqual(['RA 1 ack 1'])
    peer.send('A', { data: 'late' })
    expect(peer.sent()).toEqual(['R 1'])
    expect(listening.accepted).toHaveLength(1)
  })
})
