/** UDP-Lite, GRE, ESP and protocols that tsnat does not know, through the whole pipeline, and ICMP errors about them all. */
import { describe, expect, it } from 'vitest'
import { PROFILES } from '../src/nat/profiles.js'
import { FLAG_KEY } from '../src/stack/wire/gre.js'
import * as sctp from '../src/stack/wire/sctp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildEsp, buildFragments, buildGre, buildIcmpError, buildIpv4, buildSctp, buildUdp, buildUdpLite } from '../src/testing/packets.js'
import { chunk, delivered, init, lines, LITE, LITE_BACK, livesFor, SCTP_BACK, sent } from './protocol-support.js'
import { A, B, bytesOf, destinationOf, E, from, G, icmp, only, P, Q, sourceOf, to, u16 } from './stack/support.js'

describe('UDP-Lite', () => {
  it('CSUM-5: is translated out and back with its checksum, whatever that covers', () => {
    const gateway = new MemoryGateway({ ports: [[40000, 40000]] })
    for (const coverage of [0, 8, 20, 100]) {
      const packet = buildUdpLite({ ...LITE, coverage, payload: bytesOf(92) })
      expect(checkPacket(packet)).toEqual([])
      gateway.fromLan(packet)
      const out = sent(gateway)
      expect([from(out), to(out)]).toEqual([`${E}:40000`, `${P}:53`])
      gateway.fromWan(buildUdpLite({ ...LITE_BACK, destinationPort: 40000, coverage, payload: bytesOf(92) }))
      expect(to(delivered(gateway))).toBe(`${A}:5000`)
    }
    expect(gateway.flows).toBe(1)
    expect(gateway.drops).toEqual({})
  })

  it('CSUM-3: never leaves with a checksum of 0', () => {
    const gateway = new MemoryGateway({ ports: [[40000, 40000]] })
    // One of these payloads makes the sum outside 0xffff.
    for (let word = 0; word < 65536; word += 1) {
      gateway.fromLan(buildUdpLite({ ...LITE, payload: Uint8Array.of(word >>> 8, word & 255) }))
    }
    const checksums = gateway.toWan().map(({ bytes }) => u16(bytes, 26))
    expect(checksums).toHaveLength(65536)
    expect(checksums.includes(0)).toBe(false)
    expect(checksums.includes(0xffff)).toBe(true)
  })

  it('CSUM-9: a wrong checksum stays wrong', () => {
    const gateway = new MemoryGateway({ ports: [[40000, 40000]] })
    gateway.fromLan(buildUdpLite({ ...LITE, corrupt: 'transport', payload: bytesOf(9) }))
    expect(checkPacket(only(gateway.toWan())).join()).toMatch(/^UDP-Lite checksum is wrong/)
  })

  it('is dropped with a coverage that leaves out its ports, or without checksum', () => {
    const gateway = new MemoryGateway()
    for (const coverage of [1, 7, 29]) gateway.fromLan(buildUdpLite({ ...LITE, coverage, payload: bytesOf(20) }))
    const none = buildUdpLite(LITE)
    none[26] = none[27] = 0
    gateway.fromLan(none)
    expect(gateway.drops).toEqual({ 'bad-transport': 4 })
  })

  it('has the mapping and filtering of UDP, and ports of its own', () => {
    const gateway = new MemoryGateway({ profile: 'behave' })
    gateway.fromLan(buildUdpLite(LITE)).fromLan(buildUdpLite({ ...LITE, destination: Q })).fromLan(buildUdpLite({ ...LITE, source: B }))
    const [one, two, other] = gateway.toWan().map(({ bytes }) => from(bytes))
    expect([one, two]).toEqual([`${E}:5000`, `${E}:5000`])
    expect(other).not.toBe(one)
    // Address dependent filtering: other ports of P may come in.
    gateway.fromWan(buildUdpLite({ ...LITE_BACK, sourcePort: 54 }))
    expect(to(delivered(gateway))).toBe(`${A}:5000`)
    gateway.fromWan(buildUdpLite({ ...LITE_BACK, source: '192.0.2.7' }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ filtered: 1 })
  })

  it('has the timers of UDP', () => {
    const gateway = new MemoryGateway({ profile: 'linux' })
    gateway.fromLan(buildUdpLite(LITE))
    expect(lines(gateway, PROFILES.linux.timeouts)).toEqual([
      `udplite  136 30 src=${A} dst=${P} sport=5000 dport=53 packets=1 bytes=28 [UNREPLIED] src=${P} dst=${E} sport=53 dport=5000 packets=0 bytes=0 mark=0 use=1`,
    ])
    gateway.advance(32)
    expect(gateway.flows).toBe(0)
  })
})

describe('protocols without ports', () => {
  const PROTOCOLS = {
    GRE: [buildGre({ source: A, destination: P, payload: bytesOf(40) }), buildGre({ source: P, destination: E, payload: bytesOf(30) })],
    'GRE with a key': [
      buildGre({ source: A, destination: P, flags: FLAG_KEY, payload: bytesOf(40) }), buildGre({ source: P, destination: E, flags: FLAG_KEY, payload: bytesOf(30, 7) }),
    ],
    'GRE of PPTP': [
      buildGre({ source: A, destination: P, flags: 0x3001, payloadType: 0x880b, payload: bytesOf(40) }),
      buildGre({ source: P, destination: E, flags: 0x3001, payloadType: 0x880b, payload: bytesOf(30) }),
    ],
    ESP: [buildEsp({ source: A, destination: P, spi: 0x1234, payload: bytesOf(40) }), buildEsp({ source: P, destination: E, spi: 0x9876, payload: bytesOf(30) })],
  } as const

  const from6in4 = (source: string, destination: string, length = 40): Uint8Array => buildIpv4({ source, destination, protocol: 41, payload: bytesOf(length) })

  for (const [name, [out, back]] of Object.entries(PROTOCOLS)) {
    it(`IPS-3, PPTP-4: ${name} is translated by address, with nothing changed behind the IPv4 header`, () => {
      const gateway = new MemoryGateway()
      gateway.fromLan(out)
      const outside = sent(gateway)
      expect([sourceOf(outside), destinationOf(outside)]).toEqual([E, P])
      expect([...outside.subarray(20)]).toEqual([...out.subarray(20)])
      gateway.fromWan(back)
      const inside = delivered(gateway)
      expect([sourceOf(inside), destinationOf(inside)]).toEqual([P, A])
      expect([...inside.subarray(20)]).toEqual([...back.subarray(20)])
    })

    it(`IPS-3, PPTP-2, PPTP-4: a second inside host cannot use ${name} to the same remote; to another it can`, () => {
      const gateway = new MemoryGateway()
      const second = (destination: string): Uint8Array => buildIpv4({ source: B, destination, protocol: out[9]!, payload: out.slice(20) })
      gateway.fromLan(out).fromLan(second(P))
      expect(gateway.toWan()).toHaveLength(1)
      expect(gateway.drops).toEqual({ 'ports-exhausted': 1 })
      expect(icmp(delivered(gateway))).toBe('3/1')
      gateway.fromLan(second(Q))
      expect(sourceOf(sent(gateway))).toBe(E)
      gateway.fromWan(back)
      expect(destinationOf(delivered(gateway))).toBe(A)
    })
  }

  const E2 = '203.0.113.2'
  const POOL: MemoryGatewayOptions = { profile: 'behave', wanAddresses: [E, E2], nat: { pool: `${E},${E2}`, pooling: 'paired-soft' } }

  it('with a pool, the second host has another address to the same remote, if it may; the third has none', () => {
    const esp = (source: string): Uint8Array => buildEsp({ source, destination: P, spi: 1 })
    const gateway = new MemoryGateway(POOL)
    gateway.fromLan(esp(A)).fromLan(esp(B)).fromLan(esp('10.0.0.4'))
    const sources = gateway.toWan().map(({ bytes }) => sourceOf(bytes))
    expect(sources.toSorted()).toEqual([E, E2])
    expect(gateway.drops).toEqual({ 'ports-exhausted': 1 })
    gateway.toLan()
    gateway.fromWan(buildEsp({ source: P, destination: sources[1]!, spi: 2 }))
    expect(destinationOf(delivered(gateway))).toBe(B)
  })

  it('the address is that of the plan where there is one', () => {
    const gateway = new MemoryGateway({
      ...POOL, nat: { pool: `${E},${E2}`, deterministic: { inside: '10.0.0.0/29', reserved: 1024, dynamic: 0, perHost: 0 } },
    })
    const outside = (host: number): string => {
      gateway.fromLan(buildUdp({ source: `10.0.0.${host}`, destination: Q, sourcePort: 5000, destinationPort: 53 })).fromLan(buildEsp({ source: `10.0.0.${host}`, destination: `198.51.100.${host}`, spi: 1 }))
      const [udp, esp] = gateway.toWan().map(({ bytes }) => sourceOf(bytes))
      expect(esp).toBe(udp)
      return esp!
    }
    expect(new Set([2, 3, 4, 5, 6].map(outside)).size).toBe(2)
    gateway.fromLan(buildEsp({ source: '10.0.1.2', destination: P, spi: 1 }))
    expect(gateway.drops).toEqual({ 'no-ports-for-host': 1 })
  })

  it('only the remote may answer', () => {
    const gateway = new MemoryGateway({ profile: 'behave' })
    gateway.fromLan(PROTOCOLS.ESP[0]).fromLan(PROTOCOLS.GRE[0])
    gateway.toWan()
    for (const packet of [buildEsp({ source: Q, destination: E, spi: 1 }), buildGre({ source: Q, destination: E }), from6in4(P, E)]) gateway.fromWan(packet)
    expect(gateway.toLan()).toEqual([])
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 3 })
  })

  it('CT-3: is listed as conntrack does', () => {
    const gateway = new MemoryGateway({ profile: 'linux' })
    gateway.fromLan(PROTOCOLS.GRE[0]).fromLan(PROTOCOLS.ESP[0])
    expect(lines(gateway, PROFILES.linux.timeouts)).toEqual([
      `gre      47 30 src=${A} dst=${P} srckey=0x0 dstkey=0x0 packets=1 bytes=64 [UNREPLIED] src=${P} dst=${E} srckey=0x0 dstkey=0x0 packets=0 bytes=0 mark=0 use=1`,
      `unknown  50 600 src=${A} dst=${P} packets=1 bytes=68 [UNREPLIED] src=${P} dst=${E} packets=0 bytes=0 mark=0 use=1`,
    ])
    gateway.fromWan(PROTOCOLS.GRE[1]).fromWan(PROTOCOLS.ESP[1]).fromLan(PROTOCOLS.GRE[0])
    expect(lines(gateway, PROFILES.linux.timeouts).map((line) => line.replace(/src=.*bytes=\d+ /, ''))).toEqual([
      'gre      47 180 [ASSURED] mark=0 use=1', 'unknown  50 600 mark=0 use=1',
    ])
  })

  it('PPTP-4: GRE has 30 s in profile linux, 180 s from the packet after the first answer on; ESP 600 s', () => {
    const linux = (): MemoryGateway => new MemoryGateway({ profile: 'linux' }).fromLan(PROTOCOLS.GRE[0]).fromLan(PROTOCOLS.ESP[0])
    expect(livesFor(linux(), PROTOCOLS.GRE[1], 30)).toBe(true)
    expect(livesFor(linux(), PROTOCOLS.GRE[1], 32)).toBe(false)
    for (const [seconds, lives] of [[180, true], [182, false]] as const) {
      const answered = linux().fromWan(PROTOCOLS.GRE[1]).fromLan(PROTOCOLS.GRE[0])
      answered.toLan()
      expect(livesFor(answered, PROTOCOLS.GRE[1], seconds)).toBe(lives)
    }
    expect(livesFor(linux(), PROTOCOLS.ESP[1], 600)).toBe(true)
    expect(livesFor(linux(), PROTOCOLS.ESP[1], 602)).toBe(false)
  })

  it('pass in fragments, too', () => {
    const gateway = new MemoryGateway()
    const pieces = buildFragments(buildEsp({ source: A, destination: P, spi: 1, id: 5, payload: bytesOf(2000) }), 1000)
    // The first one last.
    for (const piece of pieces.toReversed()) gateway.fromLan(piece)
    const out = gateway.toWan().map(({ bytes }) => bytes)
    expect(out).toHaveLength(3)
    for (const bytes of out) {
      expect(checkPacket(bytes)).toEqual([])
      expect(sourceOf(bytes)).toBe(E)
    }
    expect(gateway.drops).toEqual({})
  })

  it('are fragmented and refused by MTU as others', () => {
    const gateway = new MemoryGateway({ wanMtu: 1400 })
    gateway.fromLan(buildEsp({ source: A, destination: P, spi: 1, payload: bytesOf(1450) }))
    expect(gateway.toWan()).toHaveLength(2)
    gateway.fromLan(buildEsp({ source: A, destination: P, spi: 1, df: true, payload: bytesOf(1450) }))
    expect(icmp(delivered(gateway))).toBe('3/4')
  })

  it('ICMP-8: a protocol that tsnat does not know is refused: the sender is told 3/2; AH 3/13', () => {
    const gateway = new MemoryGateway({ profile: 'behave' })
    gateway.fromLan(from6in4(A, P))
    const told = delivered(gateway)
    expect([icmp(told), sourceOf(told), destinationOf(told)]).toEqual(['3/2', G, A])
    gateway.fromLan(buildIpv4({ source: A, destination: P, protocol: 51, payload: bytesOf(24) }))
    expect(icmp(delivered(gateway))).toBe('3/13')
    expect(gateway.toWan()).toEqual([])
    expect(gateway.flows).toBe(0)
    expect(gateway.drops).toEqual({ 'protocol-refused': 2 })
  })

  it('RTR-4: those errors are limited, too', () => {
    const gateway = new MemoryGateway({ limits: { icmpErrorsPerSecond: 10 } })
    for (let index = 0; index < 1000; index++) gateway.fromLan(from6in4(A, P))
    expect(gateway.toLan().length).toBeLessThan(100)
  })

  it('or translated by address, if so configured; but for AH', () => {
    const gateway = new MemoryGateway({ profile: 'behave', nat: { otherProtocols: 'by-address' } })
    for (const length of [0, 1, 40]) {
      gateway.fromLan(from6in4(A, P, length))
      expect(sourceOf(sent(gateway))).toBe(E)
      gateway.fromWan(from6in4(P, E, length))
      expect(destinationOf(delivered(gateway))).toBe(A)
    }
    gateway.fromLan(buildIpv4({ source: A, destination: P, protocol: 89, payload: bytesOf(24) }))
    sent(gateway)
    expect(gateway.flows).toBe(2)
    gateway.fromLan(buildIpv4({ source: A, destination: P, protocol: 51, payload: bytesOf(24) }))
    expect(gateway.drops).toEqual({ 'protocol-refused': 1 })
    expect(lines(gateway)[0]).toBe(`unknown  41 600 src=${A} dst=${P} packets=3 bytes=101 src=${P} dst=${E} packets=3 bytes=101 mark=0 use=1`)
  })
})

describe('ICMP errors about them', () => {
  const ROUTER = '192.0.2.33'
  const CASES = {
    'UDP-Lite': [buildUdpLite({ ...LITE, payload: bytesOf(40) }), buildUdpLite({ ...LITE_BACK, destinationPort: 40000, payload: bytesOf(40) })],
    SCTP: [init(), buildSctp({ ...SCTP_BACK, destinationPort: 40000, chunks: chunk(sctp.INIT_ACK, 24) })],
    GRE: [buildGre({ source: A, destination: P, payload: bytesOf(40) }), buildGre({ source: P, destination: E, payload: bytesOf(40) })],
    'GRE without payload': [buildGre({ source: A, destination: P }), buildGre({ source: P, destination: E })],
    ESP: [buildEsp({ source: A, destination: P, spi: 5, payload: bytesOf(40) }), buildEsp({ source: P, destination: E, spi: 6, payload: bytesOf(40) })],
    'protocol 41': [buildIpv4({ source: A, destination: P, protocol: 41, payload: bytesOf(40) }), buildIpv4({ source: P, destination: E, protocol: 41, payload: bytesOf(40) })],
  } as const

  for (const [name, [first, back]] of Object.entries(CASES)) {
    for (const quoteLength of [28, 548]) {
      it(`ICMP-4: from outside, quoting ${quoteLength === 28 ? '8 bytes' : 'all'} of ${name}`, () => {
        const gateway = new MemoryGateway({ ports: [[40000, 40000]], nat: { otherProtocols: 'by-address' } })
        gateway.fromLan(first)
        const outside = sent(gateway)
        gateway.fromWan(buildIcmpError({ source: ROUTER, destination: E, type: 3, code: 4, mtu: 1280, quote: outside, quoteLength }))
        const bytes = delivered(gateway)
        expect([sourceOf(bytes), destinationOf(bytes), u16(bytes, 26)]).toEqual([ROUTER, A, 1280])
        const quote = bytes.subarray(28)
        // As A sent it, but for TTL and header checksum.
        expect([...quote.subarray(12)]).toEqual([...first.subarray(12, quoteLength)])
        expect(gateway.drops).toEqual({})
      })

      it(`ICMP-5: from inside, quoting ${quoteLength === 28 ? '8 bytes' : 'all'} of ${name}`, () => {
        const gateway = new MemoryGateway({ ports: [[40000, 40000]], nat: { otherProtocols: 'by-address' } })
        gateway.fromLan(first)
        sent(gateway)
        gateway.fromWan(back)
        const inside = delivered(gateway)
        gateway.fromLan(buildIcmpError({ source: A, destination: P, type: 3, code: 2, quote: inside, quoteLength }))
        const bytes = sent(gateway)
        expect([sourceOf(bytes), destinationOf(bytes)]).toEqual([E, P])
        expect([...bytes.subarray(28).subarray(12)]).toEqual([...back.subarray(12, quoteLength)])
      })
    }
  }
})
