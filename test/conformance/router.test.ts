/** What RFC 1812 and its kin ask of a router, row by row. */
import { describe, expect, it } from 'vitest'
import { parseForward } from '../../src/forward-text.js'
import { SYN } from '../../src/stack/wire/tcp.js'
import {
  A, B, back, buildFragments, buildIcmp, buildIcmpEcho, buildIcmpError, buildIpv4, buildUdp, bytesOf, checkPacket, destinationOf, E, end, from, G, gatewayOf, icmp, inward,
  ip, only, outward, P, packet, Q, same, silent, sourceOf, swallows, to, u16, u32,
} from './support.js'

const HOST = end(A, 5000)
const UDP = { source: A, sourcePort: 5000, destination: P, destinationPort: 53 }
const BAD = ['0.0.0.0', '0.1.2.3', '127.0.0.1', '224.0.0.1', '239.255.255.250', '240.0.0.1', '255.255.255.255']
const ON_LINK = [{ destination: ip('203.0.113.0'), prefixLength: 24, gateway: null, source: ip(E) }, { destination: 0, prefixLength: 0, gateway: ip('203.0.113.254'), source: ip(E) }]
/** With one byte changed and the header checksum made right again. */
const altered = (at: number, value: number, original = buildUdp({ ...UDP, payload: bytesOf(40) })): Uint8Array => {
  const bytes = original.slice()
  bytes[at] = value
  bytes.set([0, 0], 10)
  let sum = 0
  for (let word = 0; word < 20; word += 2) sum += u16(bytes, word)
  sum = ~((sum % 65536) + Math.floor(sum / 65536)) & 0xffff
  bytes.set([sum >> 8, sum & 0xff], 10)
  return bytes
}

describe('headers', () => {
  it.each([
    ['less than 20 bytes', new Uint8Array(19).fill(0x45)],
    ['a wrong checksum', buildUdp({ ...UDP, corrupt: 'header' })],
    ['version 6', altered(0, 0x65)],
    ['a header length below 20', altered(0, 0x44)],
    ['a total length below the header\'s', altered(3, 16)],
    ['a total length beyond the packet', altered(2, 1)],
  ])('RTR-1: %s: discarded silently and counted, from either side', (_, bytes) => {
    const gateway = gatewayOf('behave')
    expect([swallows(gateway, 'lan', bytes), swallows(gateway, 'wan', bytes), gateway.dropped, gateway.flows]).toEqual([true, true, 2, 0])
  })

  it('RTR-2: TTL 2 leaves as 1; TTL 1 and 0 are answered with 11/0; pings to the gateway itself are answered whatever their TTL', () => {
    const gateway = gatewayOf('behave')
    expect(outward(gateway, buildUdp({ ...UDP, ttl: 2 }))[8]).toBe(1)
    for (const ttl of [0, 1]) {
      gateway.isLenient = ttl === 0
      expect(icmp(back(gateway, buildUdp({ ...UDP, ttl })))).toBe('11/0')
    }
    expect(icmp(back(gateway, buildIcmpEcho({ source: A, destination: G, identifier: 7, ttl: 1 })))).toBe('0/0')
    expect(swallows(gateway, 'lan', buildUdp({ ...UDP, destination: '224.0.0.1', ttl: 1 }))).toBe(true)
  })

  it('RTR-11: reserved bits of flags and TOS do not matter; they stay, in fragments too', () => {
    const gateway = gatewayOf('behave', { wanMtu: 500 })
    const sent = gateway.fromLan(altered(6, 0x80, buildUdp({ ...UDP, tos: 0xff, payload: bytesOf(900) }))).toWan().map(({ bytes: each }) => each)
    expect(sent.map((each) => [each[1], each[6]! & 0x80])).toEqual([[0xff, 0x80], [0xff, 0x80]])
  })

  it('RTR-12: loose and strict source routes are dropped; record route, timestamp and unknown options pass byte by byte', () => {
    const gateway = gatewayOf('behave')
    for (const kind of [131, 137]) expect(swallows(gateway, 'lan', buildUdp({ ...UDP, ipOptions: Uint8Array.of(kind, 7, 4, 198, 51, 100, 9, 0) }))).toBe(true)
    for (const ipOptions of [Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0), Uint8Array.of(68, 8, 5, 0, 0, 0, 0, 0), Uint8Array.of(200, 4, 1, 2), Uint8Array.of(148, 4, 0, 0)]) {
      expect(same(outward(gateway, buildUdp({ ...UDP, ipOptions })).subarray(20, 20 + ipOptions.length), ipOptions)).toBe(true)
    }
  })
})

describe('errors', () => {
  it('RTR-3: no error about errors, ICMP that is no query, later fragments, bad sources, broadcast and multicast', () => {
    const gateway = gatewayOf('behave')
    const later = buildFragments(buildUdp({ ...UDP, ttl: 1, payload: bytesOf(900) }), 500)[1]!
    const error = buildIcmpError({ source: A, destination: P, type: 3, code: 3, ttl: 1, quote: packet('udp', end(P, 53), HOST) })
    for (const bytes of [later, error, buildIcmp({ source: A, destination: P, type: 9, ttl: 1 }), buildUdp({ ...UDP, corrupt: 'header', ttl: 1 })]) {
      expect(swallows(gateway, 'lan', bytes)).toBe(true)
    }
    for (const bad of BAD) {
      expect(swallows(gateway, 'lan', buildUdp({ ...UDP, source: bad, ttl: 1 }))).toBe(true)
      expect(swallows(gateway, 'lan', buildUdp({ ...UDP, destination: bad, ttl: 1 }))).toBe(true)
    }
    expect(gateway.flows).toBe(0)
  })

  it('RTR-4: of 10 000 packets to a closed port of the gateway no more are answered than limits.icmpErrorsPerSecond and a burst of 50', () => {
    const gateway = gatewayOf('behave', { limits: { icmpErrorsPerSecond: 10 } })
    for (let count = 0; count < 10_000; count++) gateway.lan.push(buildUdp({ ...UDP, destination: G }))
    expect(gateway.fromLan(buildUdp({ ...UDP, destination: G })).toLan()).toHaveLength(50)
    gateway.advance(1)
    for (let count = 0; count < 100; count++) gateway.lan.push(buildUdp({ ...UDP, ttl: 1 }))
    expect(gateway.fromLan(buildUdp({ ...UDP, ttl: 1 })).toLan()).toHaveLength(10)
  })

  it('RTR-5: errors quote a short offender whole, a long one up to 576 bytes in all', () => {
    const gateway = gatewayOf('behave')
    for (const length of [0, 8, 500, 1400]) {
      const offender = buildUdp({ ...UDP, ttl: 1, payload: bytesOf(length) })
      const told = back(gateway, offender)
      expect(told.length).toBe(Math.min(576, 28 + offender.length))
      expect(same(told.subarray(28), offender.subarray(0, 548))).toBe(true)
    }
  })

  it('RTR-6: errors come from the address of the interface they leave by, with a TTL of their own', () => {
    const gateway = gatewayOf('behave')
    const told = back(gateway, buildUdp({ ...UDP, ttl: 1 }))
    expect([sourceOf(told), destinationOf(told), told[8]]).toEqual([G, A, 64])
    outward(gateway, buildUdp(UDP))
    const outside = only(gateway.fromWan(buildUdp({ source: P, sourcePort: 53, destination: E, destinationPort: 5000, ttl: 1 })).toWan())
    expect([sourceOf(outside), destinationOf(outside), outside[8]]).toEqual([E, P, 64])
  })

  it('RTR-7: no route: 3/0; next hop dead: 3/1; too big: 3/4 with the MTU in the low half of its word', () => {
    expect(icmp(back(gatewayOf('behave', { routes: [] }), buildUdp(UDP)))).toBe('3/0')
    const dead = gatewayOf('behave', { neighbours: true, routes: ON_LINK })
    dead.fromLan(buildUdp(UDP))
    dead.plane.failNeighbour(0, ip('203.0.113.254'), dead.now)
    expect([icmp(only(dead.toLan())), dead.flows]).toEqual(['3/1', 0])
    const told = back(gatewayOf('behave', { wanMtu: 1400 }), buildUdp({ ...UDP, df: true, payload: bytesOf(1400) }))
    expect([icmp(told), u32(told, 24)]).toEqual(['3/4', 1400])
  })

  it('RTR-13: none is ever sent, not for hairpinned flows on one LAN either', () => {
    const gateway = gatewayOf('behave', { forwards: [parseForward(`udp:8080:${B}:80`)!] })
    const sent = gateway.fromLan(packet('udp', HOST, end(E, 8080))).toLan()
    expect(sent.map(({ bytes }) => to(bytes))).toEqual([`${B}:80`])
  })

  it('RTR-14: source quench, information and address mask messages: no reaction, to the gateway or through it', () => {
    const gateway = gatewayOf('behave')
    const sent = outward(gateway, buildUdp(UDP))
    for (const type of [4, 15, 16, 17, 18]) {
      for (const destination of [G, P]) expect(swallows(gateway, 'lan', buildIcmp({ source: A, destination, type, rest: 7 << 16, payload: bytesOf(40) }))).toBe(true)
      expect(swallows(gateway, 'wan', buildIcmp({ source: P, destination: E, type, payload: sent }))).toBe(true)
    }
  })

  it('RTR-17: errors about a forwarded packet quote the outside endpoint that the sender had written', () => {
    const gateway = gatewayOf('behave', { forwards: [parseForward(`udp:8080:${B}:80`)!], lanMtu: 1000 })
    const ends = { source: P, sourcePort: 4000, destination: E, destinationPort: 8080 }
    inward(gateway, buildUdp(ends))
    for (const [extra, code] of [[{ ttl: 1 }, '11/0'], [{ df: true, payload: bytesOf(1200) }, '3/4']] as const) {
      const told = only(gateway.fromWan(buildUdp({ ...ends, ...extra })).toWan())
      expect([icmp(told), from(told.subarray(28)), to(told.subarray(28))]).toEqual([code, `${P}:4000`, `${E}:8080`])
    }
  })
})

describe('the gateway itself', () => {
  it('RTR-8: the gateway answers pings of any size, from the address that was pinged, with all data; UDP with 3/3, other protocols with 3/2', () => {
    const gateway = gatewayOf('behave')
    const answer = back(gateway, buildIcmpEcho({ source: A, destination: G, identifier: 7, sequence: 9, payload: bytesOf(1000) }))
    expect([sourceOf(answer), icmp(answer), u16(answer, 24), u16(answer, 26), same(answer.subarray(28), bytesOf(1000))]).toEqual([G, '0/0', 7, 9, true])
    expect(icmp(back(gateway, buildUdp({ ...UDP, destination: G })))).toBe('3/3')
    expect(icmp(back(gateway, buildIpv4({ source: A, destination: G, protocol: 99, payload: bytesOf(9) })))).toBe('3/2')
  })

  it('RTR-8: a ping of 65 000 bytes, in fragments, comes back whole', () => {
    const gateway = gatewayOf('behave')
    const pieces = buildFragments(buildIcmpEcho({ source: A, destination: G, identifier: 7, id: 5, payload: bytesOf(65_000) }), 1500)
    for (const piece of pieces) gateway.fromLan(piece)
    const answer = gateway.toLan().map(({ bytes }) => bytes)
    expect(answer).toHaveLength(pieces.length)
    const whole = Buffer.concat(answer.map((bytes) => bytes.subarray(20)))
    expect(same(whole.subarray(8), bytesOf(65_000))).toBe(true)
    expect(checkPacket(buildIpv4({ source: G, destination: A, protocol: 1, payload: whole }))).toEqual([])
  })
})

describe('addresses', () => {
  it('RTR-9: nothing is forwarded from or to 0/8, 127/8, multicast, 240/4 and broadcast', () => {
    const gateway = gatewayOf('behave')
    for (const bad of BAD) {
      for (const source of [bad, A]) {
        const destination = source === bad ? P : bad
        expect(swallows(gateway, 'lan', buildUdp({ ...UDP, source, destination }))).toBe(true)
        expect(swallows(gateway, 'lan', packet('tcp', end(source, 1), end(destination, 2), SYN))).toBe(true)
        expect(swallows(gateway, 'lan', buildIcmpEcho({ source, destination, identifier: 1 }))).toBe(true)
      }
      expect(swallows(gateway, 'wan', buildUdp({ ...UDP, source: bad, destination: E }))).toBe(true)
    }
    expect(gateway.flows).toBe(0)
  })

  it('RTR-10: nothing goes to the broadcast address of the network outside', () => {
    const gateway = gatewayOf('behave', { routes: ON_LINK })
    expect(swallows(gateway, 'lan', buildUdp({ ...UDP, destination: '203.0.113.255' }))).toBe(true)
    expect(to(outward(gateway, buildUdp({ ...UDP, destination: '203.0.113.77' })))).toBe('203.0.113.77:53')
  })

  it('RTR-16: a first packet whose TTL runs out, that is too big, or whose next hop is dead leaves neither flow nor port', () => {
    const gateway = gatewayOf('behave', { wanMtu: 1000, ports: [[40000, 40000]], neighbours: true, routes: ON_LINK })
    expect(icmp(back(gateway, buildUdp({ ...UDP, ttl: 1 })))).toBe('11/0')
    expect(icmp(back(gateway, buildUdp({ ...UDP, df: true, payload: bytesOf(1200) })))).toBe('3/4')
    gateway.fromLan(buildUdp(UDP))
    gateway.plane.failNeighbour(0, ip('203.0.113.254'), gateway.now)
    gateway.toLan()
    expect(gateway.flows).toBe(0)
    // The only port is free.
    gateway.advance(1)
    gateway.fromLan(packet('udp', end(B, 1), end(Q, 9)))
    gateway.plane.learnNeighbour(0, ip('203.0.113.254'), 1, 1)
    expect(from(only(gateway.toWan()))).toBe(`${E}:40000`)
    expect(silent(gateway)).toBe(true)
  })
})
