import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ElementKind, type ElementSetDefinition, INTERFACE_SHIFT, NOMATCH, PHYSDEV, WILDCARD } from '../../../src/policy/sets/edits.js'
import { InterfaceNames } from '../../../src/policy/sets/interface-names.js'
import { SetQuery } from '../../../src/policy/sets/query.js'
import { ADDED, EXCLUDED, EXISTS, FULL, HIT, MISS, SetTable } from '../../../src/policy/sets/set-table.js'
import { maskOf, parseIpv4 } from '../../../src/stack/wire/address.js'

const definition = (kind: ElementKind, more: Partial<ElementSetDefinition> = {}): ElementSetDefinition =>
  ({ kind, maxElements: 65536, hashSize: 64, seed: 0x1234, mask: -1, forceAdd: false, timeout: null, counters: false, ...more })

const ip = (text: string): number => parseIpv4(text)!
const query = (address: string | number, more: Partial<SetQuery> = {}): SetQuery =>
  Object.assign(new SetQuery(), { address: typeof address === 'string' ? ip(address) : address }, more)

/** Adds one element for ever, or for some milliseconds. */
const add = (table: SetTable, address: string | number, part = 0, milliseconds = 0, now = 0): number =>
  table.add(typeof address === 'string' ? ip(address) : address, part, false, milliseconds, -1, -1, now, true)

describe('hash:ip', () => {
  it('holds the addresses that were added', () => {
    const table = new SetTable(definition('hash:ip'), new InterfaceNames())
    expect(add(table, '10.0.0.1')).toBe(ADDED)
    expect(add(table, '10.0.0.1')).toBe(EXISTS)
    expect(table.test(query('10.0.0.1'))).toBe(HIT)
    expect(table.test(query('10.0.0.2'))).toBe(MISS)
    expect(table.remove(ip('10.0.0.1'), 0, 0)).toBe(true)
    expect(table.remove(ip('10.0.0.1'), 0, 0)).toBe(false)
    expect(table.test(query('10.0.0.1'))).toBe(MISS)
  })

  it('compares only the bits of the mask', () => {
    const table = new SetTable(definition('hash:ip', { mask: maskOf(24) }), new InterfaceNames())
    add(table, '10.0.0.0')
    expect(table.test(query('10.0.0.77'))).toBe(HIT)
    expect(table.test(query('10.0.1.77'))).toBe(MISS)
  })

  it('refuses what is more than maxelem, and takes it when something went', () => {
    const table = new SetTable(definition('hash:ip', { maxElements: 2 }), new InterfaceNames())
    expect([add(table, 1), add(table, 2), add(table, 3)]).toEqual([ADDED, ADDED, FULL])
    table.remove(1, 0, 0)
    expect(add(table, 3)).toBe(ADDED)
  })

  it('with forceadd, lets another go for a new one', () => {
    const table = new SetTable(definition('hash:ip', { maxElements: 2, forceAdd: true }), new InterfaceNames())
    expect([add(table, 1), add(table, 2), add(table, 3)]).toEqual([ADDED, ADDED, ADDED])
    expect(table.size).toBe(2)
    expect(table.test(query(3))).toBe(HIT)
  })

  it('lets elements expire, also where the clock passes 2^32 ms', () => {
    const table = new SetTable(definition('hash:ip', { timeout: 0 }), new InterfaceNames())
    const start = 2 ** 32 - 500
    add(table, 1, 0, 1000, start)
    add(table, 2, 0, 0, start)
    add(table, 3, 0, 2_147_483_000, start)
    const at = (address: number, now: number): number => table.test(query(address, { now }))
    expect([at(1, start + 999), at(1, start + 1000), at(2, start + 1e9), at(3, start + 2_147_482_999), at(3, start + 2_147_483_000)])
      .toEqual([HIT, MISS, HIT, HIT, MISS])
  })

  it('adds what has expired anew, and sweeps the rest', () => {
    const table = new SetTable(definition('hash:ip', { timeout: 0, maxElements: 2 }), new InterfaceNames())
    add(table, 1, 0, 1000)
    add(table, 2, 0, 1000)
    expect(add(table, 1, 0, 5000, 1000)).toBe(ADDED)
    expect(add(table, 3, 0, 0, 1000)).toBe(ADDED)
    expect(table.size).toBe(2)
    expect(table.sweep(6000, 100)).toBe(1)
    expect(table.size).toBe(1)
  })

  it('counts packets, and holds those only whose counters are as wanted', () => {
    const table = new SetTable(definition('hash:ip', { counters: true }), new InterfaceNames())
    table.add(1, 0, false, 0, 5, 600, 0, true)
    const counted = (packets: SetQuery['packets'], updateCounters: boolean): number => table.test(query(1, { packets, updateCounters, length: 100 }))
    expect(counted({ compare: 'eq', value: 5, not: false }, false)).toBe(HIT)
    expect(counted({ compare: 'gt', value: 5, not: false }, true)).toBe(HIT)
    expect(counted({ compare: 'lt', value: 6, not: false }, true)).toBe(MISS)
    expect(counted({ compare: 'eq', value: 7, not: true }, false)).toBe(MISS)
    expect(table.page(0, 10, 0)).toEqual({ elements: { addresses: [1], parts: [0], interfaces: [], milliseconds: null, packets: [7], bytes: [800] }, next: -1 })
  })

  it('is empty after a flush', () => {
    const table = new SetTable(definition('hash:net'), new InterfaceNames())
    for (let address = 1; address < 5000; address++) add(table, address, 32)
    table.flush()
    expect(table.size).toBe(0)
    expect(table.packetPrefix).toBe(32)
    expect(table.test(query(77))).toBe(MISS)
    expect(add(table, 77, 32)).toBe(ADDED)
  })
})

describe('hash:ip,port', () => {
  it('tells protocols and ports apart', () => {
    const table = new SetTable(definition('hash:ip,port'), new InterfaceNames())
    add(table, '10.0.0.1', (6 << 16) | 80)
    expect(table.test(query('10.0.0.1', { part: (6 << 16) | 80 }))).toBe(HIT)
    expect(table.test(query('10.0.0.1', { part: (17 << 16) | 80 }))).toBe(MISS)
    expect(table.test(query('10.0.0.1', { part: (6 << 16) | 81 }))).toBe(MISS)
  })
})

describe('hash:net', () => {
  it('lets the most specific network decide, nomatch among them', () => {
    const table = new SetTable(definition('hash:net'), new InterfaceNames())
    add(table, '10.0.0.0', 8)
    add(table, '10.1.0.0', 16 | NOMATCH)
    add(table, '10.1.2.0', 24)
    expect(['10.9.9.9', '10.1.9.9', '10.1.2.9', '11.0.0.1'].map((address) => table.test(query(address)))).toEqual([HIT, EXCLUDED, HIT, MISS])
    expect(table.packetPrefix).toBe(24)
    table.remove(ip('10.1.2.0'), 24, 0)
    expect(table.test(query('10.1.2.9'))).toBe(EXCLUDED)
    expect(table.packetPrefix).toBe(16)
  })

  it('looks on past an expired network', () => {
    const table = new SetTable(definition('hash:net', { timeout: 0 }), new InterfaceNames())
    add(table, '10.0.0.0', 8, 0)
    add(table, '10.1.0.0', 16 | NOMATCH, 1000)
    expect(table.test(query('10.1.9.9', { now: 2000 }))).toBe(HIT)
  })

  it('gives an element that is added anew other flags', () => {
    const table = new SetTable(definition('hash:net'), new InterfaceNames())
    add(table, '10.0.0.0', 8 | NOMATCH)
    expect(add(table, '10.0.0.0', 8)).toBe(EXISTS)
    table.add(ip('10.0.0.0'), 8, true, 0, -1, -1, 0, true)
    expect(table.test(query('10.9.9.9'))).toBe(HIT)
  })
})

describe('hash:net,iface', () => {
  const names = new InterfaceNames()
  const [eth, eth0, eth1, lo] = ['eth', 'eth0', 'eth1', 'lo'].map((name) => names.numberOf(name)) as [number, number, number, number]
  const device = (number: number): number => number << INTERFACE_SHIFT

  it('wants the interface too, by its name or the beginning of it', () => {
    const table = new SetTable(definition('hash:net,iface'), names)
    add(table, '10.0.0.0', 8 | device(eth0))
    add(table, '11.0.0.0', 8 | device(eth) | WILDCARD)
    add(table, '0.0.0.0', 0 | device(lo))
    const test = (address: string, number: number): number => table.test(query(address, { interface: number }))
    expect([test('10.1.1.1', eth0), test('10.1.1.1', eth1), test('11.1.1.1', eth1), test('11.1.1.1', eth), test('12.1.1.1', lo), test('12.1.1.1', eth0)])
      .toEqual([HIT, MISS, HIT, HIT, HIT, MISS])
  })

  it('looks at no shorter prefix once a network holds the address, whatever its interface', () => {
    const table = new SetTable(definition('hash:net,iface'), names)
    add(table, '0.0.0.0', 0 | device(lo))
    expect(table.test(query('10.1.1.1', { interface: lo }))).toBe(HIT)
    add(table, '10.0.0.0', 8 | device(eth0))
    expect(table.test(query('10.1.1.1', { interface: lo }))).toBe(MISS)
  })

  it('holds no packet for the port of a bridge', () => {
    const table = new SetTable(definition('hash:net,iface'), names)
    add(table, '10.0.0.0', 8 | device(eth0) | PHYSDEV)
    expect(table.test(query('10.1.1.1', { interface: eth0 }))).toBe(MISS)
    expect(table.find(ip('10.0.0.0'), 8 | device(eth0))).toBe(-1)
    expect(table.find(ip('10.0.0.0'), 8 | device(eth0) | PHYSDEV)).toBe(0)
  })
})

describe('a set of networks', () => {
  it('holds what a list of them, looked through from the longest prefix on, holds', () => {
    const prefix = fc.constantFrom(1, 7, 8, 15, 16, 24, 31, 32)
    const address = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.nat(3)).map(([a, b, c, d]) => (a << 30) | (b << 16) | (c << 8) | d)
    const step = fc.record({ op: fc.constantFrom('add', 'add', 'remove', 'sweep'), address, prefix, nomatch: fc.boolean(), time: fc.constantFrom(0, 10, 50) })
    fc.assert(fc.property(fc.array(step, { maxLength: 200 }), fc.array(address, { maxLength: 20 }), (steps, probes) => {
      const table = new SetTable(definition('hash:net', { timeout: 0 }), new InterfaceNames())
      const list = new Map<string, { address: number; prefix: number; nomatch: boolean; expires: number }>()
      let now = 1000
      for (const each of steps) {
        now += 3
        const network = each.address & maskOf(each.prefix)
        const key = `${network}/${each.prefix}`
        const old = list.get(key)
        const isLive = old !== undefined && (old.expires === 0 || old.expires > now)
        if (each.op === 'sweep') table.sweep(now, 20)
        else if (each.op === 'remove') {
          expect(table.remove(network, each.prefix, now)).toBe(isLive)
          list.delete(key)
        } else {
          expect(table.add(network, each.prefix | (each.nomatch ? NOMATCH : 0), false, each.time, -1, -1, now, true)).toBe(isLive ? EXISTS : ADDED)
          if (!isLive) list.set(key, { address: network, prefix: each.prefix, nomatch: each.nomatch, expires: each.time === 0 ? 0 : now + each.time })
        }
      }
      for (const probe of probes) {
        const [best] = [...list.values()].filter((each) => (each.expires === 0 || each.expires > now) && ((probe ^ each.address) & maskOf(each.prefix)) === 0)
          .sort((a, b) => b.prefix - a.prefix)
        expect(table.test(query(probe, { now }))).toBe(best === undefined ? MISS : best.nomatch ? EXCLUDED : HIT)
      }
    }))
  })

  it('finds all of 100 000 while it grows, and shows them page by page', () => {
    const table = new SetTable(definition('hash:ip', { maxElements: 200_000, timeout: 0, counters: true }), new InterfaceNames())
    for (let count = 1; count <= 100_000; count++) expect(add(table, Math.imul(count, 0x9e3779b1))).toBe(ADDED)
    for (let count = 1; count <= 100_000; count++) expect(table.test(query(Math.imul(count, 0x9e3779b1)))).toBe(HIT)
    expect(table.test(query(Math.imul(100_001, 0x9e3779b1)))).toBe(MISS)
    const seen = new Set<number>()
    for (let from = 0; from >= 0;) {
      const page = table.page(from, 512, 0)
      for (const address of page.elements.addresses) seen.add(address)
      from = page.next
    }
    expect(seen.size).toBe(100_000)
  })
})
