import { describe, expect, it } from 'vitest'
import { chooseHop, DeadHops } from '../../src/route/hops.js'
import type { NextHop } from '../../src/route/types.js'
import { hopVia, ip, keyOf } from './support.js'

const FLOWS = 20_000
const key = keyOf({ source: '192.168.1.2', destination: '198.51.100.1', protocol: 6 })

/** The next hop that each of many flows takes: one host and one server, by source port and server address. */
const choices = (hops: readonly NextHop[], dead: DeadHops, seed = 1): Int8Array => Int8Array.from({ length: FLOWS }, (_, flow) => {
  key.sourcePort = 1024 + (flow % 5000)
  key.destinationPort = 443
  key.destination = ip('198.51.100.1') + Math.floor(flow / 5000)
  return chooseHop(hops, key, dead, seed)
})

const shareOf = (taken: Int8Array, hop: number): number => taken.filter((each) => each === hop).length / FLOWS

describe('chooseHop', () => {
  it('shares flows by weight', () => {
    const taken = choices([hopVia('10.0.0.254', 2, 3), hopVia('10.1.0.254', 3), hopVia(null, 4)], new DeadHops())
    expect(shareOf(taken, 0)).toBeCloseTo(0.6, 1)
    expect(shareOf(taken, 1)).toBeCloseTo(0.2, 1)
    expect(shareOf(taken, 2)).toBeCloseTo(0.2, 1)
  })

  it('shares 2000 flows over two equal next hops within 5 %', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const taken = choices([hopVia('10.0.0.254', 2), hopVia('10.1.0.254', 3)], new DeadHops(), seed).slice(0, 2000)
      expect(Math.abs(taken.filter((each) => each === 0).length / 2000 - 0.5)).toBeLessThan(0.05)
    }
  })

  it('gives a flow the same next hop every time, and another with another seed', () => {
    const hops = [hopVia('10.0.0.254', 2), hopVia('10.1.0.254', 3)]
    expect(choices(hops, new DeadHops())).toEqual(choices(hops, new DeadHops()))
    expect(choices(hops, new DeadHops(), 2)).not.toEqual(choices(hops, new DeadHops(), 1))
  })

  it('moves only the flows of a next hop that died, and gives them back', () => {
    const hops = [hopVia('10.0.0.254', 2, 2), hopVia('10.1.0.254', 3), hopVia('10.2.0.254', 4)]
    const dead = new DeadHops()
    const before = choices(hops, dead)
    dead.setDevice(3, true)
    const after = choices(hops, dead)
    expect(after.every((hop, flow) => before[flow] === 1 ? hop !== 1 : hop === before[flow])).toBe(true)
    expect(shareOf(after, 0)).toBeCloseTo(2 / 3, 1)
    dead.setDevice(3, false)
    expect(choices(hops, dead)).toEqual(before)
  })

  it('takes none that is dead or on another interface than the one asked for', () => {
    const dead = new DeadHops()
    const hops = [hopVia('10.0.0.254', 2), hopVia('10.0.0.253', 2), hopVia('10.1.0.254', 3)]
    expect(chooseHop(hops, keyOf({ output: 3 }), dead, 1)).toBe(2)
    expect(chooseHop(hops, keyOf({ output: 4 }), dead, 1)).toBe(-1)
    expect(chooseHop([hops[0]!], keyOf({ output: 3 }), dead, 1)).toBe(-1)
    dead.setGateway(2, ip('10.0.0.254'), true)
    expect(chooseHop(hops, keyOf({ output: 2 }), dead, 1)).toBe(1)
    dead.setGateway(2, ip('10.0.0.253'), true)
    expect(chooseHop(hops, keyOf(), dead, 1)).toBe(2)
    dead.setDevice(3, true)
    expect(chooseHop(hops, keyOf(), dead, 1)).toBe(-1)
    dead.setGateway(2, ip('10.0.0.254'), false)
    dead.setGateway(2, ip('10.0.0.253'), false)
    expect(chooseHop(hops, keyOf({ output: 2 }), dead, 1)).toBeGreaterThanOrEqual(0)
  })
})

it('says whether a death or return is news', () => {
  const dead = new DeadHops()
  expect([dead.setDevice(2, false), dead.setDevice(2, true), dead.setDevice(2, true), dead.setDevice(2, false)]).toEqual([false, true, false, true])
  const of = (isDead: boolean): boolean => dead.setGateway(2, 7, isDead)
  expect([of(false), of(true), of(true), of(false), of(false)]).toEqual([false, true, false, true, false])
  expect(dead.has({ ...hopVia(null, 2), gateway: 7 })).toBe(false)
})
