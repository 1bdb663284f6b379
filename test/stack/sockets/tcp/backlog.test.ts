/** What a flood of SYNs does to a listener: nothing that lasts (RFC 4987). */
import { describe, expect, it } from 'vitest'
import { SOCKET_FLAG } from '../../../../src/stack/sockets/socket-row.js'
import { Bed } from './bed.js'
import { pattern, type PuppetOptions } from './puppet.js'

/** SYNs of so many that never answer. */
const flood = (bed: Bed, count: number): number => {
  const peer = bed.puppet({ stackPort: 80, address: '10.0.0.66', port: 1 })
  let answers = 0
  for (let index = 0; index < count; index++) {
    const { bytes } = peer.build('S', { seq: index, packet: { source: 0x0a010000 + index } })
    peer.inject({ bytes })
    answers += bed.strays.splice(0).length
  }
  return answers
}

describe('a flood of SYNs', () => {
  it('SOCK-3: takes no more sockets than the backlog has, however long it is', () => {
    const bed = new Bed()
    bed.listen(80, { backlog: 128 })
    flood(bed, 1000)
    const after = bed.sockets
    expect(after).toBeLessThanOrEqual(130)
    flood(bed, 3000)
    expect(bed.sockets).toBeLessThanOrEqual(after)
  })

  it('SOCK-3: lets new connections come through, with data and with what their SYN said', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80, { backlog: 16 })
    flood(bed, 200)
    const options: PuppetOptions[] = [
      {}, { mss: 536 }, { mss: 1200 }, { mss: null }, { timestamps: true, sack: true, scale: 7 }, { timestamps: true, mss: 1300 }, { sack: true, scale: 14 },
    ]
    for (const [index, option] of options.entries()) {
      const peer = bed.puppet({ stackPort: 80, ...option })
      peer.open()
      expect(accepted).toHaveLength(index + 1)
      peer.send('A', { data: 'request' })
      const user = accepted[index]!
      expect(user.takeText()).toBe('request')
      user.write(pattern(20_000))
      const [first] = peer.segments().filter(({ length }) => length > 0)
      expect(first!.length).toBeLessThanOrEqual(option.mss ?? (option.mss === null ? 536 : 1460))
      expect(first!.length).toBeGreaterThanOrEqual(500)
    }
  })

  it('SOCK-3: an ACK that answers no SYN-ACK opens nothing, in a flood too', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80, { backlog: 16 })
    flood(bed, 200)
    const peer = bed.puppet({ stackPort: 80 })
    for (let guess = 0; guess < 200; guess++) peer.send('A', { seq: 1, ack: guess * 7919 })
    expect(accepted).toEqual([])
    expect(new Set(peer.segments().map(({ flags }) => flags))).toEqual(new Set(['R']))
  })

  it('SOCK-3: an old answer to a SYN is worth nothing after minutes', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80, { backlog: 16 })
    flood(bed, 200)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S')
    expect(peer.sent()).toEqual(['SA 0 ack 1'])
    bed.advance(600_000)
    flood(bed, 200)
    peer.sent()
    peer.send('A', { ack: 1 })
    expect(accepted).toEqual([])
    expect(peer.sent()).toEqual(['R 1'])
  })

  it('SOCK-3: is over when it is over', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80, { backlog: 16 })
    flood(bed, 200)
    bed.advance(600_000)
    bed.strays.splice(0)
    expect(bed.sockets).toBe(1)
    bed.puppet({ stackPort: 80, sack: true, scale: 5 }).open()
    expect(accepted).toHaveLength(1)
  })

  it('SOCK-3: is told in the table while cookies may come back', () => {
    const bed = new Bed()
    bed.listen(80)
    const { table } = bed.stack
    const row = table.findBound(6, 0, 80, 0, 0)
    const sends = (): boolean => (table.flagsOf(row) & SOCKET_FLAG.cookies) !== 0
    bed.puppet({ stackPort: 80 }).open()
    expect(sends()).toBe(false)
    flood(bed, 1000)
    expect(sends()).toBe(true)
    bed.advance(300_000)
    bed.puppet({ stackPort: 80 }).open()
    expect(sends()).toBe(false)
  })

  it('SOCK-3: does not hinder what is established', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    flood(bed, 1000)
    peer.send('A', { data: 'still here' })
    expect(user.takeText()).toBe('still here')
  })
})

describe('TIME_WAIT', () => {
  it('SOCK-7: is bounded: the oldest goes first', () => {
    const bed = new Bed({ tcp: { timeWaitMax: 10 } })
    const { accepted } = bed.listen(80)
    const peers = Array.from({ length: 20 }, () => bed.puppet({ stackPort: 80 }))
    for (const [index, peer] of peers.entries()) {
      peer.open()
      accepted[index]!.close()
      peer.sent()
      peer.send('A').send('FA')
      expect(peer.sent()).toEqual(['A 2 ack 2'])
    }
    const again = peers.map((peer) => {
      peer.send('FA', { seq: 1, ack: 2 })
      return peer.sent()[0]
    })
    expect(again).toEqual([...Array.from({ length: 10 }, () => 'R 2'), ...Array.from({ length: 10 }, () => 'A 2 ack 2')])
  })

  it('SOCK-7: keeps no new socket out when the table is full', () => {
    const bed = new Bed({ capacity: 11 })
    const { accepted } = bed.listen(80)
    const serve = (index: number): void => {
      const peer = bed.puppet({ stackPort: 80 })
      peer.open()
      accepted[index]!.close()
      peer.sent()
      peer.send('A').send('FA')
      expect(peer.sent()).toEqual(['A 2 ack 2'])
    }
    for (let index = 0; index < 30; index++) serve(index)
    expect(bed.stack.table.count).toBe(11)
    const datagrams = bed.stack.openUdp({})
    datagrams.bind(0, 53)
    serve(30)
    expect(bed.stack.table.count).toBe(11)
  })
})
