/** SOCK-4: how large segments are, and what is said of it (RFC 9293 3.7.1, RFC 6691). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { pattern, type PuppetOptions } from './puppet.js'

/** Payload of the first segment that the stack sends of much data. */
const firstLength = (peer: PuppetOptions, mtu = 1500): number => {
  const { peer: puppet, user } = new Bed({ mtu }).opened(peer)
  user.write(pattern(60_000))
  return puppet.segments()[0]!.length
}

describe('the MSS that the stack says', () => {
  it.each([[1500, 1460], [9000, 8960], [576, 536], [1400, 1360], [65_535, 65_495]])('SOCK-4: with an MTU of %i is %i, in a SYN and in the answer to one', (mtu, mss) => {
    const opened = new Bed({ mtu })
    const peer = opened.puppet()
    opened.connect(peer)
    expect(peer.syn().options.mss).toBe(mss)
    const listening = new Bed({ mtu })
    listening.listen(80)
    for (const options of [{}, { timestamps: true, sack: true, scale: 7 }]) {
      expect(listening.puppet({ stackPort: 80, ...options }).open().options.mss).toBe(mss)
    }
  })

  it('SOCK-4: stands in segments with SYN only', () => {
    const { peer, user } = new Bed().opened()
    user.write('data')
    peer.send('A', { data: 'data', ack: 1 })
    user.shutdown()
    expect(peer.segments().map(({ options }) => options.mss)).not.toContain(expect.any(Number))
  })
})

describe('the payload that the stack sends', () => {
  it.each([[1460, 1460], [1000, 1000], [536, 536], [1461, 1460], [9000, 1460], [65_535, 1460]])('SOCK-4: to a peer that says %i is %i', (mss, length) => {
    expect(firstLength({ mss })).toBe(length)
  })

  it('SOCK-4: is 536 to a peer that says nothing', () => {
    expect(firstLength({ mss: null })).toBe(536)
    expect(firstLength({ mss: null }, 9000)).toBe(536)
  })

  it('SOCK-4: is smaller by the options that are in every segment', () => {
    expect(firstLength({ timestamps: true })).toBe(1448)
    expect(firstLength({ timestamps: true, mss: 1000 })).toBe(988)
    expect(firstLength({ timestamps: true, mss: null })).toBe(524)
    expect(firstLength({ timestamps: true, mss: 9000 }, 9000)).toBe(8948)
  })

  it('SOCK-4: is smaller by the SACK blocks that go with it', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened({ sack: true, timestamps: true })
    peer.send('A', { seq: 101, data: 50 })
    peer.send('A', { seq: 201, data: 50 })
    peer.sent()
    user.write(pattern(20_000))
    const [first] = peer.segments()
    expect(first!.headerLength + first!.length).toBeLessThanOrEqual(1480)
    expect(first!.length).toBeGreaterThanOrEqual(1460 - 40)
  })

  it('SOCK-4: is limited by what the way out carries, and by the peer, whichever is less', () => {
    expect(firstLength({ mss: 8960 }, 1400)).toBe(1360)
    expect(firstLength({ mss: 1200 }, 1400)).toBe(1200)
  })

  it('SOCK-4: is cut into such segments when superpackets are handed down', () => {
    const { peer, user } = new Bed({ offloads: { checksum: true, tcp: true, udp: true } }).opened({ mss: 1000 })
    peer.handed = []
    user.write(pattern(9000))
    expect(peer.segments().map(({ length }) => length)).toEqual(Array.from({ length: 9 }, () => 1000))
    expect(Math.max(...peer.handed)).toBeGreaterThan(1000)
  })

  it('SOCK-4: follows the way out, when it has become another', () => {
    const bed = new Bed()
    bed.network.pathMtu = 1300
    const { peer, user } = bed.connected()
    user.write(pattern(5000))
    expect(peer.segments()[0]!.length).toBe(1260)
  })

  it('SOCK-4: is never fragmented', () => {
    const { peer, user } = new Bed().opened()
    user.write(pattern(5000))
    expect(peer.segments().every(({ dontFragment }) => dontFragment)).toBe(true)
  })
})
