import { describe, expect, it } from 'vitest'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildFragments, buildIcmpError, buildUdp } from '../src/testing/packets.js'
import { A, bytesOf, E, from, icmp, ip, only, P, Q, to } from './stack/support.js'

const ROUTER = '203.0.113.254'
const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const udp = (sourcePort: number, destination = P): Uint8Array => buildUdp({ ...UDP, sourcePort, destination })

/** A gateway whose WAN is Ethernet, everything behind one router. */
const setUp = (options: MemoryGatewayOptions = {}) => {
  const gateway = new MemoryGateway({
    neighbours: true, routes: [{ destination: 0, prefixLength: 0, gateway: ip(ROUTER), source: ip(E) }], ...options,
  })
  const resolve = (address = ROUTER): void => gateway.plane.learnNeighbour(0, ip(address), 0x0242, 5)
  const fail = (address = ROUTER): void => gateway.plane.failNeighbour(0, ip(address), gateway.now)
  return { gateway, resolve, fail }
}

describe('packets whose next hop has no Ethernet address yet', () => {
  it('wait, cause one question, and leave in order when the answer comes', () => {
    const { gateway, resolve } = setUp()
    for (let port = 1; port <= 10; port++) gateway.fromLan(udp(port, port % 2 === 0 ? P : Q))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.asked).toEqual([ip(ROUTER)])
    resolve()
    const sent = gateway.toWan()
    expect(sent.map(({ bytes }) => from(bytes))).toEqual(Array.from({ length: 10 }, (_, n) => `${E}:${n + 1}`))
    expect(new Set(sent.map(({ link }) => link)).size).toBe(1)
    expect(sent[0]!.link).toBeGreaterThan(0)
    expect(sent.flatMap(({ bytes }) => checkPacket(bytes))).toEqual([])
    expect(gateway.drops).toEqual({})
    gateway.fromLan(udp(11))
    expect(gateway.toWan()).toHaveLength(1)
    expect(gateway.asked).toHaveLength(1)
  })

  it('are counted once, however long they wait', () => {
    const { gateway, resolve } = setUp()
    gateway.fromLan(udp(1))
    resolve()
    const { lan, wans: [wan] } = gateway.plane.pipeline
    expect([lan.rxPackets, lan.rxBytes, wan!.egress.packets]).toEqual([1, 28, 1])
  })

  it('RTR-7: on silence the senders are told 3/1, and no flow remains of which nothing has passed', () => {
    const { gateway, fail } = setUp()
    for (let port = 1; port <= 5; port++) gateway.fromLan(udp(port))
    fail()
    const told = gateway.toLan()
    expect(told.map(({ bytes }) => icmp(bytes))).toEqual(new Array(5).fill('3/1'))
    for (const [index, { bytes }] of told.entries()) expect(bytes.subarray(28)).toEqual(udp(index + 1))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'next-hop-unresolved': 5 })
    expect(gateway.flows).toBe(0)
  })

  it('are refused at once while the silence is fresh, and asked for again after a second', () => {
    const { gateway, fail, resolve } = setUp()
    gateway.fromLan(udp(1))
    fail()
    gateway.toLan()
    gateway.fromLan(udp(2))
    expect(icmp(only(gateway.toLan()))).toBe('3/1')
    expect(gateway.flows).toBe(0)
    gateway.advance(1)
    gateway.fromLan(udp(3))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.asked).toHaveLength(2)
    resolve()
    expect(gateway.toWan()).toHaveLength(1)
    expect(gateway.flows).toBe(1)
  })

  it('a flow that has passed packets outlives a silence of its next hop', () => {
    const { gateway, fail, resolve } = setUp()
    gateway.fromLan(udp(1))
    resolve()
    fail()
    gateway.advance(2)
    gateway.fromLan(udp(1))
    fail()
    expect(icmp(only(gateway.toLan()))).toBe('3/1')
    expect(gateway.flows).toBe(1)
    gateway.advance(2)
    gateway.fromLan(udp(1))
    gateway.toWan()
    resolve()
    expect(gateway.toWan()).toHaveLength(1)
  })

  it('do not wait for ever when nobody ever answers', () => {
    const { gateway } = setUp()
    gateway.fromLan(udp(1))
    for (let second = 1; second < 5; second++) {
      gateway.advance(1)
      gateway.fromLan(udp(1))
    }
    expect(gateway.toLan()).toEqual([])
    gateway.advance(1)
    // The first is told; its flow, through which nothing has passed, ends, and the others with it.
    expect(gateway.toLan().map(({ bytes }) => icmp(bytes))).toEqual(['3/1'])
    expect(gateway.drops).toEqual({ 'next-hop-unresolved': 1, deleted: 4 })
    expect(gateway.flows).toBe(0)
  })

  it('are bounded: those beyond are dropped, and open no flow', () => {
    const { gateway, resolve } = setUp()
    for (let port = 1; port <= 70; port++) gateway.fromLan(udp(port))
    expect(gateway.flows).toBe(64)
    resolve()
    expect(gateway.toWan()).toHaveLength(64)
    expect(gateway.drops).toEqual({ 'next-hop-queue-full': 6 })
  })

  it('do not go out when their flow was deleted meanwhile, and do not open it again', () => {
    const { gateway, resolve } = setUp()
    gateway.fromLan(udp(1)).fromLan(udp(2))
    const { table } = gateway.plane
    expect([...gateway.plane.nat.closeFlows(Int32Array.of(0, table.generationOf(0)))]).toEqual([0, 1])
    resolve()
    expect(gateway.toWan().map(({ bytes }) => from(bytes))).toEqual([`${E}:2`])
    expect(gateway.drops).toEqual({ deleted: 1 })
    expect(gateway.flows).toBe(1)
  })

  it('fragments wait like others, and what comes later of their datagram finds its way', () => {
    const pieces = buildFragments(buildUdp({ ...UDP, id: 3, payload: bytesOf(1200) }), 500)
    for (const [early, late] of [[[0, 1, 2], []], [[0, 2], [1]], [[0, 1], [2]], [[2, 0], [1]], [[2, 1], [0]], [[0], [2, 1]]] as const) {
      const { gateway, resolve } = setUp()
      for (const index of early) gateway.fromLan(pieces[index]!)
      expect(gateway.toWan()).toEqual([])
      resolve()
      for (const index of late) gateway.fromLan(pieces[index]!)
      // When nothing could be asked for without the first fragment, the question is still open.
      resolve()
      expect(gateway.toWan()).toHaveLength(3)
      expect(gateway.drops).toEqual({})
      expect(gateway.flows).toBe(1)
    }
  })

  it('ICMP errors wait as well', () => {
    const { gateway, resolve, fail } = setUp()
    gateway.fromLan(udp(1))
    resolve()
    gateway.toWan()
    gateway.fromWan(buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 1 }))
    const quote = only(gateway.toLan())
    fail()
    gateway.advance(2)
    const error = buildIcmpError({ source: A, destination: P, type: 3, code: 3, quote })
    gateway.fromLan(error)
    expect(gateway.toWan()).toEqual([])
    resolve()
    const sent = only(gateway.toWan())
    expect(checkPacket(sent)).toEqual([])
    expect(icmp(sent)).toBe('3/3')
    // Nobody is told when an error gets lost (RTR-3).
    fail()
    gateway.advance(2)
    gateway.fromLan(error)
    fail()
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'next-hop-unresolved': 1 })
    expect(gateway.flows).toBe(1)
  })

  it('errors of the gateway to the outside do not wait, but the next one can go', () => {
    const { gateway, resolve, fail } = setUp()
    gateway.fromLan(udp(1))
    resolve()
    gateway.toWan()
    const late = buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 1, ttl: 1 })
    gateway.fromWan(late)
    expect(icmp(only(gateway.toWan()))).toBe('11/0')
    fail()
    gateway.fromWan(late)
    expect(gateway.toWan()).toEqual([])
    gateway.advance(1)
    gateway.fromWan(late)
    expect(gateway.toWan()).toEqual([])
    expect(gateway.asked).toEqual([ip(ROUTER), ip(ROUTER)])
    resolve()
    gateway.fromWan(late)
    expect(icmp(only(gateway.toWan()))).toBe('11/0')
  })

  it('hosts on the link are neighbours of their own', () => {
    const { gateway, resolve } = setUp({
      routes: [
        { destination: ip('203.0.113.0'), prefixLength: 24, gateway: null, source: ip(E) },
        { destination: 0, prefixLength: 0, gateway: ip(ROUTER), source: ip(E) },
      ],
    })
    gateway.fromLan(udp(1, '203.0.113.7')).fromLan(udp(1, P)).fromLan(udp(1, Q))
    expect(gateway.asked).toEqual([ip('203.0.113.7'), ip(ROUTER)])
    resolve('203.0.113.7')
    expect(to(only(gateway.toWan()))).toBe('203.0.113.7:53')
    resolve()
    expect(gateway.toWan().map(({ bytes }) => to(bytes))).toEqual([`${P}:53`, `${Q}:53`])
  })

  it('without room for another neighbour the sender is told that there is no way', () => {
    const { gateway } = setUp({ routes: [{ destination: 0, prefixLength: 0, gateway: null, source: ip(E) }] })
    for (let n = 1; n < 65536; n++) gateway.plane.pipeline.wans[0]!.neighbours!.indexOf(n)
    gateway.fromLan(udp(1))
    expect(icmp(only(gateway.toLan()))).toBe('3/0')
    expect(gateway.drops).toEqual({ 'no-route': 1 })
    expect(gateway.flows).toBe(0)
  })

})
