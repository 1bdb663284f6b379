import { describe, expect, it } from 'vitest'
import { DROPPED_OWNER, FragmentTable, UNKNOWN_OWNER } from '../../src/stack/fragments.js'
import { HeldPackets, NO_BLOCK } from '../../src/stack/held.js'
import { Packet, parse } from '../../src/stack/parse.js'
import { buildFragments, buildIpv4, buildUdp } from '../../src/testing/packets.js'
import { A, AT, B, bytesOf, inSlab, P } from './support.js'

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
  return { table, held, packet, enter }
}
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
    const { table, held, packet, enter } = setUp()
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
    expect(table.lost).toBe(0)
  })

  it('FRG-2: ends at a time fixed by the first arrival, and counts what is lost', () => {
    const { table, held, packet, enter } = setUp()
    const [, second, third] = cut(7)
    const entry = enter(second, 100)
    table.hold(entry, packet)
    expect(enter(third, 120)).toBe(entry)
    table.hold(entry, packet)
    table.expire(129)
    expect(table.lost).toBe(0)
    table.expire(130)
    expect(table.lost).toBe(2)
    expect(held.used).toBe(0)
    expect(table.owner(enter(second, 130))).toBe(UNKNOWN_OWNER)
  })

  it('a second first fragment begins a new datagram', () => {
    const { table, enter } = setUp()
    const [first, second, third] = cut(7)
    // One fragment of the datagram before was lost; its ID comes again.
    let entry = enter(first)
    table.setOwner(entry, 10, 1)
    table.endIfComplete(enter(third))
    entry = enter(first)
    expect(table.owner(entry)).toBe(UNKNOWN_OWNER)
    table.setOwner(entry, 20, 1)
    table.endIfComplete(entry)
    expect(table.owner(enter(second))).toBe(20)
    table.endIfComplete(entry)
    expect(table.owner(enter(third))).toBe(20)
    table.endIfComplete(entry)
    expect(table.owner(enter(third))).toBe(UNKNOWN_OWNER)
  })

  it('UDP-15, FRG-6: gives up the oldest when all entries are in use', () => {
    const { table, held, packet, enter } = setUp(1 << 20)
    const [, second] = cut(1)
    table.hold(enter(second), packet)
    const kept = enter(cut(2)[0])
    table.setOwner(kept, DROPPED_OWNER, 0)
    for (let id = 3; id < 2049; id++) enter(buildIpv4({ source: B, destination: P, protocol: 17, id, offset: 8, payload: bytesOf(3) }))
    expect(table.lost).toBe(0)
    enter(buildIpv4({ source: B, destination: P, protocol: 17, id: 9999, offset: 8, payload: bytesOf(3) }))
    expect(table.lost).toBe(1)
    expect(held.used).toBe(0)
    expect(table.owner(enter(cut(2)[1]))).toBe(DROPPED_OWNER)
  })

  it('FRG-6: holds no more than its memory', () => {
    const { table, held, packet, enter } = setUp(4096)
    let kept = 0
    for (let id = 0; id < 100; id++) if (table.hold(enter(cut(id)[1]), packet)) kept++
    expect(kept).toBe(6)
    expect(held.used).toBeLessThanOrEqual(4096)
    table.expire(1000)
    expect(held.used).toBe(0)
    expect(table.lost).toBe(kept)
  })

  it('finds its way among many entries in few buckets', () => {
    for (let seed = 0; seed < 5; seed++) {
      const { table, enter } = setUp(4096, seed)
      const tail = (id: number): Uint8Array => buildIpv4({ source: A, destination: P, protocol: 17, id, offset: 8, mf: true, payload: bytesOf(8) })
      const entries = Array.from({ length: 2000 }, (_, id) => enter(tail(id)))
      for (let id = 0; id < 2000; id += 3) {
        expect(enter(tail(id))).toBe(entries[id])
        table.setOwner(entries[id]!, id, 0)
      }
      // Ends one in three, in another order than they came.
      for (let id = 1999; id >= 0; id--) {
        if (id % 3 !== 1) continue
        const last = buildIpv4({ source: A, destination: P, protocol: 17, id, offset: 16, payload: bytesOf(8) })
        const entry = enter(last)
        enter(tail(id))
        table.endIfComplete(entry)
        expect(table.owner(enter(tail(id)))).toBe(UNKNOWN_OWNER)
      }
      for (let id = 0; id < 2000; id += 3) expect(table.owner(enter(tail(id)))).toBe(id)
    }
  })
})
