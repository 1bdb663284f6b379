import { describe, expect, it } from 'vitest'
import { RouteTables } from '../../src/route/tables.js'
import { hopVia, ip, prefixOf, routeOf } from './support.js'

describe('RouteTables', () => {
  it('keeps tables apart', () => {
    const tables = new RouteTables()
    const other = routeOf({ hops: [hopVia('10.1.0.254', 3)] })
    tables.set(prefixOf('0.0.0.0/0', 254))
    tables.set(prefixOf('0.0.0.0/0', 100, other))
    expect(tables.find(254, ip('1.1.1.1'), 32)).toEqual([routeOf()])
    expect(tables.find(100, ip('1.1.1.1'), 32)).toEqual([other])
    expect(tables.find(4_000_000_000, ip('1.1.1.1'), 32)).toBeNull()
    expect(tables.size).toBe(2)
  })

  it('tells the length that was found', () => {
    const tables = new RouteTables()
    tables.set(prefixOf('10.0.0.0/8'))
    tables.set(prefixOf('10.1.0.0/16'))
    expect(tables.find(254, ip('10.1.1.1'), 32)).not.toBeNull()
    expect(tables.foundLength).toBe(16)
    expect(tables.find(254, ip('10.1.1.1'), 15)).not.toBeNull()
    expect(tables.foundLength).toBe(8)
    expect(tables.find(254, ip('10.1.1.1'), 7)).toBeNull()
  })

  it('holds equal routes once, and lets go of those that nobody has', () => {
    const tables = new RouteTables()
    for (let i = 0; i < 1000; i++) tables.set({ table: 254, destination: i << 12, length: 24, routes: [routeOf({ metric: i % 3 })] })
    expect(tables.image().lists.length).toBe(4)
    for (let i = 0; i < 1000; i++) tables.set({ table: 254, destination: i << 12, length: 24, routes: [] })
    expect(tables.size).toBe(0)
    expect(tables.image().tables).toEqual([])
    tables.set(prefixOf('10.0.0.0/8', 254, routeOf({ metric: 77 })))
    expect(tables.image().lists.length).toBe(4)
    expect(tables.find(254, ip('10.0.0.1'), 32)![0]!.metric).toBe(77)
  })

  it('keeps a list while another prefix has it, also when a prefix is set to the same again', () => {
    const tables = new RouteTables()
    tables.set(prefixOf('10.0.0.0/8'))
    tables.set(prefixOf('11.0.0.0/8'))
    tables.set(prefixOf('10.0.0.0/8'))
    tables.set({ ...prefixOf('11.0.0.0/8'), routes: [] })
    expect(tables.find(254, ip('10.0.0.1'), 32)).toEqual([routeOf()])
    expect(tables.find(254, ip('11.0.0.1'), 32)).toBeNull()
    tables.set({ ...prefixOf('99.0.0.0/8'), routes: [] })
  })

  it('goes to another thread and works on there', () => {
    const tables = new RouteTables()
    for (let i = 0; i < 300; i++) tables.set({ table: 254, destination: i << 12, length: 24, routes: [routeOf({ metric: i })] })
    tables.set({ table: 254, destination: 5 << 12, length: 24, routes: [] })
    const moved = new RouteTables(structuredClone(tables.image()))
    expect(moved.size).toBe(299)
    expect(moved.find(254, 7 << 12, 32)).toEqual([routeOf({ metric: 7 })])
    expect(moved.bytes).toBe(tables.bytes)
    moved.set({ table: 254, destination: 6 << 12, length: 24, routes: [routeOf({ metric: 7 })] })
    moved.set({ table: 254, destination: 7 << 12, length: 24, routes: [] })
    expect(moved.find(254, 6 << 12, 32)).toEqual([routeOf({ metric: 7 })])
    moved.set(prefixOf('200.0.0.0/8', 254, routeOf({ metric: 1000 })))
    expect(moved.image().lists.length).toBe(301)
  })
})
