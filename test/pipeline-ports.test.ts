/** How outside ports are chosen, as the outside sees it (RFC 4787 4.2, RFC 6056, RFC 7857 9, netfilter). */
import { describe, expect, it } from 'vitest'
import { NETFILTER } from '../src/nat/behaviour.js'
import { PROFILES } from '../src/nat/profiles.js'
import type { PortSettings } from '../src/nat/settings.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildIcmpError } from '../src/testing/packets.js'
import { behaving, end, enter, leave, packet, type Protocol } from './behaviours.js'
import { A, B, E, icmp, ip, only, P, Q, to, u16 } from './stack/support.js'

const PROTOCOLS: readonly Protocol[] = ['udp', 'tcp']
const C = '10.0.0.4'
const host = (number: number): string => `10.0.${number >> 8}.${number & 0xff}`

const ports = (settings: Partial<PortSettings>): MemoryGatewayOptions => ({ nat: { ports: { ...PROFILES.behave.nat.ports, ...settings } } })
const sharing = (settings: Partial<PortSettings> = {}, options: MemoryGatewayOptions = {}): MemoryGateway =>
  behaving(NETFILTER, { ...ports({ hold: 0, ...settings }), ...options })

/** Sends a ping outwards. The identifier that it leaves with. */
const ping = (gateway: MemoryGateway, source: string, identifier: number, destination = P): number => {
  gateway.fromLan(buildIcmpEcho({ source, destination, identifier }))
  return u16(only(gateway.toWan()), 24)
}

/** 1 - p of the chi-square distribution at large degrees of freedom is below 1e-4 above this (Wilson-Hilferty). */
const chiSquareBound = (freedom: number): number => freedom * (1 - 2 / (9 * freedom) + 3.72 * Math.sqrt(2 / (9 * freedom))) ** 3

const expectFlat = (values: readonly number[], kinds: number): void => {
  const counts = new Float64Array(kinds)
  for (const value of values) counts[value]!++
  const expected = values.length / kinds
  expect(counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)).toBeLessThan(chiSquareBound(kinds - 1))
}

const expectUncorrelated = (values: readonly number[]): void => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  const serial = values.slice(1).reduce((sum, value, index) => sum + (value - mean) * (values[index]! - mean), 0)
  expect(Math.abs(serial / variance)).toBeLessThan(0.06)
}

describe.each(PROTOCOLS)('ports of %s', (protocol) => {
  it('UDP-4: forced to change, a port stays in its class, exclusive or shared', () => {
    for (const gateway of [behaving({}), sharing()]) {
      for (let number = 2; number < 42; number++) {
        expect(leave(gateway, protocol, end(host(number), 1000), end(P, 53))).toBeLessThan(1024)
        expect(leave(gateway, protocol, end(host(number), 1024), end(P, 53))).toBeGreaterThanOrEqual(1024)
      }
    }
  })

  it('UDP-5: with parity, a port that has to change keeps its low bit', () => {
    for (const selection of ['preserve', 'random', 'sequential'] as const) {
      const gateway = behaving({}, ports({ parity: true, selection }))
      for (let number = 2; number < 42; number++) {
        for (const port of [700, 701, 5000, 5001]) {
          const outside = leave(gateway, protocol, end(host(number), port), end(P, 53))
          expect([outside & 1, outside < 1024]).toEqual([port & 1, port < 1024])
        }
      }
    }
  })

  it('UPD-8, UPD-9: without parity, ports that have to change come out even and odd, spread over all', () => {
    const gateway = behaving({}, { limits: { flows: 16384 } })
    leave(gateway, protocol, end(A, 5000), end(P, 53))
    const changed = Array.from({ length: 10_000 }, (_, index) => leave(gateway, protocol, end(host(index + 512), 5000), end(P, 53)))
    expect(new Set(changed).size).toBe(10_000)
    expectFlat(changed.map((port) => port & 1), 2)
    expectFlat(changed.map((port) => Math.floor((port - 1024) / 2016)), 32)
    expectUncorrelated(changed)
  })

  it('RND-2: a port is kept where that can be, random only when it is forced to change', () => {
    const gateway = behaving({})
    for (const port of [1, 80, 1023, 1024, 5000, 65535]) expect(leave(gateway, protocol, end(A, port), end(P, 53))).toBe(port)
  })

  it('RND-2: random: each new mapping has a random port, and keeps it', () => {
    const gateway = behaving({}, { ...ports({ selection: 'random' }), limits: { flows: 16384 } })
    const given = Array.from({ length: 5000 }, (_, index) => leave(gateway, protocol, end(host(index + 512), 5000), end(P, 53)))
    expectFlat(given.map((port) => Math.floor((port - 1024) / 2016)), 32)
    expectUncorrelated(given)
    for (const remote of [end(Q, 1), end(P, 54)]) expect(leave(gateway, protocol, end(host(512), 5000), remote)).toBe(given[0])
    expect(leave(gateway, protocol, end(A, 700), end(P, 53))).toBeLessThan(1024)
  })

  it('NAT-6: fully random, as random with shared ports: each flow has a port of its own', () => {
    const symmetric = behaving({ mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent' }, ports({ selection: 'fully-random' }))
    for (const gateway of [symmetric, sharing({ selection: 'fully-random' }), sharing({ selection: 'random' })]) {
      const given = Array.from({ length: 200 }, (_, index) => leave(gateway, protocol, end(A, 5000), end(P, index + 1)))
      expect(new Set(given).size).toBeGreaterThan(190)
      expect(given.filter((port) => port < 1024)).toEqual([])
    }
  })

  it('sequential: the next port of the class, by protocol', () => {
    for (const gateway of [behaving({}, ports({ selection: 'sequential' })), sharing({ selection: 'sequential' })]) {
      const give = (port: number, remote: number): number => leave(gateway, protocol, end(A, port), end(P, remote))
      expect([give(5000, 1), give(7000, 2), give(700, 3), give(5001, 4), give(701, 5)].slice(0, 2)).toEqual([1024, 1025])
      expect(give(5002, 6)).toBe(1027)
      expect(leave(gateway, protocol === 'tcp' ? 'udp' : 'tcp', end(A, 5000), end(P, 1))).toBe(1024)
    }
  })

  it('RND-4, NAT-4: with every port taken a flow is refused at once, with all but one that one is found', () => {
    for (const selection of ['preserve', 'random', 'sequential'] as const) {
      const gateway = behaving({}, { ...ports({ selection }), ports: [[40000, 40099]] })
      const taken = new Set(Array.from({ length: 99 }, (_, index) => leave(gateway, protocol, end(host(index + 2), 7000), end(P, 1))))
      expect(taken.size).toBe(99)
      taken.add(leave(gateway, protocol, end(host(200), 7000), end(P, 1)))
      expect(taken.size).toBe(100)
      for (let round = 0; round < 50; round++) gateway.fromLan(packet(protocol, end(host(300 + round), 7000), end(Q, 1)))
      expect(gateway.toWan()).toEqual([])
      expect(gateway.drops).toEqual({ 'ports-exhausted': 50 })
      expect(gateway.flows).toBe(100)
    }
  })

  it('RND-1: every policy draws from the ports that may be used, also when these change', () => {
    for (const selection of ['preserve', 'random', 'fully-random', 'sequential'] as const) {
      for (const blockSize of [0, 16]) {
        const gateway = behaving(
          { mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent' },
          { ...ports({ selection, blockSize, blocksPerHost: 64 }), ports: [[40000, 40127]] },
        )
        const given = (count: number): number[] =>
          Array.from({ length: count }, (_, index) => leave(gateway, protocol, end(A, 40120 + index), end(P, index + 1)))
        expect(given(20).filter((port) => port < 40000 || port > 40127)).toEqual([])
        gateway.plane.nat.setPorts([[50000, 50100]], [])
        gateway.advance(20_000)
        expect(given(20).filter((port) => port < 50000 || port > 50100)).toEqual([])
      }
    }
  })

  it('CGN-8 (REQ-8): a port that was open to anybody is not given to another host for 120 s', () => {
    const gateway = behaving({ filtering: 'endpoint-independent' }, { ports: [[40000, 40000]], ...(protocol === 'tcp' ? {} : { timeouts: { udp: 10, udpStream: 10 } }) })
    leave(gateway, protocol, end(A, 5000), end(P, 1))
    gateway.plane.table.close(0)
    gateway.fromLan(packet(protocol, end(B, 5000), end(P, 1)))
    // TCP is exempt: its state tells its packets apart.
    expect(gateway.toWan()).toHaveLength(protocol === 'tcp' ? 1 : 0)
    if (protocol === 'tcp') return
    gateway.advance(119)
    gateway.fromLan(packet(protocol, end(B, 5000), end(P, 1)))
    expect(gateway.toWan()).toHaveLength(0)
    gateway.advance(1)
    expect(leave(gateway, protocol, end(B, 5000), end(P, 1))).toBe(40000)
  })
})

describe.each(PROTOCOLS)('shared ports of %s', (protocol) => {
  const go = (gateway: MemoryGateway, source: string, remote: string, port = 5000): number => leave(gateway, protocol, end(source, port), end(remote, 53))

  it('NAT-2: a flow takes the endpoint that its inside endpoint has already, before its own port', () => {
    const gateway = sharing()
    expect(go(gateway, B, P)).toBe(5000)
    const changed = go(gateway, A, P)
    expect(changed).not.toBe(5000)
    // 5000 is free towards Q; what A has is taken nevertheless.
    expect(go(gateway, A, Q)).toBe(changed)
    // Towards Q that is taken now: for B its own port, for C another one.
    expect(go(gateway, B, Q)).toBe(5000)
    expect([5000, changed]).not.toContain(go(gateway, C, Q))
    // Another inside endpoint of A has none yet.
    expect(go(gateway, A, Q, 5001)).toBe(5001)
  })

  it('NAT-2: of several the newest; where that is taken, its own port, then any', () => {
    const gateway = sharing()
    go(gateway, B, P)
    const first = go(gateway, A, P)
    // Somebody else has that port towards Q: A has its own there.
    expect(go(gateway, B, Q, first)).toBe(first)
    expect(go(gateway, A, Q)).toBe(5000)
    // The newest flow has 5000 now.
    expect(go(gateway, A, '192.0.2.1')).toBe(5000)
    // When it and the other are gone, what is left of the oldest counts.
    const close = (remote: string): void => {
      const side = gateway.plane.table.find(ip(A), ip(remote), (5000 << 16) | 53, protocol === 'tcp' ? 6 : 17)
      gateway.plane.table.close(side >> 1)
    }
    close('192.0.2.1')
    close(Q)
    expect(go(gateway, A, '192.0.2.2')).toBe(first)
    close('192.0.2.2')
    close(P)
    expect(go(gateway, A, '192.0.2.3')).toBe(5000)
  })

  it('NAT-2: not one that may not be used any more', () => {
    const gateway = sharing({}, { ports: [[40000, 40100]] })
    const first = go(gateway, A, P)
    expect(go(gateway, A, Q)).toBe(first)
    gateway.plane.nat.setPorts([[50000, 50100]], [])
    expect(go(gateway, A, '192.0.2.1')).toBeGreaterThanOrEqual(50000)
  })

  it('NAT-3: search classes of netfilter', () => {
    const gateway = sharing()
    const given = (port: number): number[] => Array.from({ length: 40 }, (_, index) => go(gateway, host(index + 2), P, port)).slice(1)
    for (const port of given(100)) expect(port).toBeLessThan(512)
    for (const port of given(700)) expect(port >= 600 && port < 1024).toBe(true)
    for (const port of given(512)) expect(port >= 600 && port < 1024).toBe(true)
    for (const port of given(5000)) expect(port).toBeGreaterThanOrEqual(1024)
  })

  it('NAT-1: 70 000 flows through one address to two remotes', () => {
    const gateway = sharing({}, { limits: { flows: 100_000 } })
    let count = 0
    for (const remote of [P, Q]) {
      for (let index = 0; index < 35_000; index++) {
        gateway.fromLan(packet(protocol, end(host(index >> 8), 1024 + index), end(remote, 53)))
        if (index % 1000 === 999) count += gateway.toWan().length
      }
    }
    expect([count, gateway.flows, gateway.drops]).toEqual([70_000, 70_000, {}])
  })

  it('NAT-4: with a class full, a flow is refused without delay and without a trace', () => {
    const gateway = sharing()
    for (let port = 1; port < 512; port++) go(gateway, A, P, port)
    gateway.fromLan(packet(protocol, end(B, 100), end(P, 53)))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'ports-exhausted': 1 })
    expect(gateway.flows).toBe(511)
    expect(go(gateway, B, Q, 100)).toBe(100)
  })

  it('NAT-5: a range of ports: the own one inside it, otherwise one of it', () => {
    const gateway = sharing({}, { ports: [[40000, 40009]] })
    expect(go(gateway, A, P, 40003)).toBe(40003)
    const given = [go(gateway, A, P, 7000), go(gateway, B, P, 40003)]
    expect(given.filter((port) => port < 40000 || port > 40009 || port === 40003)).toEqual([])
  })
})

describe('identifiers of ICMP queries', () => {
  it('NAT-3: have no class: any may replace any, and 0 is one of them', () => {
    for (const gateway of [sharing(), behaving({})]) {
      expect(ping(gateway, A, 0)).toBe(0)
      expect(ping(gateway, A, 700)).toBe(700)
      const given = Array.from({ length: 60 }, (_, index) => ping(gateway, host(index + 512), 700))
      expect(Math.max(...given)).toBeGreaterThan(1023)
      expect(new Set(given).size).toBe(60)
      for (const [index, identifier] of given.entries()) {
        gateway.fromWan(buildIcmpEcho({ source: P, destination: E, identifier, reply: true }))
        expect(to(only(gateway.toLan())).split(':')[0]).toBe(host(index + 512))
      }
    }
  })

  it('CGN-8: an identifier rests like a port', () => {
    const gateway = behaving({ filtering: 'endpoint-independent' }, { ports: [[40000, 40000]] })
    expect(ping(gateway, A, 40000)).toBe(40000)
    gateway.plane.table.close(0)
    gateway.fromLan(buildIcmpEcho({ source: B, destination: P, identifier: 40000 }))
    expect(gateway.toWan()).toEqual([])
    gateway.advance(120)
    expect(ping(gateway, B, 40000)).toBe(40000)
  })
})

describe('UDP-12 (REQ-11)', () => {
  it('UDP-12: behaviour is the same in and after collisions, under every policy that reuses mappings', () => {
    for (const selection of ['preserve', 'random', 'sequential'] as const) {
      for (const blockSize of [0, 64]) {
        const gateway = behaving({}, ports({ selection, blockSize }))
        for (const source of [A, B, C]) {
          const given = [end(P, 1), end(P, 2), end(Q, 1)].map((remote) => leave(gateway, 'udp', end(source, 5000), remote))
          expect(new Set(given).size).toBe(1)
          expect(enter(gateway, 'udp', end(P, 9), given[0]!)).toBe(`${source}:5000`)
          expect(enter(gateway, 'udp', end('192.0.2.9', 9), given[0]!)).toBeNull()
        }
      }
    }
  })
})

describe('rules', () => {
  it('NAT-6: choose ports otherwise', () => {
    const { nat } = PROFILES.linux
    const gateway = new MemoryGateway({ profile: 'linux', nat: { ...nat, rules: [{ to: `${Q}/32`, selection: 'sequential' }, { protocol: 'udp', selection: 'random' }] } })
    expect(leave(gateway, 'udp', end(A, 5000), end(Q, 53))).toBe(1024)
    expect(leave(gateway, 'udp', end(A, 5001), end(Q, 53))).toBe(1025)
    expect(leave(gateway, 'tcp', end(A, 5000), end(P, 53))).toBe(5000)
    expect(new Set(Array.from({ length: 20 }, (_, index) => leave(gateway, 'udp', end(A, 5000), end(P, index + 1)))).size).toBeGreaterThan(15)
  })

  it('an error about a flow whose port was changed finds its way', () => {
    const gateway = behaving({}, ports({ selection: 'random' }))
    gateway.fromLan(packet('udp', end(A, 5000), end(P, 53)))
    const sent = only(gateway.toWan())
    gateway.fromWan(buildIcmpError({ source: P, destination: E, type: 3, code: 3, quote: sent }))
    expect(icmp(only(gateway.toLan()))).toBe('3/3')
  })
})
