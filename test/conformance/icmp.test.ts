/** RFC 5508, row by row. */
import { describe, expect, it } from 'vitest'
import { parseForward } from '../../src/forward-text.js'
import {
  A, B, back, buildIcmp, buildIcmpEcho, buildIcmpError, buildIpv4, buildTcp, buildUdp, bytesOf, destinationOf, E, end, endsAfter, from, G, gatewayOf,
  icmp, inward, outward, P, packet, ping, pong, Q, RO, same, silent, sourceOf, swallows, to, u16, u32,
} from './support.js'

const HOST = end(A, 5000)
const LSRR = Uint8Array.of(131, 7, 4, 198, 51, 100, 99, 0)
/** The first packet of a flow as it left, and its gateway. */
const sentBy = (bytes: Uint8Array) => {
  const gateway = gatewayOf('behave')
  return { gateway, sent: outward(gateway, bytes) }
}
const errorAbout = (quote: Uint8Array, type = 3, code = 1): Uint8Array => buildIcmpError({ source: RO, destination: E, type, code, quote })
/** With its ICMP checksum, or a word of it, wrong. */
const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, index) => (index === at ? byte ^ 1 : byte))

describe('queries', () => {
  it('ICMP-1: a ping\'s id is the same towards every remote, and replies come back with the host\'s own', () => {
    const gateway = gatewayOf('behave')
    expect(ping(gateway, B, Q)).toBe(7)
    const ids = [P, Q].map((remote) => ping(gateway, A, remote))
    expect([ids[0] === ids[1], ids[0] === 7]).toEqual([true, false])
    for (const remote of [P, Q]) {
      const reply = pong(gateway, remote, ids[0]!)
      expect([destinationOf(reply), u16(reply, 24)]).toEqual([A, 7])
    }
  })

  it('ICMP-1, ICMP-10b: timestamp queries and their replies pass', () => {
    const gateway = gatewayOf('behave')
    const query = outward(gateway, buildIcmp({ source: A, destination: P, type: 13, rest: 7 << 16, payload: bytesOf(12) }))
    const reply = inward(gateway, buildIcmp({ source: P, destination: E, type: 14, rest: u16(query, 24) << 16, payload: bytesOf(12) }))
    expect([destinationOf(reply), icmp(reply), u16(reply, 24)]).toEqual([A, '14/0', 7])
  })

  it('ICMP-2: a session without traffic is kept for 60 s', () => {
    expect(endsAfter(() => gatewayOf('behave').fromLan(buildIcmpEcho({ source: A, destination: P, identifier: 7 })), 60)).toEqual([1, 0])
  })
})

describe('errors from outside', () => {
  it('ICMP-3: a wrong checksum, of the message or of the quoted header, is dropped silently', () => {
    const { gateway, sent } = sentBy(packet('udp', HOST, end(P, 53), 0, bytesOf(20)))
    const error = errorAbout(sent)
    expect(swallows(gateway, 'wan', flipped(error, error.length - 1))).toBe(true)
    const quoteOff = buildIcmpError({ source: RO, destination: E, type: 3, code: 1, quote: flipped(sent, 8) })
    expect(swallows(gateway, 'wan', quoteOff)).toBe(true)
    expect(destinationOf(inward(gateway, error))).toBe(A)
  })

  it('ICMP-3b: options in the quoted header are stepped over', () => {
    const { gateway, sent } = sentBy(buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, ipOptions: Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0) }))
    const quote = inward(gateway, errorAbout(sent)).subarray(28)
    expect([from(quote), to(quote)]).toEqual([`${A}:5000`, `${P}:53`])
  })

  it('ICMP-3c: a wrong checksum of the quoted transport header does not matter, and stays wrong', () => {
    const { gateway, sent } = sentBy(packet('tcp', HOST, end(P, 80)))
    gateway.isLenient = true
    const quote = inward(gateway, errorAbout(flipped(sent, 36))).subarray(28)
    expect(from(quote)).toBe(`${A}:5000`)
    const right = inward(gateway, errorAbout(sent)).subarray(28)
    expect(u16(quote, 36)).toBe(u16(right, 36) ^ 0x0100)
  })

  it('ICMP-3d: an extension behind the quote (RFC 4884) arrives byte by byte', () => {
    const { gateway, sent } = sentBy(packet('udp', HOST, end(P, 53), 0, bytesOf(200)))
    const extension = Uint8Array.of(0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 0x11, 0xff)
    const payload = new Uint8Array(128 + extension.length)
    payload.set(sent.subarray(0, 128))
    payload.set(extension, 128)
    const told = inward(gateway, buildIcmp({ source: RO, destination: E, type: 11, rest: 32 << 16, payload }))
    expect(same(told.subarray(-extension.length), extension)).toBe(true)
    expect([told[25], from(told.subarray(28))]).toEqual([32, `${A}:5000`])
  })

  it.each([
    ['UDP', packet('udp', HOST, end(P, 53), 0, bytesOf(30))],
    ['UDP without checksum', buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, checksum: false, payload: bytesOf(30) })],
    ['TCP', packet('tcp', HOST, end(P, 80))],
    ['a ping', buildIcmpEcho({ source: A, destination: P, identifier: 7, payload: bytesOf(30) })],
  ])('ICMP-4: an error about %s quotes what the host sent, type, code and router as they are', (_, original) => {
    const gateway = gatewayOf('behave')
    // Somebody else has the port and the id already.
    gateway.fromLan(packet('udp', end(B, 5000), end(P, 53))).fromLan(packet('tcp', end(B, 5000), end(P, 80))).toWan()
    ping(gateway, B, P)
    const sent = outward(gateway, original)
    const told = inward(gateway, errorAbout(sent, 11, 0))
    expect([sourceOf(told), destinationOf(told), icmp(told)]).toEqual([RO, A, '11/0'])
    // The gateway counted the TTL down, which is not undone.
    const quote = told.subarray(28)
    expect(same(quote.subarray(12), original.subarray(12))).toBe(true)
  })

  it('ICMP-4: 8 bytes of the transport header are enough in a quote; an error about nobody\'s packet is dropped', () => {
    const { gateway, sent } = sentBy(packet('tcp', HOST, end(P, 80)))
    const told = inward(gateway, buildIcmpError({ source: RO, destination: E, type: 3, code: 3, quote: sent, quoteLength: 28 }))
    expect([told.length, from(told.subarray(28))]).toEqual([56, `${A}:5000`])
    expect(swallows(gateway, 'wan', errorAbout(packet('tcp', end(E, 5001), end(P, 80))))).toBe(true)
    expect(swallows(gateway, 'wan', buildIcmpError({ source: RO, destination: E, type: 3, code: 3, quote: sent, quoteLength: 27 }))).toBe(true)
  })

  it('ICMP-6: an error in the last second of a flow does not prolong it', () => {
    const { gateway, sent } = sentBy(packet('udp', HOST, end(P, 53)))
    gateway.advance(299)
    expect(destinationOf(inward(gateway, errorAbout(sent)))).toBe(A)
    gateway.advance(3)
    expect(gateway.flows).toBe(0)
  })

  it('ICMP-13: 3/4 arrives with the MTU that the router said, be it as small as 68', () => {
    const { gateway, sent } = sentBy(packet('udp', HOST, end(P, 53)))
    for (const mtu of [1280, 576, 68, 0]) {
      const told = inward(gateway, buildIcmpError({ source: RO, destination: E, type: 3, code: 4, mtu, quote: sent }))
      expect([destinationOf(told), u32(told, 24)]).toEqual([A, mtu])
    }
  })
})

describe('errors from inside', () => {
  it('ICMP-5: an error about a forwarded packet leaves from the outside address and quotes what the remote sent', () => {
    const gateway = gatewayOf('behave', { forwards: [parseForward(`udp:8080:${B}:80`)!] })
    for (const source of [B, G, '10.0.0.77']) {
      const arrived = inward(gateway, packet('udp', end(P, 4000), end(E, 8080)))
      const told = outward(gateway, buildIcmpError({ source, destination: P, type: 3, code: 3, quote: arrived }))
      expect([sourceOf(told), destinationOf(told), icmp(told)]).toEqual([E, P, '3/3'])
      expect([from(told.subarray(28)), to(told.subarray(28))]).toEqual([`${P}:4000`, `${E}:8080`])
    }
  })

  it('ICMP-7, UPD-12: an error about a hairpinned packet goes back inside, from the outside address', () => {
    const gateway = gatewayOf('behave')
    outward(gateway, packet('udp', end(B, 6000), end(P, 1)))
    const arrived = back(gateway, packet('udp', HOST, end(E, 6000)))
    const told = back(gateway, buildIcmpError({ source: B, destination: E, type: 3, code: 3, quote: arrived }))
    expect([sourceOf(told), destinationOf(told), icmp(told)]).toEqual([E, A, '3/3'])
    expect([from(told.subarray(28)), to(told.subarray(28))]).toEqual([`${A}:5000`, `${E}:6000`])
  })

  it('ICMP-12: a source route in the message or in what it quotes does not leave', () => {
    const gateway = gatewayOf('behave', { forwards: [parseForward(`udp:8080:${B}:80`)!] })
    const arrived = inward(gateway, packet('udp', end(P, 4000), end(E, 8080)))
    expect(swallows(gateway, 'lan', buildIcmpError({ source: B, destination: P, type: 3, code: 3, quote: arrived, ipOptions: LSRR }))).toBe(true)
    const routed = buildUdp({ source: P, sourcePort: 4000, destination: B, destinationPort: 80, ipOptions: LSRR })
    expect(swallows(gateway, 'lan', buildIcmpError({ source: B, destination: P, type: 3, code: 3, quote: routed }))).toBe(true)
    expect(swallows(gateway, 'lan', buildIcmpEcho({ source: A, destination: P, identifier: 7, ipOptions: LSRR }))).toBe(true)
  })
})

describe('the gateway\'s own errors', () => {
  it.each([['host-unreachable', '3/1'], ['prohibited', '3/13']] as const)('ICMP-8: without a free port the sender is told (refusal %s: ICMP %s)', (refusal, code) => {
    const gateway = gatewayOf('behave', { ports: [[40000, 40000]], limits: { refusal } })
    outward(gateway, packet('udp', HOST, end(P, 53)))
    expect(icmp(back(gateway, packet('udp', end(B, 5000), end(P, 53))))).toBe(code)
    expect(gateway.flows).toBe(1)
  })

  it('ICMP-9: with limits.icmpErrorsPerSecond 0 none is generated', () => {
    const gateway = gatewayOf('behave', { limits: { icmpErrorsPerSecond: 0 }, wanMtu: 1000 })
    for (const ttl of [0, 1]) expect(swallows(gateway, 'lan', buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, ttl }))).toBe(true)
    expect(swallows(gateway, 'lan', buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, df: true, payload: bytesOf(1400) }))).toBe(true)
    expect(swallows(gateway, 'lan', packet('udp', HOST, end(G, 53)))).toBe(true)
  })

  it('ICMP-10d: generated errors have the DSCP of their offender', () => {
    const told = back(gatewayOf('behave'), buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, ttl: 1, tos: 46 << 2 }))
    expect(told[1]! >> 2).toBe(46)
  })
})

describe('types', () => {
  it('ICMP-10a: unreachable, time exceeded and echo pass, each in its way', () => {
    const { gateway, sent } = sentBy(packet('udp', HOST, end(P, 53)))
    for (const [type, code] of [[3, 0], [3, 3], [11, 0], [11, 1]] as const) expect(icmp(inward(gateway, errorAbout(sent, type, code)))).toBe(`${type}/${code}`)
    expect(icmp(pong(gateway, P, ping(gateway, A, P)))).toBe('0/0')
  })

  it('ICMP-10b: parameter problems and redirects about a flow pass; address masks and router discovery are dropped without trace', () => {
    const { gateway, sent } = sentBy(packet('udp', HOST, end(P, 53)))
    expect(icmp(inward(gateway, buildIcmp({ source: RO, destination: E, type: 12, rest: 0x14000000, payload: sent })))).toBe('12/0')
    expect(icmp(inward(gateway, buildIcmp({ source: RO, destination: E, type: 5, code: 1, rest: 0x01020304, payload: sent })))).toBe('5/1')
    for (const type of [9, 10, 17, 18]) {
      expect(swallows(gateway, 'lan', buildIcmp({ source: A, destination: P, type, rest: 7 << 16, payload: bytesOf(12) }))).toBe(true)
      expect(swallows(gateway, 'wan', buildIcmp({ source: P, destination: E, type, rest: 7 << 16, payload: bytesOf(12) }))).toBe(true)
    }
    expect(gateway.flows).toBe(1)
  })

  it('ICMP-10c: source quench and information messages are dropped, about a flow or not', () => {
    const { gateway, sent } = sentBy(packet('udp', HOST, end(P, 53)))
    for (const type of [4, 15, 16]) {
      expect(swallows(gateway, 'wan', buildIcmp({ source: RO, destination: E, type, payload: sent }))).toBe(true)
      expect(swallows(gateway, 'lan', buildIcmp({ source: A, destination: P, type, rest: 7 << 16, payload: bytesOf(40) }))).toBe(true)
    }
    expect(gateway.flows).toBe(1)
  })

  it('ICMP-11: every other type, and what cannot be read, is dropped without trace, from either side', () => {
    const gateway = gatewayOf('behave')
    for (let type = 0; type < 256; type++) {
      if (type === 8 || type === 13) continue
      for (const payload of [new Uint8Array(0), bytesOf(7), bytesOf(60)]) {
        gateway.fromLan(buildIcmp({ source: A, destination: P, type, payload })).fromWan(buildIcmp({ source: P, destination: E, type, payload }))
      }
    }
    for (let length = 0; length < 8; length++) gateway.fromWan(buildIpv4({ source: P, destination: E, protocol: 1, payload: bytesOf(length) }))
    gateway.fromWan(buildIcmpError({ source: P, destination: E, type: 3, code: 1, quote: buildTcp({ source: E, sourcePort: 5000, destination: P, destinationPort: 80 }) }))
    expect([silent(gateway), gateway.flows]).toEqual([true, 0])
  })
})
