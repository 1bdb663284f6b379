import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as checksum from '../../src/stack/wire/checksum.js'
import * as ipv4 from '../../src/stack/wire/ipv4.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildFragments, buildIcmpEcho, buildIcmpError, buildTcp, buildUdp } from '../../src/testing/packets.js'

/** As RFC 1071 says it, on numbers without limit. */
const slowSum = (bytes: Uint8Array): bigint => {
  let total = 0n
  for (let i = 0; i < bytes.length; i += 2) total += BigInt(bytes[i]! * 256 + (bytes[i + 1] ?? 0))
  while (total > 0xffffn) total = (total & 0xffffn) + (total >> 16n)
  return total
}

const word = fc.integer({ min: 0, max: 0xffff })
const address = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const bytes = (max: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: 0, maxLength: max, size: 'max' })
/** Addresses of the words of a header, its first and its checksum apart. */
const place = fc.constantFrom(2, 4, 6, 8, 12, 14, 16, 18)
const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength)

const flow = fc.record({
  source: address,
  destination: address,
  sourcePort: word,
  destinationPort: word,
  ttl: fc.integer({ min: 1, max: 255 }),
  tos: fc.integer({ min: 0, max: 255 }),
  id: word,
  df: fc.boolean(),
  payload: bytes(3000),
})

describe('sum', () => {
  it('equals the slow sum for any bytes, anywhere', () => {
    fc.assert(
      fc.property(bytes(3000), fc.nat(40), (data, at) => {
        const room = new Uint8Array(data.length + at + 9).fill(0xa5)
        room.set(data, at)
        expect(checksum.sum(room, at, data.length, 0)).toBe(Number(slowSum(data)))
      }),
    )
  })

  it('of a whole is that of its parts, with the bytes swapped behind an odd part', () => {
    fc.assert(
      fc.property(bytes(500), bytes(500), (left, right) => {
        const first = checksum.sum(left, 0, left.length, 0)
        const second = checksum.sum(right, 0, right.length, 0)
        const joined = Uint8Array.of(...left, ...right)
        const parts = checksum.add(first, left.length % 2 === 0 ? second : checksum.swap(second))
        expect(parts % 0xffff).toBe(checksum.sum(joined, 0, joined.length, 0) % 0xffff)
      }),
    )
  })

  it('continues from an initial sum', () => {
    fc.assert(
      fc.property(bytes(500), word, (data, initial) => {
        expect(checksum.sum(data, 0, data.length, initial)).toBe(checksum.add(checksum.sum(data, 0, data.length, 0), initial))
      }),
    )
  })
})

describe('incremental change', () => {
  it('of any 16-bit word equals recomputation', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), place, word, (header, at, value) => {
        header[0] = 0x45
        const view = viewOf(header)
        ipv4.writeChecksum(view, 0)
        const updated = checksum.update(ipv4.checksum(view, 0), checksum.delta16(view.getUint16(at), value))
        view.setUint16(at, value)
        view.setUint16(10, 0)
        expect(updated).toBe(checksum.finish(Number(slowSum(header))))
      }),
    )
  })

  it('of an address, back and forth, is no change', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xfffe }), address, address, (stored, before, after) => {
        const there = checksum.update(stored, checksum.delta32(before, after))
        expect(checksum.update(there, checksum.delta32(after, before)) % 0xffff).toBe(stored % 0xffff)
      }),
    )
  })

  it('may be summed up front: one delta for several words', () => {
    fc.assert(
      fc.property(word, address, address, word, word, (stored, a, b, p, q) => {
        const steps = checksum.update(checksum.update(stored, checksum.delta32(a, b)), checksum.delta16(p, q))
        const once = checksum.update(stored, checksum.add(checksum.delta32(a, b), checksum.delta16(p, q)))
        expect(once % 0xffff).toBe(steps % 0xffff)
      }),
    )
  })

  it('of an unfinished field commutes with finishing it', () => {
    fc.assert(
      fc.property(address, address, address, word, bytes(200), (from, to, translated, port, payload) => {
        const before = checksum.pseudoHeader(from, to, 17, payload.length)
        const after = checksum.updatePartial(before, checksum.delta32(from, translated))
        const data = checksum.sum(payload, 0, payload.length, port)
        const scratch = checksum.add(checksum.pseudoHeader(translated, to, 17, payload.length), data)
        expect(checksum.add(after, data) % 0xffff).toBe(scratch % 0xffff)
      }),
    )
  })

  it('never makes a UDP checksum 0, nor one out of none', () => {
    fc.assert(
      fc.property(word, word, word, (stored, before, after) => {
        expect(checksum.updateUdp(stored, checksum.delta16(before, after)) === 0).toBe(stored === 0)
      }),
    )
  })
})

describe('built packets', () => {
  it('pass the oracle, whatever their fields', () => {
    fc.assert(
      fc.property(flow, fc.uint8Array({ maxLength: 5 }), (fields, extra) => {
        const nops = new Uint8Array(extra.length).fill(1)
        expect(checkPacket(buildUdp({ ...fields, ipOptions: nops }))).toEqual([])
        expect(checkPacket(buildTcp({ ...fields, options: nops }))).toEqual([])
        const echo = buildIcmpEcho({ ...fields, identifier: fields.sourcePort, sequence: fields.destinationPort })
        expect(checkPacket(echo)).toEqual([])
        const error = buildIcmpError({ ...fields, type: 3, code: 4, mtu: 1400, quote: buildUdp(fields) })
        expect(checkPacket(error)).toEqual([])
      }),
    )
  })

  it('fail it after any flipped bit', () => {
    fc.assert(
      fc.property(flow, fc.nat(), (fields, random) => {
        const packet = buildTcp(fields)
        const bit = random % (packet.length * 8)
        packet[bit >>> 3]! ^= 0x80 >>> (bit & 7)
        expect(checkPacket(packet)).not.toEqual([])
      }),
    )
  })

  it('come out of fragments as they went in', () => {
    fc.assert(
      fc.property(flow, fc.integer({ min: 68, max: 1600 }), (fields, mtu) => {
        const packet = buildUdp({ ...fields, df: false })
        const fragments = buildFragments(packet, mtu)
        for (const fragment of fragments) {
          expect(fragment.length).toBeLessThanOrEqual(mtu)
          expect(checkPacket(fragment)).toEqual([])
        }
        const payload = Buffer.concat(fragments.map((fragment) => fragment.subarray(20)))
        expect(payload.equals(packet.subarray(20))).toBe(true)
        const offsets = fragments.map((fragment) => ipv4.fragmentOffset(viewOf(fragment), 0))
        expect(offsets).toEqual(fragments.map((_, i) => fragments.slice(0, i).reduce((sum, { length }) => sum + length - 20, 0)))
        expect(fragments.map((fragment) => ipv4.moreFragments(viewOf(fragment), 0))).toEqual(
          fragments.map((_, i) => i < fragments.length - 1),
        )
      }),
    )
  })
})
