/** UDP-Lite, SCTP, GRE, ESP and protocols that tsnat does not know, through the whole pipeline. */
import { describe, expect, it } from 'vitest'
import { formatConntrack } from '../src/api/conntrack.js'
import { readFlows } from '../src/control/flow-reader.js'
import { PROFILES } from '../src/nat/profiles.js'
import { timeoutColumn } from '../src/nat/timeouts.js'
import type { VnetHeader } from '../src/stack/device/memory.js'
import { FLAG_KEY } from '../src/stack/wire/gre.js'
import * as sctp from '../src/stack/wire/sctp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import {
  buildEsp, buildFragments, buildGre, buildIcmpError, buildIpv4, buildSctp, buildUdp, buildUdpLite, type SctpChunk, type SctpOptions,
} from '../src/testing/packets.js'
import { A, B, bytesOf, destinationOf, E, from, G, icmp, NOTHING, only, P, Q, sourceOf, to, u16 } from './stack/support.js'

const LITE = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const LITE_BACK = { source: P, destination: E, sourcePort: 53, destinationPort: 5000 }
const SCTP = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
const SCTP_BACK = { source: P, destination: E, sourcePort: 80, destinationPort: 5000 }
/** INIT and INIT ACK begin with the tag that their sender wants to see. */
const initValue = (tag: number): Uint8Array => Uint8Array.of(0, 0, 0, tag, ...bytesOf(12))
const INIT: SctpChunk[] = [{ type: sctp.INIT, value: initValue(77) }]
const INIT_ACK: SctpChunk[] = [{ type: sctp.INIT_ACK, value: initValue(99) }]
const init = (options: Partial<SctpOptions> = {}): Uint8Array => buildSctp({ ...SCTP, chunks: INIT, ...options })
const chunk = (type: number, length = 8): SctpChunk[] => [{ type, value: bytesOf(length) }]

const sent = (gateway: MemoryGateway): Uint8Array => {
  const bytes = only(gateway.toWan())
  expect(checkPacket(bytes)).toEqual([])
  return bytes
}
const delivered = (gateway: MemoryGateway): Uint8Array => {
  const bytes = only(gateway.toLan())
  expect(checkPacket(bytes)).toEqual([])
  return bytes
}
/** Flows as conntrack prints them. */
const lines = (gateway: MemoryGateway, timeouts = PROFILES.behave.timeouts): string[] =>
  [...readFlows(gateway.plane.table.columns, timeoutColumn(timeouts), {})].map(({ record }) => formatConntrack(record))

/** Whether a packet of P still reaches the inside `seconds` after the last packet. */
const livesFor = (gateway: MemoryGateway, back: Uint8Array, seconds: number): boolean => {
  gateway.advance(seconds)
  gateway.fromWan(back)
  return gateway.toLan().length === 1
}

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

describe('SCTP', () => {
  const open = (options: MemoryGatewayOptions = {}): MemoryGateway => {
    const gateway = new MemoryGateway(options)
    gateway.fromLan(init())
    const port = u16(sent(gateway), 20)
    const back = { ...SCTP_BACK, destinationPort: port, tag: 77 }
    gateway.fromWan(buildSctp({ ...back, chunks: INIT_ACK })).fromLan(buildSctp({ ...SCTP, tag: 99, chunks: chunk(sctp.COOKIE_ECHO) }))
    gateway.fromWan(buildSctp({ ...back, chunks: chunk(sctp.COOKIE_ACK, 0) }))
    expect(gateway.toLan().map(({ bytes }) => [to(bytes), checkPacket(bytes)])).toEqual([[`${A}:5000`, []], [`${A}:5000`, []]])
    expect(from(sent(gateway))).toBe(`${E}:${port}`)
    return gateway
  }

  it('an association opens through kept and changed ports, its CRC32c right each time', () => {
    open()
    open({ ports: [[40000, 40000]] })
  })

  it('keeps the checksum to the bit where the ports stay', () => {
    const gateway = new MemoryGateway()
    const packet = init()
    gateway.fromLan(packet)
    expect([...sent(gateway).subarray(20)]).toEqual([...packet.subarray(20)])
  })

  it('CSUM-9: a wrong checksum stays wrong', () => {
    const gateway = new MemoryGateway({ ports: [[40000, 40000]] })
    gateway.fromLan(init({ corrupt: 'transport' }))
    expect(checkPacket(only(gateway.toWan())).join()).toMatch(/^SCTP checksum is/)
  })

  it('CSUM-8: a checksum that the kernel left to the device is computed, for no device is told to', () => {
    for (const ports of [[[1, 65535]], [[40000, 40000]]] as const) {
      const gateway = new MemoryGateway({ ports, wanOffloads: { checksum: true, tcp: true, udp: true } })
      const packet = init()
      packet.fill(0, 28, 32)
      const vnet: VnetHeader = { ...NOTHING, flags: 1, checksumStart: 20, checksumOffset: 8 }
      gateway.fromLan(packet, vnet)
      const [out] = gateway.toWan()
      expect(checkPacket(out!.bytes)).toEqual([])
      expect(out!.vnet.flags).toBe(0)
      gateway.fromLan(packet, { ...vnet, gsoType: 5, gsoSize: 100 }).fromLan(packet, { ...vnet, checksumOffset: 6 })
      expect(gateway.drops).toEqual({ 'bad-offload': 2 })
    }
  })

  it('opens by INIT only, which is whole', () => {
    const gateway = new MemoryGateway()
    for (const type of [sctp.DATA, sctp.INIT_ACK, sctp.HEARTBEAT, sctp.ABORT, sctp.SHUTDOWN_ACK, sctp.COOKIE_ECHO]) {
      gateway.fromLan(buildSctp({ ...SCTP, tag: 5, chunks: chunk(type) }))
    }
    gateway.fromLan(init({ sourcePort: 0 }))
    expect(gateway.drops).toEqual({ 'not-a-flow-opener': 7 })
    gateway.fromLan(buildFragments(init({ chunks: [{ type: sctp.INIT, value: bytesOf(900) }] }), 500)[0]!)
    expect(gateway.drops).toEqual({ 'not-a-flow-opener': 8 })
    expect(gateway.toWan()).toEqual([])
    expect(gateway.flows).toBe(0)
  })

  it('is on the short timer until it is answered, and from its end on', () => {
    const data = buildSctp({ ...SCTP_BACK, tag: 77, chunks: chunk(sctp.DATA, 20) })
    const abort = buildSctp({ ...SCTP_BACK, tag: 77, chunks: chunk(sctp.ABORT, 0) })
    const unanswered = new MemoryGateway()
    unanswered.fromLan(init())
    expect(livesFor(unanswered, data, 240)).toBe(true)
    const refused = new MemoryGateway()
    refused.fromLan(init()).fromWan(abort)
    refused.toLan()
    expect(livesFor(refused, data, 242)).toBe(false)
    expect(livesFor(open(), data, 7440)).toBe(true)
    expect(livesFor(open(), data, 7442)).toBe(false)
    const aborted = open()
    aborted.fromWan(abort)
    aborted.toLan()
    expect(livesFor(aborted, data, 242)).toBe(false)
    // An ABORT may be forged: what comes after it brings the association back.
    const survivor = open()
    survivor.fromWan(abort).fromWan(data)
    survivor.toLan()
    expect(livesFor(survivor, data, 7440)).toBe(true)
  })

  it('an end without the right tag is somebody else\'s: it passes and changes nothing', () => {
    const ends = (direction: 'in' | 'out', type: number, tag: number, flags = 0): string => {
      const gateway = open()
      const chunks = [{ type, flags }]
      if (direction === 'in') gateway.fromWan(buildSctp({ ...SCTP_BACK, tag, chunks }))
      else gateway.fromLan(buildSctp({ ...SCTP, tag, chunks }))
      expect(gateway.toLan().length + gateway.toWan().length).toBe(1)
      return /sctp +132 \d+ (\w+)/.exec(lines(gateway)[0]!)![1]!
    }
    for (const type of [sctp.ABORT, sctp.SHUTDOWN_COMPLETE]) {
      // A wants to see 77, P 99; with flag T each sends back what it saw itself.
      expect([ends('in', type, 77), ends('out', type, 99), ends('in', type, 99, 1), ends('out', type, 77, 1)]).toEqual(Array(4).fill('CLOSED'))
      expect([ends('in', type, 99), ends('out', type, 77), ends('in', type, 77, 1), ends('in', type, 0), ends('out', type, 78)]).toEqual(Array(5).fill('ESTABLISHED'))
    }
  })

  it('an INIT that comes between does not change the tags; one after the end does', () => {
    const abort = buildSctp({ ...SCTP, tag: 55, chunks: chunk(sctp.ABORT, 0) })
    const inInit = buildSctp({ ...SCTP_BACK, chunks: [{ type: sctp.INIT, value: initValue(55) }] })
    const gateway = open().fromWan(inInit).fromLan(abort)
    expect(lines(gateway)[0]).toMatch(/ESTABLISHED/)
    gateway.fromLan(buildSctp({ ...SCTP, tag: 99, chunks: chunk(sctp.ABORT, 0) })).fromWan(inInit)
    expect(lines(gateway)[0]).toMatch(/COOKIE_WAIT/)
    gateway.fromLan(abort)
    expect(lines(gateway)[0]).toMatch(/CLOSED/)
  })

  it('CT-2: is listed as conntrack does', () => {
    const gateway = new MemoryGateway({ profile: 'linux' })
    gateway.fromLan(init())
    const tuples = (answered: boolean, ...counts: number[]): string =>
      `src=${A} dst=${P} sport=5000 dport=80 packets=${counts[0]} bytes=${counts[1]}${answered ? '' : ' [UNREPLIED]'} ` +
      `src=${P} dst=${E} sport=80 dport=5000 packets=${counts[2]} bytes=${counts[3]}`
    expect(lines(gateway, PROFILES.linux.timeouts)).toEqual([`sctp     132 3 CLOSED ${tuples(false, 1, 52, 0, 0)} mark=0 use=1`])
    expect(lines(open({ profile: 'linux' }), PROFILES.linux.timeouts)).toEqual([`sctp     132 210 ESTABLISHED ${tuples(true, 2, 96, 2, 88)} [ASSURED] mark=0 use=1`])
  })

  it('has the mapping and filtering of TCP', () => {
    const gateway = new MemoryGateway({ profile: 'behave' })
    gateway.fromLan(init()).fromLan(init({ destination: Q })).fromLan(init({ source: B }))
    const [one, two, other] = gateway.toWan().map(({ bytes }) => from(bytes))
    expect([one, two]).toEqual([`${E}:5000`, `${E}:5000`])
    expect(other).not.toBe(one)
    gateway.fromWan(buildSctp({ ...SCTP_BACK, sourcePort: 81, chunks: INIT }))
    expect(to(delivered(gateway))).toBe(`${A}:5000`)
    gateway.fromWan(buildSctp({ ...SCTP_BACK, sourcePort: 82, chunks: chunk(sctp.DATA) })).fromWan(buildSctp({ ...SCTP_BACK, source: '192.0.2.7', chunks: INIT }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 1, filtered: 1 })
  })

  it('UDP-10: two inside hosts reach each other by their outside endpoints', () => {
    const gateway = new MemoryGateway({ profile: 'behave' })
    gateway.fromLan(init({ source: B, sourcePort: 6000 }))
    sent(gateway)
    gateway.fromLan(init({ destination: E, destinationPort: 6000 }))
    const bytes = delivered(gateway)
    expect([from(bytes), to(bytes)]).toEqual([`${E}:5000`, `${B}:6000`])
  })

  it('FRG-7: pieces of a packet pass where the ports stay, and are dropped where the checksum would have to change', () => {
    const data = { ...SCTP, tag: 99, id: 7, chunks: chunk(sctp.DATA, 2000) }
    const kept = open()
    for (const piece of buildFragments(buildSctp(data), 1000)) kept.fromLan(piece)
    expect(kept.toWan()).toHaveLength(3)
    expect(kept.drops).toEqual({})
    const changed = open({ ports: [[40000, 40000]] })
    for (const piece of buildFragments(buildSctp(data), 1000)) changed.fromLan(piece)
    expect(changed.toWan()).toEqual([])
    expect(changed.drops).toEqual({ 'sctp-fragment': 1, 'fragment-orphan': 2 })
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
