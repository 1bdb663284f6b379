import { describe, expect, it } from 'vitest'
import { DROP_NAMES } from '../../src/drop.js'
import { FIRST_FRAGMENT, LATER_FRAGMENT, Packet, parse, WHOLE } from '../../src/stack/parse.js'
import * as ipv4 from '../../src/stack/wire/ipv4.js'
import { buildFragments, buildIcmp, buildIcmpEcho, buildIpv4, buildTcp, buildUdp, buildUdpLite } from '../../src/testing/packets.js'
import { A, AT, bytesOf, inSlab, ip, P, parsed } from './support.js'

const UDP = buildUdp({ source: A, destination: P, sourcePort: 5000, destinationPort: 53, payload: bytesOf(20) })
const TCP = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }

/** The name of the drop, '' when the packet is accepted. */
const verdict = (bytes: Uint8Array, received = bytes.length): string => {
  const name = DROP_NAMES[parse(inSlab(bytes).view, AT, received, new Packet())]!
  return name === 'none' ? '' : name
}
/** A copy with bytes set and the header checksum made right again. */
const altered = (bytes: Uint8Array, changes: Record<number, number>): Uint8Array => {
  const copy = bytes.slice()
  for (const [at, value] of Object.entries(changes)) copy[Number(at)] = value
  const header = Math.max(20, (copy[0]! & 15) * 4)
  if (header <= copy.length) ipv4.writeChecksum(new DataView(copy.buffer), 0)
  return copy
}

describe('parse', () => {
  it('reads the header and ports', () => {
    const { packet } = parsed(buildTcp({ ...TCP, flags: 0x12, ttl: 9, ipOptions: Uint8Array.of(1, 1, 1, 1), payload: bytesOf(3) }))
    expect({ ...packet }).toEqual({
      at: AT, length: 47, headerLength: 24, transport: AT + 24, source: ip(A), destination: ip(P), protocol: 6, ttl: 9, fragment: WHOLE,
      ports: (5000 << 16) | 80, tcpFlags: 0x12, icmpType: -1, chunkType: 0, partial: false,
    })
  })

  it('leaves nothing of the packet before', () => {
    const packet = new Packet()
    parse(inSlab(buildTcp({ ...TCP, flags: 0xff })).view, AT, 40, packet)
    parse(inSlab(buildIpv4({ source: A, destination: P, protocol: 47, payload: bytesOf(9) })).view, AT, 29, packet)
    expect(packet).toMatchObject({ protocol: 47, ports: 0, tcpFlags: 0, icmpType: -1, partial: false })
  })

  it('cuts off the padding of short frames', () => {
    const padded = new Uint8Array(60)
    padded.set(UDP)
    expect(parsed(padded).packet.length).toBe(48)
  })

  it('gives an ICMP reply the key of its query, turned round', () => {
    const portsOf = (bytes: Uint8Array): number => parsed(bytes).packet.ports
    expect(portsOf(buildIcmpEcho({ source: A, destination: P, identifier: 0x8007 }))).toBe((0x8007 << 16) | 8)
    expect(portsOf(buildIcmpEcho({ source: A, destination: P, identifier: 0x8007, reply: true }))).toBe((8 << 16) | 0x8007)
    expect(portsOf(buildIcmp({ source: A, destination: P, type: 13, rest: 7 << 16 }))).toBe((7 << 16) | 13)
    expect(portsOf(buildIcmp({ source: A, destination: P, type: 14, rest: 7 << 16 }))).toBe((13 << 16) | 7)
    expect(portsOf(buildIcmp({ source: A, destination: P, type: 3, rest: 7 << 16 }))).toBe(0)
  })

  it('RTR-1: discards what is no IPv4 header', () => {
    for (let received = 0; received < 20; received++) expect(verdict(UDP, received)).toBe('short')
    for (let received = 20; received < 48; received++) expect(verdict(UDP, received)).toBe('short')
    expect(verdict(UDP, 48)).toBe('')
    for (const version of [0, 5, 6, 15]) expect(verdict(altered(UDP, { 0: (version << 4) | 5 }))).toBe('bad-version')
    for (let words = 0; words < 5; words++) expect(verdict(altered(UDP, { 0: 0x40 | words }))).toBe('bad-header-length')
    expect(verdict(altered(UDP, { 0: 0x4d }))).toBe('bad-header-length')
    for (const total of [0, 1, 19]) expect(verdict(altered(UDP, { 2: 0, 3: total }))).toBe('bad-header-length')
    expect(verdict(altered(UDP, { 2: 0, 3: 49 }))).toBe('short')
  })

  it('RTR-1: discards every header with one flipped bit', () => {
    for (let bit = 0; bit < 20 * 8; bit++) {
      const copy = UDP.slice()
      copy[bit >> 3]! ^= 1 << (bit & 7)
      expect(verdict(copy)).not.toBe('')
    }
    const withOptions = buildUdp({ source: A, destination: P, sourcePort: 1, destinationPort: 2, ipOptions: bytesOf(40, 3) })
    withOptions[59]! ^= 1
    expect(verdict(withOptions)).toBe('bad-header-checksum')
  })

  it('CSUM-2: takes 0xffff for 0x0000 in a header', () => {
    // Choose the ID so that the checksum is 0.
    const packet = altered(UDP, {})
    const id = (packet[10]! << 8) | packet[11]!
    const zero = altered(packet, { 4: id >> 8, 5: id & 0xff })
    expect([zero[10], zero[11]]).toEqual([0, 0])
    expect(verdict(zero)).toBe('')
    zero[10] = zero[11] = 0xff
    expect(verdict(zero)).toBe('')
  })

  it('discards truncated transport headers and impossible lengths', () => {
    const cut = (protocol: number, length: number, fill = 0): string =>
      verdict(buildIpv4({ source: A, destination: P, protocol, payload: new Uint8Array(length).fill(fill) }))
    for (let length = 0; length < 8; length++) expect(cut(17, length)).toBe('bad-transport')
    for (let length = 0; length < 20; length++) expect(cut(6, length)).toBe('bad-transport')
    for (let length = 0; length < 8; length++) expect(cut(1, length)).toBe('bad-transport')
    for (let length = 0; length < 12; length++) {
      expect(cut(47, length)).toBe(length < 4 ? 'bad-transport' : '')
      expect(cut(50, length)).toBe(length < 8 ? 'bad-transport' : '')
      expect(cut(41, length)).toBe('')
    }
    for (let length = 0; length < 16; length++) expect(cut(132, length, 1)).toBe('bad-transport')
    expect(cut(132, 16, 1)).toBe('')
    for (let length = 0; length < 8; length++) expect(cut(136, length)).toBe('bad-transport')
    const lite = buildUdpLite({ source: A, destination: P, sourcePort: 5, destinationPort: 6, payload: bytesOf(20) })
    for (let coverage = 0; coverage < 32; coverage++) {
      expect(verdict(altered(lite, { 24: 0, 25: coverage }))).toBe(coverage === 0 || (coverage >= 8 && coverage <= 28) ? '' : 'bad-transport')
    }
    expect(verdict(altered(lite, { 26: 0, 27: 0 }))).toBe('bad-transport')
    const tcp = buildTcp(TCP)
    for (let words = 0; words < 16; words++) expect(verdict(altered(tcp, { 32: words << 4 }))).toBe(words === 5 ? '' : 'bad-transport')
    for (const length of [0, 7]) expect(verdict(altered(UDP, { 24: 0, 25: length }))).toBe('bad-transport')
    expect(verdict(altered(UDP, { 24: 0, 25: 29 }))).toBe('bad-transport')
    // Shorter than the datagram has room for: trailing bytes are legal.
    expect(verdict(altered(UDP, { 24: 0, 25: 8 }))).toBe('')
  })

  it('tells fragments apart', () => {
    const [first, middle, last] = buildFragments(buildUdp({ source: A, destination: P, sourcePort: 1, destinationPort: 2, payload: bytesOf(1000) }), 500)
    expect(parsed(first!).packet).toMatchObject({ fragment: FIRST_FRAGMENT, ports: (1 << 16) | 2 })
    expect(parsed(middle!).packet).toMatchObject({ fragment: LATER_FRAGMENT, ports: 0 })
    expect(parsed(last!).packet).toMatchObject({ fragment: LATER_FRAGMENT, ports: 0 })
  })

  it('FRG-4, FRG-5: discards impossible fragments', () => {
    const fragment = (protocol: number, offset: number, length: number, mf: boolean): string =>
      verdict(buildIpv4({ source: A, destination: P, protocol, offset, mf, payload: Uint8Array.of(0, 1, 0, 2, ...new Uint8Array(length).fill(0x50)).subarray(0, length) }))
    // Ping of death.
    expect(fragment(1, 65528, 8, false)).toBe('bad-fragment')
    expect(fragment(17, 65504, 8, false)).toBe('')
    // Not a multiple of 8 although more follows; nothing at all although more follows.
    expect(fragment(17, 8, 20, true)).toBe('bad-fragment')
    expect(fragment(17, 8, 0, true)).toBe('bad-fragment')
    expect(fragment(17, 8, 20, false)).toBe('')
    // RFC 1858, 3128: tiny first fragments of TCP, and those that overlap the flags.
    expect(fragment(6, 0, 8, true)).toBe('bad-fragment')
    expect(fragment(6, 0, 16, true)).toBe('bad-fragment')
    expect(fragment(6, 0, 24, true)).toBe('')
    expect(fragment(6, 8, 24, false)).toBe('bad-fragment')
    expect(fragment(17, 8, 24, false)).toBe('')
    expect(fragment(6, 16, 24, false)).toBe('')
  })

  it('lets a first fragment end within its TCP options', () => {
    const packet = buildTcp({ ...TCP, options: bytesOf(40, 2), payload: bytesOf(100) })
    expect(verdict(buildFragments(packet, 68)[0]!)).toBe('')
  })

  it('RTR-12: drops source routes, in any place; other options pass', () => {
    const withOptions = (...options: number[]): string => verdict(buildUdp({ source: A, destination: P, sourcePort: 1, destinationPort: 2, ipOptions: Uint8Array.from(options) }))
    expect(withOptions(131, 7, 4, 1, 2, 3, 4)).toBe('source-route')
    expect(withOptions(137, 7, 4, 1, 2, 3, 4)).toBe('source-route')
    expect(withOptions(1, 1, 200, 4, 9, 9, 131, 3, 4)).toBe('source-route')
    expect(withOptions(7, 7, 4, 0, 0, 0, 0)).toBe('')
    expect(withOptions(200, 4, 131, 137)).toBe('')
    // Behind the end of the list, or behind what cannot be read, there are no options.
    expect(withOptions(0, 131, 3, 4)).toBe('')
    for (const size of [0, 1, 99]) expect(withOptions(200, size, 131, 3)).toBe('')
    expect(withOptions(1, 1, 1, 200)).toBe('')
    // Fragments too: the option is copied into each.
    const whole = buildUdp({ source: A, destination: P, sourcePort: 1, destinationPort: 2, ipOptions: Uint8Array.of(131, 3, 4, 0), payload: bytesOf(900) })
    expect(buildFragments(whole, 500).map((fragment) => verdict(fragment))).toEqual(['source-route', 'source-route'])
  })
})
