/** SOCK-14: what ICMP errors do to connections (RFC 9293 3.9.2.2, RFC 5461, RFC 5927). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { pattern, type Puppet } from './puppet.js'
import type { Segment } from './segment.js'
import type { User } from './user.js'

const ROUTER = { from: '10.0.0.254' }

/** A connection with a segment of data on its way. */
const sending = (bed = new Bed()): { bed: Bed; peer: Puppet; user: User; data: Segment } => {
  const { peer, user } = bed.opened()
  user.write(pattern(1000))
  return { bed, peer, user, data: peer.segment() }
}

/** A connection that waits for the answer to its SYN. */
const opening = (): { bed: Bed; peer: Puppet; user: User; syn: Segment } => {
  const bed = new Bed()
  const peer = bed.puppet()
  const user = bed.connect(peer)
  return { bed, peer, user, syn: peer.syn() }
}

const SOFT = [[3, 0, 'EHOSTUNREACH|ENETUNREACH'], [3, 1, 'EHOSTUNREACH'], [3, 5, 'EHOSTUNREACH|EOPNOTSUPP'], [11, 0, 'EHOSTUNREACH'], [11, 1, 'EHOSTUNREACH'], [12, 0, 'EPROTO']] as const

describe('a soft error', () => {
  it.each(SOFT)('SOCK-14: %i/%i does not end a connection', (type, code) => {
    const { peer, user, data } = sending()
    peer.icmp(type, code, data, ROUTER)
    expect(user.events).toEqual([])
    peer.send('A')
    expect(user.endpoint.writeLength).toBe(0)
    peer.send('A', { data: 'alive' })
    expect(user.takeText()).toBe('alive')
  })

  it.each(SOFT)('SOCK-14: %i/%i does not end an opening; it says why, when that was in vain', (type, code, errors) => {
    const { bed, peer, user, syn } = opening()
    peer.icmp(type, code, syn, ROUTER)
    expect(user.events).toEqual([])
    bed.advance(400_000)
    expect(user.events.at(-1)).toBe('close')
    expect(user.error!.code).toMatch(new RegExp(`^(${errors})$`))
  })

  it('SOCK-14: the opening may still succeed', () => {
    const { peer, user, syn } = opening()
    peer.icmp(3, 1, syn, ROUTER)
    peer.send('SA')
    expect(user.events).toEqual(['connect'])
  })
})

describe('a soft error about a connection that then stays silent', () => {
  it('SOCK-14: is what its user is told in the end', () => {
    const { bed, peer, user, data } = sending()
    peer.icmp(3, 1, data, ROUTER)
    bed.advance(3_600_000)
    expect(user.events).toEqual(['error EHOSTUNREACH', 'close'])
  })

  it('SOCK-14: is forgotten when there was an answer', () => {
    const { bed, peer, user, data } = sending()
    peer.icmp(3, 1, data, ROUTER)
    peer.send('A')
    user.write(pattern(10))
    bed.advance(3_600_000)
    expect(user.events).toEqual(['error ETIMEDOUT', 'close'])
  })
})

describe('a hard error', () => {
  it.each([[3, 2], [3, 3]])('SOCK-14: %i/%i ends an opening', (type, code) => {
    const { bed, peer, user, syn } = opening()
    peer.icmp(type, code, syn)
    expect(user.events).toEqual(['error ECONNREFUSED', 'close'].map((text) => (code === 2 ? expect.stringMatching(/^(error (ECONNREFUSED|ENOPROTOOPT)|close)$/) as string : text)))
    bed.advance(300_000)
    expect(peer.sent()).toEqual([])
    expect(bed.sockets).toBe(0)
  })

  it.each([[3, 2], [3, 3], [3, 9], [3, 13]])('SOCK-14: %i/%i does not end a connection', (type, code) => {
    const { peer, user, data } = sending()
    peer.icmp(type, code, data)
    expect(user.events).toEqual([])
    peer.send('A')
    peer.send('A', { data: 'alive' })
    expect(user.takeText()).toBe('alive')
  })

  it('SOCK-14: about something that the opening did not send does nothing', () => {
    const { peer, user, syn } = opening()
    for (const shift of [1, -1, 1000]) {
      const forged = syn.bytes.slice()
      const view = new DataView(forged.buffer)
      view.setInt32(24, view.getInt32(24) + shift)
      peer.icmp(3, 3, forged)
    }
    expect(user.events).toEqual([])
    peer.icmp(3, 3, syn)
    expect(user.events).toEqual(['error ECONNREFUSED', 'close'])
  })

  it('SOCK-14: with a wrong checksum does nothing', () => {
    const { peer, user, syn } = opening()
    peer.icmp(3, 3, syn, { corrupt: 'transport' })
    expect(user.events).toEqual([])
  })
})

describe('errors that mean nothing', () => {
  it.each([[4, 0, 'source quench'], [5, 1, 'a redirect'], [3, 77, 'an unknown code']])('SOCK-14: %i/%i, %s, is ignored', (...[type, code]) => {
    const { peer, user, data } = sending()
    peer.icmp(type, code, data, ROUTER)
    expect(user.events).toEqual([])
    expect(peer.sent()).toEqual([])
    user.write(pattern(20_000))
    // As much as without it.
    const { peer: other, user: otherUser } = sending()
    otherUser.write(pattern(20_000))
    expect(peer.sent()).toEqual(other.sent())
  })

  it('SOCK-14: one about a listener\'s answer leaves the listener', () => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    peer.send('S')
    peer.icmp(3, 3, peer.segment())
    peer.send('A', { ack: 1 })
    bed.puppet({ stackPort: 80 }).open()
    expect(accepted.length).toBeGreaterThanOrEqual(1)
  })

  it('SOCK-14: one cut short does nothing', () => {
    const { peer, user, data } = sending()
    for (let length = 0; length <= 27; length++) peer.icmp(3, 3, data, { quoteLength: length })
    expect(user.events).toEqual([])
    expect(peer.sent()).toEqual([])
  })
})

describe('fragmentation needed', () => {
  it('PMTU-2, SOCK-14: smaller segments follow, what was lost is sent again at once', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    user.write(pattern(4380))
    const sent = peer.segments()
    expect(sent.map(({ length }) => length)).toEqual([1460, 1460, 1460])
    peer.icmp(3, 4, sent[0]!, { ...ROUTER, mtu: 1300 })
    const again = peer.segments()
    expect(again[0]!.text).toBe('A 1:1261 ack 1')
    expect(again.every(({ length, dontFragment }) => length <= 1260 && dontFragment)).toBe(true)
    for (let i = 0; i < 10; i++) {
      peer.send('A', { ack: Math.max(1, ...again.map(({ end }) => end)) })
      again.push(...peer.segments())
    }
    expect(user.endpoint.writeLength).toBe(0)
    expect(again.every(({ length }) => length <= 1260)).toBe(true)
  })

  it('PMTU-2, SOCK-14: about a sequence number that is not on its way is ignored', () => {
    const { peer, user, data } = sending()
    for (const shift of [-1, 1000, 100_000, 0x40000000]) {
      const forged = data.bytes.slice()
      const view = new DataView(forged.buffer)
      view.setInt32(24, (view.getInt32(24) + shift) | 0)
      peer.icmp(3, 4, forged, { ...ROUTER, mtu: 600 })
    }
    peer.send('A')
    user.write(pattern(1460))
    expect(peer.segments()[0]!.length).toBe(1460)
  })

  it('PMTU-2, SOCK-14: of more than is sent changes nothing', () => {
    const { peer, user, data } = sending()
    peer.icmp(3, 4, data, { ...ROUTER, mtu: 9000 })
    peer.icmp(3, 4, data, { ...ROUTER, mtu: 1500 })
    peer.send('A').sent()
    user.write(pattern(1460))
    expect(peer.segment().length).toBe(1460)
  })

  it.each([1, 20, 67])('PMTU-2, SOCK-14: of %i bytes, less than IPv4 guarantees, changes nothing', (mtu) => {
    const { peer, user, data } = sending()
    peer.icmp(3, 4, data, { ...ROUTER, mtu })
    peer.send('A').sent()
    user.write(pattern(1460))
    expect(peer.segment().length).toBe(1460)
  })

  it('PMTU-2, SOCK-14: of an old router that does not say how much leads to the next common size', () => {
    const { peer, user, data } = sending()
    peer.icmp(3, 4, data, { ...ROUTER, mtu: 0 })
    peer.send('A', { ack: 1001 }).sent()
    user.write(pattern(2000))
    // RFC 1191 7.1: below the 1040 bytes that did not pass.
    expect(peer.segments()[0]!.length).toBe(1006 - 40)
  })

  it('PMTU-2, SOCK-14: larger segments are tried again after 10 minutes, not before', () => {
    const { bed, peer, user, data } = sending()
    peer.icmp(3, 4, data, { ...ROUTER, mtu: 800 })
    peer.send('A', { ack: 1001 })
    peer.sent()
    const lengthNow = (): number => {
      user.write(pattern(1460))
      const [first] = peer.segments()
      peer.send('A')
      peer.send('A')
      peer.sent()
      return first!.length
    }
    expect(lengthNow()).toBe(760)
    bed.advance(299_000)
    expect(lengthNow()).toBe(760)
    bed.advance(600_000)
    expect([lengthNow(), lengthNow()].at(-1)).toBe(1460)
  })
})
