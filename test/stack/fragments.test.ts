import { describe, expect, it } from 'vitest'
import { Drop } from '../../src/drop.js'
import { DROPPED_OWNER, ECHO_OWNER, ENTRIES, FAIR_ENTRIES, FragmentTable, QUOTE_BYTES, REUSE_SECONDS, UNKNOWN_OWNER } from '../../src/stack/fragments.js'
import { HeldPackets, NO_BLOCK } from '../../src/stack/held.js'
import { Packet, parse } from '../../src/stack/parse.js'
import { buildFragments, buildIpv4, buildUdp } from '../../src/testing/packets.js'
import { A, AT, B, bytesOf, ip, inSlab, P } from './support.js'

const START = 64 << 10
const setUp = (bytes = 64 << 10, seed = 1) => {
  const slab = inSlab(new Uint8Array(0), {}, START + bytes)
  const held = new HeldPackets(slab, { start: START, end: START + bytes })
  const table = new FragmentTable(held, 30, seed)
  const packet = new Packet()
  const enter = (fragment: Uint8Array, now = 0, zone = 0): number => {
    slab.bytes.fill(0, AT - 64, AT)
    slab.bytes.set(fragment, AT)
    expect(parse(slab.view, AT, fragment.length, packet)).toBe(0)
    return table.enter(slab.view, packet, zone, now)
  }
  /** Ends what is over. */
  const expire = (now: number): void => {
    for (let entry = table.overdue(now); entry >= 0; entry = table.overdue(now)) table.end(entry, Drop['fragment-expired'])
  }
  /** Fragments lost while they were held, by drop code. */
  const lost = new Map<number, number>()
  table.onLost = (drop) => lost.set(drop, (lost.get(drop) ?? 0) + 1)
  return { slab, table, held, packet, enter, expire, lost }
}
const EXPIRED = Drop['fragment-expired']
const LIMIT = Drop['fragment-limit']
const DUPLICATE = -Drop['fragment-duplicate']
const OVERLAP = -Drop['fragment-overlap']
/** A part of a datagram, its payload given in bytes. */
const part = (offset: number, length: number, mf: boolean, id = 7, source: string | number = A): Uint8Array =>
  buildIpv4({ source, destination: P, protocol: 17, id, offset, mf, payload: bytesOf(length) })
const cut = (id: number, source = A): readonly [Uint8Array, Uint8Array, Uint8Array] =>
  buildFragments(buildUdp({ source, destination: P, sourcePort: 1, destinationPort: 2, id, payload: bytesOf(1200) }), 500) as unknown as [Uint8Array, Uint8Array, Uint8Array]

describe('fragment table', () => {
  it('knows a datagram until all its bytes have passed', () => {
    const { table, enter } = setUp()
    const [first, second, third] = cut(7)
    const entry = enter(first)
    expect(table.owner(entry)).toBe(UNKNOWN_OWNER)
    table.setOwner(entry, 42, 3)
    table.endIfComplete(entry)
    expect(enter(third)).toBe(entry)
    table.endIfComplete(entry)
    expect(enter(second)).toBe(entry)
    expect([table.owner(entry), table.generation(entry)]).toEqual([42, 3])
    table.endIfComplete(entry)
    expect(table.owner(enter(second))).toBe(UNKNOWN_OWNER)
  })

  it('FRG-1: source, destination, protocol, ID and zone tell datagrams apart', () => {
    const { enter } = setUp()
    const part = { source: A, destination: P, protocol: 17, id: 7, offset: 800, mf: true, payload: bytesOf(8) }
    const entries = [
      enter(buildIpv4(part)), enter(buildIpv4({ ...part, source: B })), enter(buildIpv4({ ...part, destination: B })),
      enter(buildIpv4({ ...part, protocol: 1 })), enter(buildIpv4({ ...part, id: 8 })), enter(buildIpv4(part), 0, 1),
    ]
    expect(new Set(entries).size).toBe(6)
    expect(enter(buildIpv4({ ...part, offset: 1600 }))).toBe(entries[0])
  })

  it('holds later fragments and gives them out again', () => {
    const { table, held, packet, enter, lost } = setUp()
    const [first, second, third] = cut(7)
    for (const fragment of [third, second]) {
      const entry = enter(fragment)
      expect(table.hold(entry, packet)).toBe(true)
      table.endIfComplete(entry)
    }
    const entry = enter(first)
    table.setOwner(entry, 1, 1)
    table.endIfComplete(entry)
    expect(table.owner(entry)).toBe(1)
    const lengths: number[] = []
    for (let block = table.takeHeld(entry); block !== NO_BLOCK; block = table.takeHeld(entry)) {
      lengths.push(held.lengthOf(block))
      held.release(block)
    }
    expect(lengths.sort()).toEqual([second.length, third.length].sort())
    table.endIfComplete(entry)
    expect(held.used).toBe(0)
    expect(lost.size).toBe(0)
  })

  it('FRG-2: ends at a time fixed by the first arrival, and counts what is lost', () => {
    const { table, held, packet, enter, expire, lost } = setUp()
    const [, second, third] = cut(7)
    const entry = enter(second, 100)
    table.hold(entry, packet)
    expect(enter(third, 120)).toBe(entry)
    table.hold(entry, packet)
    expire(129)
    expect(lost.size).toBe(0)
    expire(130)
    expect([...lost]).toEqual([[EXPIRED, 2]])
    expect(held.used).toBe(0)
    expect(table.owner(enter(second, 130))).toBe(UNKNOWN_OWNER)
  })

  it(`a first fragment that comes again more than ${REUSE_SECONDS} s after its datagram began starts another one`, () => {
    const { table, enter } = setUp()
    const [first, second, third] = cut(7)
    // One fragment of the datagram before was lost; its ID comes again.
    let entry = enter(first)
    table.setOwner(entry, 10, 1)
    table.endIfComplete(enter(third))
    expect(enter(first, REUSE_SECONDS)).toBe(DUPLICATE)
    expect(table.owner(entry)).toBe(10)
    entry = enter(first, REUSE_SECONDS + 1)
    expect(table.owner(entry)).toBe(UNKNOWN_OWNER)
    table.setOwner(entry, 20, 1)
    table.endIfComplete(entry)
    expect(table.owner(enter(second))).toBe(20)
    table.endIfComplete(entry)
    expect(table.owner(enter(third))).toBe(20)
    table.endIfComplete(entry)
    expect(table.count).toBe(0)
  })

  it('FRG-3: what has come before, in one fragment or several, is a duplicate', () => {
    const { table, enter } = setUp()
    const entry = enter(part(0, 160, true))
    table.setOwner(entry, 1, 1)
    expect(enter(part(160, 160, true))).toBe(entry)
    for (const again of [part(0, 160, true), part(160, 160, true), part(80, 160, true), part(0, 320, true), part(312, 8, true)]) expect(enter(again)).toBe(DUPLICATE)
    expect(enter(part(320, 5, false))).toBe(entry)
    expect(enter(part(320, 5, false))).toBe(DUPLICATE)
    table.endIfComplete(entry)
    expect(table.count).toBe(0)
  })

  // What came first, and what then contradicts it.
  const SHAPES: readonly (readonly [string, Uint8Array, Uint8Array])[] = [
    ['overlaps its beginning', part(80, 80, true), part(40, 80, true)],
    ['overlaps its end', part(80, 80, true), part(120, 80, true)],
    ['covers it', part(80, 80, true), part(40, 160, true)],
    ['overlaps by one unit', part(80, 80, true), part(152, 8000, true)],
    ['is last and inside of it', part(80, 80, true), part(80, 16, false)],
    ['is last and ends before it', part(80, 80, true), part(8, 40, false)],
    ['is last, the same, but for the MF bit', part(80, 80, true), part(80, 80, false)],
    ['is last with another end', part(80, 80, false), part(160, 80, false)],
    ['is last with an end one byte before', part(80, 80, false), part(80, 79, false)],
    ['is behind the last', part(80, 80, false), part(160, 80, true)],
    ['ends behind the last, in its last unit', part(80, 79, false), part(152, 8, true)],
  ]
  for (const [name, before, after] of SHAPES) {
    it(`FRG-3: a fragment that ${name} ends the datagram for as long as it would have had`, () => {
      const { table, held, packet, enter, expire, lost } = setUp()
      const entry = enter(before, 100)
      expect(table.hold(entry, packet)).toBe(true)
      expect(enter(after, 101)).toBe(OVERLAP)
      expect([...lost]).toEqual([[-OVERLAP, 1]])
      expect(held.used).toBe(0)
      for (const next of [before, after, part(0, 40, true), part(8000, 8, false)]) expect(enter(next, 129)).toBe(OVERLAP)
      expect(enter(part(0, 40, true, 8), 129)).toBeGreaterThanOrEqual(0)
      expire(130)
      expect(enter(part(0, 40, true), 130)).toBeGreaterThanOrEqual(0)
    })
  }

  it('FRG-3: not even its first fragment begins a datagram anew that has contradicted itself', () => {
    const { enter, expire } = setUp()
    const [first] = cut(7)
    enter(first, 100)
    expect(enter(part(472, 16, true), 100)).toBe(OVERLAP)
    for (const now of [101, 110, 129]) expect(enter(first, now)).toBe(OVERLAP)
    expire(130)
    expect(enter(first, 130)).toBeGreaterThanOrEqual(0)
  })

  it('FRG-3: an entry that is used again knows nothing of its datagram before', () => {
    const { table, enter, expire } = setUp()
    for (let id = 0; id < 20; id++) {
      const entry = enter(part(0, 8 * (id + 1), true, id))
      for (let unit = 1000; unit < 8189; unit += 61) expect(enter(part(unit * 8, 8, true, id))).toBe(entry)
      expect(enter(part(65504, 3, false, id))).toBe(entry)
      expire(1000)
      expect(table.count).toBe(0)
    }
  })

  it('RTR-17, FRG-2: keeps the beginning of the first fragment, until there is nobody to be told', () => {
    const { slab, table, enter, expire } = setUp()
    const kept = (entry: number): Uint8Array => {
      slab.bytes.fill(0xee, 0, QUOTE_BYTES + 1)
      const length = table.writeQuote(slab.view, 0, entry)
      expect(slab.bytes[length]).toBe(0xee)
      return slab.bytes.slice(0, length)
    }
    const [first, second] = cut(7)
    const entry = enter(second)
    expect(kept(entry)).toHaveLength(0)
    enter(first)
    expect(kept(entry)).toHaveLength(0)
    for (const owner of [5, ECHO_OWNER]) {
      table.setOwner(entry, owner, 1)
      slab.bytes.fill(0, AT, AT + 500)
      expect(kept(entry)).toEqual(first.slice(0, QUOTE_BYTES))
    }
    table.setOwner(entry, DROPPED_OWNER, 0)
    expect(kept(entry)).toHaveLength(0)
    expire(1000)
    // Where the next one is shorter, that is all of it.
    const short = part(0, 16, true)
    const next = enter(short)
    table.setOwner(next, 5, 1)
    expect(kept(next)).toEqual(short)
    // Nobody is told of one that contradicted itself.
    enter(part(8, 16, true))
    expect(kept(next)).toHaveLength(0)
  })

  it('FRG-6: one source has as many entries as are free; then its own oldest gives way', () => {
    const { table, held, packet, enter, lost } = setUp(4 << 20)
    const other = enter(part(8, 8, true, 1, B))
    table.hold(other, packet)
    for (let id = 0; id < ENTRIES; id++) {
      const entry = enter(part(8, 8, true, id))
      if (id === 0) table.hold(entry, packet)
      if (id === ENTRIES / 2 - 1) expect([table.count, lost.size]).toEqual([ENTRIES / 2 + 1, 0])
    }
    expect(table.count).toBe(ENTRIES / 2 + 1)
    expect([...lost]).toEqual([[LIMIT, 1]])
    expect(held.used).toBe(held.sizeFor(28))
    expect(enter(part(16, 8, true, 1, B))).toBe(other)
    expect(enter(part(16, 8, true, ENTRIES - 1))).toBeGreaterThanOrEqual(0)
  })

  it('UDP-15, FRG-6: when many sources have taken all entries the oldest gives way, and everybody may have a few', () => {
    const { table, held, packet, enter, lost } = setUp(1 << 20)
    const [, second] = cut(1)
    table.hold(enter(second), packet)
    const kept = enter(cut(2)[0])
    table.setOwner(kept, DROPPED_OWNER, 0)
    const forged = (index: number): Uint8Array => part(8, 3, false, 1, ip('10.1.0.0') + index)
    for (let index = 2; index < ENTRIES; index++) enter(forged(index))
    expect([table.count, lost.size]).toEqual([ENTRIES, 0])
    enter(forged(ENTRIES))
    expect([...lost]).toEqual([[LIMIT, 1]])
    expect(held.used).toBe(0)
    expect(table.owner(enter(cut(2)[1]))).toBe(DROPPED_OWNER)
    for (let id = 0; id < FAIR_ENTRIES; id++) enter(cut(id + 100, B)[0])
    for (let id = 0; id < FAIR_ENTRIES; id++) expect(table.owner(enter(cut(id + 100, B)[1]))).toBe(UNKNOWN_OWNER)
    expect(table.count).toBe(ENTRIES)
    // One more, and the first of its own goes.
    enter(cut(200, B)[0])
    expect(enter(cut(101, B)[1])).toBe(DUPLICATE)
  })

  it('FRG-6: one source holds no more than what is free, others what is left', () => {
    const { table, held, packet, enter, expire, lost } = setUp(64 << 10)
    const fill = (source: string): number => {
      let kept = 0
      for (let id = 0; id < 200; id++) if (table.hold(enter(cut(id, source)[1]), packet)) kept++
      return kept
    }
    // Half of what the one before left, but never less than three of these where there is room.
    const shares = Array.from({ length: 7 }, (_, index) => fill(`10.0.0.${index + 2}`))
    expect(shares).toEqual([51, 26, 13, 6, 3, 3, 0])
    expect(held.used).toBeLessThanOrEqual(64 << 10)
    expire(1000)
    expect(held.used).toBe(0)
    expect([...lost]).toEqual([[EXPIRED, 102]])
    expect(fill(A)).toBe(51)
  })

  it('finds its way among many entries in few buckets', () => {
    for (let seed = 0; seed < 5; seed++) {
      const { table, enter } = setUp(4096, seed)
      const piece = (id: number, offset: number, mf = true): Uint8Array => part(offset, 8, mf, id, ip('10.1.0.0') + (id & 63))
      const entries = Array.from({ length: 2000 }, (_, id) => enter(piece(id, 8)))
      for (let id = 0; id < 2000; id += 3) {
        expect(enter(piece(id, 16))).toBe(entries[id])
        table.setOwner(entries[id]!, id, 0)
      }
      // Ends one in three, in another order than they came.
      for (let id = 1999; id >= 0; id--) {
        if (id % 3 !== 1) continue
        const entry = enter(piece(id, 16, false))
        expect(enter(piece(id, 0))).toBe(entry)
        table.endIfComplete(entry)
        expect(table.owner(enter(piece(id, 8)))).toBe(UNKNOWN_OWNER)
      }
      for (let id = 0; id < 2000; id += 3) expect(table.owner(enter(piece(id, 24)))).toBe(id)
    }
  })
})
