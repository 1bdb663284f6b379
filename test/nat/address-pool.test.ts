import { describe, expect, it } from 'vitest'
import { AddressPool } from '../../src/nat/address-pool.js'
import { parsePool } from '../../src/nat/pool.js'

const ADDRESSES = parsePool('203.0.113.1,203.0.113.9-203.0.113.12,198.18.0.0/30')!
const HOST = 0x0a000002
const hosts = (count: number): number[] => Array.from({ length: count }, (_, index) => HOST + index)
const poolOf = (pooling: 'paired' | 'paired-soft' | 'arbitrary', addresses = ADDRESSES): AddressPool => {
  const pool = new AddressPool(addresses, pooling)
  pool.setPresent(new Set(addresses))
  return pool
}

describe('address pool', () => {
  it('UDP-2, CGN-2: paired: an inside host has one address, whatever the remote', () => {
    for (const pooling of ['paired', 'paired-soft'] as const) {
      const pool = poolOf(pooling)
      for (const host of hosts(50)) expect(new Set(hosts(50).map((remote) => pool.choose(host, remote, 0))).size).toBe(1)
      expect(new Set(hosts(500).map((host) => pool.choose(host, 1, 0)))).toEqual(new Set(ADDRESSES))
    }
  })

  it('is the same after a restart', () => {
    for (const host of hosts(20)) expect(poolOf('paired').choose(host, 1, 0)).toBe(poolOf('paired').choose(host, 2, 0))
  })

  it('NAT-2: arbitrary: by inside and remote address', () => {
    const pool = poolOf('arbitrary')
    expect(pool.isFixed).toBe(false)
    expect(new Set(hosts(500).map((remote) => pool.choose(HOST, remote, 0)))).toEqual(new Set(ADDRESSES))
    expect(pool.choose(HOST, 7, 0)).toBe(pool.choose(HOST, 7, 0))
  })

  it('spreads hosts evenly', () => {
    const pool = poolOf('paired')
    const seen = new Map<number, number>()
    for (const host of hosts(9000)) seen.set(pool.choose(host, 0, 0), (seen.get(pool.choose(host, 0, 0)) ?? 0) + 1)
    expect(Math.min(...seen.values())).toBeGreaterThan(850)
    expect(Math.max(...seen.values())).toBeLessThan(1150)
  })

  it('further attempts give every other address once', () => {
    const pool = poolOf('paired-soft')
    expect(pool.tries).toBe(ADDRESSES.length)
    for (const host of hosts(30)) expect(new Set(ADDRESSES.map((_, attempt) => pool.choose(host, 0, attempt)))).toEqual(new Set(ADDRESSES))
    expect(pool.choose(HOST, 0, ADDRESSES.length)).toBe(0)
    expect(poolOf('paired').tries).toBe(1)
    expect(poolOf('arbitrary', parsePool('198.18.0.0/24')!).tries).toBe(16)
  })

  it('gives only what the WAN has; hosts of addresses that stay keep theirs, the others come back', () => {
    for (const pooling of ['paired', 'paired-soft', 'arbitrary'] as const) {
      const pool = poolOf(pooling)
      const before = new Map(hosts(200).map((host) => [host, pool.choose(host, 1, 0)]))
      const gone = ADDRESSES[3]!
      const left = ADDRESSES.filter((address) => address !== gone)
      pool.setPresent(new Set(left))
      expect([pool.has(gone), pool.has(left[0]!), pool.size]).toEqual([false, true, left.length])
      const moved = new Set<number>()
      for (const [host, address] of before) {
        const now = pool.choose(host, 1, 0)
        if (address === gone) moved.add(now)
        else expect(now).toBe(address)
        expect(now).not.toBe(gone)
        expect(new Set(left.map((_, attempt) => pool.choose(host, 1, attempt)))).toEqual(new Set(left))
      }
      // Not all of them to one neighbour.
      expect(moved.size).toBeGreaterThan(3)
      pool.setPresent(new Set([...ADDRESSES, 0x01010101]))
      for (const [host, address] of before) expect(pool.choose(host, 1, 0)).toBe(address)
      expect(pool.has(0x01010101)).toBe(false)
      pool.setPresent(new Set())
      expect(pool.choose(HOST, 1, 0)).toBe(0)
    }
  })

  it('none: the route says the address', () => {
    const pool = new AddressPool(null, 'paired')
    expect([pool.isEmpty, pool.isFixed, pool.size, pool.choose(HOST, 1, 0)]).toEqual([true, true, 1, 0])
    expect(new AddressPool(null, 'arbitrary').isFixed).toBe(true)
  })
})
