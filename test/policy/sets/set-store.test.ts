import { beforeEach, describe, expect, it } from 'vitest'
import { type ElementColumns, INTERFACE_SHIFT, type SetDefinition, type SetKind, WILDCARD } from '../../../src/policy/sets/edits.js'
import { type MatchOptions, type PacketFacts, PLAIN_MATCH } from '../../../src/policy/sets/query.js'
import { OWN_TIMEOUT, SetStore } from '../../../src/policy/sets/set-store.js'
import { parseIpv4 } from '../../../src/stack/wire/address.js'

const SRC = 1
const SRC_SRC = 3
const SRC_DST = 1
const DST_DST = 0
const TCP = 6

const ip = (text: string): number => parseIpv4(text)!

let store: SetStore
let facts: PacketFacts
beforeEach(() => {
  store = new SetStore()
  facts = {
    source: ip('10.0.0.1'), destination: ip('192.0.2.1'), protocol: TCP, sourcePort: 40_000, destinationPort: 80, hasPorts: true,
    inInterface: store.interfaces.numberOf('eth0'), outInterface: store.interfaces.numberOf('eth1'), length: 100,
  }
})

const create = (id: number, kind: SetKind, more: { timeout?: number; counters?: boolean; maxElements?: number; mask?: number } = {}): void => {
  const { timeout = null, counters = false, maxElements = 65536, mask = -1 } = more
  const definition: SetDefinition = kind === 'list:set'
    ? { kind, timeout, counters }
    : { kind, timeout, counters, maxElements, hashSize: 64, seed: 7, mask, forceAdd: false }
  store.apply({ op: 'create', id, definition }, 0)
}

const elements = (addresses: string[], parts: number[], interfaces: string[] = []): ElementColumns =>
  ({ addresses: addresses.map(ip), parts, interfaces, milliseconds: null, packets: null, bytes: null })
const add = (id: number, address: string, part = 0, interfaces: string[] = []): void =>
  store.apply({ op: 'add', id, elements: elements([address], [part], interfaces) }, 0)

const matches = (id: number, directions: number, parts: number, options: Partial<MatchOptions> = {}, now = 0): boolean =>
  store.matches(id, facts, directions, parts, { ...PLAIN_MATCH, ...options }, now)

describe('a match', () => {
  it('takes the side of the packet that the direction says', () => {
    create(1, 'hash:ip')
    add(1, '10.0.0.1')
    expect([matches(1, SRC, 1), matches(1, DST_DST, 1)]).toEqual([true, false])
  })

  it('finds nothing in a set that is not there, or with fewer directions than the set has parts', () => {
    expect(matches(9, SRC, 1)).toBe(false)
    create(1, 'hash:ip,port')
    add(1, '10.0.0.1', (TCP << 16) | 80)
    expect([matches(1, SRC_DST, 2), matches(1, SRC_DST, 1), matches(1, SRC_SRC, 2)]).toEqual([true, false, false])
  })

  it('finds no port in a fragment behind the first', () => {
    create(1, 'hash:ip,port')
    add(1, '10.0.0.1', (TCP << 16) | 80)
    facts = { ...facts, hasPorts: false }
    expect(matches(1, SRC_DST, 2)).toBe(false)
  })

  it('takes the interface by its direction; a wildcard holds names that begin with it', () => {
    create(1, 'hash:net,iface')
    add(1, '10.0.0.0', 8 | (0 << INTERFACE_SHIFT), ['eth1'])
    expect([matches(1, SRC_DST, 2), matches(1, SRC_SRC, 2)]).toEqual([true, false])
    create(2, 'hash:net,iface')
    store.apply({ op: 'add', id: 2, elements: elements(['10.0.0.0'], [8 | WILDCARD | (0 << INTERFACE_SHIFT)], ['eth']) }, 0)
    expect([matches(2, SRC_DST, 2), matches(2, SRC_SRC, 2)]).toEqual([true, true])
    facts = { ...facts, outInterface: 0 }
    expect(matches(2, SRC_DST, 2)).toBe(false)
  })

  it('with return-nomatch, holds for what nomatch takes out', () => {
    create(1, 'hash:net')
    store.apply({ op: 'add', id: 1, elements: elements(['10.0.0.0', '10.0.0.0'], [8, 24 | 0x40]) }, 0)
    expect([matches(1, SRC, 1), matches(1, SRC, 1, { returnNoMatch: true })]).toEqual([false, true])
    facts = { ...facts, source: ip('10.9.9.9') }
    expect([matches(1, SRC, 1), matches(1, SRC, 1, { returnNoMatch: true })]).toEqual([true, false])
  })

  it('counts the packet before it compares the counters, unless it shall not count', () => {
    create(1, 'hash:ip', { counters: true })
    add(1, '10.0.0.1')
    const above = { compare: 'gt', value: 1, not: false } as const
    expect(matches(1, SRC, 1, { packets: above })).toBe(false)
    expect(matches(1, SRC, 1, { packets: above, updateCounters: false })).toBe(false)
    expect(matches(1, SRC, 1, { packets: above })).toBe(true)
    expect(store.page(1, 0, 10, 0)!.elements).toMatchObject({ packets: [2], bytes: [200] })
  })

  it('finds an element no more once it has expired', () => {
    create(1, 'hash:ip', { timeout: 10 })
    store.apply({ op: 'add', id: 1, elements: { ...elements(['10.0.0.1'], [0]), milliseconds: [3000] } }, 500)
    expect([matches(1, SRC, 1, {}, 3499), matches(1, SRC, 1, {}, 3500)]).toEqual([true, false])
    expect(store.size(1)).toBe(1)
    for (let call = 0; call < 3; call++) store.sweep(3500, 100)
    expect(store.size(1)).toBe(0)
  })
})

describe('the SET target', () => {
  it('adds what the packet has, with the timeout of the set or one of its own', () => {
    create(1, 'hash:ip', { timeout: 10, counters: true })
    expect(store.add(1, facts, SRC, 1, false, OWN_TIMEOUT, 0)).toBe(true)
    expect(store.add(1, facts, SRC, 1, false, OWN_TIMEOUT, 5000)).toBe(false)
    expect(store.page(1, 0, 10, 5000)!.elements).toEqual({ addresses: [ip('10.0.0.1')], parts: [0], interfaces: [], milliseconds: [5000], packets: [1], bytes: [100] })
    expect(store.add(1, facts, SRC, 1, true, 60, 5000)).toBe(true)
    expect(store.page(1, 0, 10, 5000)!.elements.milliseconds).toEqual([60_000])
  })

  it('adds and removes networks of the longest prefix in use, hosts when there is none', () => {
    create(1, 'hash:net')
    store.add(1, facts, SRC, 1, false, OWN_TIMEOUT, 0)
    expect(store.page(1, 0, 10, 0)!.elements).toMatchObject({ addresses: [ip('10.0.0.1')], parts: [32] })
    expect(store.remove(1, facts, SRC, 1, 0)).toBe(true)
    add(1, '192.168.0.0', 24)
    add(1, '172.16.0.0', 12)
    store.add(1, facts, SRC, 1, false, OWN_TIMEOUT, 0)
    expect(matches(1, SRC, 1)).toBe(true)
    expect(store.size(1)).toBe(3)
    facts = { ...facts, source: ip('10.0.0.200') }
    expect(store.remove(1, facts, SRC, 1, 0)).toBe(true)
    expect(store.remove(1, facts, SRC, 1, 0)).toBe(false)
  })

  it('adds address, protocol and port; address and interface', () => {
    create(1, 'hash:ip,port')
    create(2, 'hash:net,iface')
    store.add(1, facts, SRC_DST, 2, false, OWN_TIMEOUT, 0)
    store.add(2, facts, SRC_SRC, 2, false, OWN_TIMEOUT, 0)
    expect(store.page(1, 0, 10, 0)!.elements).toMatchObject({ addresses: [ip('10.0.0.1')], parts: [(TCP << 16) | 80] })
    expect(store.page(2, 0, 10, 0)!.elements).toMatchObject({ addresses: [ip('10.0.0.1')], parts: [32], interfaces: ['eth0'] })
  })

  it('counts what finds the set full', () => {
    create(1, 'hash:ip', { maxElements: 1 })
    add(1, '10.9.9.9')
    expect(store.add(1, facts, SRC, 1, false, OWN_TIMEOUT, 0)).toBe(false)
    expect(store.refused).toBe(1)
  })
})

describe('a list of sets', () => {
  beforeEach(() => {
    create(1, 'hash:ip')
    create(2, 'hash:ip,port')
    create(3, 'hash:ip', { maxElements: 1 })
    create(4, 'list:set', { counters: true })
  })
  const hold = (...ids: number[]): void =>
    store.apply({ op: 'members', id: 4, members: ids.map((id) => ({ id, milliseconds: 0, packets: 0, bytes: 0 })) }, 0)

  it('holds what a member holds; members that want more directions are passed over', () => {
    hold(2, 1)
    add(1, '10.0.0.1')
    add(2, '10.0.0.1', (TCP << 16) | 80)
    expect(matches(4, SRC, 1)).toBe(true)
    expect(store.members(4, 0)!.map(({ packets }) => packets)).toEqual([0, 1])
    expect(matches(4, SRC_DST, 2)).toBe(true)
    expect(store.members(4, 0)!.map(({ packets }) => packets)).toEqual([1, 1])
  })

  it('adds to the first member that takes the packet, and removes from the first that has it', () => {
    hold(3, 1)
    add(3, '10.9.9.9')
    expect(store.add(4, facts, SRC, 1, false, OWN_TIMEOUT, 0)).toBe(true)
    expect([store.size(3), store.size(1)]).toEqual([1, 1])
    expect(store.add(4, facts, SRC, 1, false, OWN_TIMEOUT, 0)).toBe(false)
    expect(store.remove(4, facts, SRC, 1, 0)).toBe(true)
    expect(store.remove(4, facts, SRC, 1, 0)).toBe(false)
  })

  it('leaves out members that have expired', () => {
    add(1, '10.0.0.1')
    store.apply({ op: 'members', id: 4, members: [{ id: 1, milliseconds: 100, packets: 0, bytes: 0 }] }, 0)
    expect([matches(4, SRC, 1, {}, 99), matches(4, SRC, 1, {}, 100)]).toEqual([true, false])
    expect(store.members(4, 100)).toEqual([])
  })
})

describe('edits', () => {
  it('swap, flush and destroy sets', () => {
    create(1, 'hash:ip')
    create(2, 'hash:ip')
    add(1, '10.0.0.1')
    store.apply({ op: 'swap', first: 1, second: 2 }, 0)
    expect([matches(1, SRC, 1), matches(2, SRC, 1)]).toEqual([false, true])
    store.apply({ op: 'flush', id: 2 }, 0)
    expect(matches(2, SRC, 1)).toBe(false)
    store.apply({ op: 'destroy', id: 2 }, 0)
    add(2, '10.0.0.1')
    expect(matches(2, SRC, 1)).toBe(false)
    expect([store.page(2, 0, 1, 0), store.members(2, 0), store.size(2), store.bytes(2)]).toEqual([null, null, 0, 0])
  })

  it('remove elements, and keep the counters that they do not name', () => {
    create(1, 'hash:ip', { counters: true })
    const columns = (packets: number): ElementColumns => ({ ...elements(['10.0.0.1'], [0]), packets: [packets], bytes: [packets] })
    store.apply({ op: 'add', id: 1, elements: columns(5) }, 0)
    store.apply({ op: 'add', id: 1, elements: columns(-1) }, 0)
    expect(store.page(1, 0, 10, 0)!.elements.packets).toEqual([5])
    store.apply({ op: 'remove', id: 1, elements: columns(0) }, 0)
    expect(store.size(1)).toBe(0)
  })
})
