/** Static forwards of all protocols, and what forwarded hosts send on their own. */
import { describe, expect, it } from 'vitest'
import { parseForward } from '../src/forward-text.js'
import type { Forward } from '../src/nat/forwards.js'
import * as sctp from '../src/stack/wire/sctp.js'
import { SYN } from '../src/stack/wire/tcp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildEsp, buildGre, buildIcmp, buildIcmpEcho, buildIcmpError, buildIpv4, buildSctp, buildTcp, buildUdp, buildUdpLite } from '../src/testing/packets.js'
import { A, B, bytesOf, destinationOf, E, from, headerOf, icmp, only, P, Q, sourceOf, to, u16 } from './stack/support.js'

const forwards = (...texts: string[]): Forward[] => texts.map((text) => parseForward(text)!)
const gatewayWith = (texts: string[], options: MemoryGatewayOptions = {}): MemoryGateway => new MemoryGateway({ profile: 'behave', forwards: forwards(...texts), ...options })

const right = (bytes: Uint8Array): Uint8Array => {
  expect(checkPacket(bytes)).toEqual([])
  return bytes
}
const sent = (gateway: MemoryGateway): Uint8Array => right(only(gateway.toWan()))
const delivered = (gateway: MemoryGateway): Uint8Array => right(only(gateway.toLan()))
const identifier = (bytes: Uint8Array): number => u16(bytes, headerOf(bytes) + 4)

describe('a forward', () => {
  it('of UDP-Lite or SCTP leads a port to a host, whose answers leave from that port', () => {
    const gateway = gatewayWith([`udplite:9000:${A}:90`, `sctp:8080:${A}:80`])
    gateway.fromWan(buildUdpLite({ source: P, destination: E, sourcePort: 5, destinationPort: 9000, payload: bytesOf(5) }))
    expect(to(delivered(gateway))).toBe(`${A}:90`)
    gateway.fromLan(buildUdpLite({ source: A, destination: P, sourcePort: 90, destinationPort: 5, payload: bytesOf(5) }))
    expect(from(sent(gateway))).toBe(`${E}:9000`)
    gateway.fromWan(buildSctp({ source: P, destination: E, sourcePort: 5, destinationPort: 8080, chunks: [{ type: sctp.INIT, value: bytesOf(16) }] }))
    expect(to(delivered(gateway))).toBe(`${A}:80`)
    gateway.fromLan(buildSctp({ source: A, destination: P, sourcePort: 80, destinationPort: 5, tag: 1, chunks: [{ type: sctp.INIT_ACK, value: bytesOf(16) }] }))
    expect(from(sent(gateway))).toBe(`${E}:8080`)
    // A port of one protocol is none of another.
    gateway.fromWan(buildUdp({ source: P, destination: E, sourcePort: 5, destinationPort: 9000 })).fromWan(buildTcp({ source: P, destination: E, sourcePort: 5, destinationPort: 8080, flags: SYN }))
    expect(gateway.toLan()).toEqual([])
  })

  it('of a protocol without ports leads all of it to a host', () => {
    const gateway = gatewayWith([`gre:${A}`, `esp:${B}`, `41:${A}@198.51.100.0/24`])
    const CASES = [
      [buildGre({ source: P, destination: E, payload: bytesOf(30) }), A], [buildEsp({ source: P, destination: E, spi: 7, payload: bytesOf(30) }), B],
      [buildIpv4({ source: P, destination: E, protocol: 41, payload: bytesOf(40) }), A],
    ] as const
    for (const [packet, host] of CASES) {
      gateway.fromWan(packet)
      const inside = delivered(gateway)
      expect([sourceOf(inside), destinationOf(inside)]).toEqual([P, host])
      gateway.fromLan(buildIpv4({ source: host, destination: P, protocol: packet[9]!, payload: bytesOf(20) }))
      expect(sourceOf(sent(gateway))).toBe(E)
    }
    expect(gateway.flows).toBe(3)
    // Not for other senders than those of its prefix.
    gateway.fromWan(buildIpv4({ source: '192.0.2.7', destination: E, protocol: 41, payload: bytesOf(40) }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 1 })
  })

  it('of a protocol lets its host open flows, even where others of that protocol are refused', () => {
    const gateway = gatewayWith([`41:${A}@198.51.100.0/24`])
    const packet = (source: string, destination: string): Uint8Array => buildIpv4({ source, destination, protocol: 41, payload: bytesOf(40) })
    gateway.fromLan(packet(A, P))
    expect(sourceOf(sent(gateway))).toBe(E)
    gateway.fromLan(packet(B, P)).fromLan(packet(A, '192.0.2.7'))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'protocol-refused': 2 })
  })

  it('of a protocol keeps other inside hosts from the remotes that it is for', () => {
    const gateway = gatewayWith([`esp:${A}@198.51.100.10/32`])
    gateway.fromLan(buildEsp({ source: B, destination: P, spi: 1 })).fromLan(buildEsp({ source: B, destination: Q, spi: 1 }))
    expect(destinationOf(sent(gateway))).toBe(Q)
    expect(gateway.drops).toEqual({ 'ports-exhausted': 1 })
  })

  it('of a protocol refuses a remote that comes by a second outside address: inside it would be the same', () => {
    const gateway = gatewayWith([`esp:${A}`], { wanAddresses: [E, '203.0.113.2'] })
    const packet = (destination: string): Uint8Array => buildEsp({ source: P, destination, spi: 7 })
    gateway.fromWan(packet(E)).fromWan(packet('203.0.113.2'))
    expect(destinationOf(delivered(gateway))).toBe(A)
    expect(gateway.drops).toEqual({ 'ports-exhausted': 1 })
    expect(gateway.flows).toBe(1)
  })

  it('AH cannot be forwarded, and is not', () => {
    const gateway = gatewayWith([])
    gateway.fromWan(buildIpv4({ source: P, destination: E, protocol: 51, payload: bytesOf(24) }))
    expect(gateway.drops).toEqual({ 'no-flow': 1 })
  })

  it('CGN-6: errors about forwarded packets find their way, both ways', () => {
    const gateway = gatewayWith([`esp:${A}`, `udplite:9000:${A}:90`])
    for (const packet of [buildEsp({ source: P, destination: E, spi: 7, payload: bytesOf(9) }), buildUdpLite({ source: P, destination: E, sourcePort: 5, destinationPort: 9000 })]) {
      gateway.fromWan(packet)
      gateway.fromLan(buildIcmpError({ source: A, destination: P, type: 3, code: 2, quote: delivered(gateway) }))
      const error = sent(gateway)
      expect([sourceOf(error), destinationOf(error)]).toEqual([E, P])
      expect([...error.subarray(28 + 12)]).toEqual([...packet.subarray(12)])
    }
  })
})

describe('a forward of ICMP', () => {
  const ping = (options: { source?: string; identifier?: number } = {}): Uint8Array =>
    buildIcmpEcho({ source: P, destination: E, identifier: 77, sequence: 3, payload: bytesOf(56), ...options })

  it.each([[[E]], [[]]])('leads pings from outside to a host, on the gateway\'s own addresses too: %j', (ownedAddresses) => {
    const gateway = gatewayWith([`icmp:${A}`], { ownedAddresses })
    gateway.fromWan(ping())
    const inside = delivered(gateway)
    expect([icmp(inside), sourceOf(inside), destinationOf(inside), identifier(inside)]).toEqual(['8/0', P, A, 77])
    gateway.fromLan(buildIcmpEcho({ source: A, destination: P, identifier: 77, sequence: 3, reply: true, payload: bytesOf(56) }))
    const reply = sent(gateway)
    expect([icmp(reply), sourceOf(reply), destinationOf(reply), identifier(reply)]).toEqual(['0/0', E, P, 77])
  })

  it('is for its prefix of senders; others are answered by the gateway, or not at all', () => {
    const owned = gatewayWith([`icmp:${A}@198.51.100.10/32`], { ownedAddresses: [E] })
    owned.fromWan(ping({ source: Q }))
    expect(owned.toLan()).toEqual([])
    expect(icmp(sent(owned))).toBe('0/0')
    const shared = gatewayWith([`icmp:${A}@198.51.100.10/32`])
    shared.fromWan(ping({ source: Q }))
    expect([shared.toLan(), shared.toWan()]).toEqual([[], []])
    expect(shared.drops).toEqual({ 'no-flow': 1 })
  })

  it('is of echo requests only', () => {
    const gateway = gatewayWith([`icmp:${A}`])
    for (const type of [0, 13, 14, 15, 17]) gateway.fromWan(buildIcmp({ source: P, destination: E, type, rest: 77 << 16 }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 5 })
  })

  it('leaves the pings of inside hosts alone, whatever their identifiers', () => {
    const gateway = gatewayWith([`icmp:${A}`], { ownedAddresses: [E] })
    for (const id of [7, 8, 9]) {
      for (const source of [A, B]) {
        gateway.fromLan(buildIcmpEcho({ source, destination: Q, identifier: id }))
        const outside = sent(gateway)
        gateway.fromWan(buildIcmpEcho({ source: Q, destination: E, identifier: identifier(outside), reply: true }))
        const back = delivered(gateway)
        expect([destinationOf(back), identifier(back)]).toEqual([source, id])
      }
    }
  })

  it('ICMP-7: leads pings from inside there, too, from the outside address', () => {
    const gateway = gatewayWith([`icmp:${A}`], { ownedAddresses: [E] })
    gateway.fromLan(buildIcmpEcho({ source: B, destination: E, identifier: 5 }))
    const inside = delivered(gateway)
    expect([sourceOf(inside), destinationOf(inside)]).toEqual([E, A])
    gateway.fromLan(buildIcmpEcho({ source: A, destination: E, identifier: identifier(inside), reply: true }))
    const reply = delivered(gateway)
    expect([sourceOf(reply), destinationOf(reply), identifier(reply)]).toEqual([E, B, 5])
  })
})

describe('what a forwarded host sends on its own', () => {
  const LISTED = [`tcp:8080:${A}:80`, `udp:9000-9001:${A}:90@198.51.100.0/24`]
  const syn = (source: string, destination = P, destinationPort = 443): Uint8Array => buildTcp({ source, destination, sourcePort: 80, destinationPort, flags: SYN })
  const udp = (destination: string, sourcePort = 91): Uint8Array => buildUdp({ source: A, destination, sourcePort, destinationPort: 53 })

  it.each(['behave', 'linux'] as const)('from the forwarded port leaves from the outside port; profile %s', (profile) => {
    const gateway = gatewayWith(LISTED, { profile })
    gateway.fromLan(syn(A))
    expect(from(sent(gateway))).toBe(`${E}:8080`)
    gateway.fromLan(syn(A, Q))
    expect(from(sent(gateway))).toBe(`${E}:8080`)
    gateway.fromLan(udp(P)).fromLan(udp(Q, 90))
    expect(gateway.toWan().map(({ bytes }) => from(bytes))).toEqual([`${E}:9001`, `${E}:9000`])
    // Another host's port 80 is none of that, and a remote that the forward is not for neither.
    gateway.fromLan(syn(B))
    expect(from(sent(gateway))).toBe(`${E}:80`)
    const another = gatewayWith(LISTED, { profile })
    another.fromLan(udp('192.0.2.7', 90))
    expect(from(sent(another))).toBe(`${E}:90`)
  })

  it('and who was called by the forward is answered as before', () => {
    const gateway = gatewayWith(LISTED)
    gateway.fromLan(syn(A))
    sent(gateway)
    gateway.fromWan(buildTcp({ source: Q, destination: E, sourcePort: 1000, destinationPort: 8080, flags: SYN }))
    expect(to(delivered(gateway))).toBe(`${A}:80`)
    // Both ends call each other from the same ports: one flow.
    gateway.fromWan(buildTcp({ source: P, destination: E, sourcePort: 443, destinationPort: 8080, flags: SYN }))
    expect(to(delivered(gateway))).toBe(`${A}:80`)
    expect(gateway.flows).toBe(2)
  })

  it('takes another port where the outside port is in use towards that remote', () => {
    // The first forward of the port takes what comes from outside, so that A answers there; the second is B's.
    const gateway = gatewayWith([`udp:7000:${A}:90`, `udp:7000:${B}:90`], { profile: 'linux' })
    gateway.fromWan(buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 7000 })).fromLan(buildUdp({ source: B, destination: P, sourcePort: 90, destinationPort: 53 }))
    expect(from(sent(gateway))).not.toBe(`${E}:7000`)
  })
})
