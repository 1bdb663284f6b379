/** Several WANs: what comes in by one is answered by it, and each has its own neighbours, routes and state. */
import { describe, expect, it } from 'vitest'
import { parseForward } from '../src/forward-text.js'
import { PROFILES } from '../src/nat/profiles.js'
import { publishStats } from '../src/publish-stats.js'
import { SIDE_STATS, STAT_RX_PACKETS, STAT_TX_PACKETS } from '../src/stats.js'
import { ACK, SYN } from '../src/stack/wire/tcp.js'
import { MemoryDevice } from '../src/stack/device/memory.js'
import { MemoryGateway, type MemoryGatewayOptions, type MemoryWan } from '../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildIcmpError, buildTcp, buildUdp } from '../src/testing/packets.js'
import type { Route } from '../src/route/table.js'
import type { WanSettings } from '../src/worker-protocol.js'
import { A, B, E, from, icmp, ip, only, P, Q, sourceOf, to } from './stack/support.js'

const F = '192.0.2.1'
const ROUTER = '10.9.9.1'
const WANS: readonly MemoryWan[] = [{ addresses: [E] }, { addresses: [F] }]
const FORWARDS = [parseForward(`udp:53:${A}:53`)!, parseForward(`tcp:80:${A}:80`)!]
const routeBy = (address: string): Route[] => [{ destination: 0, prefixLength: 0, gateway: ip(ROUTER), source: ip(address) }]
const settings = (address: string, change: Partial<WanSettings> = {}): WanSettings =>
  ({ up: true, mtu: 1500, addresses: [ip(address)], routes: [{ destination: 0, prefixLength: 0, gateway: null, source: ip(address) }], ...change })

const gatewayOf = (options: MemoryGatewayOptions = {}): MemoryGateway => new MemoryGateway({ wans: WANS, forwards: FORWARDS, ...options })
/** Through one router address on both links. */
const viaRouters = (options: MemoryGatewayOptions = {}): MemoryGateway =>
  gatewayOf({ wans: [{ addresses: [E], routes: routeBy(E), neighbours: true }, { addresses: [F], routes: routeBy(F), neighbours: true }], ...options })

const question = (destination: string, sourcePort = 4000, source = P): Uint8Array => buildUdp({ source, destination, sourcePort, destinationPort: 53 })
const answer = (destinationPort = 4000, destination = P): Uint8Array => buildUdp({ source: A, destination, sourcePort: 53, destinationPort })

describe('several WANs', () => {
  it('what is forwarded in by either is answered by it', () => {
    const gateway = gatewayOf()
    for (const [index, address] of [E, F].entries()) {
      gateway.fromWanAt(index, question(address, 4000 + index))
      expect(to(only(gateway.toLan()))).toBe(`${A}:53`)
      gateway.fromLan(answer(4000 + index))
      expect(from(only(gateway.toWanAt(index)))).toBe(`${address}:53`)
      expect(gateway.toWanAt(1 - index)).toEqual([])
    }
    expect(gateway.flows).toBe(2)
  })

  it('one remote that uses one port by both is two flows, told apart inside by its port', () => {
    const gateway = gatewayOf()
    gateway.fromWanAt(0, question(E))
    gateway.fromWanAt(1, question(F))
    const [first, second] = gateway.toLan().map(({ bytes }) => from(bytes))
    expect(first).toBe(`${P}:4000`)
    expect(second).not.toBe(first)
    gateway.fromLan(answer(Number(second!.split(':')[1])))
    expect(to(only(gateway.toWanAt(1)))).toBe(`${P}:4000`)
    gateway.fromLan(answer(4000))
    expect(to(only(gateway.toWanAt(0)))).toBe(`${P}:4000`)
  })

  it('an ICMP error from inside goes out by the WAN of its flow', () => {
    const gateway = gatewayOf()
    gateway.fromWanAt(1, question(F))
    const quoted = only(gateway.toLan())
    gateway.fromLan(buildIcmpError({ source: A, destination: P, type: 3, code: 3, quote: quoted }))
    expect(gateway.toWanAt(0)).toEqual([])
    expect(icmp(only(gateway.toWanAt(1)))).toBe('3/3')
  })

  it('routers of one address on two links are two neighbours', () => {
    const gateway = viaRouters()
    gateway.fromWanAt(0, question(E, 1))
    gateway.fromWanAt(1, question(F, 2))
    gateway.fromLan(answer(1)).fromLan(answer(2))
    expect(gateway.askedAt).toEqual([[ip(ROUTER)], [ip(ROUTER)]])
    gateway.plane.learnNeighbour(1, ip(ROUTER), 0x0242, 7)
    expect(gateway.toWanAt(0)).toEqual([])
    expect(only(gateway.toWanAt(1)).length).toBe(28)
    gateway.plane.failNeighbour(0, ip(ROUTER), gateway.now)
    expect(gateway.toWanAt(0)).toEqual([])
    gateway.fromLan(answer(2))
    expect(gateway.toWanAt(1)).toHaveLength(1)
    expect(icmp(gateway.fromLan(answer(1)).toLan().at(-1)!.bytes)).toBe('3/1')
  })

  it('each gives up its own neighbours when no answer comes', () => {
    const gateway = viaRouters()
    gateway.fromWanAt(0, question(E, 1))
    gateway.fromWanAt(1, question(F, 2))
    gateway.toLan()
    gateway.fromLan(answer(1)).fromLan(answer(2))
    gateway.plane.learnNeighbour(0, ip(ROUTER), 0x0242, 6)
    gateway.advance(6)
    expect([gateway.toWanAt(0).length, gateway.toWanAt(1).length]).toEqual([1, 0])
    expect(gateway.drops).toEqual({ 'next-hop-unresolved': 1 })
  })

  it('asks for the gateways of each', () => {
    const gateway = viaRouters()
    gateway.plane.askForGateways(1, settings(F, { routes: routeBy(F) }))
    expect(gateway.askedAt).toEqual([[], [ip(ROUTER)]])
  })

  it('MASQ-3: flows of an address that is gone end, those of the other WAN stay', () => {
    const gateway = gatewayOf()
    gateway.fromWanAt(0, question(E, 1))
    gateway.fromWanAt(1, question(F, 2))
    gateway.toLan()
    gateway.setWan(1, settings(F, { addresses: [], routes: [] }))
    expect(gateway.flows).toBe(1)
    gateway.fromLan(answer(1))
    expect(gateway.toWanAt(0)).toHaveLength(1)
  })

  it('MASQ-3: flows of an address that another WAN has now stay', () => {
    const gateway = gatewayOf({ wans: [{ addresses: [E] }, { addresses: [F, E] }] })
    gateway.fromWanAt(0, question(E, 1))
    gateway.setWan(0, settings(E, { addresses: [] }))
    expect(gateway.flows).toBe(1)
  })

  it('MASQ-3: a WAN that is taken down takes its flows with it, and no others', () => {
    const gateway = gatewayOf({ profile: 'linux' })
    gateway.fromWanAt(0, question(E, 1))
    gateway.fromWanAt(1, question(F, 2))
    gateway.setWan(0, settings(E, { up: false, enabled: false }))
    expect(gateway.flows).toBe(1)
    gateway.toLan()
    gateway.fromLan(answer(2))
    expect(gateway.toWanAt(1)).toHaveLength(1)
  })

  it('each has its own MTU', () => {
    const gateway = gatewayOf({ wans: [{ addresses: [E] }, { addresses: [F], mtu: 600 }] })
    const big = (destinationPort: number): Uint8Array => buildUdp({ source: A, destination: P, sourcePort: 53, destinationPort, payload: new Uint8Array(1000), df: true })
    gateway.fromWanAt(0, question(E, 1))
    gateway.fromWanAt(1, question(F, 2))
    gateway.toLan()
    gateway.fromLan(big(1))
    expect(gateway.toWanAt(0)).toHaveLength(1)
    gateway.fromLan(big(2))
    expect(gateway.toWanAt(1)).toEqual([])
    expect(icmp(only(gateway.toLan()))).toBe('3/4')
  })

  it('answers pings of the addresses that each has alone', () => {
    const gateway = gatewayOf({ wans: [{ addresses: [E], ownedAddresses: [E] }, { addresses: [F], ownedAddresses: [F] }] })
    gateway.fromWanAt(1, buildIcmpEcho({ source: P, destination: F, identifier: 7 }))
    expect(gateway.toWanAt(0)).toEqual([])
    expect(sourceOf(only(gateway.toWanAt(1)))).toBe(F)
  })

  it('TCP-4: who knocks in vain is told by the WAN that he came by', () => {
    const gateway = gatewayOf({ profile: 'behave' })
    gateway.fromWanAt(1, buildTcp({ source: P, destination: F, sourcePort: 9, destinationPort: 22, flags: SYN }))
    gateway.advance(6)
    expect(gateway.toWanAt(0)).toEqual([])
    expect(icmp(only(gateway.toWanAt(1)))).toBe('3/3')
  })

  it('TCP of one WAN is none of another', () => {
    const gateway = gatewayOf()
    gateway.fromWanAt(1, buildTcp({ source: P, destination: F, sourcePort: 9, destinationPort: 80, flags: SYN }))
    gateway.toLan()
    gateway.fromWanAt(0, buildTcp({ source: P, destination: F, sourcePort: 9, destinationPort: 80, flags: ACK }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 1 })
  })

  it('what the LAN sends takes the first; hosts inside reach each other by the addresses of all', () => {
    const gateway = gatewayOf()
    gateway.fromLan(buildUdp({ source: B, destination: Q, sourcePort: 5, destinationPort: 6 }))
    expect(from(only(gateway.toWan()))).toBe(`${E}:5`)
    gateway.fromLan(buildUdp({ source: B, destination: F, sourcePort: 5, destinationPort: 53 }))
    expect(to(only(gateway.toLan()))).toBe(`${A}:53`)
  })

  it('packets and bytes are counted for each, also over an exchange of its device', () => {
    const gateway = gatewayOf()
    gateway.fromWanAt(1, question(F)).fromLan(answer())
    gateway.plane.pipeline.wans[1]!.replaceDevice(new MemoryDevice({ name: 'next' }))
    publishStats(gateway.stats, gateway.plane.pipeline)
    const counts = [0, 1, 2].map((zone) => [STAT_RX_PACKETS, STAT_TX_PACKETS].map((offset) => gateway.stats[zone * SIDE_STATS + offset]))
    expect(counts).toEqual([[1, 1], [0, 0], [1, 1]])
  })
})

describe('the way out among several WANs', () => {
  const TO_Q = { destination: ip(Q), prefixLength: 32, gateway: null, source: ip(F) }
  const split = (options: MemoryGatewayOptions = {}): MemoryGateway =>
    gatewayOf({ profile: 'behave', wans: [{ addresses: [E] }, { addresses: [F], routes: [TO_Q] }], ...options })
  const out = (destination: string, sourcePort = 5000): Uint8Array => buildUdp({ source: B, destination, sourcePort, destinationPort: 9 })

  it('an inside endpoint that speaks by two of them has an address of each', () => {
    const gateway = split()
    gateway.fromLan(out(P)).fromLan(out(Q))
    expect(from(only(gateway.toWanAt(0)))).toBe(`${E}:5000`)
    const second = only(gateway.toWanAt(1))
    expect(sourceOf(second)).toBe(F)
    gateway.fromWanAt(1, buildUdp({ source: Q, destination: F, sourcePort: 9, destinationPort: Number(from(second).split(':')[1]) }))
    expect(to(only(gateway.toLan()))).toBe(`${B}:5000`)
    // And keeps them.
    gateway.fromLan(buildUdp({ source: B, destination: P, sourcePort: 5000, destinationPort: 10 }))
    expect(from(only(gateway.toWanAt(0)))).toBe(`${E}:5000`)
    gateway.fromLan(buildUdp({ source: B, destination: Q, sourcePort: 5000, destinationPort: 10 }))
    expect(from(only(gateway.toWanAt(1)))).toBe(from(second))
  })

  it('of a pool only addresses that a WAN has leave by it', () => {
    const nat = { ...PROFILES.behave.nat, pool: `${E},203.0.113.9,${F},192.0.2.9` }
    const gateway = split({ nat, wans: [{ addresses: [E, '203.0.113.9'] }, { addresses: [F, '192.0.2.9'], routes: [TO_Q] }] })
    for (let n = 0; n < 40; n++) {
      const source = `10.0.0.${20 + n}`
      gateway.fromLan(buildUdp({ source, destination: P, sourcePort: 5, destinationPort: 9 })).fromLan(buildUdp({ source, destination: Q, sourcePort: 6, destinationPort: 9 }))
    }
    const sources = (index: number): string[] => [...new Set(gateway.toWanAt(index).map(({ bytes }) => sourceOf(bytes)))].sort()
    expect([sources(0), sources(1)]).toEqual([[E, '203.0.113.9'], [F, '192.0.2.9'].sort()])
  })
})
