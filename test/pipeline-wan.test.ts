import { describe, expect, it } from 'vitest'
import { MemoryDevice } from '../src/stack/device/memory.js'
import { SYN } from '../src/stack/wire/tcp.js'
import { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildIcmpError, buildTcp, buildUdp } from '../src/testing/packets.js'
import type { WanSettings } from '../src/worker-protocol.js'
import { A, B, E, from, icmp, ip, only, P, Q, sourceOf, to } from './stack/support.js'

const E2 = '203.0.113.2'
const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const BACK = { source: P, destination: E, sourcePort: 53, destinationPort: 5000 }
const DEFAULT: WanSettings = { up: true, mtu: 1500, addresses: [ip(E)], routes: [{ destination: 0, prefixLength: 0, gateway: null, source: ip(E) }] }

describe('changes of the WAN', () => {
  it('MASQ-1: a flow leaves from the address of its route', () => {
    const gateway = new MemoryGateway({
      wanAddresses: [E, E2],
      routes: [{ destination: 0, prefixLength: 0, gateway: null, source: ip(E) }, { destination: ip(Q), prefixLength: 32, gateway: null, source: ip(E2) }],
    })
    gateway.fromLan(buildUdp(UDP)).fromLan(buildUdp({ ...UDP, destination: Q }))
    expect(gateway.toWan().map(({ bytes }) => sourceOf(bytes))).toEqual([E, E2])
  })

  it('MASQ-3: flows of an address that is gone end, others stay; new ones take the new address', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(UDP))
    gateway.setWan(0, { ...DEFAULT, addresses: [ip(E), ip(E2)], routes: [{ ...DEFAULT.routes[0]!, source: ip(E2) }] })
    gateway.fromLan(buildUdp(UDP)).fromLan(buildUdp({ ...UDP, sourcePort: 5001 }))
    expect(gateway.toWan().map(({ bytes }) => from(bytes))).toEqual([`${E}:5000`, `${E}:5000`, `${E2}:5001`])
    gateway.setWan(0, { ...DEFAULT, addresses: [ip(E2)], routes: [{ ...DEFAULT.routes[0]!, source: ip(E2) }] })
    expect(gateway.flows).toBe(1)
    gateway.fromWan(buildUdp(BACK))
    expect(gateway.toLan()).toEqual([])
    gateway.fromWan(buildUdp({ ...BACK, destination: E2, destinationPort: 5001 }))
    expect(to(only(gateway.toLan()))).toBe(`${A}:5001`)
    gateway.fromLan(buildUdp(UDP))
    expect(from(only(gateway.toWan()))).toBe(`${E2}:5000`)
    expect(gateway.drops).toEqual({ 'no-flow': 1 })
  })

  it('a change that leaves the address leaves the flows', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(UDP))
    gateway.setWan(0, { ...DEFAULT, up: false })
    gateway.setWan(0, { ...DEFAULT, mtu: 1400 })
    expect(gateway.flows).toBe(1)
    gateway.fromWan(buildUdp(BACK))
    expect(gateway.toLan()).toHaveLength(1)
  })

  it('RTR-7: down, without route or without address: 3/0, and no flow', () => {
    const cases = [[{ up: false }, 'wan-down'], [{ routes: [] }, 'no-route'], [{ routes: [{ ...DEFAULT.routes[0]!, source: 0 }] }, 'no-address']] as const
    for (const [change, reason] of cases) {
      const gateway = new MemoryGateway()
      gateway.setWan(0, { ...DEFAULT, ...change })
      gateway.fromLan(buildUdp(UDP))
      expect(icmp(only(gateway.toLan()))).toBe('3/0')
      expect(gateway.toWan()).toEqual([])
      expect(gateway.drops).toEqual({ [reason]: 1 })
      expect(gateway.flows).toBe(0)
      gateway.setWan(0, DEFAULT)
      gateway.fromLan(buildUdp(UDP))
      expect(gateway.toWan()).toHaveLength(1)
    }
  })

  it('a flow whose route has gone: 3/0, and it lives on when the route is back', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(UDP))
    gateway.fromWan(buildUdp(BACK))
    const quote = only(gateway.toLan())
    gateway.toWan()
    gateway.setWan(0, { ...DEFAULT, routes: [] })
    gateway.fromLan(buildUdp(UDP))
    expect(icmp(only(gateway.toLan()))).toBe('3/0')
    gateway.fromLan(buildIcmpError({ source: A, destination: P, type: 3, code: 3, quote }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-route': 2 })
    // To the inside no route is needed.
    gateway.fromWan(buildUdp(BACK))
    expect(gateway.toLan()).toHaveLength(1)
    gateway.setWan(0, DEFAULT)
    gateway.fromLan(buildUdp(UDP))
    expect(gateway.toWan()).toHaveLength(1)
    expect(gateway.flows).toBe(1)
  })

  it('a flow follows a change of its route to another next hop', () => {
    const gateway = new MemoryGateway({ neighbours: true, routes: [{ ...DEFAULT.routes[0]!, gateway: ip('203.0.113.253') }] })
    gateway.fromLan(buildUdp(UDP))
    gateway.plane.learnNeighbour(0, ip('203.0.113.253'), 1, 1)
    const [{ link: before }] = gateway.toWan() as unknown as [{ link: number }]
    gateway.setWan(0, { ...DEFAULT, routes: [{ ...DEFAULT.routes[0]!, gateway: ip('203.0.113.254') }] })
    gateway.fromLan(buildUdp(UDP))
    gateway.plane.learnNeighbour(0, ip('203.0.113.254'), 1, 2)
    const [{ link: after }] = gateway.toWan() as unknown as [{ link: number }]
    expect(after).not.toBe(before)
    expect(gateway.flows).toBe(1)
  })

  it('the MTU counts from the next packet on', () => {
    const gateway = new MemoryGateway()
    const packet = buildUdp({ ...UDP, df: true, payload: new Uint8Array(1472) })
    gateway.fromLan(packet)
    expect(gateway.toWan()).toHaveLength(1)
    gateway.setWan(0, { ...DEFAULT, mtu: 1400 })
    gateway.fromLan(packet)
    expect(gateway.toWan()).toEqual([])
    expect(icmp(only(gateway.toLan()))).toBe('3/4')
  })

  it('the ports count for new flows only', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(UDP))
    gateway.plane.nat.setPorts([[40000, 40001]], [])
    gateway.fromLan(buildUdp(UDP)).fromLan(buildUdp({ ...UDP, source: B }))
    const [, kept, other] = gateway.toWan().map(({ bytes }) => from(bytes))
    expect(kept).toBe(`${E}:5000`)
    expect([`${E}:40000`, `${E}:40001`]).toContain(other)
  })

  it('another device takes over with the counts of the one before, which is closed', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(UDP))
    const wan = gateway.plane.pipeline.wans[0]!
    const next = new MemoryDevice({ name: 'next' })
    wan.replaceDevice(next)
    gateway.fromLan(buildUdp(UDP))
    expect(gateway.toWan()).toHaveLength(1)
    expect(next.takeSent()).toHaveLength(1)
    expect([wan.egress.packets, wan.egress.bytes]).toEqual([2, 56])
    expect(gateway.wan.receive(gateway.plane.slab, wan.region, wan.received)).toBeLessThan(0)
  })

  it('a neighbour that nobody has asked for changes nothing', () => {
    const gateway = new MemoryGateway({ neighbours: true })
    gateway.plane.learnNeighbour(0, ip(P), 1, 1)
    gateway.plane.failNeighbour(0, ip(P), gateway.now)
    gateway.fromLan(buildUdp(UDP))
    expect(gateway.asked).toEqual([ip(P)])
  })
})

describe('closing flows by name', () => {
  it('closes those that are still the same', () => {
    const gateway = new MemoryGateway()
    for (let port = 1; port <= 3; port++) gateway.fromLan(buildTcp({ ...UDP, sourcePort: port, flags: SYN }))
    const { plane } = gateway
    expect([...plane.nat.closeFlows(Int32Array.of(1, 1, 2, 3, 9, 1, -1, 1, 0))]).toEqual([1, 1])
    expect(gateway.flows).toBe(2)
    expect([...plane.nat.closeFlows(Int32Array.of(1, 1, 2, 1, 2, 1))]).toEqual([2, 1])
    expect(gateway.flows).toBe(1)
    gateway.fromWan(buildTcp({ source: P, destination: E, sourcePort: 53, destinationPort: 2 }))
    expect(gateway.drops).toEqual({ 'no-flow': 1 })
  })
})
