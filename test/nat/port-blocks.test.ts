import { describe, expect, it } from 'vitest'
import { FIRST_BLOCK, PortBlocks, type PortBlocksParts } from '../../src/nat/port-blocks.js'
import { ANY_PARITY, PortPool } from '../../src/nat/port-pool.js'
import { systemRandom } from '../../src/stack/random.js'
import { seededRandom } from '../../src/testing/memory-gateway.js'

const E1 = 0xcb007101 | 0
const E2 = 0xcb007102 | 0
const HOST = 0x0a000002

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, index) => from + index)

/** Blocks, and who uses which port of them. */
const setUp = (parts: Partial<PortBlocksParts> = {}) => {
  const events: string[] = []
  const blocks = new PortBlocks({ first: FIRST_BLOCK, size: 64, perHost: 2, hold: 120, ports: new PortPool(range(1, 65535)), random: seededRandom(3), ...parts })
  blocks.onBlock = (event, inside, outside, first, last, now) => events.push(`${now} ${event} .${inside & 0xff} .${outside & 0xff} ${first}-${last}`)
  const used = new Set<string>()
  const take = (host: number, now = 0, outside = E1): number => {
    const port = blocks.choose(outside, host, ANY_PARITY, (one) => !used.has(`${outside}:${one}`), now)
    if (port < 0) return port
    used.add(`${outside}:${port}`)
    blocks.begin(outside, port, host)
    return port
  }
  const give = (host: number, port: number, now: number, outside = E1): void => {
    used.delete(`${outside}:${port}`)
    blocks.end(outside, port, host, now)
  }
  return { blocks, events, take, give }
}

const blockOf = (port: number): number => Math.floor((port - FIRST_BLOCK) / 64)

describe('port blocks', () => {
  it('CGN-13: a host gets ports of its blocks only, all of them, then a further block, at last none', () => {
    const { events, take } = setUp()
    const ports = range(1, 128).map(() => take(HOST))
    expect(new Set(ports).size).toBe(128)
    expect(new Set(ports.slice(0, 64).map(blockOf)).size).toBe(1)
    expect(new Set(ports.slice(64).map(blockOf)).size).toBe(1)
    expect(Math.min(...ports)).toBeGreaterThanOrEqual(1024)
    expect(take(HOST)).toBe(-1)
    // CGN-14: one line for each block, whatever the number of mappings.
    expect(events).toHaveLength(2)
    const first = FIRST_BLOCK + blockOf(ports[0]!) * 64
    expect(events[0]).toBe(`0 assigned .2 .1 ${first}-${first + 63}`)
  })

  it('CGN-15: neither the block nor the port in it can be guessed', () => {
    const first = new Set<number>()
    const within = new Set<number>()
    for (let round = 0; round < 300; round++) {
      const { take } = setUp({ random: systemRandom() })
      const port = take(HOST)
      first.add(blockOf(port))
      within.add((port - FIRST_BLOCK) % 64)
    }
    expect(first.size).toBeGreaterThan(200)
    expect(within.size).toBeGreaterThan(50)
  })

  it('no block is given to two hosts; when all are given, none is left', () => {
    const { blocks, take } = setUp({ size: 8192, perHost: 1 })
    const owners = new Map<number, number>()
    for (let host = 1; host <= 7; host++) {
      const port = take(host)
      const block = Math.floor((port - FIRST_BLOCK) / 8192)
      expect(owners.has(block)).toBe(false)
      owners.set(block, host)
      expect(blocks.ownerOf(E1, port)).toBe(host)
    }
    expect(take(8)).toBe(-1)
    // Another address has blocks of its own.
    expect(take(8, 0, E2)).toBeGreaterThan(1023)
    expect(blocks.ownerOf(E2, 1023)).toBe(0)
  })

  it('CGN-8: a block without mapping rests as long as a port, its host may go on with it, then it is anybody\'s', () => {
    const { blocks, events, take, give } = setUp({ size: 32768, perHost: 1 })
    const port = take(HOST, 10)
    const other = take(HOST, 10)
    give(HOST, port, 20)
    blocks.expire(200)
    give(HOST, other, 200)
    blocks.expire(319)
    expect(take(HOST + 1, 319)).toBe(-1)
    const again = take(HOST, 319)
    expect(again).toBeGreaterThan(0)
    blocks.expire(1000)
    expect(events).toHaveLength(1)
    give(HOST, again, 1000)
    blocks.expire(1119)
    expect(events).toHaveLength(1)
    blocks.expire(1120)
    expect(events[1]).toBe('1120 released .2 .1 1024-33791')
    expect(take(HOST + 1, 1120)).toBeGreaterThan(0)
  })

  it('gives only ports that may be used, and no block with more gaps than ports', () => {
    const ports = new PortPool([...range(1024, 1087).filter((port) => port % 2 === 0), ...range(2048, 2078)])
    const { take } = setUp({ ports, perHost: 64 })
    const taken = range(1, 40).map(() => take(HOST))
    expect(taken.filter((port) => port >= 0).sort()).toEqual(range(1024, 1087).filter((port) => port % 2 === 0))
    ports.replace(range(5000, 65535))
    expect(take(HOST + 1)).toBeGreaterThanOrEqual(5000)
  })

  it('what is none of its own is none of its business', () => {
    const { blocks, events, take } = setUp({ hold: 0 })
    const port = take(HOST)
    blocks.begin(E1, port, HOST + 1)
    blocks.end(E1, port, HOST + 1, 0)
    blocks.end(E2, port, HOST, 0)
    blocks.end(E1, 80, HOST, 0)
    blocks.expire(5)
    expect(events).toHaveLength(1)
    blocks.end(E1, port, HOST, 5)
    blocks.end(E1, port, HOST, 5)
    blocks.expire(5)
    expect(events).toHaveLength(2)
    expect(blocks.ownerOf(E1, port)).toBe(0)
  })

  it('keeps parity where it can', () => {
    const { blocks } = setUp()
    for (const parity of [0, 1]) expect(blocks.choose(E1, HOST, parity, () => true, 0) & 1).toBe(parity)
  })

  it('blocks larger than what there is are none', () => {
    const { take } = setUp({ first: 60000, size: 8192 })
    expect(take(HOST)).toBe(-1)
  })
})
