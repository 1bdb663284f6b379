import { describe, expect, it } from 'vitest'
import { mayReportError, turnEcho, writeError } from '../../src/stack/reply.js'
import { SYN } from '../../src/stack/wire/tcp.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildFragments, buildIcmp, buildIcmpEcho, buildIcmpError, buildIpv4, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, bytesOf, destinationOf, E, G, icmp, ip, only, P, parsed, sourceOf, taken, u16, u32 } from './support.js'

const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const error = (packet: Uint8Array, type: number, code: number, word = 0, room = 576): Uint8Array => {
  const { slab, packet: read } = parsed(packet)
  const at = 128 << 10
  const length = writeError(slab, at, room, read, type, code, word, ip(G))
  expect(slab.bytes.subarray(at - 10, at).every((byte) => byte === 0)).toBe(true)
  expect(slab.bytes[at + length]).toBe(0xa5)
  return slab.bytes.slice(at, at + length)
}

describe('ICMP errors', () => {
  it('RTR-5: quotes a short packet whole', () => {
    const offender = buildUdp({ ...UDP, payload: bytesOf(30) })
    const made = error(offender, 3, 1)
    expect(made).toEqual(buildIcmpError({ source: G, destination: A, type: 3, code: 1, quote: offender, df: true }))
    expect(checkPacket(made)).toEqual([])
  })

  it('RTR-5: quotes as much of a long one as fits 576 bytes', () => {
    const offender = buildUdp({ ...UDP, payload: bytesOf(1400) })
    const made = error(offender, 3, 4, 1280)
    expect(made.length).toBe(576)
    expect(made.subarray(28)).toEqual(offender.subarray(0, 548))
    expect(u32(made, 24)).toBe(1280)
    expect(checkPacket(made)).toEqual([])
    expect(error(buildUdp({ ...UDP, payload: bytesOf(520) }), 3, 1).length).toBe(576)
    expect(error(buildUdp({ ...UDP, payload: bytesOf(519) }), 3, 1).length).toBe(575)
  })

  it('quotes less where the MTU is smaller than that', () => {
    const offender = buildUdp({ ...UDP, payload: bytesOf(1400) })
    const made = error(offender, 3, 1, 0, 296)
    expect(made.length).toBe(296)
    expect(checkPacket(made)).toEqual([])
    const gateway = new MemoryGateway({ lanMtu: 296 })
    gateway.fromLan(buildUdp({ ...UDP, ttl: 1, payload: bytesOf(1400) }))
    expect(only(gateway.toLan()).length).toBe(296)
  })

  it('ICMP-10d, RTR-6: copies the DSCP, not the ECN bits; has a TTL of its own', () => {
    const made = error(buildUdp({ ...UDP, tos: (46 << 2) | 3, ttl: 1 }), 11, 0)
    expect(made[1]).toBe(46 << 2)
    expect(made[8]).toBe(64)
  })
})

describe('when an ICMP error may be sent', () => {
  const may = (packet: Uint8Array): boolean => mayReportError(parsed(packet).packet)

  it('about TCP, UDP, other protocols, ICMP queries, first fragments', () => {
    expect(may(buildUdp(UDP))).toBe(true)
    expect(may(buildTcp({ ...UDP, flags: SYN }))).toBe(true)
    expect(may(buildIpv4({ source: A, destination: P, protocol: 47, payload: bytesOf(8) }))).toBe(true)
    for (const type of [0, 8, 13, 14]) expect(may(buildIcmp({ source: A, destination: P, type }))).toBe(true)
    expect(may(buildFragments(buildUdp({ ...UDP, payload: bytesOf(900) }), 500)[0]!)).toBe(true)
  })

  it('RTR-3: not about ICMP errors and what is unknown of ICMP', () => {
    for (const type of [3, 4, 5, 11, 12, 1, 9, 15, 17, 30, 41, 200]) expect(may(buildIcmp({ source: A, destination: P, type }))).toBe(false)
  })

  it('RTR-3: not about later fragments', () => {
    expect(may(buildFragments(buildUdp({ ...UDP, payload: bytesOf(900) }), 500)[1]!)).toBe(false)
  })

  it('RTR-3: not to or about broadcast, multicast and impossible addresses', () => {
    for (const address of ['0.0.0.0', '127.0.0.1', '224.0.0.1', '240.0.0.1', '255.255.255.255']) {
      expect(may(buildUdp({ ...UDP, source: address }))).toBe(false)
      expect(may(buildUdp({ ...UDP, destination: address }))).toBe(false)
    }
  })

  it('RTR-4: no more often than the limit says', () => {
    const gateway = new MemoryGateway({ limits: { icmpErrorsPerSecond: 10 } })
    for (let n = 0; n < 1000; n++) gateway.fromLan(buildUdp({ ...UDP, ttl: 1, sourcePort: n + 1 }))
    expect(gateway.toLan()).toHaveLength(50)
    gateway.advance(1)
    for (let n = 0; n < 1000; n++) gateway.fromLan(buildUdp({ ...UDP, ttl: 1, sourcePort: n + 1 }))
    expect(gateway.toLan()).toHaveLength(10)
    expect(gateway.flows).toBe(0)
    expect(gateway.drops).toEqual({ 'ttl-expired': 2000 })
  })

  it('ICMP-9: never where they are switched off', () => {
    const gateway = new MemoryGateway({ limits: { icmpErrorsPerSecond: 0 } })
    gateway.fromLan(buildUdp({ ...UDP, ttl: 1 }))
    expect(gateway.toLan()).toEqual([])
  })

  it('RTR-2, RTR-6: to the outside from the external address, about the packet as it came', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(UDP))
    gateway.toWan()
    const late = buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 5000, ttl: 1, payload: bytesOf(8) })
    gateway.fromWan(late)
    expect(gateway.toLan()).toEqual([])
    const made = only(gateway.toWan())
    expect(checkPacket(made)).toEqual([])
    expect([sourceOf(made), destinationOf(made), icmp(made)]).toEqual([E, P, '11/0'])
    expect(made.subarray(28)).toEqual(late)
  })
})

describe('echo replies', () => {
  it('RTR-8: come from the address that was pinged, with all the data', () => {
    const ask = buildIcmpEcho({ source: A, destination: G, identifier: 0x1234, sequence: 0x5678, payload: bytesOf(1400), ttl: 1, tos: 4, id: 9 })
    const { slab, packet } = parsed(ask)
    turnEcho(slab.view, packet)
    const made = taken(slab, ask.length)
    expect(made).toEqual(buildIcmpEcho({ source: G, destination: A, identifier: 0x1234, sequence: 0x5678, payload: bytesOf(1400), reply: true, tos: 4, id: 9 }))
  })

  it('keep options, and a wrong checksum wrong', () => {
    const options = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0)
    const ask = buildIcmpEcho({ source: A, destination: G, identifier: 1, ipOptions: options })
    const gateway = new MemoryGateway()
    gateway.fromLan(ask)
    const made = only(gateway.toLan())
    expect(checkPacket(made)).toEqual([])
    expect(made.subarray(20, 28)).toEqual(options)
    gateway.fromLan(buildIcmpEcho({ source: A, destination: G, identifier: 1, corrupt: 'transport' }))
    expect(checkPacket(only(gateway.toLan())).join()).toMatch(/ICMP checksum is wrong/)
  })

  it('are made for every checksum', () => {
    for (let sequence = 0; sequence < 65536; sequence += 251) {
      const ask = buildIcmpEcho({ source: A, destination: G, identifier: 0xffff - sequence, sequence })
      const { slab, packet } = parsed(ask)
      turnEcho(slab.view, packet)
      const made = taken(slab, ask.length)
      expect(checkPacket(made)).toEqual([])
      expect(u16(made, 20)).toBe(0)
    }
  })
})
