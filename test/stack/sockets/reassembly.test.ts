import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { createSlab, PACKET_MAX } from '../../../src/stack/batch.js'
import { Packet, parse } from '../../../src/stack/parse.js'
import { BYTES, DATAGRAMS, REASSEMBLY_TIME, Reassembly, REUSE } from '../../../src/stack/sockets/reassembly.js'
import { KeyedHash } from '../../../src/stack/sockets/siphash.js'
import { checkPacket } from '../../../src/testing/check-packet.js'
import { buildFragments, buildIpv4, buildUdp } from '../../../src/testing/packets.js'
import { bytesOf, sourceOf } from '../support.js'

const AT = 256
const slab = createSlab(AT + PACKET_MAX + 64)
const packet = new Packet()

const datagram = (length: number, over: Partial<Parameters<typeof buildUdp>[0]> = {}): Uint8Array =>
  buildUdp({ source: '198.51.100.10', destination: '10.0.0.1', sourcePort: 1000, destinationPort: 2000, payload: bytesOf(length), id: 7, ...over })

describe('reassembly', () => {
  let reassembly: Reassembly
  let expired: Uint8Array[]
  beforeEach(() => {
    reassembly = new Reassembly(new KeyedHash(bytesOf(16)))
    expired = []
    reassembly.onExpired = ({ bytes }, at, length) => expired.push(bytes.slice(at, at + length))
  })

  /** Returns the whole datagram when this fragment was the last that was missing. */
  const add = (fragment: Uint8Array, now = 0, iface = 2, socket = -1): Uint8Array | null => {
    slab.bytes.set(fragment, AT)
    expect(parse(slab.view, AT, fragment.length, packet)).toBe(0)
    const length = reassembly.add(slab, packet, { socket, originalAddress: 0, originalPort: -1, interface: iface, mark: 0 }, now)
    return length === 0 ? null : reassembly.slab.bytes.slice(reassembly.at, reassembly.at + length)
  }
  const addAll = (fragments: readonly Uint8Array[], now = 0): (Uint8Array | null)[] => fragments.map((fragment) => add(fragment, now))
  /** A fragment of the datagram with ID 7. */
  const piece = (offset: number, length: number, mf: boolean, over: { id?: number; source?: string } = {}): Uint8Array =>
    buildIpv4({ source: '198.51.100.10', destination: '10.0.0.1', protocol: 17, id: 7, offset, mf, payload: bytesOf(length, offset), ...over })

  it('UDP-15: puts fragments together in any order', () => {
    const whole = datagram(3000)
    const [a, b, c] = buildFragments(whole, 1400) as [Uint8Array, Uint8Array, Uint8Array]
    for (const order of [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]]) {
      const results = addAll(order)
      expect(results.slice(0, 2)).toEqual([null, null])
      expect(checkPacket(results[2]!)).toEqual([])
      expect(results[2]!.subarray(20)).toEqual(whole.subarray(20))
    }
    expect(reassembly.counters.reassembled).toBe(6)
    expect([reassembly.count, reassembly.bytes]).toEqual([0, 0])
  })

  it('keeps the options of the first fragment', () => {
    const whole = datagram(3000, { ipOptions: Uint8Array.of(1, 1, 1, 1, 7, 4, 0, 0) })
    const results = addAll(buildFragments(whole, 1400).reverse())
    expect(results.at(-1)!.length).toBe(whole.length)
    expect(results.at(-1)!.subarray(20)).toEqual(whole.subarray(20))
  })

  it('RTR-8: puts the longest datagram together', () => {
    const whole = datagram(65507)
    const results = addAll(buildFragments(whole, 1500))
    expect(results.at(-1)!.length).toBe(65535)
    expect(checkPacket(results.at(-1)!)).toEqual([])
  })

  it('gives what is known of the first fragment with the whole', () => {
    const [a, b] = buildFragments(datagram(2000), 1500) as [Uint8Array, Uint8Array]
    add(a, 0, 2, 17)
    expect(add(b, 0, 2, -1)).not.toBeNull()
    expect(reassembly.arrival.socket).toBe(17)
  })

  it('FRG-1: does not mix datagrams that differ in one part of the key', () => {
    const first = piece(0, 16, true)
    add(first)
    for (const other of [piece(16, 8, false, { id: 8 }), piece(16, 8, false, { source: '198.51.100.11' })]) expect(add(other)).toBeNull()
    expect(add(piece(16, 8, false), 0, 3)).toBeNull()
    expect(reassembly.count).toBe(4)
    expect(add(piece(16, 8, false))).not.toBeNull()
  })

  it('FRG-2: lets go after 30 s from the first arrival on, and tells the sender if the first fragment came', () => {
    add(piece(0, 1000, true))
    add(piece(1000, 8, true), 20_000)
    add(piece(8, 8, true, { id: 9 }), 1)
    expect(reassembly.next).toBe(REASSEMBLY_TIME)
    reassembly.expire(REASSEMBLY_TIME - 1)
    expect(reassembly.count).toBe(2)
    reassembly.expire(REASSEMBLY_TIME)
    expect(reassembly.count).toBe(1)
    reassembly.expire(REASSEMBLY_TIME + 1)
    expect([reassembly.count, reassembly.bytes, reassembly.next]).toEqual([0, 0, Infinity])
    expect(expired.map(sourceOf)).toEqual(['198.51.100.10'])
    expect(expired[0]!.length).toBe(128)
  })

  describe('FRG-3: of fragments that contradict one another', () => {
    const fatal = {
      'one that begins within another': [piece(0, 24, true), piece(16, 24, true)],
      'one that ends within another': [piece(16, 24, true), piece(0, 24, true)],
      'one that contains another': [piece(8, 8, true), piece(0, 24, true)],
      'a second end': [piece(16, 8, false), piece(24, 8, false)],
      'an end before what has come': [piece(16, 24, true), piece(8, 8, false)],
      'something after the end': [piece(16, 8, false), piece(24, 8, true)],
    }
    it.each(Object.entries(fatal))('%s ends the datagram, until its deadline', (_, fragments) => {
      addAll(fragments)
      expect(reassembly.counters.overlaps).toBe(1)
      addAll(buildFragments(datagram(40), 68))
      expect([reassembly.counters.reassembled, reassembly.count, reassembly.bytes]).toEqual([0, 1, 0])
      reassembly.expire(REASSEMBLY_TIME)
      expect([reassembly.count, expired.length]).toEqual([0, 0])
      expect(addAll(buildFragments(datagram(400), 68)).at(-1)).not.toBeNull()
    })

    it('a duplicate, exact or contained, is only ignored', () => {
      addAll([piece(0, 24, true), piece(0, 24, true), piece(8, 8, true)])
      expect(reassembly.counters).toMatchObject({ duplicates: 2, overlaps: 0 })
      expect(add(piece(24, 8, false))!.length).toBe(52)
    })
  })

  it('FRG-4: refuses what becomes longer than a datagram can be', () => {
    const options = Uint8Array.from({ length: 40 }, () => 1)
    add(buildIpv4({ source: '198.51.100.10', destination: '10.0.0.1', protocol: 17, id: 7, offset: 65000, mf: false, payload: bytesOf(500) }))
    const head = buildIpv4({ source: '198.51.100.10', destination: '10.0.0.1', protocol: 17, id: 7, mf: true, ipOptions: options, payload: bytesOf(65000 - 512) })
    expect(add(head)).toBeNull()
    expect(add(piece(65000 - 512, 512, true))).toBeNull()
    expect([reassembly.counters.tooLong, reassembly.count, reassembly.bytes]).toEqual([1, 0, 0])
  })

  it('takes a first fragment that comes again much later as another datagram\'s', () => {
    add(piece(0, 24, true))
    add(piece(0, 24, true), REUSE)
    expect(reassembly.counters.duplicates).toBe(1)
    add(buildIpv4({ source: '198.51.100.10', destination: '10.0.0.1', protocol: 17, id: 7, offset: 0, mf: true, payload: bytesOf(16, 99) }), REUSE + 1)
    expect(add(piece(16, 8, false), REUSE + 2)!.length).toBe(44)
  })

  it('FRG-6, UDP-15: is bounded under a flood from forged addresses, and what comes in order passes', () => {
    for (let index = 0; index < 20_000; index++) {
      add(piece(0, 1480, true, { source: `${1 + (index % 200)}.${(index >> 8) & 0xff}.${index & 0xff}.9`, id: index & 0xffff }))
      if (index % 500 === 0) expect(addAll(buildFragments(datagram(4000, { id: 40_000 + index / 500 }), 1500)).at(-1)).not.toBeNull()
    }
    expect(reassembly.count).toBeLessThanOrEqual(DATAGRAMS)
    expect(reassembly.bytes).toBeLessThanOrEqual(BYTES)
    expect(reassembly.counters.reassembled).toBe(40)
  })

  it('FRG-6: one source cannot take everything', () => {
    for (let index = 0; index < 5000; index++) add(piece(0, 1480, true, { id: index }))
    expect(reassembly.count).toBeLessThanOrEqual(DATAGRAMS / 2)
    const count = reassembly.count
    expect(addAll(buildFragments(datagram(4000, { source: '203.0.113.5' }), 1500)).at(-1)).not.toBeNull()
    expect(reassembly.count).toBe(count)
  })

  it('FRG-6: of one datagram in the smallest pieces no more is held than of others', () => {
    for (let offset = 0; offset < 65000; offset += 16) add(piece(offset, 8, true))
    expect(reassembly.bytes).toBeLessThanOrEqual(BYTES)
  })

  it('gives whole datagrams back, however they are cut, mixed and repeated', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ length: fc.integer({ min: 100, max: 5000 }), mtu: fc.integer({ min: 68, max: 1500 }) }), { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat(), { minLength: 400, maxLength: 400 }),
        (sizes, dice) => {
          const mixing = new Reassembly(new KeyedHash(bytesOf(16)))
          const wholes = sizes.map(({ length }, index) => datagram(length, { id: index }))
          const order = wholes
            .flatMap((whole, index) => buildFragments(whole, sizes[index]!.mtu).map((fragment) => ({ index, fragment })))
            .filter(({ fragment }, _, all) => all.length < 400 && fragment.length > 0)
            .map((one, index) => ({ ...one, key: dice[index]! }))
            .sort((a, b) => a.key - b.key)
          const got = new Map<number, Uint8Array>()
          for (const { index, fragment, key } of order) {
            for (let times = key % 3 === 0 ? 2 : 1; times > 0; times--) {
              slab.bytes.set(fragment, AT)
              if (parse(slab.view, AT, fragment.length, packet) !== 0 || packet.fragment === 0) return
              if (got.has(index)) continue
              const length = mixing.add(slab, packet, { socket: -1, originalAddress: 0, originalPort: -1, interface: 2, mark: 0 }, 0)
              if (length > 0) got.set(index, mixing.slab.bytes.slice(mixing.at, mixing.at + length))
            }
          }
          if (order.length === 0) return
          expect([...got.keys()].sort()).toEqual(wholes.map((_, index) => index))
          for (const [index, whole] of got) expect(whole.subarray(20)).toEqual(wholes[index]!.subarray(20))
        },
      ),
      { numRuns: 100 },
    )
  })
})
