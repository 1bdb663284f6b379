import { describe, expect, it } from 'vitest'
import { isDirectedBroadcast, type Route, RouteTable } from '../../src/route/table.js'
import { ip } from '../stack/support.js'

const route = (text: string, gateway: string | null = null): Route => {
  const [address, length] = text.split('/') as [string, string]
  return { destination: ip(address), prefixLength: Number(length), gateway: gateway === null ? null : ip(gateway), source: 1 }
}
/** The same answer by looking at every route. */
const slowly = (routes: readonly Route[], destination: number): Route | undefined => {
  let best: Route | undefined
  for (const candidate of routes) {
    const size = 2 ** (32 - candidate.prefixLength)
    const first = candidate.destination >>> 0
    const inside = destination >>> 0 >= first && destination >>> 0 < first + size
    if (inside && (best === undefined || candidate.prefixLength > best.prefixLength)) best = candidate
  }
  return best
}

describe('route table', () => {
  it('takes the longest prefix', () => {
    const routes = [route('0.0.0.0/0', '10.9.0.1'), route('10.0.0.0/8'), route('10.1.0.0/16', '10.0.0.9'), route('10.1.2.3/32')]
    const table = new RouteTable()
    expect(table.lookup(ip('10.1.2.3'))).toBeUndefined()
    table.replace(routes)
    expect(table.lookup(ip('10.1.2.3'))).toBe(routes[3])
    expect(table.lookup(ip('10.1.2.4'))).toBe(routes[2])
    expect(table.lookup(ip('10.2.2.4'))).toBe(routes[1])
    expect(table.lookup(ip('203.0.113.9'))).toBe(routes[0])
  })

  it('the first of two routes to one prefix counts', () => {
    const table = new RouteTable()
    const routes = [route('10.0.0.0/8', '10.0.0.1'), route('10.0.0.0/8', '10.0.0.2')]
    table.replace(routes)
    expect(table.lookup(ip('10.5.5.5'))).toBe(routes[0])
  })

  it('agrees with a search through all routes', () => {
    let state = 7
    const random = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0
      return state
    }
    for (let round = 0; round < 30; round++) {
      const routes: Route[] = []
      for (let n = 0; n < 60; n++) {
        const prefixLength = ((random() >>> 8) % 33)
        const mask = prefixLength === 0 ? 0 : -1 << (32 - prefixLength)
        const destination = (n % 3 === 0 ? random() : 0x0a000000 | (random() >>> 12)) & mask
        if (!routes.some((other) => other.prefixLength === prefixLength && other.destination === destination)) routes.push({ destination, prefixLength, gateway: null, source: 0 })
      }
      const table = new RouteTable()
      table.replace(routes)
      for (let n = 0; n < 300; n++) {
        const near = routes[n % routes.length]!.destination
        for (const destination of [random(), near, (near - 1) | 0, near ^ 1, 0x0a000000 | (random() >>> 12)]) expect(table.lookup(destination)).toBe(slowly(routes, destination))
      }
    }
  })

  it('has another generation after each replacement, never 0, in 16 bits', () => {
    const table = new RouteTable()
    const seen = new Set<number>()
    for (let n = 0; n < 65535; n++) {
      table.replace([])
      seen.add(table.generation)
    }
    expect(seen.size).toBe(65535)
    expect(Math.min(...[...seen].slice(0, 1000))).toBeGreaterThan(0)
    expect(seen.has(0)).toBe(false)
    expect(seen.has(65536)).toBe(false)
  })

  it('RTR-10: knows the broadcast address of subnets on the link', () => {
    expect(isDirectedBroadcast(route('198.51.100.0/24'), ip('198.51.100.255'))).toBe(true)
    expect(isDirectedBroadcast(route('198.51.100.0/25'), ip('198.51.100.127'))).toBe(true)
    expect(isDirectedBroadcast(route('198.51.100.0/24'), ip('198.51.100.254'))).toBe(false)
    expect(isDirectedBroadcast(route('198.51.100.0/24', '10.0.0.1'), ip('198.51.100.255'))).toBe(false)
    expect(isDirectedBroadcast(route('198.51.100.254/31'), ip('198.51.100.255'))).toBe(false)
    expect(isDirectedBroadcast(route('198.51.100.255/32'), ip('198.51.100.255'))).toBe(false)
    expect(isDirectedBroadcast(route('0.0.0.0/0'), ip('198.51.100.255'))).toBe(false)
  })
})
