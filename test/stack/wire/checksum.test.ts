import { afterEach, describe, expect, it } from 'vitest'
import { parseIpv4 } from '../../../src/stack/wire/address.js'
import * as checksum from '../../../src/stack/wire/checksum.js'
import * as icmp4 from '../../../src/stack/wire/icmp4.js'
import * as ipv4 from '../../../src/stack/wire/ipv4.js'
import * as tcp from '../../../src/stack/wire/tcp.js'
import * as udp from '../../../src/stack/wire/udp.js'
import { checkPacket } from '../../../src/testing/check-packet.js'
import { buildFragments, buildIcmpEcho, buildTcp, buildUdp } from '../../../src/testing/packets.js'
import { fromHex, viewOf } from './hex.js'

const INSIDE = parseIpv4('10.0.0.2')!
const OUTSIDE = parseIpv4('203.0.113.1')!
const REMOTE = parseIpv4('198.51.100.10')!
const ADDRESS = checksum.delta32(INSIDE, OUTSIDE)
const PORT = checksum.delta16(5000, 40000)
const FLOW = { source: INSIDE, destination: REMOTE, sourcePort: 5000, destinationPort: 80 }

/** What source NAT does to the IPv4 header. */
const rewriteHeader = (packet: Uint8Array): DataView => {
  const view = viewOf(packet)
  ipv4.setSource(view, 0, OUTSIDE)
  ipv4.setChecksum(view, 0, checksum.update(ipv4.checksum(view, 0), ADDRESS))
  return view
}

const rewriteUdp = (packet: Uint8Array): Uint8Array => {
  const view = rewriteHeader(packet)
  udp.setSourcePort(view, 20, 40000)
  udp.setChecksum(view, 20, checksum.updateUdp(udp.checksum(view, 20), checksum.add(ADDRESS, PORT)))
  return packet
}

const rewriteTcp = (packet: Uint8Array): Uint8Array => {
  const view = rewriteHeader(packet)
  tcp.setSourcePort(view, 20, 40000)
  tcp.setChecksum(view, 20, checksum.update(tcp.checksum(view, 20), checksum.add(ADDRESS, PORT)))
  return packet
}

afterEach(() => checksum.useBulkSum(undefined, 0))

describe('sum', () => {
  it('agrees with the example of RFC 1071 section 3', () => {
    // 0001 + f203 + f4f5 + f6f7 = 2ddf0, folded ddf2
    expect(checksum.sum(fromHex('0001 f203 f4f5 f6f7'), 0, 8, 0)).toBe(0xddf2)
  })

  it('pads an odd last byte with zero behind it', () => {
    expect(checksum.sum(fromHex('0001 f2'), 0, 3, 0)).toBe(0xf201)
    expect(checksum.sum(fromHex('f2'), 0, 1, 0)).toBe(0xf200)
  })

  it('is the initial sum for no bytes', () => {
    expect(checksum.sum(new Uint8Array(4), 2, 0, 0)).toBe(0)
    expect(checksum.sum(new Uint8Array(4), 2, 0, 0xffff)).toBe(0xffff)
  })

  it('counts only its range, from any address', () => {
    const bytes = new Uint8Array(64).fill(0xff)
    bytes.set(fromHex('0001 f203 f4f5 f6f7'), 13)
    expect(checksum.sum(bytes, 13, 8, 0)).toBe(0xddf2)
  })

  it('carries the initial sum round', () => {
    expect(checksum.sum(fromHex('0001'), 0, 2, 0xffff)).toBe(1)
  })

  it('holds the largest datagrams, and more, of ones', () => {
    for (const length of [65534, 65535, 65536, 1 << 20]) {
      const bytes = new Uint8Array(length).fill(0xff)
      expect(checksum.sum(bytes, 0, length, 0xffff)).toBe(length % 2 === 0 ? 0xffff : 0xff00)
    }
  })

  it('leaves long ranges to the function that was installed, and only those', () => {
    const calls: number[] = []
    checksum.useBulkSum((_bytes, at, length, initial) => {
      calls.push(at, length, initial)
      return 0x1234
    }, 300)
    const bytes = new Uint8Array(1000)
    expect(checksum.sum(bytes, 7, 299, 5)).toBe(5)
    expect(checksum.sum(bytes, 7, 300, 5)).toBe(0x1234)
    expect(calls).toEqual([7, 300, 5])
    checksum.useBulkSum(undefined, 300)
    expect(checksum.sum(bytes, 7, 300, 5)).toBe(5)
  })
})

describe('arithmetic', () => {
  it('folds twice where it must', () => {
    expect(checksum.fold(0xffffffff)).toBe(0xffff)
    expect(checksum.fold(0x1fffe)).toBe(0xffff)
    expect(checksum.fold(0xffff0001)).toBe(1)
    expect(checksum.fold(0)).toBe(0)
  })

  it('adds with the end-around carry', () => {
    expect(checksum.add(0xffff, 1)).toBe(1)
    expect(checksum.add(0xffff, 0xffff)).toBe(0xffff)
    expect(checksum.add(0x8000, 0x7fff)).toBe(0xffff)
  })

  it('sums the pseudo-header, addresses with the upper bit among them', () => {
    // c633 + 640a + cb00 + 7101 + 0011 + 0008 = 26657, folded 6659
    expect(checksum.pseudoHeader(REMOTE, OUTSIDE, 17, 8)).toBe(0x6659)
    expect(checksum.pseudoHeader(-1, -1, 255, 65535)).toBe(checksum.sum(fromHex('ffffffff ffffffff 00ff ffff'), 0, 12, 0))
  })

  it('takes 32-bit deltas signed and unsigned', () => {
    expect(checksum.delta32(REMOTE, OUTSIDE)).toBe(checksum.delta32(REMOTE >>> 0, OUTSIDE >>> 0))
    expect(checksum.delta32(REMOTE, OUTSIDE)).toBe(
      checksum.add(checksum.delta16(0xc633, 0xcb00), checksum.delta16(0x640a, 0x7101)),
    )
  })

  it('finishes sums: a UDP checksum is never 0', () => {
    expect(checksum.finish(0xffff)).toBe(0)
    expect(checksum.finish(0)).toBe(0xffff)
    expect(checksum.finishUdp(0xffff)).toBe(0xffff)
    expect(checksum.finishUdp(0x1234)).toBe(0xedcb)
  })
})

describe('conformance', () => {
  it('CSUM-1: the vector of RFC 1624 section 4', () => {
    expect(checksum.update(0xdd2f, checksum.delta16(0x5555, 0x3285))).toBe(0x0000)
  })

  it('CSUM-2: a million random headers, updated, equal scratch; 0000 comes up, ffff never', () => {
    const bytes = new Uint8Array(20)
    const view = viewOf(bytes)
    let seed = 1
    let zeros = 0
    let wrong = 0
    const random = (): number => {
      seed ^= seed << 13
      seed ^= seed >>> 17
      seed ^= seed << 5
      return seed
    }
    for (let i = 0; i < 1_000_000; i++) {
      ipv4.writeHeader(view, 0, 0, 40 + (random() & 0x3ff), random() & 0xffff, 0x4000, 64, 6, random(), random())
      const source = random()
      let sum = checksum.update(ipv4.checksum(view, 0), checksum.delta32(ipv4.source(view, 0), source))
      sum = checksum.update(sum, checksum.delta16(0x4006, 0x3f06))
      ipv4.setSource(view, 0, source)
      ipv4.setTtl(view, 0, 63)
      ipv4.writeChecksum(view, 0)
      if (sum !== ipv4.checksum(view, 0) || sum === 0xffff) wrong++
      if (sum === 0) zeros++
    }
    expect(wrong).toBe(0)
    expect(zeros).toBeGreaterThan(0)
  })

  it('CSUM-3: UDP without a checksum stays without', () => {
    const packet = rewriteUdp(buildUdp({ ...FLOW, payload: fromHex('0102'), checksum: false }))
    expect(udp.checksum(viewOf(packet), 20)).toBe(0)
    expect(checkPacket(packet)).toEqual([])
  })

  /** Payload word that drives the checksum of the translated packet to zero. */
  const zeroing = (build: (payload: Uint8Array) => Uint8Array, field: number): Uint8Array => {
    const packet = build(new Uint8Array(2))
    const view = rewriteHeader(packet)
    view.setUint16(20, 40000)
    view.setUint16(field, 0)
    const sum = checksum.sum(packet, 20, packet.length - 20, checksum.pseudoHeader(OUTSIDE, REMOTE, packet[9]!, packet.length - 20))
    return Uint8Array.of(checksum.finish(sum) >>> 8, checksum.finish(sum) & 0xff)
  }

  it('CSUM-3: a UDP checksum that becomes 0 is sent as ffff', () => {
    const build = (payload: Uint8Array): Uint8Array => buildUdp({ ...FLOW, payload })
    const packet = rewriteUdp(build(zeroing(build, 26)))
    expect(udp.checksum(viewOf(packet), 20)).toBe(0xffff)
    expect(checkPacket(packet)).toEqual([])
  })

  it('CSUM-4: a TCP checksum that becomes 0 is sent as 0', () => {
    const build = (payload: Uint8Array): Uint8Array => buildTcp({ ...FLOW, payload })
    const packet = rewriteTcp(build(zeroing(build, 36)))
    expect(tcp.checksum(viewOf(packet), 20)).toBe(0)
    expect(checkPacket(packet)).toEqual([])
  })

  it('CSUM-5: addresses count for TCP and UDP, for ICMP the identifier alone', () => {
    expect(checkPacket(rewriteTcp(buildTcp({ ...FLOW, payload: fromHex('010203') })))).toEqual([])
    expect(checkPacket(rewriteUdp(buildUdp({ ...FLOW, payload: fromHex('010203') })))).toEqual([])

    const echo = buildIcmpEcho({ source: INSIDE, destination: REMOTE, identifier: 5000, sequence: 1, payload: fromHex('010203') })
    const view = rewriteHeader(echo)
    icmp4.setIdentifier(view, 20, 40000)
    icmp4.setChecksum(view, 20, checksum.update(icmp4.checksum(view, 20), PORT))
    expect(checkPacket(echo)).toEqual([])
  })

  it('CSUM-6: a word at an odd address is updated with its bytes swapped', () => {
    // A NOP before the MSS option puts the MSS at an odd address.
    const packet = buildTcp({ ...FLOW, flags: tcp.SYN, options: fromHex('01 0204 05b4 00') })
    const view = viewOf(packet)
    const option = tcp.findOption(view, 20, tcp.headerLength(view, 20), tcp.OPTION_MSS)
    expect((option + 2) % 2).toBe(1)
    view.setUint16(option + 2, 1360)
    tcp.setChecksum(view, 20, checksum.update(tcp.checksum(view, 20), checksum.swap(checksum.delta16(1460, 1360))))
    expect(checkPacket(packet)).toEqual([])
  })

  it('CSUM-7: the first fragment is updated, and the whole then verifies', () => {
    const whole = buildUdp({ ...FLOW, id: 7, payload: new Uint8Array(3000).map((_, i) => i * 31) })
    const [first, ...later] = buildFragments(whole, 1500)
    rewriteUdp(first!)
    for (const fragment of later) rewriteHeader(fragment)
    const payloads = [first!, ...later].map((fragment) => fragment.subarray(20))
    const joined = Uint8Array.of(...first!.subarray(0, 20), ...payloads.flatMap((payload) => [...payload]))
    ipv4.setTotalLength(viewOf(joined), 0, joined.length)
    ipv4.setFlagsAndOffset(viewOf(joined), 0, 0)
    ipv4.writeChecksum(viewOf(joined), 0)
    expect(checkPacket(joined)).toEqual([])
  })

  it('CSUM-8: an unfinished checksum follows addresses without complement, and ports not at all', () => {
    const packet = buildTcp({ ...FLOW, payload: fromHex('010203') })
    const view = viewOf(packet)
    tcp.setChecksum(view, 20, checksum.pseudoHeader(INSIDE, REMOTE, 6, packet.length - 20))
    rewriteHeader(packet)
    tcp.setSourcePort(view, 20, 40000)
    tcp.setChecksum(view, 20, checksum.updatePartial(tcp.checksum(view, 20), ADDRESS))
    const unfinished = { flags: 1, gsoType: 0, gsoSize: 0, checksumStart: 20, checksumOffset: 16 }
    expect(checkPacket(packet, unfinished)).toEqual([])
    tcp.setChecksum(view, 20, checksum.finish(checksum.sum(packet, 20, packet.length - 20, 0)))
    expect(checkPacket(packet)).toEqual([])
  })

  it('CSUM-9: a wrong checksum stays wrong', () => {
    const wrong = (packet: Uint8Array): string => checkPacket(packet).join()
    expect(wrong(rewriteTcp(buildTcp({ ...FLOW, corrupt: 'transport' })))).toContain('TCP checksum')
    expect(wrong(rewriteUdp(buildUdp({ ...FLOW, corrupt: 'transport' })))).toContain('UDP checksum')
    expect(wrong(rewriteTcp(buildTcp({ ...FLOW, corrupt: 'header' })))).toContain('header checksum')
  })

  it('keeps a checksum when nothing changes', () => {
    expect(checksum.update(0x1234, checksum.delta16(7, 7))).toBe(0x1234)
    expect(checksum.update(0, checksum.delta32(INSIDE, INSIDE))).toBe(0)
  })
})
