import { describe, expect, it } from 'vitest'
import { ACK, SYN } from '../../src/stack/wire/tcp.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../../src/testing/memory-gateway.js'
import { buildFragments, buildIcmp, buildIcmpEcho, buildIcmpError, buildIpv4, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, bytesOf, destinationOf, E, only, P, sourceOf, u16 } from '../stack/support.js'

const ROUTER_OUTSIDE = '192.0.2.33'
const ROUTER_INSIDE = '10.0.0.250'
const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const TCP = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }

/** One packet of each protocol that A sends and that opens a flow, and the answer as P gives it through port 40000. */
const PROTOCOLS = {
  UDP: [buildUdp({ ...UDP, id: 9, payload: bytesOf(50) }), buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 40000, payload: bytesOf(20) })],
  'UDP without checksum': [
    buildUdp({ ...UDP, checksum: false, payload: bytesOf(50) }),
    buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 40000, checksum: false, payload: bytesOf(20) }),
  ],
  TCP: [
    buildTcp({ ...TCP, flags: SYN, sequence: 7, options: Uint8Array.of(1, 1, 1, 1) }),
    buildTcp({ source: P, destination: E, sourcePort: 80, destinationPort: 40000, flags: SYN | ACK, acknowledgment: 8, payload: bytesOf(3) }),
  ],
  ICMP: [
    buildIcmpEcho({ source: A, destination: P, identifier: 77, sequence: 2, payload: bytesOf(56) }),
    buildIcmpEcho({ source: P, destination: E, identifier: 40000, sequence: 2, reply: true, payload: bytesOf(56) }),
  ],
} as const

const setUp = (first: Uint8Array, options: MemoryGatewayOptions = {}) => {
  const gateway = new MemoryGateway({ ports: [[40000, 40000]], seed: 1, ...options })
  gateway.fromLan(first)
  const outside = gateway.toWan()[0]!.bytes
  return { gateway, outside }
}

describe('ICMP errors from outside', () => {
  for (const [name, [first]] of Object.entries(PROTOCOLS)) {
    it(`ICMP-4 (REQ-4): the quote of ${name} is what the inside sent`, () => {
      const { gateway, outside } = setUp(first)
      for (const [type, code] of [[3, 0], [3, 1], [3, 3], [3, 4], [3, 10], [3, 13], [11, 0], [11, 1], [12, 0], [5, 1]] as const) {
        gateway.fromWan(buildIcmpError({ source: ROUTER_OUTSIDE, destination: E, type, code, quote: outside, mtu: 0x0578, tos: 0xc0, id: 3 }))
        const bytes = only(gateway.toLan())
        // The router saw the packet with a TTL less than it was sent with.
        const seen = first.slice()
        seen[8] = first[8]! - 1
        seen[10] = outside[10]!
        seen[11] = outside[11]!
        const expected = buildIcmpError({ source: ROUTER_OUTSIDE, destination: A, type, code, quote: first, mtu: 0x0578, tos: 0xc0, id: 3, ttl: 63 })
        expect(checkPacket(bytes)).toEqual([])
        expect(bytes.length).toBe(expected.length)
        // Outer header, type, code, MTU: as sent (ICMP-13); the quote: but for TTL and header checksum.
        expect([...bytes.subarray(0, 22)]).toEqual([...expected.subarray(0, 22)])
        expect([...bytes.subarray(24, 28)]).toEqual([...expected.subarray(24, 28)])
        expect(u16(bytes, 26)).toBe(0x0578)
        const quote = bytes.subarray(28)
        expect(quote[8]).toBe(63)
        expect([...quote.subarray(12)]).toEqual([...first.subarray(12)])
      }
      expect(gateway.drops).toEqual({})
    })

    it(`ICMP-4: ${name} quoted with eight bytes of transport header only`, () => {
      const { gateway, outside } = setUp(first)
      for (let quoteLength = 0; quoteLength <= outside.length; quoteLength++) {
        gateway.fromWan(buildIcmpError({ source: ROUTER_OUTSIDE, destination: E, type: 11, code: 0, quote: outside, quoteLength }))
        const sent = gateway.toLan()
        expect(sent).toHaveLength(quoteLength < 28 ? 0 : 1)
        if (sent.length === 0) continue
        expect(checkPacket(sent[0]!.bytes)).toEqual([])
        // Half a checksum cannot be mended, and nobody can check it.
        const last = first[9] === 6 && quoteLength === 37 ? 36 : quoteLength
        expect([...sent[0]!.bytes.subarray(28 + 12, 28 + last)]).toEqual([...first.subarray(12, last)])
      }
      expect(Object.keys(gateway.drops)).toEqual(['bad-quote'])
    })
  }

  it('ICMP-3b: IP options in the quote are stepped over', () => {
    const first = buildUdp({ ...UDP, ipOptions: Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0), payload: bytesOf(40) })
    const { gateway, outside } = setUp(first)
    gateway.fromWan(buildIcmpError({ source: ROUTER_OUTSIDE, destination: E, type: 3, code: 3, quote: outside }))
    const bytes = only(gateway.toLan())
    expect(checkPacket(bytes)).toEqual([])
    expect([...bytes.subarray(28 + 12)]).toEqual([...first.subarray(12)])
    for (const quoteLength of [20, 28, 35]) {
      gateway.fromWan(buildIcmpError({ source: ROUTER_OUTSIDE, destination: E, type: 3, code: 3, quote: outside, quoteLength }))
    }
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'bad-quote': 3 })
  })

  it('ICMP-3 (REQ-3): dropped for a wrong checksum of its own or of the quoted header', () => {
    const { gateway, outside } = setUp(PROTOCOLS.UDP[0])
    const good = buildIcmpError({ source: ROUTER_OUTSIDE, destination: E, type: 3, code: 3, quote: outside })
    const flipped = good.slice()
    flipped[flipped.length - 1]! ^= 1
    gateway.fromWan(flipped)
    const broken = outside.slice()
    broken[1]! ^= 4
    gateway.fromWan(buildIcmpError({ source: ROUTER_OUTSIDE, destination: E, type: 3, code: 3, quote: broken }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'bad-icmp-checksum': 2 })
  })

  it('ICMP-3c: a wrong transport checksum in the quote is none of our business', () => {
    const { gateway, outside } = setUp(PROTOCOLS.TCP[0])
    const broken = outside.slice()
    broken[36]! ^= 0x55
    gateway.fromWan(buildIcmpError({ source: ROUTER_OUTSIDE, destination: E, type: 3, code: 3, quote: broken }))
    expect(gateway.toLan()).toHaveLength(1)
  })

  it('ICMP-3d: what follows the quoted packet (RFC 4884) stays as it is', () => {
    const extension = Uint8Array.of(0x20, 0, 0, 0, 0, 8, 1, 1, 0x12, 0x34, 0x51, 0x01)
    for (const first of [PROTOCOLS.TCP[0], PROTOCOLS.UDP[0]]) {
      const { gateway, outside } = setUp(first)
      // As a router does it that quotes 128 bytes, zeros behind the packet; and as one that quotes only 28 of it.
      for (const words of [32, 7]) {
        const quoted = new Uint8Array(words * 4)
        quoted.set(outside.subarray(0, words * 4))
        gateway.fromWan(buildIcmp({ source: ROUTER_OUTSIDE, destination: E, type: 11, rest: words << 16, payload: Uint8Array.of(...quoted, ...extension) }))
        const bytes = only(gateway.toLan())
        const message = bytes.subarray(20)
        expect(message[5]).toBe(words)
        expect([...message.subarray(8 + words * 4)]).toEqual([...extension])
        const expected = new Uint8Array(words * 4)
        expected.set(first.subarray(0, words * 4))
        expect([...message.subarray(8 + 12, 8 + words * 4)]).toEqual([...expected.subarray(12)])
        let sum = 0
        for (let at = 0; at < message.length; at += 2) sum += u16(message, at)
        expect(sum % 0xffff).toBe(0)
      }
    }
  })

  it('ICMP-3d: bytes behind the end of the quoted datagram are not taken for its TCP checksum', () => {
    const first = PROTOCOLS.TCP[0]
    const { gateway, outside } = setUp(first)
    const short = outside.slice(0, 28)
    short[2] = 0
    short[3] = 28
    const sum = (~([0, 2, 4, 6, 8, 12, 14, 16, 18].reduce((total, at) => total + u16(short, at), 0) % 0xffff)) & 0xffff
    short[10] = sum >> 8
    short[11] = sum & 0xff
    const behind = bytesOf(40, 9)
    gateway.fromWan(buildIcmp({ source: ROUTER_OUTSIDE, destination: E, type: 3, code: 1, payload: Uint8Array.of(...short, ...behind) }))
    const bytes = only(gateway.toLan())
    expect([...bytes.subarray(20 + 8 + 28)]).toEqual([...behind])
  })

  it('drops what quotes nothing of ours, is too short, or is an error about an error', () => {
    const { gateway, outside } = setUp(PROTOCOLS.UDP[0])
    const send = (quote: Uint8Array): void => void gateway.fromWan(buildIcmpError({ source: ROUTER_OUTSIDE, destination: E, type: 3, code: 1, quote }))
    send(buildUdp({ ...UDP, source: E, sourcePort: 40001 }))
    send(buildUdp({ ...UDP, source: E, sourcePort: 40000, destinationPort: 54 }))
    send(buildTcp({ ...UDP, source: E, sourcePort: 40000 }))
    send(buildUdp({ ...UDP, source: E, sourcePort: 0, destinationPort: 0 }))
    send(buildIcmpError({ source: E, destination: P, type: 3, code: 1, quote: outside }))
    send(buildIpv4({ source: E, destination: P, protocol: 47, payload: bytesOf(20) }))
    expect(gateway.drops).toEqual({ 'no-flow': 6 })
    send(buildFragments(buildUdp({ ...UDP, payload: bytesOf(900) }), 500)[1]!)
    const six = outside.slice()
    six[0] = 0x65
    send(six)
    const headless = outside.slice()
    headless[0] = 0x44
    send(headless)
    expect(gateway.drops).toEqual({ 'no-flow': 6, 'bad-quote': 3 })
    expect(gateway.toLan()).toEqual([])
  })

  it('RTR-9: dropped with a source that nothing may have; RTR-2: with a TTL that has run out', () => {
    const { gateway, outside } = setUp(PROTOCOLS.UDP[0])
    for (const source of ['127.0.0.1', '0.0.0.0', '224.0.0.5', '255.255.255.255']) {
      gateway.fromWan(buildIcmpError({ source, destination: E, type: 3, code: 1, quote: outside }))
    }
    gateway.fromWan(buildIcmpError({ source: ROUTER_OUTSIDE, destination: E, type: 3, code: 1, quote: outside, ttl: 1 }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'invalid-source': 4, 'ttl-expired': 1 })
  })

  it('passes a fragmented error nowhere', () => {
    const { gateway, outside } = setUp(PROTOCOLS.UDP[0])
    const error = buildIcmpError({ source: ROUTER_OUTSIDE, destination: E, type: 3, code: 1, quote: outside, id: 4 })
    for (const fragment of buildFragments(error, 68)) gateway.fromWan(fragment)
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'bad-icmp-checksum': 1, 'fragment-orphan': buildFragments(error, 68).length - 1 })
  })
})

describe('ICMP errors from inside', () => {
  for (const [name, [first, answer]] of Object.entries(PROTOCOLS)) {
    it(`ICMP-5 (REQ-5): about ${name}, from the host itself and from a router before it`, () => {
      const { gateway, outside } = setUp(first)
      const reply = answer.slice()
      if (first[9] === 1) reply.set(buildIcmpEcho({ source: P, destination: E, identifier: u16(outside, 24), sequence: 2, reply: true, payload: bytesOf(56) }))
      gateway.fromWan(reply)
      const inside = gateway.toLan()[0]!.bytes
      for (const source of [A, ROUTER_INSIDE]) {
        gateway.fromLan(buildIcmpError({ source, destination: P, type: 3, code: 3, quote: inside }))
        const bytes = only(gateway.toWan())
        expect(checkPacket(bytes)).toEqual([])
        expect(sourceOf(bytes)).toBe(E)
        expect(destinationOf(bytes)).toBe(P)
        expect([...bytes.subarray(28 + 12)]).toEqual([...reply.subarray(12)])
      }
      expect(gateway.drops).toEqual({})
    })
  }

  it('without a flow nothing leaves', () => {
    const gateway = new MemoryGateway()
    const quote = buildUdp({ source: P, destination: A, sourcePort: 1, destinationPort: 2 })
    gateway.fromLan(buildIcmpError({ source: A, destination: P, type: 3, code: 3, quote }))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 1 })
  })

  it('ICMP-12: an error whose quote has a source route is dropped', () => {
    const { gateway } = setUp(PROTOCOLS.UDP[0])
    const quote = buildUdp({ source: P, destination: A, sourcePort: 53, destinationPort: 5000, ipOptions: Uint8Array.of(131, 7, 4, 10, 0, 0, 9, 0) })
    gateway.fromLan(buildIcmpError({ source: A, destination: P, type: 3, code: 3, quote }))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'source-route': 1 })
  })

  it('an error longer than the MTU of the way out is cut, or with DF dropped', () => {
    const { gateway } = setUp(PROTOCOLS.UDP[0], { wanMtu: 1400, lanMtu: 9000 })
    const quote = buildUdp({ source: P, destination: A, sourcePort: 53, destinationPort: 5000, payload: bytesOf(1500) })
    const error = { source: A, destination: P, type: 3, code: 3, quote, quoteLength: 1500 }
    gateway.fromLan(buildIcmpError({ ...error, df: true }))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.toLan()).toEqual([])
    gateway.fromLan(buildIcmpError(error))
    const out = gateway.toWan().map(({ bytes }) => bytes)
    expect(out.map(({ length }) => length)).toEqual([1396, 152])
    expect(out.flatMap((bytes) => checkPacket(bytes))).toEqual([])
    expect(gateway.drops).toEqual({ 'too-big': 1 })
  })
})
