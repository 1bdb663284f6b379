import { describe, expect, it } from 'vitest'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildFragments, buildIcmpEcho, buildIcmpError, buildIpv4, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { fromHex } from '../stack/wire/hex.js'

const FLOW = { source: '10.0.0.2', destination: '198.51.100.10', sourcePort: 5000, destinationPort: 80 }

/** UDP 192.168.0.1 > 192.168.0.199, 115 bytes: 4500+0073+0000+4000+4011+c0a8+0001+c0a8+00c7 = 2479c, 479e, ~ b861. */
const BY_HAND = fromHex('4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7')

const changed = (packet: Uint8Array, at: number, ...values: number[]): Uint8Array => {
  const copy = packet.slice()
  copy.set(values, at)
  return copy
}

describe('packet oracle', () => {
  it('accepts a header whose checksum was computed by hand', () => {
    const packet = new Uint8Array(115)
    packet.set(BY_HAND)
    packet.set([0, 0, 0, 0, 0, 95, 0, 0], 20)
    expect(checkPacket(packet)).toEqual([])
  })

  it.each([
    ['nothing', new Uint8Array(0), '0 bytes are no IPv4 header'],
    ['19 bytes', new Uint8Array(19), '19 bytes are no IPv4 header'],
    ['version 6', changed(buildUdp(FLOW), 0, 0x65), 'IP version is 6'],
    ['a header length of 16', changed(buildUdp(FLOW), 0, 0x44), 'IPv4 header length 16'],
    ['a header beyond the packet', changed(buildUdp(FLOW), 0, 0x4f), 'IPv4 header length 60'],
    ['a wrong total length', changed(buildUdp(FLOW), 2, 0, 29), 'IPv4 total length 29 is not 28'],
    ['a wrong header checksum', buildUdp({ ...FLOW, corrupt: 'header' }), 'IPv4 header checksum is wrong'],
    ['TTL 0', buildUdp({ ...FLOW, ttl: 0 }), 'TTL is 0'],
    ['malformed IP options', buildUdp({ ...FLOW, ipOptions: fromHex('94 01 00 00') }), 'IPv4 options are malformed'],
    ['a fragment of odd size', buildIpv4({ ...FLOW, mf: true, protocol: 17, payload: new Uint8Array(9) }), 'fragment of 9 bytes'],
    ['a fragment too far', buildIpv4({ ...FLOW, offset: 65528, protocol: 17, payload: new Uint8Array(9) }), 'beyond 65535'],
    ['7 bytes of UDP', buildIpv4({ ...FLOW, protocol: 17, payload: new Uint8Array(7) }), 'UDP header cut short'],
    ['a wrong UDP length', changed(buildUdp(FLOW), 25, 9), 'UDP length 9 is not 8'],
    ['a wrong UDP checksum', buildUdp({ ...FLOW, corrupt: 'transport' }), 'UDP checksum is wrong'],
    ['19 bytes of TCP', buildIpv4({ ...FLOW, protocol: 6, payload: new Uint8Array(19) }), 'TCP header cut short'],
    ['a TCP header beyond the packet', changed(buildTcp(FLOW), 32, 0xf0), 'TCP header length 60 of 20 bytes'],
    ['a TCP header too short', changed(buildTcp(FLOW), 32, 0x40), 'TCP header length 16'],
    ['malformed TCP options', buildTcp({ ...FLOW, options: fromHex('02 09 05 b4') }), 'TCP options are malformed'],
    ['a wrong TCP checksum', buildTcp({ ...FLOW, corrupt: 'transport' }), 'TCP checksum is wrong'],
    ['7 bytes of ICMP', buildIpv4({ ...FLOW, protocol: 1, payload: new Uint8Array(7) }), 'ICMP header cut short'],
    ['a wrong ICMP checksum', buildIcmpEcho({ ...FLOW, identifier: 1, corrupt: 'transport' }), 'ICMP checksum is wrong'],
  ])('finds %s', (_name, packet, problem) => {
    expect(checkPacket(packet).join('; ')).toContain(problem)
  })

  it('finds a header checksum of ffff, which adds up and must never be sent', () => {
    // All other words of this header add up to ffff, so that the checksum is 0000.
    const packet = buildIpv4({ ...FLOW, protocol: 99, payload: new Uint8Array(0) })
    const sum = (packet[10]! << 8) | packet[11]!
    const zero = buildIpv4({ ...FLOW, id: sum, protocol: 99, payload: new Uint8Array(0) })
    expect([zero[10], zero[11]]).toEqual([0, 0])
    expect(checkPacket(zero)).toEqual([])
    expect(checkPacket(changed(zero, 10, 0xff, 0xff))).toEqual(['IPv4 header checksum is 0xffff'])
  })

  it('accepts fragments, whose checksums cannot be verified', () => {
    for (const fragment of buildFragments(buildUdp({ ...FLOW, payload: new Uint8Array(3000) }), 1500)) {
      expect(checkPacket(fragment)).toEqual([])
    }
  })

  it('holds the largest datagram', () => {
    const packet = buildTcp({ ...FLOW, payload: new Uint8Array(65535 - 40).fill(0xff) })
    expect(packet.length).toBe(65535)
    expect(checkPacket(packet)).toEqual([])
  })

  it('accepts protocols it does not know', () => {
    expect(checkPacket(buildIpv4({ ...FLOW, protocol: 47, payload: new Uint8Array(3) }))).toEqual([])
  })

  describe('quotes', () => {
    const about = (quote: Uint8Array): string => checkPacket(buildIcmpError({ ...FLOW, type: 11, code: 0, quote })).join('; ')

    it('accepts whole packets, and headers with 8 bytes', () => {
      expect(about(buildTcp(FLOW))).toBe('')
      expect(about(buildUdp({ ...FLOW, payload: new Uint8Array(2000) }))).toBe('')
      expect(about(buildTcp(FLOW).subarray(0, 28))).toBe('')
    })

    it('finds what is wrong in them', () => {
      expect(about(buildTcp(FLOW).subarray(0, 19))).toContain('shorter than a header')
      expect(about(buildTcp(FLOW).subarray(0, 27))).toContain('quoted 27 bytes do not hold')
      expect(about(buildTcp({ ...FLOW, corrupt: 'header' }))).toContain('quoted header checksum is wrong')
      expect(about(buildTcp({ ...FLOW, corrupt: 'transport' }))).toContain('quoted TCP checksum is wrong')
      expect(about(changed(buildUdp(FLOW), 0, 0x65))).toContain('quoted version is 6')
      expect(about(Uint8Array.of(...buildUdp(FLOW), 0))).toContain('quoted total length 28 is less than the 29')
    })
  })

  describe('virtio headers', () => {
    const partial = { flags: 1, gsoType: 0, gsoSize: 0, checksumStart: 20, checksumOffset: 6 }
    /** UDP with 0a00+0002+c633+640a+0011+0008 = 13458 -> 3459 in its checksum field. */
    const packet = changed(buildUdp(FLOW), 26, 0x34, 0x58 + 1)

    it('accepts an unfinished checksum only when it is marked', () => {
      expect(checkPacket(packet, partial)).toEqual([])
      expect(checkPacket(packet, { ...partial, flags: 0 })).toEqual([expect.stringContaining('UDP checksum is wrong')])
      expect(checkPacket(packet)).toEqual([expect.stringContaining('UDP checksum is wrong')])
    })

    it('finds wrong offsets and sums', () => {
      expect(checkPacket(packet, { ...partial, checksumStart: 34 }).join()).toContain('csum_start 34')
      expect(checkPacket(packet, { ...partial, checksumOffset: 16 }).join()).toContain('csum_offset 16')
      expect(checkPacket(buildUdp(FLOW), partial).join()).toContain('is not the pseudo-header sum 0x3459')
      expect(checkPacket(buildIcmpEcho({ ...FLOW, identifier: 1 }), partial).join()).toContain('NEEDS_CSUM on protocol 1')
    })

    it('finds superpackets that nobody could cut', () => {
      expect(checkPacket(packet, { ...partial, gsoType: 5, gsoSize: 0 }).join()).toContain('gso_size 0')
      expect(checkPacket(buildUdp(FLOW), { ...partial, flags: 0, gsoType: 5, gsoSize: 8 }).join()).toContain('without NEEDS_CSUM')
    })
  })
})
