import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Batch } from '../../src/stack/batch.js'
import { Scratch } from '../../src/stack/scratch.js'
import { fragment, segment } from '../../src/stack/segment.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildTcp, buildUdp } from '../../src/testing/packets.js'
import { AT, headerOf, inSlab, superpacket, u16, u32 } from '../stack/support.js'

const SIZE = 1 << 20
const SCRATCH = 128 << 10
const payload = fc.tuple(fc.integer({ min: 0, max: 9000 }), fc.nat(255)).map(([length, seed]) => Uint8Array.from({ length }, (_, index) => (index * 7 + (index >> 7) + seed) & 255))
const fields = fc.record({ source: fc.integer(), destination: fc.integer(), sourcePort: fc.nat(65535), destinationPort: fc.nat(65535), id: fc.nat(65535), tos: fc.nat(255), ttl: fc.integer({ min: 1, max: 255 }), sequence: fc.integer(), payload })
const tcpOptions = fc.integer({ min: 0, max: 10 }).map((words) => new Uint8Array(words * 4).fill(1))
/** Well-formed IP options, some with the copy bit. */
const ipOptions = fc.array(fc.constantFrom([1], [7, 3, 4], [148, 4, 0, 0], [136, 4, 1, 2], [200, 2]), { maxLength: 8 }).map((list) => Uint8Array.from(list.flat()))

const collect = (bytes: Uint8Array, vnet: object, cut: (slab: ReturnType<typeof inSlab>, scratch: Scratch, out: Batch) => boolean): Uint8Array[] => {
  const slab = inSlab(bytes, vnet, SIZE)
  const out = new Batch(512)
  const found: Uint8Array[] = []
  const scratch = new Scratch({ start: SCRATCH, end: SIZE })
  for (let more = true; more; ) {
    out.clear()
    more = cut(slab, scratch, out)
    for (let index = 0; index < out.count; index++) found.push(slab.bytes.slice(out.at[index]!, out.at[index]! + out.length[index]!))
  }
  return found
}
const segments = (bytes: Uint8Array, vnet: object): Uint8Array[] => {
  let done = 0
  return collect(bytes, vnet, (slab, scratch, out) => {
    done = segment(slab, AT, bytes.length, done, scratch, out, 0)
    expect(done).toBeGreaterThan(0)
    return done < bytes.length
  })
}
const fragments = (bytes: Uint8Array, mtu: number): Uint8Array[] =>
  collect(bytes, {}, (slab, scratch, out) => {
    expect(fragment(slab, AT, bytes.length, mtu, scratch, out, 0)).toBe(true)
    return false
  })
const offset = (bytes: Uint8Array): number => (u16(bytes, 6) & 0x1fff) * 8
const joined = (pieces: readonly Uint8Array[]): Buffer => {
  let end = 0
  for (const piece of pieces) {
    expect(offset(piece)).toBe(end)
    end += piece.length - headerOf(piece)
  }
  return Buffer.concat(pieces.map((piece) => piece.subarray(headerOf(piece))))
}

describe('cutting', () => {
  it('TCP segments put together are the superpacket', () => {
    fc.assert(fc.property(fields, tcpOptions, ipOptions, fc.integer({ min: 20, max: 9000 }), (made, options, outer, size) => {
      const { bytes, vnet } = superpacket(buildTcp({ ...made, options, ipOptions: outer, flags: 0x99 }), size)
      const found = segments(bytes, vnet)
      const data = found.map((one) => one.subarray(headerOf(one) + (one[headerOf(one) + 12]! >> 4) * 4))
      expect(Buffer.concat(data)).toEqual(Buffer.from(made.payload))
      let sequence = made.sequence >>> 0
      for (const [index, one] of found.entries()) {
        expect(checkPacket(one)).toEqual([])
        expect(u32(one, headerOf(one) + 4)).toBe(sequence)
        expect(u16(one, 4)).toBe((made.id + index) & 0xffff)
        expect(data[index]!.length).toBe(index === found.length - 1 ? data.at(-1)!.length : size)
        sequence = (sequence + data[index]!.length) % 2 ** 32
      }
    }), { numRuns: 100 })
  })

  it('UDP segments put together are the superpacket', () => {
    fc.assert(fc.property(fields, fc.integer({ min: 20, max: 9000 }), (made, size) => {
      const { bytes, vnet } = superpacket(buildUdp(made), size)
      const found = segments(bytes, vnet)
      expect(found.flatMap((one) => checkPacket(one))).toEqual([])
      expect(Buffer.concat(found.map((one) => one.subarray(28)))).toEqual(Buffer.from(made.payload))
    }), { numRuns: 100 })
  })

  it('fragments, and fragments of fragments, put together are the datagram', () => {
    const mtu = fc.integer({ min: 68, max: 3000 })
    fc.assert(fc.property(fields, ipOptions, mtu, mtu, (made, outer, first, second) => {
      const whole = buildUdp({ ...made, ipOptions: outer })
      fc.pre(whole.length < 20_000)
      const once = fragments(whole, Math.max(first, 120))
      const twice = once.flatMap((piece) => fragments(piece, Math.max(second, 120)))
      for (const [pieces, limit] of [[once, first], [twice, second]] as const) {
        expect(joined(pieces)).toEqual(Buffer.from(whole.subarray(headerOf(whole))))
        expect(pieces.every((piece) => piece.length <= Math.max(limit, 120))).toBe(true)
        expect(pieces.flatMap((piece) => checkPacket(piece).filter((text) => !text.includes('options')))).toEqual([])
        expect(pieces.map((piece) => (piece[6]! & 0x20) !== 0)).toEqual(pieces.map((_, index) => index < pieces.length - 1))
        // As few as possible: all but the last, and where one ends that was cut before, are full to the last unit of 8.
        if (pieces === once) for (const piece of pieces.slice(0, -1)) expect(Math.max(limit, 120) - piece.length).toBeLessThan(8)
      }
    }), { numRuns: 150 })
  })
})
