import { describe, expect, it } from 'vitest'
import { deterministicFault, DeterministicPlan } from '../../src/nat/deterministic.js'
import { formatPool, parsePool } from '../../src/nat/pool.js'
import type { DeterministicSettings } from '../../src/nat/settings.js'
import { formatIpv4 } from '../../src/stack/wire/address.js'
import { ip } from '../stack/support.js'

const EXAMPLE: DeterministicSettings = { inside: '10.0.0.0/28', reserved: 1024, dynamic: 2, perHost: 5040 }
const planOf = (settings: Partial<DeterministicSettings> = {}, outside = '203.0.113.1'): DeterministicPlan =>
  new DeterministicPlan({ ...EXAMPLE, ...settings }, parsePool(outside)!)

const show = (plan: DeterministicPlan, inside: string): string | null => {
  const found = plan.assignment(ip(inside))
  return found === null ? null : `${formatIpv4(found.outside)} ${found.first}-${found.last}`
}

describe('deterministic NAT', () => {
  it('DET-3: the example of RFC 7422: 14 hosts of a /28 with D = 2 have 4032 ports each', () => {
    const plan = planOf()
    expect([plan.hosts, plan.hostsPerAddress, plan.portsPerHost, plan.overflow]).toEqual([14, 14, 4032, 57472])
    expect(show(plan, '10.0.0.1')).toBe('203.0.113.1 1024-5055')
    expect(show(plan, '10.0.0.2')).toBe('203.0.113.1 5056-9087')
    expect(show(plan, '10.0.0.14')).toBe('203.0.113.1 53440-57471')
    // The network's own address and its broadcast address are no hosts; nor is anybody else.
    for (const none of ['10.0.0.0', '10.0.0.15', '10.0.0.16', '9.255.255.255', '203.0.113.1']) expect(show(plan, none)).toBeNull()
  })

  it('DET-3: reserved ports and those beyond are no host\'s own', () => {
    const plan = planOf()
    const owner = (port: number): string | null => {
      const found = plan.owner(ip('203.0.113.1'), port)
      return found === null ? null : formatIpv4(found.inside)
    }
    expect([0, 1000, 1023, 1024, 5055, 5056, 57471, 57472, 65535].map(owner))
      .toEqual([null, null, null, '10.0.0.1', '10.0.0.1', '10.0.0.2', '10.0.0.14', null, null])
    expect(plan.owner(ip('203.0.113.2'), 5000)).toBeNull()
  })

  it.each([
    ['10.0.0.0/28', '203.0.113.1', {}],
    ['10.0.0.0/28', '203.0.113.1', { dynamic: 0, perHost: 0 }],
    ['10.0.0.0/24', '203.0.113.9,203.0.113.1,198.18.0.0/30', {}],
    ['10.0.0.0/22', '198.51.100.0/29', { reserved: 4096, dynamic: 1 }],
    ['10.0.0.0/30', '203.0.113.1-203.0.113.5', { dynamic: 0, perHost: 0 }],
    ['10.0.0.4/31', '203.0.113.1', { dynamic: 0, perHost: 0, reserved: 0 }],
    ['10.0.0.4/32', '203.0.113.1,203.0.113.2', { perHost: 0 }],
    ['192.168.0.0/16', '203.0.112.0/23', {}],
  ])('DET-1: both functions say the same of every port: %s behind %s', (inside, outside, settings) => {
    const plan = planOf({ inside, perHost: 0, ...settings }, outside)
    let count = 0
    const taken = new Set<string>()
    for (const { inside: host, outside: address, first, last } of plan.assignments()) {
      count++
      expect(last - first + 1).toBe(plan.portsPerHost)
      expect(first).toBeGreaterThanOrEqual(plan.settings.reserved)
      expect(last).toBeLessThan(plan.overflow)
      expect(plan.assignment(host)).toEqual({ inside: host, outside: address, first, last })
      for (const port of [first, last, (first + last) >> 1]) expect(plan.owner(address, port)!.inside).toBe(host)
      // No two overlap: each begins at a place of its own, and all are equally long.
      taken.add(`${address}:${first}`)
    }
    expect([count, taken.size]).toEqual([plan.hosts, plan.hosts])
    // Every port of every address: of the host that has it, or of nobody.
    for (const address of plan.outside.slice(0, 2)) {
      let owned = 0
      for (let port = 0; port < 65536; port++) {
        const owner = plan.owner(address, port)
        if (owner === null) continue
        owned++
        if (port < owner.first || port > owner.last || owner.outside !== address) throw new Error(`port ${port}`)
      }
      expect(owned % plan.portsPerHost).toBe(0)
    }
  })

  it('hosts are spread over the addresses in order, as evenly as can be', () => {
    const plan = planOf({ inside: '10.0.0.0/29', dynamic: 0, perHost: 0 }, '203.0.113.9,203.0.113.1,203.0.113.5,203.0.113.6')
    expect(plan.hostsPerAddress).toBe(2)
    expect([...plan.assignments()].map(({ outside, first }) => `${formatIpv4(outside)} ${first}`)).toEqual([
      '203.0.113.1 1024', '203.0.113.1 33280', '203.0.113.5 1024', '203.0.113.5 33280', '203.0.113.6 1024', '203.0.113.6 33280',
    ])
    expect(plan.owner(ip('203.0.113.9'), 5000)).toBeNull()
  })

  it('DET-4: with M, at most M less what is one\'s own beyond that; without D, nothing', () => {
    expect(planOf().portsBeyond).toBe(1008)
    expect(planOf({ perHost: 0 }).portsBeyond).toBe(8064)
    expect(planOf({ perHost: 65535 }).portsBeyond).toBe(8064)
    expect(planOf({ perHost: 4032 }).portsBeyond).toBe(0)
    expect(planOf({ dynamic: 0 }).portsBeyond).toBe(0)
  })

  it('DET-5: the record holds the time, I, O, D, M, A and R', () => {
    expect(planOf({ inside: '10.0.0.7/28' }, '203.0.113.4,198.18.0.0/31,203.0.113.5').record(new Date(Date.UTC(2024, 1, 29, 23, 59, 1, 5)))).toEqual({
      time: '2024-02-29T23:59:01.005Z', I: '10.0.0.0/28', O: '198.18.0.0-198.18.0.1,203.0.113.4-203.0.113.5', D: 2, M: 5040, A: 0, R: 1024,
    })
  })

  it('says what cannot be had', () => {
    expect(deterministicFault(EXAMPLE, 1)).toBeNull()
    expect(deterministicFault({ ...EXAMPLE, inside: '10.0.0.0/8' }, 1)).toBe('16777214 hosts on 1 address leave no port for each')
    expect(deterministicFault({ ...EXAMPLE, inside: '10.0.0.0/8', perHost: 0 }, 1024)).toBeNull()
    expect(deterministicFault({ ...EXAMPLE, perHost: 4031 }, 1)).toBe('perHost is 4031, but each host has 4032 ports of its own')
  })
})

describe('pool text', () => {
  it('CGN-3: lists, ranges and networks, in any order', () => {
    const pool = parsePool('203.0.113.1,203.0.113.9-203.0.113.12,198.18.0.0/30')!
    expect(pool).toHaveLength(9)
    expect(formatPool(pool)).toBe('198.18.0.0-198.18.0.3,203.0.113.1,203.0.113.9-203.0.113.12')
    expect(formatPool([])).toBe('')
    expect(parsePool('198.18.0.0/16')).toHaveLength(65536)
  })

  it.each(['', '203.0.113.300', '203.0.113.9-203.0.113.1', '198.18.0.0/15', '0.0.0.0', '127.0.0.0/31', '223.255.255.255-224.0.0.0', '255.255.255.255', '1.1.1.1-1.1.1.2-1.1.1.3'])('%s is none', (text) => {
    expect(parsePool(text)).toBeNull()
  })
})
