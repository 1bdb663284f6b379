import { describe, expect, it } from 'vitest'
import { translate } from '../../src/nat/translate.js'
import type { VnetHeader } from '../../src/stack/device/memory.js'
import { ACK, SYN } from '../../src/stack/wire/tcp.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildFragments, buildIcmp, buildIcmpEcho, buildIpv4, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, AT, bytesOf, E, from, headerOf, ip, NOTHING, P, parsed, same, superpacket, taken, to, u16, u32, unfinish } from '../stack/support.js'
import { openerOf } from './support.js'

/** Opens a flow with `first` through external port 40000 and translates `packet` on the given direction. */
const through = (first: Uint8Array, bytes: Uint8Array, direction: 0 | 1 = 0, header: VnetHeader = NOTHING): Uint8Array => {
  const { table, open } = openerOf({ ports: [40000], capacity: 4 })
  const side = open(first)
  const { slab, packet } = parsed(bytes, header)
  const before = slab.bytes.slice()
  translate(slab.view, packet, table, side | direction)
  // Nothing around the packet has changed.
  expect(same(slab.bytes.subarray(0, AT), before.subarray(0, AT))).toBe(true)
  expect(same(slab.bytes.subarray(AT + bytes.length), before.subarray(AT + bytes.length))).toBe(true)
  return taken(slab, bytes.length)
}

const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const TCP = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
const SYN_OUT = buildTcp({ ...TCP, flags: SYN })

describe('translate', () => {
  it('UDP, out and back', () => {
    const first = buildUdp({ ...UDP, ttl: 9, tos: 0x2e, id: 77, payload: bytesOf(33) })
    const out = through(first, first)
    expect(from(out)).toBe(`${E}:40000`)
    expect(to(out)).toBe(`${P}:53`)
    expect(out[8]).toBe(8)
    expect(checkPacket(out)).toEqual([])
    expect(out).toEqual(buildUdp({ ...UDP, source: E, sourcePort: 40000, ttl: 8, tos: 0x2e, id: 77, payload: bytesOf(33) }))
    const reply = buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 40000, payload: bytesOf(7) })
    const back = through(first, reply, 1)
    expect(back).toEqual(buildUdp({ source: P, destination: A, sourcePort: 53, destinationPort: 5000, ttl: 63, payload: bytesOf(7) }))
  })

  it('TCP-13: TCP with all its options untouched', () => {
    const options = Uint8Array.of(2, 4, 5, 180, 1, 3, 3, 7, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8)
    const fields = { sequence: 0x89abcdef | 0, acknowledgment: 5, window: 1234, urgentPointer: 7, flags: ACK | 0x20, options, payload: bytesOf(101) }
    const out = through(SYN_OUT, buildTcp({ ...TCP, ...fields }))
    expect(out).toEqual(buildTcp({ ...TCP, source: E, sourcePort: 40000, ttl: 63, ...fields }))
  })

  it('RTR-11, RTR-12: options, TOS and reserved bits of the IP header stay', () => {
    const ipOptions = Uint8Array.of(7, 7, 4, 1, 2, 3, 4, 200, 5, 9, 9, 9)
    const packet = buildTcp({ ...TCP, ipOptions, tos: 0xff, df: true })
    packet[6]! |= 0x80
    packet[10]! -= 0x80
    const out = through(SYN_OUT, packet)
    expect(headerOf(out)).toBe(32)
    expect(out.subarray(20, 32)).toEqual(packet.subarray(20, 32))
    expect(out[6]).toBe(0xc0)
    expect(out[1]).toBe(0xff)
    expect(from(out)).toBe(`${E}:40000`)
    expect(checkPacket(out)).toEqual([])
  })

  it('CSUM-5: an ICMP checksum changes by the identifier only', () => {
    const ping = buildIcmpEcho({ source: A, destination: P, identifier: 7, sequence: 9, payload: bytesOf(55) })
    expect(through(ping, ping)).toEqual(buildIcmpEcho({ source: E, destination: P, identifier: 40000, sequence: 9, ttl: 63, payload: bytesOf(55) }))
    const reply = buildIcmpEcho({ source: P, destination: E, identifier: 40000, sequence: 9, reply: true, payload: bytesOf(55) })
    expect(through(ping, reply, 1)).toEqual(
      buildIcmpEcho({ source: P, destination: A, identifier: 7, sequence: 9, reply: true, ttl: 63, payload: bytesOf(55) }),
    )
  })

  it('ICMP-1: timestamps are queries too', () => {
    const ask = buildIcmp({ source: A, destination: P, type: 13, rest: 0x00070009, payload: bytesOf(12) })
    expect(through(ask, ask)).toEqual(buildIcmp({ source: E, destination: P, type: 13, rest: (40000 << 16) | 9, payload: bytesOf(12), ttl: 63 }))
    const answer = buildIcmp({ source: P, destination: E, type: 14, rest: (40000 << 16) | 9, payload: bytesOf(12) })
    expect(through(ask, answer, 1)).toEqual(buildIcmp({ source: P, destination: A, type: 14, rest: 0x00070009, payload: bytesOf(12), ttl: 63 }))
  })

  it('CSUM-3: a UDP checksum of 0 stays 0', () => {
    const packet = buildUdp({ ...UDP, checksum: false, payload: bytesOf(9) })
    expect(through(packet, packet)).toEqual(buildUdp({ ...UDP, source: E, sourcePort: 40000, checksum: false, payload: bytesOf(9), ttl: 63 }))
  })

  /** Data that makes the checksum of the translated packet 0: its complement, as it stands when the data is 0. */
  const zeroing = (checksumWithZeroData: number): Uint8Array => Uint8Array.of(checksumWithZeroData >> 8, checksumWithZeroData & 0xff)

  it('CSUM-3: a UDP checksum that comes out as 0 is sent as ffff', () => {
    const translated = { ...UDP, source: E, sourcePort: 40000, ttl: 63 }
    const payload = zeroing(u16(buildUdp({ ...translated, payload: new Uint8Array(2) }), 26))
    const packet = buildUdp({ ...UDP, payload })
    const out = through(packet, packet)
    expect(u16(out, 26)).toBe(0xffff)
    expect(out).toEqual(buildUdp({ ...translated, payload }))
  })

  it('CSUM-4: a TCP checksum of 0 is sent as it is', () => {
    const translated = { ...TCP, source: E, sourcePort: 40000, ttl: 63 }
    const payload = zeroing(u16(buildTcp({ ...translated, payload: new Uint8Array(2) }), 36))
    const out = through(SYN_OUT, buildTcp({ ...TCP, payload }))
    expect(u16(out, 36)).toBe(0)
    expect(checkPacket(out)).toEqual([])
  })

  it('CSUM-9: a wrong checksum stays wrong', () => {
    const packet = buildUdp({ ...UDP, payload: bytesOf(9), corrupt: 'transport' })
    expect(checkPacket(through(packet, packet)).join()).toMatch(/UDP checksum is wrong/)
  })

  it('CSUM-8: an unfinished checksum changes by the addresses only', () => {
    for (const plain of [buildUdp({ ...UDP, payload: bytesOf(100) }), buildTcp({ ...TCP, payload: bytesOf(100) })]) {
      const { bytes, vnet } = unfinish(plain)
      const first = plain[9] === 6 ? SYN_OUT : plain
      expect(checkPacket(through(first, bytes, 0, vnet), vnet)).toEqual([])
    }
  })

  it('CSUM-8: superpackets, both ways', () => {
    for (const direction of [0, 1] as const) {
      const ends = direction === 0 ? TCP : { source: P, destination: E, sourcePort: 80, destinationPort: 40000 }
      const { bytes, vnet } = superpacket(buildTcp({ ...ends, payload: bytesOf(60000) }), 1448)
      const out = through(SYN_OUT, bytes, direction, vnet)
      expect(checkPacket(out, vnet)).toEqual([])
      expect(direction === 0 ? from(out) : to(out)).toBe(direction === 0 ? `${E}:40000` : `${A}:5000`)
    }
  })

  it('takes the checksum of a tunnel for finished where only the inner one is not', () => {
    const inner = unfinish(buildTcp({ source: '192.168.0.1', destination: '192.168.0.2', sourcePort: 1, destinationPort: 2, payload: bytesOf(10) }))
    for (const checksum of [false, true]) {
      const packet = buildUdp({ ...UDP, destinationPort: 4789, payload: inner.bytes, checksum })
      const header = { ...inner.vnet, checksumStart: 28 + 20 }
      const out = through(packet, packet, 0, header)
      expect(out).toEqual(buildUdp({ ...UDP, source: E, sourcePort: 40000, destinationPort: 4789, payload: inner.bytes, checksum, ttl: 63 }))
    }
  })

  it('CSUM-7: fragments; the first has the ports, the checksum is that of the whole', () => {
    const whole = buildUdp({ ...UDP, id: 5, payload: bytesOf(2000) })
    const fragments = buildFragments(whole, 800)
    const out = fragments.map((fragment) => through(whole, fragment))
    const expected = buildFragments(buildUdp({ ...UDP, source: E, sourcePort: 40000, id: 5, ttl: 63, payload: bytesOf(2000) }), 800)
    expect(out).toEqual(expected)
  })

  it('does not look for ports in a later fragment', () => {
    const tail = buildIpv4({ source: A, destination: P, protocol: 17, payload: bytesOf(3), offset: 800, id: 3 })
    const out = through(buildUdp(UDP), tail)
    expect(out.subarray(20)).toEqual(tail.subarray(20))
    expect(checkPacket(out)).toEqual([])
    expect(u32(out, 12)).toBe(ip(E) >>> 0)
  })
})
