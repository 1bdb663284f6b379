import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkPacket } from '../../src/testing/check-packet.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildFragments, buildIpv4, buildUdp } from '../../src/testing/packets.js'
import { A, bytesOf, E, P, sourceOf, u16 } from '../stack/support.js'

/** Fragments of one datagram as they arrive, in units of 8 bytes; the last may have some bytes less. */
const piece = fc.record({ first: fc.nat(24), length: fc.integer({ min: 1, max: 10 }), mf: fc.boolean(), short: fc.nat(7) })
type Piece = typeof piece extends fc.Arbitrary<infer T> ? T : never

/** What became of a datagram, told by its bytes: which have been seen, where it ends. */
class Datagram {
  readonly #seen = new Set<number>()
  #end = -1
  #spoilt = false

  judge({ first, length, mf, short }: Piece): 'new' | 'fragment-duplicate' | 'fragment-overlap' {
    const from = first * 8
    const to = from + length * 8 - (mf ? 0 : short)
    const bytes = Array.from({ length: to - from }, (_, index) => from + index)
    const known = bytes.filter((byte) => this.#seen.has(byte)).length
    const reach = Math.max(0, ...this.#seen) + (this.#seen.size > 0 ? 1 : 0)
    const fits = mf ? this.#end < 0 || to <= this.#end : this.#end < 0 ? to >= reach && known === 0 : to === this.#end
    if (this.#spoilt || !fits || (known > 0 && known < bytes.length)) {
      this.#spoilt = true
      return 'fragment-overlap'
    }
    if (known > 0) return 'fragment-duplicate'
    for (const byte of bytes) this.#seen.add(byte)
    if (!mf) this.#end = to
    return 'new'
  }

  get complete(): boolean {
    return this.#end >= 0 && this.#seen.size === this.#end
  }
}

describe('any fragments of one datagram', () => {
  it('FRG-3: each is new, a duplicate, or the end of the datagram, as its bytes say', () => {
    fc.assert(fc.property(fc.array(piece, { minLength: 1, maxLength: 20 }), (pieces) => {
      const gateway = new MemoryGateway()
      const datagram = new Datagram()
      const expected: Record<string, number> = {}
      let waiting = 0
      for (const one of pieces) {
        // Later fragments only, so that all wait and none opens a flow.
        const moved = { ...one, first: one.first + 1 }
        const verdict = datagram.judge(moved)
        const length = moved.length * 8 - (moved.mf ? 0 : moved.short)
        gateway.fromLan(buildIpv4({ source: A, destination: P, protocol: 17, id: 7, offset: moved.first * 8, mf: moved.mf, payload: bytesOf(length) }))
        if (verdict === 'new') waiting++
        else expected[verdict] = (expected[verdict] ?? 0) + 1
        if (verdict === 'fragment-overlap') {
          expected[verdict]! += waiting
          waiting = 0
        }
        expect(gateway.drops).toEqual(expected)
        expect(datagram.complete).toBe(false)
      }
      gateway.advance(30)
      if (waiting > 0) expected['fragment-expired'] = waiting
      expect(gateway.drops).toEqual(expected)
      expect([gateway.toWan(), gateway.toLan()]).toEqual([[], []])
    }), { numRuns: 300 })
  })

  it('UDP-15, FRG-7, UPD-10: datagrams cut anyhow, mixed and doubled, arrive as they were, each under an ID of its own', () => {
    const datagram = fc.record({ length: fc.integer({ min: 60, max: 3000 }), mtu: fc.integer({ min: 68, max: 1500 }), host: fc.integer({ min: 2, max: 6 }) })
    fc.assert(fc.property(fc.array(datagram, { minLength: 1, maxLength: 5 }), fc.integer(), (datagrams, seed) => {
      const gateway = new MemoryGateway({ wanMtu: 1500, seed })
      let state = seed | 1
      const random = (bound: number): number => {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
        return (state >>> 8) % bound
      }
      const parts: Uint8Array[] = []
      // One ID for all hosts; each host's own ones differ.
      for (const [id, { length, mtu, host }] of datagrams.entries()) {
        const isFirst = datagrams.findIndex((other) => other.host === host) === id
        const ends = { source: `10.0.0.${host}`, destination: P, sourcePort: 5000 + id, destinationPort: 53 }
        parts.push(...buildFragments(buildUdp({ ...ends, id: isFirst ? 1 : id + 2, payload: bytesOf(length, id) }), mtu))
      }
      const order = parts.map((bytes) => ({ bytes, at: random(1000) })).sort((a, b) => a.at - b.at)
      let doubled = 0
      for (const [index, { bytes }] of order.entries()) {
        gateway.fromLan(bytes)
        // Not the one that may have completed its datagram: what comes after that is unknown.
        const isFragment = (u16(bytes, 6) & 0x3fff) !== 0
        const more = order.slice(index + 1).some((other) => u16(other.bytes, 4) === u16(bytes, 4) && sourceOf(other.bytes) === sourceOf(bytes))
        if (isFragment && more && random(4) === 0) {
          gateway.fromLan(bytes)
          doubled++
        }
      }
      const sent = gateway.toWan().map(({ bytes }) => bytes)
      expect(sent.flatMap((bytes) => checkPacket(bytes))).toEqual([])
      expect(gateway.drops).toEqual(doubled > 0 ? { 'fragment-duplicate': doubled } : {})
      const ids = [...new Set(sent.map((bytes) => u16(bytes, 4)))]
      expect(ids).toHaveLength(datagrams.length)
      const arrived = ids.map((id) => {
        const group = sent.filter((bytes) => u16(bytes, 4) === id)
        const payload = Buffer.alloc(Math.max(...group.map((bytes) => (u16(bytes, 6) & 0x1fff) * 8 + bytes.length - 20)))
        let filled = 0
        for (const bytes of group) {
          expect(sourceOf(bytes)).toBe(E)
          filled += bytes.length - 20
          payload.set(bytes.subarray(20), (u16(bytes, 6) & 0x1fff) * 8)
        }
        expect(filled).toBe(payload.length)
        return payload.subarray(8).toString('hex')
      })
      expect(arrived.sort()).toEqual(datagrams.map(({ length }, id) => Buffer.from(bytesOf(length, id)).toString('hex')).sort())
    }), { numRuns: 150 })
  })
})
