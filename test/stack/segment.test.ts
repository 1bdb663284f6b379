import { describe, expect, it } from 'vitest'
import { Batch } from '../../src/stack/batch.js'
import { Scratch } from '../../src/stack/scratch.js'
import { completeChecksum, fragment, segment, segmentType, wireLength } from '../../src/stack/segment.js'
import * as vnet from '../../src/stack/wire/vnet.js'
import { ACK, CWR, FIN, PSH } from '../../src/stack/wire/tcp.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildFragments, buildTcp, buildUdp } from '../../src/testing/packets.js'
import type { VnetHeader } from '../../src/stack/device/memory.js'
import { A, AT, bytesOf, inSlab, NOTHING, P, same, superpacket, taken, unfinish } from './support.js'

const ENDS = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
const SCRATCH = 80 << 10
const SIZE = 512 << 10

/** Cuts the packet; the segments, each with its virtio header found empty. */
const segments = (bytes: Uint8Array, header: VnetHeader, capacity = 512): Uint8Array[] => {
  const slab = inSlab(bytes, header, SIZE)
  const scratch = new Scratch({ start: SCRATCH, end: SIZE })
  const found: Uint8Array[] = []
  const out = new Batch(capacity)
  let done = 0
  do {
    out.clear()
    done = segment(slab, AT, bytes.length, done, scratch, out, 7)
    expect(done).toBeGreaterThan(0)
    for (let index = 0; index < out.count; index++) {
      const at = out.at[index]!
      expect(slab.bytes.subarray(at - 10, at).every((byte) => byte === 0)).toBe(true)
      expect(out.link[index]).toBe(7)
      found.push(slab.bytes.slice(at, at + out.length[index]!))
    }
  } while (done < bytes.length)
  expect(done).toBe(bytes.length)
  expect(same(taken(slab, bytes.length), bytes)).toBe(true)
  return found
}

const fragments = (bytes: Uint8Array, mtu: number, header: VnetHeader = NOTHING): Uint8Array[] => {
  const slab = inSlab(bytes, header, SIZE)
  const out = new Batch(512)
  expect(fragment(slab, AT, bytes.length, mtu, new Scratch({ start: SCRATCH, end: SIZE }), out, 7)).toBe(true)
  return Array.from({ length: out.count }, (_, index) => slab.bytes.slice(out.at[index]!, out.at[index]! + out.length[index]!))
}

describe('segmenting TCP', () => {
  const options = Uint8Array.of(1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8)
  for (const [payload, size] of [[5000, 1448], [4344, 1448], [1449, 1448], [1448, 1448], [100, 1448], [3, 1], [65000, 1448]] as const) {
    it(`${payload} bytes by ${size}: as separate packets would be`, () => {
      const fields = { ...ENDS, sequence: 0xfffff000 | 0, acknowledgment: 9, window: 501, options, ttl: 61, tos: 2, df: true }
      const data = bytesOf(payload)
      const { bytes, vnet: header } = superpacket(buildTcp({ ...fields, id: 0xfffe, flags: ACK | PSH | FIN | CWR, payload: data }), size)
      const expected: Uint8Array[] = []
      for (let offset = 0; offset < payload; offset += size) {
        const flags = ACK | (offset === 0 ? CWR : 0) | (offset + size >= payload ? PSH | FIN : 0)
        const id = (0xfffe + expected.length) & 0xffff
        expected.push(buildTcp({ ...fields, id, flags, sequence: (fields.sequence + offset) | 0, payload: data.subarray(offset, offset + size) }))
      }
      const found = segments(bytes, header)
      expect(found.length).toBe(expected.length)
      for (const [index, packet] of found.entries()) expect(same(packet, expected[index]!)).toBe(true)
      expect(found.flatMap((packet) => checkPacket(packet))).toEqual([])
    })
  }

  it('goes on where a full batch ended', () => {
    const { bytes, vnet: header } = superpacket(buildTcp({ ...ENDS, payload: bytesOf(10_000) }), 100)
    const all = segments(bytes, header)
    expect(all).toHaveLength(100)
    for (const capacity of [1, 7, 99, 100]) expect(segments(bytes, header, capacity)).toEqual(all)
  })

  it('makes one segment of a packet without payload', () => {
    const { bytes, vnet: header } = superpacket(buildTcp({ ...ENDS, flags: ACK }), 1448)
    expect(segments(bytes, header)).toEqual([buildTcp({ ...ENDS, flags: ACK })])
  })

  it('keeps IP options in each segment', () => {
    const ipOptions = Uint8Array.of(148, 4, 0, 0)
    const { bytes, vnet: header } = superpacket(buildTcp({ ...ENDS, ipOptions, payload: bytesOf(3000) }), 1000)
    const found = segments(bytes, header)
    expect(found.map(({ length }) => length)).toEqual([1044, 1044, 1044])
    expect(found.flatMap((packet) => checkPacket(packet))).toEqual([])
    for (const packet of found) expect(packet.subarray(20, 24)).toEqual(ipOptions)
  })

  it('says when there is no room', () => {
    const { bytes, vnet: header } = superpacket(buildTcp({ ...ENDS, payload: bytesOf(10_000) }), 1000)
    const slab = inSlab(bytes, header)
    const out = new Batch(512)
    expect(segment(slab, AT, bytes.length, 0, new Scratch({ start: SCRATCH, end: SCRATCH + 3000 }), out, 0)).toBe(-1)
    expect(out.count).toBe(2)
    while (!out.full) out.push(0, 0, 0)
    expect(segment(slab, AT, bytes.length, 0, new Scratch({ start: SCRATCH, end: SIZE }), out, 0)).toBe(40)
  })
})

describe('segmenting UDP', () => {
  it('gives each datagram its length and checksum', () => {
    const data = bytesOf(5000)
    const { bytes, vnet: header } = superpacket(buildUdp({ ...ENDS, id: 3, payload: data }), 1400)
    const expected = [0, 1400, 2800, 4200].map((offset, index) => buildUdp({ ...ENDS, id: 3 + index, payload: data.subarray(offset, offset + 1400) }))
    expect(segments(bytes, header)).toEqual(expected)
  })
})

describe('completing a checksum', () => {
  it('CSUM-8: makes the checksum that was left to the device', () => {
    for (const plain of [buildTcp({ ...ENDS, payload: bytesOf(99) }), buildUdp({ ...ENDS, payload: bytesOf(99) })]) {
      const { bytes, vnet: header } = unfinish(plain)
      const slab = inSlab(bytes, header)
      completeChecksum(slab, AT, bytes.length)
      expect(taken(slab, bytes.length)).toEqual(plain)
      expect(vnet.flags(slab.view, AT - vnet.LENGTH)).toBe(0)
    }
  })

  it('CSUM-3: a UDP checksum of 0 becomes ffff', () => {
    const zero = buildUdp({ ...ENDS, payload: new Uint8Array(2) })
    const plain = buildUdp({ ...ENDS, payload: Uint8Array.of(zero[26]!, zero[27]!) })
    expect([plain[26], plain[27]]).toEqual([0xff, 0xff])
    const { bytes, vnet: header } = unfinish(plain)
    const slab = inSlab(bytes, header)
    completeChecksum(slab, AT, bytes.length)
    expect(taken(slab, bytes.length)).toEqual(plain)
  })

  it('does that of the packet inside a tunnel', () => {
    const plain = buildTcp({ ...ENDS, payload: bytesOf(50) })
    const inner = unfinish(plain)
    const outer = buildUdp({ ...ENDS, payload: inner.bytes })
    const slab = inSlab(outer, { ...inner.vnet, checksumStart: 48 })
    completeChecksum(slab, AT, outer.length)
    expect(taken(slab, outer.length).subarray(28)).toEqual(plain)
  })

  it('leaves finished packets alone, and does not follow numbers that point outside', () => {
    const plain = buildTcp({ ...ENDS, payload: bytesOf(99) })
    for (const header of [{ flags: vnet.F_DATA_VALID }, { flags: 1, checksumStart: plain.length }, { flags: 1, checksumStart: 20, checksumOffset: plain.length - 21 }]) {
      const slab = inSlab(plain, header)
      completeChecksum(slab, AT, plain.length)
      expect(taken(slab, plain.length)).toEqual(plain)
    }
  })
})

describe('length on the wire', () => {
  it('is that of the longest segment', () => {
    const length = (bytes: Uint8Array, header: VnetHeader): number => wireLength(inSlab(bytes, header).view, AT, bytes.length)
    const tcp = superpacket(buildTcp({ ...ENDS, options: bytesOf(12, 1).fill(1), payload: bytesOf(9000) }), 1448)
    expect(length(tcp.bytes, tcp.vnet)).toBe(1500)
    expect(length(tcp.bytes, { ...tcp.vnet, gsoType: vnet.GSO_TCPV4 | vnet.GSO_ECN })).toBe(1500)
    expect(length(tcp.bytes, NOTHING)).toBe(9052)
    expect(length(tcp.bytes, { ...tcp.vnet, gsoSize: 10_000 })).toBe(9052)
    const udp = superpacket(buildUdp({ ...ENDS, payload: bytesOf(9000) }), 1200)
    expect(length(udp.bytes, udp.vnet)).toBe(1228)
    expect(segmentType(inSlab(tcp.bytes, { gsoType: 0x81 }).view, AT)).toBe(vnet.GSO_TCPV4)
  })
})

describe('fragmenting', () => {
  for (const [length, mtu, count] of [[2801, 1400, 3], [2772, 1400, 2], [1500, 1400, 2], [1401, 1400, 2], [1400, 1400, 1], [1500, 68, 31], [9000, 1500, 7]] as const) {
    it(`FRG-8: ${length} bytes at ${mtu}: ${count} fragments`, () => {
      const packet = buildUdp({ ...ENDS, id: 99, tos: 0xb8, ttl: 7, payload: bytesOf(length - 28) })
      const found = fragments(packet, mtu)
      expect(found).toHaveLength(count)
      expect(found).toEqual(buildFragments(packet, mtu))
      expect(found.flatMap((piece) => checkPacket(piece))).toEqual([])
    })
  }

  it('FRG-8: cuts a fragment further, first, middle and last', () => {
    const whole = buildUdp({ ...ENDS, id: 99, payload: bytesOf(4000) })
    for (const part of buildFragments(whole, 1500)) expect(fragments(part, 576)).toEqual(buildFragments(part, 576))
    const middle = fragments(buildFragments(whole, 1500)[1]!, 576)
    expect(middle.map((piece) => piece[6]! & 0x20)).toEqual([0x20, 0x20, 0x20])
    expect(middle.map((piece) => ((piece[6]! & 0x1f) << 8) | piece[7]!)).toEqual([185, 185 + 69, 185 + 138])
  })

  it('FRG-8: copies options by their copy bit, and uses the room they leave', () => {
    const ipOptions = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0)
    const packet = buildUdp({ ...ENDS, id: 99, ipOptions, payload: bytesOf(3000) })
    const found = fragments(packet, 1000)
    expect(found).toEqual(buildFragments(packet, 1000))
    expect(found.map((piece) => (piece[0]! & 15) * 4)).toEqual([32, 24, 24, 24])
  })

  it('RTR-11: copies the reserved bit', () => {
    const packet = buildUdp({ ...ENDS, payload: bytesOf(1000) })
    packet[6] = 0x80
    expect(fragments(packet, 576).map((piece) => piece[6]! & 0xe0)).toEqual([0xa0, 0x80])
  })

  it('completes the checksum before it cuts', () => {
    const plain = buildUdp({ ...ENDS, payload: bytesOf(3000) })
    const { bytes, vnet: header } = unfinish(plain)
    expect(fragments(bytes, 1500, header)).toEqual(buildFragments(plain, 1500))
  })

  it('adds nothing when there is no room for all', () => {
    const packet = buildUdp({ ...ENDS, payload: bytesOf(3000) })
    const slab = inSlab(packet, {}, SIZE)
    const out = new Batch(8)
    out.push(1, 2, 3)
    expect(fragment(slab, AT, packet.length, 1000, new Scratch({ start: SCRATCH, end: SCRATCH + 2500 }), out, 0)).toBe(false)
    expect(out.count).toBe(1)
    while (out.count < 6) out.push(1, 2, 3)
    expect(fragment(slab, AT, packet.length, 1000, new Scratch({ start: SCRATCH, end: SIZE }), out, 0)).toBe(false)
    expect(out.count).toBe(6)
  })
})
