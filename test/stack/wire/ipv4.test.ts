import { describe, expect, it } from 'vitest'
import * as ipv4 from '../../../src/stack/wire/ipv4.js'
import { embed, fromHex, toHex, viewOf } from './hex.js'

/** UDP 192.168.0.1 > 192.168.0.199, 115 bytes, DF, TTL 64: 4500+0073+0000+4000+4011+c0a8+0001+c0a8+00c7 = 2479c, 479e, ~ b861. */
const UDP_HEADER = fromHex('4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7')
/** ICMP fragment with a router alert option (94 04 00 00): TOS b8, id 1234, MF, offset 1480. */
const FRAGMENT = fromHex('46b8 05dc 1234 20b9 ff01 0000 0a00 0002 c633 640a 9404 0000')

describe('IPv4', () => {
  it('reads the fields of a header without options', () => {
    const view = embed(UDP_HEADER, 64)
    expect(ipv4.version(view, 64)).toBe(4)
    expect(ipv4.headerLength(view, 64)).toBe(20)
    expect(ipv4.tos(view, 64)).toBe(0)
    expect(ipv4.totalLength(view, 64)).toBe(115)
    expect(ipv4.identification(view, 64)).toBe(0)
    expect(ipv4.flagsAndOffset(view, 64)).toBe(ipv4.FLAG_DONT_FRAGMENT)
    expect(ipv4.dontFragment(view, 64)).toBe(true)
    expect(ipv4.moreFragments(view, 64)).toBe(false)
    expect(ipv4.fragmentOffset(view, 64)).toBe(0)
    expect(ipv4.ttl(view, 64)).toBe(64)
    expect(ipv4.protocol(view, 64)).toBe(ipv4.PROTOCOL_UDP)
    expect(ipv4.checksum(view, 64)).toBe(0xb861)
    expect(ipv4.source(view, 64)).toBe(0xc0a80001 | 0)
    expect(ipv4.destination(view, 64)).toBe(0xc0a800c7 | 0)
    expect(ipv4.headerChecksumOk(view, 64)).toBe(true)
  })

  it('reads the fields of a fragment with options', () => {
    const view = viewOf(FRAGMENT.slice())
    expect(ipv4.headerLength(view, 0)).toBe(24)
    expect(ipv4.tos(view, 0)).toBe(0xb8)
    expect(ipv4.identification(view, 0)).toBe(0x1234)
    expect(ipv4.flagsAndOffset(view, 0)).toBe(0x20b9)
    expect(ipv4.dontFragment(view, 0)).toBe(false)
    expect(ipv4.moreFragments(view, 0)).toBe(true)
    expect(ipv4.fragmentOffset(view, 0)).toBe(1480)
    expect(ipv4.protocol(view, 0)).toBe(ipv4.PROTOCOL_ICMP)
  })

  it('reads the largest offset, and the reserved bit is not part of it', () => {
    const bytes = FRAGMENT.slice()
    bytes.set([0x9f, 0xff], 6)
    expect(ipv4.fragmentOffset(viewOf(bytes), 0)).toBe(65528)
    expect(ipv4.moreFragments(viewOf(bytes), 0)).toBe(false)
    expect(ipv4.dontFragment(viewOf(bytes), 0)).toBe(false)
  })

  it('sets each field and only that', () => {
    const changes: [(view: DataView, at: number, value: number) => void, number, string][] = [
      [ipv4.setTos, 0x2e, '452e 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7'],
      [ipv4.setTotalLength, 0xfedc, '4500 fedc 0000 4000 4011 b861 c0a8 0001 c0a8 00c7'],
      [ipv4.setIdentification, 0xfedc, '4500 0073 fedc 4000 4011 b861 c0a8 0001 c0a8 00c7'],
      [ipv4.setFlagsAndOffset, 0x20b9, '4500 0073 0000 20b9 4011 b861 c0a8 0001 c0a8 00c7'],
      [ipv4.setTtl, 63, '4500 0073 0000 4000 3f11 b861 c0a8 0001 c0a8 00c7'],
      [ipv4.setProtocol, 6, '4500 0073 0000 4000 4006 b861 c0a8 0001 c0a8 00c7'],
      [ipv4.setChecksum, 0xfedc, '4500 0073 0000 4000 4011 fedc c0a8 0001 c0a8 00c7'],
      [ipv4.setSource, 0xcb007101 | 0, '4500 0073 0000 4000 4011 b861 cb00 7101 c0a8 00c7'],
      [ipv4.setDestination, 0xcb007101 | 0, '4500 0073 0000 4000 4011 b861 c0a8 0001 cb00 7101'],
    ]
    for (const [set, value, expected] of changes) {
      const bytes = UDP_HEADER.slice()
      set(viewOf(bytes), 0, value)
      expect(toHex(bytes)).toBe(toHex(fromHex(expected)))
    }
  })

  it('writes a header with its checksum', () => {
    const view = embed(new Uint8Array(20), 64)
    ipv4.writeHeader(view, 64, 0, 115, 0, ipv4.FLAG_DONT_FRAGMENT, 64, ipv4.PROTOCOL_UDP, 0xc0a80001 | 0, 0xc0a800c7 | 0)
    expect(toHex(new Uint8Array(view.buffer, 64, 20))).toBe(toHex(UDP_HEADER))
    expect([view.getUint8(63), view.getUint8(84)]).toEqual([0xee, 0xee])
  })

  it('covers options with the checksum', () => {
    const bytes = FRAGMENT.slice()
    const view = viewOf(bytes)
    expect(ipv4.headerChecksumOk(view, 0)).toBe(false)
    ipv4.writeChecksum(view, 0)
    expect(ipv4.headerChecksumOk(view, 0)).toBe(true)
    bytes[23]! ^= 1
    expect(ipv4.headerChecksumOk(view, 0)).toBe(false)
  })

  it('RTR-1: sees any single flipped bit of a header', () => {
    for (let bit = 0; bit < 160; bit++) {
      const bytes = new Uint8Array(60)
      bytes.set(UDP_HEADER)
      bytes[bit >>> 3]! ^= 0x80 >>> (bit & 7)
      expect(ipv4.headerChecksumOk(viewOf(bytes), 0)).toBe(false)
    }
  })

  it('RTR-1: the fields that a router must look at can be read from any 20 bytes', () => {
    const view = viewOf(new Uint8Array(20).fill(0xff))
    expect(ipv4.version(view, 0)).toBe(15)
    expect(ipv4.headerLength(view, 0)).toBe(60)
    const zero = viewOf(new Uint8Array(20))
    expect([ipv4.version(zero, 0), ipv4.headerLength(zero, 0)]).toEqual([0, 0])
    expect(ipv4.headerChecksumOk(zero, 0)).toBe(false)
  })
})
