import { describe, expect, it } from 'vitest'
import { DROP_NAMES } from '../src/drop.js'
import { ACK, RST, SYN } from '../src/stack/wire/tcp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildFragments, buildIcmp, buildIcmpEcho, buildIcmpError, buildIpv4, buildTcp, buildUdp } from '../src/testing/packets.js'
import { A, B, bytesOf, destinationOf, E, from, G, icmp, only, P, Q, sourceOf, to } from './stack/support.js'

const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const BAD = ['0.0.0.0', '0.1.2.3', '127.0.0.1', '224.0.0.1', '239.255.255.250', '240.0.0.1', '255.255.255.255']

describe('the path of a packet', () => {
  it('translates UDP out and back, keeping the source port', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp({ ...UDP, payload: Uint8Array.of(1, 2, 3) }))
    const out = only(gateway.toWan())
    expect(checkPacket(out)).toEqual([])
    expect(from(out)).toBe(`${E}:5000`)
    gateway.fromWan(buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 5000, payload: Uint8Array.of(9) }))
    const back = only(gateway.toLan())
    expect(checkPacket(back)).toEqual([])
    expect(to(back)).toBe(`${A}:5000`)
    expect(gateway.flows).toBe(1)
    expect(gateway.drops).toEqual({})
  })

  it('TCP-11: opens TCP by SYN only', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildTcp({ ...UDP, flags: ACK })).fromLan(buildTcp({ ...UDP, flags: RST })).fromLan(buildTcp({ ...UDP, flags: SYN | ACK }))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.toLan()).toEqual([])
    gateway.fromLan(buildTcp({ ...UDP, flags: SYN }))
    expect(gateway.toWan()).toHaveLength(1)
    expect(gateway.drops).toEqual({ 'not-a-flow-opener': 3 })
  })

  it('TCP-4: lets nothing in that nobody asked for, and says nothing', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(UDP))
    gateway.toWan()
    const ends = { source: P, destination: E, sourcePort: 53, destinationPort: 5000 }
    gateway.fromWan(buildUdp({ ...ends, source: Q })).fromWan(buildUdp({ ...ends, sourcePort: 54 })).fromWan(buildUdp({ ...ends, destinationPort: 5001 }))
    gateway.fromWan(buildTcp({ ...ends, flags: SYN })).fromWan(buildTcp({ ...ends, flags: SYN | ACK })).fromWan(buildTcp({ ...ends, flags: RST }))
    gateway.fromWan(buildIcmpEcho({ source: P, destination: E, identifier: 5 })).fromWan(buildIcmpEcho({ source: P, destination: E, identifier: 5, reply: true }))
    gateway.fromWan(buildUdp({ ...ends, destination: A })).fromWan(buildUdp({ ...ends, destination: G }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 10 })
    expect(gateway.flows).toBe(1)
  })

  it('TCP-2: simultaneous open passes both ways', () => {
    const gateway = new MemoryGateway()
    const out = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
    const back = { source: P, destination: E, sourcePort: 80, destinationPort: 5000 }
    gateway.fromLan(buildTcp({ ...out, flags: SYN })).fromWan(buildTcp({ ...back, flags: SYN }))
    gateway.fromLan(buildTcp({ ...out, flags: SYN | ACK })).fromWan(buildTcp({ ...back, flags: SYN | ACK }))
    gateway.fromLan(buildTcp({ ...out, flags: ACK, payload: bytesOf(9) }))
    expect(gateway.toWan()).toHaveLength(3)
    expect(gateway.toLan()).toHaveLength(2)
    expect(gateway.flows).toBe(1)
  })

  it('RTR-9: nothing goes to or comes from addresses that no packet may have', () => {
    const gateway = new MemoryGateway()
    for (const bad of BAD) {
      gateway.fromLan(buildUdp({ ...UDP, source: bad })).fromLan(buildUdp({ ...UDP, destination: bad }))
      gateway.fromLan(buildIcmpEcho({ source: bad, destination: P, identifier: 1 })).fromLan(buildIcmpEcho({ source: A, destination: bad, identifier: 1 }))
      gateway.fromWan(buildUdp({ ...UDP, source: bad, destination: E })).fromWan(buildIcmpEcho({ source: P, destination: bad, identifier: 1 }))
      gateway.fromWan(buildIcmpEcho({ source: bad, destination: bad, identifier: 1 }))
    }
    expect(gateway.toWan()).toEqual([])
    expect(gateway.toLan()).toEqual([])
    expect(gateway.flows).toBe(0)
    expect(gateway.drops).toEqual({ 'invalid-source': 28, 'invalid-destination': 14, 'no-flow': 7 })
  })

  it('RTR-10: nothing goes to the broadcast address of the network outside', () => {
    const gateway = new MemoryGateway({ routes: [{ destination: 0xcb007100 | 0, prefixLength: 24, gateway: null, source: 0xcb007101 | 0 }] })
    gateway.fromLan(buildUdp({ ...UDP, destination: '203.0.113.255' }))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'invalid-destination': 1 })
  })

  it('treats documentation and benchmark networks as ordinary', () => {
    const gateway = new MemoryGateway()
    for (const destination of ['192.0.2.1', '198.51.100.1', '203.0.113.77', '198.18.0.1', '198.19.255.254', '100.64.0.1', '169.254.7.7']) {
      gateway.fromLan(buildUdp({ ...UDP, destination }))
      expect(gateway.toWan()).toHaveLength(1)
    }
  })

  it('drops and counts what it cannot read, from either side', () => {
    const gateway = new MemoryGateway()
    for (const send of [gateway.fromLan.bind(gateway), gateway.fromWan.bind(gateway)]) {
      send(new Uint8Array(0))
      send(new Uint8Array(19))
      send(new Uint8Array(60).fill(0x60))
      send(buildUdp({ ...UDP, corrupt: 'header' }))
      send(buildIpv4({ source: A, destination: P, protocol: 6, payload: bytesOf(4) }))
    }
    expect(gateway.drops).toEqual({ short: 4, 'bad-version': 2, 'bad-header-checksum': 2, 'bad-transport': 2 })
    expect(gateway.flows).toBe(0)
  })

  it('refuses other protocols without a trace', () => {
    const gateway = new MemoryGateway()
    for (const protocol of [0, 2, 4, 41, 51, 89, 103, 255]) gateway.fromLan(buildIpv4({ source: A, destination: P, protocol, payload: bytesOf(40) }))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'protocol-refused': 8 })
  })

  it('ICMP-10c, RTR-14: no reaction to obsolete and unknown ICMP', () => {
    const gateway = new MemoryGateway()
    for (let type = 0; type < 256; type++) {
      if ([8, 13].includes(type)) continue
      gateway.fromLan(buildIcmp({ source: A, destination: P, type, payload: bytesOf(40) }))
      gateway.fromWan(buildIcmp({ source: P, destination: E, type, payload: bytesOf(40) }))
    }
    expect(gateway.toWan()).toEqual([])
    expect(gateway.toLan()).toEqual([])
    expect(gateway.flows).toBe(0)
  })

  it('counts packets and bytes of both sides', () => {
    const gateway = new MemoryGateway()
    const { lan, wans: [wan] } = gateway.plane.pipeline
    gateway.fromLan(buildUdp({ ...UDP, payload: bytesOf(10) })).fromLan(buildUdp({ ...UDP, payload: bytesOf(20) }))
    gateway.fromWan(buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 5000 })).fromWan(new Uint8Array(5))
    expect([lan.rxPackets, lan.rxBytes, wan!.egress.packets, wan!.egress.bytes]).toEqual([2, 86, 2, 86])
    expect([wan!.rxPackets, wan!.rxBytes, lan.egress.packets, lan.egress.bytes]).toEqual([2, 33, 1, 28])
    expect(DROP_NAMES.length).toBeGreaterThan(0)
  })

  it('handles a batch larger than the device hands over at once', () => {
    const gateway = new MemoryGateway()
    for (let n = 1; n <= 1000; n++) gateway.lan.push(buildUdp({ ...UDP, sourcePort: n }))
    gateway.fromLan(buildUdp({ ...UDP, sourcePort: 1001 }))
    expect(gateway.toWan().map(({ bytes }) => from(bytes))).toEqual(Array.from({ length: 1001 }, (_, n) => `${E}:${n + 1}`))
  })

  it('says when a device is gone', () => {
    const gateway = new MemoryGateway()
    gateway.lan.vanish(19)
    const { pipeline } = gateway.plane
    expect(pipeline.pump(pipeline.lan)).toBe(-19)
    expect(pipeline.pump(pipeline.wans[0]!)).toBe(0)
  })
})

describe('TTL', () => {
  it('RTR-2: 2 leaves as 1; 1 and 0 are answered with 11/0 and leave no flow (RTR-16)', () => {
    const gateway = new MemoryGateway()
    for (const ttl of [0, 1]) {
      gateway.fromLan(buildUdp({ ...UDP, ttl }))
      const told = only(gateway.toLan())
      expect(checkPacket(told).filter((text) => text !== 'TTL is 0')).toEqual([])
      expect([sourceOf(told), destinationOf(told), icmp(told)]).toEqual([G, A, '11/0'])
      expect(told.subarray(28)).toEqual(buildUdp({ ...UDP, ttl }))
      expect(gateway.flows).toBe(0)
    }
    gateway.fromLan(buildUdp({ ...UDP, ttl: 2 }))
    expect(only(gateway.toWan())[8]).toBe(1)
    gateway.fromLan(buildUdp({ ...UDP, ttl: 1 }))
    expect(icmp(only(gateway.toLan()))).toBe('11/0')
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'ttl-expired': 3 })
  })

  it('RTR-2: local delivery ignores it', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildIcmpEcho({ source: A, destination: G, identifier: 1, ttl: 1 }))
    expect(only(gateway.toLan())[8]).toBe(64)
  })
})

describe('the gateway itself', () => {
  it('RTR-8: answers pings on the LAN, and sends on those that go further', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildIcmpEcho({ source: A, destination: G, identifier: 7, sequence: 1 }))
    expect(icmp(only(gateway.toLan()))).toBe('0/0')
    gateway.fromLan(buildIcmpEcho({ source: A, destination: P, identifier: 7, sequence: 1 }))
    expect(checkPacket(only(gateway.toWan()))).toEqual([])
    expect(gateway.flows).toBe(1)
  })

  it('RTR-8: 3/3 for UDP, 3/2 for other protocols, silence for TCP and other ICMP', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp({ ...UDP, destination: G }))
    expect(icmp(only(gateway.toLan()))).toBe('3/3')
    gateway.fromLan(buildIpv4({ source: A, destination: G, protocol: 47, payload: bytesOf(9) }))
    expect(icmp(only(gateway.toLan()))).toBe('3/2')
    gateway.fromLan(buildTcp({ ...UDP, destination: G, flags: SYN }))
    gateway.fromLan(buildIcmp({ source: A, destination: G, type: 13 })).fromLan(buildIcmp({ source: A, destination: G, type: 17 }))
    gateway.fromLan(buildUdp({ ...UDP, source: '127.0.0.1', destination: G }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'to-gateway': 6 })
  })

  it('fragments an echo reply that is longer than the MTU of the LAN', () => {
    const gateway = new MemoryGateway({ lanMtu: 1400 })
    gateway.fromLan(buildIcmpEcho({ source: A, destination: G, identifier: 7, payload: bytesOf(1472) }))
    const sent = gateway.toLan().map(({ bytes }) => bytes)
    expect(sent.map(({ length }) => length)).toEqual([1396, 124])
    expect(sent.flatMap((bytes) => checkPacket(bytes))).toEqual([])
  })

  it('RTR-8: answers pings that come in fragments, in any order, with all their data', () => {
    const ask = { source: A, destination: G, identifier: 7, sequence: 1, id: 5, payload: bytesOf(3000) }
    for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]]) {
      const gateway = new MemoryGateway()
      const pieces = buildFragments(buildIcmpEcho(ask), 1500)
      for (const index of order) gateway.fromLan(pieces[index]!)
      const expected = buildFragments(buildIcmpEcho({ ...ask, source: G, destination: A, reply: true }), 1500)
      const sent = gateway.toLan().map(({ bytes }) => bytes)
      expect(sent.sort((a, b) => (a[7]! | (a[6]! << 8)) % 8192 - (b[7]! | (b[6]! << 8)) % 8192)).toEqual(expected)
      expect(gateway.drops).toEqual({})
      // All of it has passed: what comes again of the same datagram is held until its first fragment comes again.
      gateway.fromLan(pieces[1]!)
      expect(gateway.toLan()).toEqual([])
    }
  })

  it('an ICMP error to the gateway is nobody\'s', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildIcmpError({ source: A, destination: G, type: 3, code: 3, quote: buildUdp({ ...UDP, source: G, destination: B }) }))
    expect(gateway.drops).toEqual({ 'no-flow': 1 })
  })
})
