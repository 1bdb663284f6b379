import { describe, expect, it } from 'vitest'
import * as tcp from '../../src/stack/wire/tcp.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import {
  buildFragments,
  buildIcmp,
  buildIcmpEcho,
  buildIcmpError,
  buildIpv4,
  buildTcp,
  buildUdp,
  mssOption,
} from '../../src/testing/packets.js'
import { fromHex, toHex } from '../stack/wire/hex.js'

const FLOW = { source: '10.0.0.2', destination: '198.51.100.10', sourcePort: 5000, destinationPort: 80 }

const expectBytes = (bytes: Uint8Array, hex: string): void => {
  expect(toHex(bytes)).toBe(toHex(fromHex(hex)))
  expect(checkPacket(bytes)).toEqual([])
}

describe('packet builder', () => {
  it('builds UDP', () => {
    // Header: 4500+0020+4011+0a00+0002+c633+640a = 1b970 -> b971, ~468e
    // UDP: 0a00+0002+c633+640a+0011+000c + 1388+0050+000c+6869+2100 = 1d1a9 -> d1aa, ~2e55
    const packet = buildUdp({ ...FLOW, payload: fromHex('6869 21 00') })
    expectBytes(packet, '4500 0020 0000 0000 4011 468e 0a000002 c633640a  1388 0050 000c 2e55  6869 2100')
  })

  it('builds UDP without a checksum', () => {
    expectBytes(buildUdp({ ...FLOW, checksum: false }), '4500 001c 0000 0000 4011 4692 0a000002 c633640a  1388 0050 0008 0000')
  })

  it('sets every field of the IPv4 header', () => {
    const options = { ...FLOW, ttl: 1, tos: 0xb8, id: 0x1234, df: true, ipOptions: fromHex('94 04 00 00') }
    // 46b8+0020+1234+4000+0111+0a00+0002+c633+640a+9404+0000 = 26260 -> 6262, ~9d9d
    const packet = buildUdp({ ...options, checksum: false })
    expectBytes(packet, '46b8 0020 1234 4000 0111 9d9d 0a000002 c633640a 94040000  1388 0050 0008 0000')
    const fragment = buildIpv4({ ...FLOW, mf: true, offset: 1480, protocol: 17, payload: new Uint8Array(8) })
    expect(toHex(fragment.subarray(6, 8))).toBe('20b9')
    expect(checkPacket(fragment)).toEqual([])
  })

  it('builds TCP with flags, options and payload', () => {
    const packet = buildTcp({
      ...FLOW,
      flags: tcp.SYN | tcp.URG,
      sequence: -2,
      acknowledgment: 0x01020304,
      window: 1000,
      urgentPointer: 5,
      options: fromHex('01 0204 05b4'),
      payload: fromHex('61'),
    })
    expect(toHex(packet.subarray(20, 36))).toBe(toHex(fromHex('1388 0050 fffffffe 01020304 7022 03e8')))
    expect(toHex(packet.subarray(38))).toBe(toHex(fromHex('0005 01020405 b4000000 61')))
    expect(checkPacket(packet)).toEqual([])
  })

  it('builds ICMP echo', () => {
    // 0800+1234+0001+6162 = 7b97, ~8468
    const echo = buildIcmpEcho({ ...FLOW, identifier: 0x1234, sequence: 1, payload: fromHex('6162') })
    expectBytes(echo, '4500 001e 0000 0000 4001 46a0 0a000002 c633640a  0800 8468 1234 0001 6162')
    const reply = buildIcmpEcho({ ...FLOW, reply: true, identifier: 0xffff })
    expect(toHex(reply.subarray(20))).toBe('00000000ffff0000')
    expect(checkPacket(reply)).toEqual([])
  })

  it('builds ICMP errors that quote', () => {
    const quote = buildUdp({ ...FLOW, payload: new Uint8Array(1000) })
    const error = buildIcmpError({ source: '192.0.2.1', destination: '10.0.0.2', type: 3, code: 4, mtu: 1400, quote })
    expect(error.length).toBe(576)
    expect(toHex(error.subarray(24, 28))).toBe('00000578')
    expect(error.subarray(28)).toEqual(quote.subarray(0, 548))
    expect(checkPacket(error)).toEqual([])
    expect(buildIcmpError({ ...FLOW, type: 11, code: 0, quote, quoteLength: 28 }).length).toBe(56)
  })

  it('builds other ICMP messages', () => {
    const timestamp = buildIcmp({ ...FLOW, type: 13, rest: 0x00010002, payload: new Uint8Array(12) })
    expect(toHex(timestamp.subarray(20, 28))).toBe(toHex(fromHex('0d00 f2fc 0001 0002')))
    expect(checkPacket(timestamp)).toEqual([])
  })

  it('takes addresses as numbers', () => {
    expect(buildUdp({ ...FLOW, source: 0x0a000002, destination: 0xc633640a })).toEqual(buildUdp(FLOW))
  })

  it('makes exactly the checksum wrong that it is asked to', () => {
    for (const build of [buildUdp, buildTcp]) {
      expect(checkPacket(build({ ...FLOW, corrupt: 'header' }))).toEqual(['IPv4 header checksum is wrong'])
      expect(checkPacket(build({ ...FLOW, corrupt: 'transport' }))).toEqual([expect.stringMatching(/^(UDP|TCP) checksum is wrong/)])
    }
  })

  it('cuts a datagram: offsets, flags, options by their copy bit', () => {
    // Router alert (94) is copied, record route (07) is not.
    const packet = buildUdp({ ...FLOW, id: 9, ipOptions: fromHex('07 03 04 94 04 00 00'), payload: new Uint8Array(200).fill(3) })
    const fragments = buildFragments(packet, 100)
    expect(fragments.map((fragment) => toHex(fragment.subarray(6, 8)))).toEqual(['2000', '2009', '0012'])
    expect(fragments.map((fragment) => fragment.length)).toEqual([100, 96, 88])
    expect(fragments.map((fragment) => fragment[0])).toEqual([0x47, 0x46, 0x46])
    expect(toHex(fragments[1]!.subarray(20, 24))).toBe('94040000')
    for (const fragment of fragments) expect(checkPacket(fragment)).toEqual([])
  })

  it('cuts a fragment further', () => {
    const middle = buildFragments(buildUdp({ ...FLOW, payload: new Uint8Array(4000) }), 1500)[1]!
    const fragments = buildFragments(middle, 1000)
    expect(fragments.map((fragment) => toHex(fragment.subarray(6, 8)))).toEqual(['20b9', '2133'])
  })

  it('needs no more fragments than it must: 2801 bytes at 1400 are 3', () => {
    const packet = buildUdp({ ...FLOW, payload: new Uint8Array(2801 - 28) })
    expect(packet.length).toBe(2801)
    expect(buildFragments(packet, 1400).length).toBe(3)
    expect(buildFragments(packet, 2801)).toEqual([packet])
  })

  it('refuses what cannot be built', () => {
    expect(() => buildUdp({ ...FLOW, source: '10.0.0' })).toThrow("'10.0.0' is not an IPv4 address")
    expect(() => buildUdp({ ...FLOW, ipOptions: new Uint8Array(41) })).toThrow('more than 40')
    expect(() => buildTcp({ ...FLOW, options: new Uint8Array(41) })).toThrow('more than 40')
    expect(() => buildFragments(buildUdp(FLOW), 67)).toThrow('below 68')
  })

  it('writes the MSS option', () => {
    expect(toHex(mssOption(1460))).toBe('020405b4')
  })
})
