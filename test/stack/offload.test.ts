import { describe, expect, it } from 'vitest'
import { Drop } from '../../src/drop.js'
import type { VnetHeader } from '../../src/stack/device/memory.js'
import { Packet, parse } from '../../src/stack/parse.js'
import * as vnet from '../../src/stack/wire/vnet.js'
import { buildFragments, buildIcmpEcho, buildIpv4, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, AT, bytesOf, inSlab, NOTHING, P, superpacket, taken, unfinish } from './support.js'

const ENDS = { source: A, destination: P, sourcePort: 5000, destinationPort: 80, payload: bytesOf(100) }
const TCP = buildTcp(ENDS)
const UDP = buildUdp(ENDS)

/** 'partial', 'complete' or 'refused'. */
const verdict = (bytes: Uint8Array, header: Partial<VnetHeader>): string => {
  const packet = new Packet()
  packet.partial = true
  const drop = parse(inSlab(bytes, header).view, AT, bytes.length, packet)
  if (drop !== 0) {
    expect(drop).toBe(Drop['bad-offload'])
    return 'refused'
  }
  return packet.partial ? 'partial' : 'complete'
}

describe('virtio headers', () => {
  it('passes what kernels make', () => {
    for (const packet of [TCP, UDP]) {
      expect(verdict(packet, NOTHING)).toBe('complete')
      expect(verdict(packet, { flags: vnet.F_DATA_VALID })).toBe('complete')
      expect(verdict(packet, unfinish(packet).vnet)).toBe('partial')
      expect(verdict(packet, superpacket(packet, 50).vnet)).toBe('partial')
    }
    expect(verdict(TCP, { ...superpacket(TCP, 50).vnet, gsoType: vnet.GSO_TCPV4 | vnet.GSO_ECN })).toBe('partial')
    // The length of the headers is a hint, often of all that lies in one piece.
    expect(verdict(TCP, { ...superpacket(TCP, 50).vnet, headerLength: TCP.length })).toBe('partial')
    expect(verdict(TCP, { ...superpacket(TCP, 50).vnet, headerLength: 0 })).toBe('partial')
  })

  it('passes the checksum of what is inside a UDP tunnel', () => {
    expect(verdict(UDP, { flags: 1, checksumStart: 28 + 20, checksumOffset: 16 })).toBe('complete')
    expect(verdict(UDP, { flags: 1, checksumStart: 27, checksumOffset: 16 })).toBe('refused')
    expect(verdict(TCP, { flags: 1, checksumStart: 28 + 20, checksumOffset: 16 })).toBe('refused')
  })

  it('refuses checksums that are not where they must be', () => {
    for (const packet of [TCP, UDP]) {
      const { vnet: right } = unfinish(packet)
      for (const wrong of [0, 10, 19, 21, packet.length - 1, packet.length, 65535]) {
        expect(verdict(packet, { ...right, checksumStart: wrong })).toBe('refused')
        expect(verdict(packet, { ...right, checksumOffset: wrong })).toBe('refused')
      }
      expect(verdict(packet, { ...right, checksumOffset: 22 - right.checksumOffset })).toBe('refused')
    }
  })

  it('refuses checksums of fragments and of other protocols', () => {
    const [first, second] = buildFragments(UDP, 68)
    for (const fragment of [first!, second!]) expect(verdict(fragment, { flags: 1, checksumStart: 20, checksumOffset: 6 })).toBe('refused')
    const ping = buildIcmpEcho({ source: A, destination: P, identifier: 1, payload: bytesOf(50) })
    for (const checksumOffset of [2, 6, 16]) expect(verdict(ping, { flags: 1, checksumStart: 20, checksumOffset })).toBe('refused')
    const gre = buildIpv4({ source: A, destination: P, protocol: 47, payload: bytesOf(50) })
    expect(verdict(gre, { flags: 1, checksumStart: 20, checksumOffset: 4 })).toBe('refused')
  })

  it('refuses superpackets that can be none', () => {
    const { vnet: tcp } = superpacket(TCP, 50)
    const { vnet: udp } = superpacket(UDP, 50)
    expect(verdict(TCP, { ...tcp, gsoSize: 0 })).toBe('refused')
    expect(verdict(TCP, { ...tcp, flags: 0 })).toBe('refused')
    expect(verdict(TCP, { ...tcp, headerLength: TCP.length + 1 })).toBe('refused')
    expect(verdict(TCP, { ...tcp, gsoType: vnet.GSO_UDP_L4 })).toBe('refused')
    expect(verdict(UDP, { ...udp, gsoType: vnet.GSO_TCPV4 })).toBe('refused')
    expect(verdict(UDP, { ...udp, gsoType: vnet.GSO_UDP_L4 | vnet.GSO_ECN })).toBe('refused')
    for (const gsoType of [2, vnet.GSO_UDP, vnet.GSO_TCPV6, 6, 0x7f, vnet.GSO_ECN]) {
      expect(verdict(TCP, { ...tcp, gsoType })).toBe('refused')
      expect(verdict(UDP, { ...udp, gsoType })).toBe('refused')
    }
    expect(verdict(UDP, { ...udp, checksumStart: 48, checksumOffset: 16 })).toBe('refused')
  })

  it('passes superpackets of the hardware, which has verified them, unfinished like others', () => {
    for (const plain of [TCP, UDP]) {
      const made = superpacket(plain, 50)
      const header = { ...NOTHING, flags: vnet.F_DATA_VALID, gsoType: made.vnet.gsoType, gsoSize: 50, headerLength: made.vnet.headerLength }
      const slab = inSlab(plain, header)
      const packet = new Packet()
      for (let again = 0; again < 2; again++) {
        expect(parse(slab.view, AT, plain.length, packet)).toBe(0)
        expect(packet.partial).toBe(true)
        expect(taken(slab, plain.length)).toEqual(made.bytes)
        expect(vnet.flags(slab.view, AT - vnet.LENGTH)).toBe(vnet.F_NEEDS_CSUM)
        expect(vnet.checksumStart(slab.view, AT - vnet.LENGTH)).toBe(20)
        expect(vnet.checksumOffset(slab.view, AT - vnet.LENGTH)).toBe(made.vnet.checksumOffset)
      }
      // Nobody has verified this one.
      expect(verdict(plain, { ...header, flags: 0 })).toBe('refused')
      expect(verdict(plain, { ...header, gsoSize: 0 })).toBe('refused')
    }
    const header = { flags: vnet.F_DATA_VALID, gsoType: vnet.GSO_TCPV4, gsoSize: 50 }
    expect(verdict(buildIcmpEcho({ source: A, destination: P, identifier: 1 }), header)).toBe('refused')
    expect(verdict(buildFragments(TCP, 68)[0]!, header)).toBe('refused')
    expect(verdict(buildIpv4({ source: A, destination: P, protocol: 6, payload: bytesOf(10) }), header)).toBe('refused')
  })

  it('refuses flags that it does not know', () => {
    for (const flag of [4, 8, 16, 32, 64, 128]) expect(verdict(TCP, { flags: flag })).toBe('refused')
  })
})
