/** RFC 6888, row by row. */
import { describe, expect, it } from 'vitest'
import { PROFILES } from '../../src/nat/profiles.js'
import { SYN } from '../../src/stack/wire/tcp.js'
import { ROWS, SECTIONS } from './rows.js'
import {
  A, all, B, back, buildIcmpEcho, E, E2, end, enter, from, gatewayOf, icmp, inward, leave, only, outward, P, packet, ping, portsOf, PROTOCOLS, Q, sourceOf, to,
} from './support.js'

const HOST = end(A, 5000)
const POOL = '203.0.113.1,203.0.113.9-203.0.113.12,198.18.0.0/30'
const POOL_ADDRESSES = [1, 9, 10, 11, 12].map((host) => `203.0.113.${host}`).concat([0, 1, 2, 3].map((host) => `198.18.0.${host}`))
const pooled = (pool: string, addresses: string[]) => gatewayOf('behave', { wanAddresses: addresses, nat: { pool } })
const ask = (gateway: ReturnType<typeof pooled>, host: string): string[] => [
  ...PROTOCOLS.map((protocol) => sourceOf(outward(gateway, packet(protocol, end(host, 5000), end(P, 80))))),
  sourceOf(outward(gateway, buildIcmpEcho({ source: host, destination: P, identifier: 7 }))),
]

it('CGN-1: no MUST of RFC 4787, 5382 and 5508 is left out', () => {
  const rows = SECTIONS.slice(0, 3).flatMap((section) => section.rows)
  expect(rows.filter(({ level, deviation }) => level.startsWith('M') && deviation !== undefined)).toEqual([])
  expect(ROWS.length).toBeGreaterThan(rows.length)
})

describe('pools of addresses', () => {
  it('CGN-2: TCP, UDP and ICMP of an inside host leave from one address, of the pool\'s several', () => {
    const gateway = pooled(`${E},${E2}`, [E, E2])
    const used = new Set<string>()
    for (let host = 2; host < 60; host++) {
      const seen = new Set(ask(gateway, `10.0.0.${host}`))
      expect(seen.size).toBe(1)
      used.add([...seen][0]!)
    }
    expect([...used].sort()).toEqual([E, E2])
  })

  it('CGN-3: the pool may have gaps and lie in several networks: all of it is used, and nothing else', () => {
    const gateway = pooled(POOL, POOL_ADDRESSES)
    const used = new Set<string>()
    for (let host = 0; host < 500; host++) used.add(sourceOf(outward(gateway, packet('udp', end(`10.0.${host >> 8}.${host & 255}`, 5000), end(P, 53)))))
    expect([...used].sort()).toEqual([...POOL_ADDRESSES].sort())
  })
})

describe('limits', () => {
  it('CGN-4: with 100 flows for each inside host the 101st is refused and told, of whatever protocol; another host is not touched', () => {
    const gateway = gatewayOf('behave', { limits: { flowsPerSource: 100 } })
    for (let count = 0; count < 50; count++) for (const protocol of PROTOCOLS) leave(gateway, protocol, end(A, 5000 + count), end(P, 80))
    expect(icmp(back(gateway, packet('udp', end(A, 6000), end(P, 80))))).toBe('3/1')
    expect(icmp(back(gateway, buildIcmpEcho({ source: A, destination: P, identifier: 7 })))).toBe('3/1')
    expect(gateway.toWan()).toEqual([])
    expect([ping(gateway, B, P), leave(gateway, 'udp', end(B, 6000), end(P, 80))]).toEqual([7, 6000])
    expect(enter(gateway, 'udp', end(P, 80), 5000)).toBe(`${A}:5000`)
  })

  it('CGN-4: new flows a second of one host are limited too, with twice as many at once', () => {
    const gateway = gatewayOf('behave', { limits: { newFlowsPerSource: 10 } })
    const opened = (host: string, from_: number): number => {
      for (let count = 0; count < 100; count++) gateway.fromLan(packet('udp', end(host, from_ + count), end(P, 80)))
      gateway.toLan()
      return gateway.toWan().length
    }
    expect([opened(A, 1000), opened(B, 1000)]).toEqual([20, 20])
    gateway.advance(1)
    expect(opened(A, 2000)).toBe(10)
  })

  it('CGN-5: one mapping towards 10 000 remotes takes no more than the host\'s share of flows', () => {
    const gateway = gatewayOf('behave', { limits: { flowsPerSource: 200 } })
    for (let count = 0; count < 10_000; count++) gateway.lan.push(packet('udp', HOST, end(`198.18.${count >> 8}.${count & 255}`, 53)))
    gateway.fromLan(packet('udp', end(B, 5001), end(P, 53)))
    expect([gateway.flows, portsOf(gateway.toWan())]).toEqual([201, [5000, 5001]])
  })

  it('CGN-11: with everything taken the new is refused, told with 3/1 and counted, and whatever was answered lives on', () => {
    const gateway = gatewayOf('behave', { limits: { flows: 100 } })
    for (let host = 0; host < 100; host++) leave(gateway, 'udp', end(`10.0.1.${host}`, 5000 + host), end(P, 53))
    for (let count = 0; count < 10; count++) expect(icmp(back(gateway, packet('udp', end(B, 5000 + count), end(P, 53))))).toBe('3/1')
    expect(gateway.drops).toEqual({ 'table-full': 10 })
    for (let host = 0; host < 100; host++) expect(enter(gateway, 'udp', end(P, 53), 5000 + host)).toBe(`10.0.1.${host}:${5000 + host}`)
  })

  it.each([['off', false, 300], ['on', true, 299]] as const)(
    'CGN-11: in a flood of 300 inside addresses of which none was answered, limits.makeRoom being %s: the oldest makes room: %s, %i live on', (_, makeRoom, living) => {
      const gateway = gatewayOf('behave', { limits: { flows: 300, makeRoom } })
      const host = (count: number): string => `10.0.${1 + (count >> 8)}.${count & 255}`
      for (let count = 0; count < 300; count++) leave(gateway, 'udp', end(host(count), 5000 + count), end(P, 53))
      expect(gateway.fromLan(packet('udp', HOST, end(P, 53))).toWan()).toHaveLength(300 - living)
      gateway.toLan()
      const alive = Array.from({ length: 300 }, (_none, count) => enter(gateway, 'udp', end(P, 53), 5000 + count)?.startsWith(`${host(count)}:`))
      expect(alive.filter((is) => is === true).length).toBe(living)
    },
  )
})

describe('behaviour', () => {
  it('CGN-6: destinations of a rule with translate: false see the inside address and port; all else is translated', () => {
    const gateway = gatewayOf('behave', { nat: { rules: [{ to: '198.51.100.10/32', ports: '53', translate: false }] } })
    expect(from(outward(gateway, packet('udp', HOST, end(P, 53))))).toBe(`${A}:5000`)
    expect(to(inward(gateway, packet('udp', end(P, 53), HOST)))).toBe(`${A}:5000`)
    for (const remote of [end(P, 54), end(Q, 53)]) expect(from(outward(gateway, packet('udp', HOST, remote)))).toBe(`${E}:5000`)
  })

  it.each(['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const)('CGN-7: filtering can be %s', (filtering) => {
    const gateway = gatewayOf('behave', all({ filtering }))
    const port = leave(gateway, 'udp', HOST, end(P, 53))
    expect([enter(gateway, 'udp', end(Q, 53), port) !== null, enter(gateway, 'udp', end(P, 54), port) !== null])
      .toEqual([filtering === 'endpoint-independent', filtering !== 'address-and-port-dependent'])
  })

  it('CGN-8: with an endpoint-independent filter a UDP port rests for 120 s, whatever the demand', () => {
    const gateway = gatewayOf('behave', { ...all({ filtering: 'endpoint-independent' }), ports: [[40000, 40009]] })
    const old = leave(gateway, 'udp', end(A, 40003), end(P, 53))
    gateway.advance(301)
    gateway.advance(1)
    expect([old, gateway.flows]).toEqual([40003, 0])
    for (let host = 0; host < 9; host++) expect(leave(gateway, 'udp', end(`10.0.1.${host}`, 40003), end(P, 53))).not.toBe(old)
    expect(gateway.fromLan(packet('udp', end(B, 40003), end(P, 53))).toWan()).toEqual([])
    gateway.advance(120)
    expect(leave(gateway, 'udp', end(B, 40003), end(P, 53))).toBe(old)
  })

  it('CGN-8: exempt are its last owner, TCP, and what a filter protects; nat.ports.hold sets the time', () => {
    const free = all({ filtering: 'endpoint-independent' })
    const again = (protocol: 'udp' | 'tcp', options: Parameters<typeof gatewayOf>[1], host: string): number => {
      const gateway = gatewayOf('behave', options)
      leave(gateway, protocol, HOST, end(P, 53))
      gateway.advance(302)
      return leave(gateway, protocol, end(host, 5000), end(P, 53))
    }
    expect([again('udp', free, A), again('tcp', free, B), again('udp', {}, B)]).toEqual([5000, 5000, 5000])
    expect(again('udp', free, B)).not.toBe(5000)
    const ports = { ...PROFILES.behave.nat.ports, hold: 0 }
    expect(again('udp', { ...free, nat: { ports } }, B)).toBe(5000)
  })
})

describe('the use of ports', () => {
  it('CGN-13: every port is used before anybody is refused; towards others every port again, where ports are shared', () => {
    const gateway = gatewayOf('behave', { ports: [[40000, 40999]], limits: { makeRoom: false } })
    const host = (count: number): string => `10.0.${1 + (count >> 8)}.${count & 255}`
    for (let count = 0; count < 1000; count++) leave(gateway, 'udp', end(host(count), 1024 + count), end(P, 53))
    expect(icmp(back(gateway, packet('udp', end(B, 5000), end(P, 53))))).toBe('3/1')
    const shared = gatewayOf('linux', { ports: [[40000, 40999]] })
    for (const remote of [P, Q]) for (let count = 0; count < 1000; count++) leave(shared, 'udp', end(A, 1024 + count), end(remote, 53))
    expect(shared.flows).toBe(2000)
  })

  it('CGN-15: what an inside host gets says nothing of what it gets next', () => {
    const gateway = gatewayOf('behave', { nat: { ports: { ...PROFILES.behave.nat.ports, selection: 'random' } } })
    const ports = Array.from({ length: 500 }, (_, count) => leave(gateway, 'tcp', end(A, 1024 + count), end(P, 80)))
    const near = ports.filter((port, index) => index > 0 && Math.abs(port - ports[index - 1]!) < 64)
    expect([near.length < 10, new Set(ports).size]).toEqual([true, 500])
    expect(only(gateway.fromLan(packet('tcp', end(A, 9999), end(P, 80), SYN)).toWan()).length).toBe(40)
  })
})
