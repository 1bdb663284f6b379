import { describe, expect, it } from 'vitest'
import { parseForward } from '../src/forward-text.js'
import type { Offloads } from '../src/stack/device/device.js'
import { SYN } from '../src/stack/wire/tcp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildFragments, buildIcmpError, buildTcp, buildUdp } from '../src/testing/packets.js'
import { A, B, bytesOf, E, from, icmp, ip, only, P, sourceOf, superpacket, to, u16 } from './stack/support.js'

const OUT = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const BACK = { source: P, destination: E, sourcePort: 53, destinationPort: 5000 }
const ALL: Offloads = { checksum: true, tcp: true, udp: true }
const idOf = (bytes: Uint8Array): number => u16(bytes, 4)
const idsOf = (sent: readonly { bytes: Uint8Array }[]): number[] => sent.map(({ bytes }) => idOf(bytes))
const sound = (sent: readonly { bytes: Uint8Array }[]): void => expect(sent.flatMap(({ bytes }) => checkPacket(bytes))).toEqual([])

describe('IPv4 IDs', () => {
  it('UPD-10: two inside hosts that use one ID towards one host have different ones outside', () => {
    const gateway = new MemoryGateway()
    const ids: number[] = []
    for (let round = 0; round < 50; round++) {
      for (const source of [A, B]) gateway.fromLan(buildUdp({ ...OUT, source, id: 1 }))
      const sent = gateway.toWan()
      sound(sent)
      ids.push(...idsOf(sent))
    }
    expect(new Set(ids).size).toBe(100)
  })

  it('UPD-10: fragments of one datagram share a new ID, in any order, with DF too', () => {
    for (const df of [false, true]) {
      for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 2]]) {
        const gateway = new MemoryGateway()
        const ids = [A, B].map((source) => {
          const pieces = buildFragments(buildUdp({ ...OUT, source, id: 1, payload: bytesOf(1200) }), 500)
          if (df) for (const piece of pieces) {
            piece[6]! |= 0x40
            // One's-complement arithmetic: what the word gains, its sum loses.
            const sum = u16(piece, 10) - 0x4000
            piece.set([((sum + (sum < 0 ? 0xffff : 0)) >> 8) & 0xff, (sum + (sum < 0 ? 0xffff : 0)) & 0xff], 10)
          }
          for (const index of order) gateway.fromLan(pieces[index]!)
          const sent = gateway.toWan()
          expect(sent).toHaveLength(3)
          sound(sent)
          for (const { bytes } of sent) expect(bytes[6]! & 0x40).toBe(df ? 0x40 : 0)
          return [...new Set(idsOf(sent))]
        })
        expect(ids.map((found) => found.length)).toEqual([1, 1])
        expect(ids[0]).not.toEqual(ids[1])
      }
    }
  })

  it('UPD-10: also when they, or a whole packet, wait for the next hop', () => {
    const gateway = new MemoryGateway({ neighbours: true })
    const pieces = buildFragments(buildUdp({ ...OUT, id: 1, payload: bytesOf(1200) }), 500)
    const refused = buildUdp({ ...OUT, sourcePort: 5001, id: 1 })
    for (const bytes of [pieces[2]!, pieces[0]!, refused, pieces[1]!]) gateway.fromLan(bytes)
    expect(gateway.toWan()).toEqual([])
    gateway.plane.learnNeighbour(0, ip(P), 0x0242, 5)
    const sent = gateway.toWan()
    sound(sent)
    const ids = idsOf(sent.filter(({ bytes }) => bytes.length > 100))
    expect(ids).toHaveLength(3)
    expect(new Set(ids).size).toBe(1)
    expect(idsOf(sent.filter(({ bytes }) => bytes.length < 100))).not.toEqual(ids.slice(0, 1))
    // Those that come afterwards are no part of it.
    gateway.fromLan(buildUdp({ ...OUT, id: 1 }))
    expect(ids).not.toContain(idOf(only(gateway.toWan())))
  })

  it('RTR-17: a packet that cannot be sent is quoted with the ID that it came with', () => {
    const gateway = new MemoryGateway({ neighbours: true })
    const pieces = buildFragments(buildUdp({ ...OUT, id: 1, payload: bytesOf(1200) }), 500)
    for (const piece of pieces) gateway.fromLan(piece)
    gateway.plane.failNeighbour(0, ip(P), gateway.now)
    const told = only(gateway.toLan())
    expect(icmp(told)).toBe('3/1')
    expect(told.subarray(28)).toEqual(pieces[0])
  })

  it('UPD-10: what is neither a fragment nor may become one keeps its ID', () => {
    const gateway = new MemoryGateway()
    for (const id of [0, 1, 1, 0xffff]) {
      gateway.fromLan(buildUdp({ ...OUT, id, df: true }))
      expect(only(gateway.toWan())).toEqual(buildUdp({ ...OUT, source: E, id, df: true, ttl: 63 }))
    }
  })

  it('UPD-13: DF stays, and what has it is never cut', () => {
    for (const payload of [0, 1372, 1373, 2000]) {
      const gateway = new MemoryGateway({ wanMtu: 1400 })
      gateway.fromLan(buildUdp({ ...OUT, df: true, payload: bytesOf(payload) }))
      const sent = gateway.toWan()
      expect(sent).toHaveLength(payload > 1372 ? 0 : 1)
      for (const { bytes } of sent) expect(bytes[6]).toBe(0x40)
    }
  })

  it('UPD-10: replies, whose source nobody changes, keep theirs', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(OUT)).fromWan(buildUdp({ ...BACK, id: 77 }))
    expect(idOf(only(gateway.toLan()))).toBe(77)
    for (const piece of buildFragments(buildUdp({ ...BACK, id: 78, payload: bytesOf(1200) }), 500)) gateway.fromWan(piece)
    expect(idsOf(gateway.toLan())).toEqual([78, 78, 78])
  })

  it('UPD-10: what a forwarded host answers, and what hairpins, gets new ones: outside they have one address', () => {
    const gateway = new MemoryGateway({ forwards: [parseForward('udp:700:10.0.0.3:53')!] })
    gateway.fromWan(buildUdp({ ...OUT, source: P, destination: E, destinationPort: 700, id: 5 }))
    expect(idOf(only(gateway.toLan()))).toBe(5)
    gateway.fromLan(buildUdp({ source: B, destination: P, sourcePort: 53, destinationPort: 5000, id: 5 }))
    const answer = only(gateway.toWan())
    expect(from(answer)).toBe(`${E}:700`)
    expect(idOf(answer)).not.toBe(5)
    gateway.fromLan(buildUdp({ ...OUT, destination: E, destinationPort: 700, id: 5 }))
    const turned = only(gateway.toLan())
    expect([sourceOf(turned), to(turned)]).toEqual([E, `${B}:53`])
    expect(idOf(turned)).not.toBe(5)
    expect(checkPacket(turned)).toEqual([])
  })

  it('UPD-10: superpackets take as many IDs as they have segments, cut here or by the device', () => {
    for (const offloads of [{ checksum: false, tcp: false, udp: false }, ALL]) {
      const gateway = new MemoryGateway({ lanMtu: 9000, wanOffloads: offloads, lanOffloads: ALL, mssClamp: false })
      const ends = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
      gateway.fromLan(buildTcp({ ...ends, flags: SYN, id: 9 }))
      const first = idOf(only(gateway.toWan()))
      const big = superpacket(buildTcp({ ...ends, id: 9, payload: bytesOf(4100) }), 1000)
      gateway.fromLan(big.bytes, big.vnet)
      const segments = idsOf(gateway.toWan())
      expect(segments).toEqual(Array.from({ length: offloads.tcp ? 1 : 5 }, (_, index) => (first + 1 + index) & 0xffff))
      gateway.fromLan(buildTcp({ ...ends, id: 9 }))
      expect(idOf(only(gateway.toWan()))).toBe((first + 6) & 0xffff)
    }
  })

  it('UPD-10: ICMP errors of inside hosts get new ones unless they have DF', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(OUT)).fromWan(buildUdp(BACK))
    const received = only(gateway.toLan())
    gateway.toWan()
    for (const df of [false, true]) {
      const ids = [1, 2].map(() => {
        gateway.fromLan(buildIcmpError({ source: A, destination: P, id: 1, df, type: 3, code: 3, quote: received }))
        const error = only(gateway.toWan())
        expect(checkPacket(error)).toEqual([])
        expect(sourceOf(error)).toBe(E)
        return idOf(error)
      })
      if (df) expect(ids).toEqual([1, 1])
      else expect(ids[0]).not.toBe(ids[1])
    }
    // From outside: the router's own.
    gateway.fromWan(buildIcmpError({ source: '192.0.2.9', destination: E, id: 1, type: 3, code: 1, quote: buildUdp({ ...OUT, source: E }) }))
    expect(idOf(only(gateway.toLan()))).toBe(1)
  })
})
