import { describe, expect, it } from 'vitest'
import { Drop } from '../../src/drop.js'
import { SIDE_DESTINATION, SIDE_SOURCE, SIDE_WORDS } from '../../src/nat/flow-table.js'
import { openerDrop } from '../../src/nat/open-flow.js'
import { stateName } from '../../src/nat/tcp-state.js'
import { CLASS_ICMP, CLASS_TCP_SYN_SENT, CLASS_UDP } from '../../src/nat/timeouts.js'
import type { Packet } from '../../src/stack/parse.js'
import { ACK, FIN, RST, SYN } from '../../src/stack/wire/tcp.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildIcmp, buildIcmpEcho, buildIpv4, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, B, E, from, headerOf, icmp, ip, P, parsed, Q, to, u16 } from '../stack/support.js'
import { openerOf } from './support.js'

const packetOf = (bytes: Uint8Array): Packet => parsed(bytes).packet
const udp = (source: string, sourcePort: number, destination = P, destinationPort = 53): Uint8Array =>
  buildUdp({ source, destination, sourcePort, destinationPort })
const ports = (first: number, last: number): readonly (readonly [number, number])[] => [[first, last]]

const setUp = (first: number, last: number, capacity = 1000) =>
  openerOf({ ports: Array.from({ length: last - first + 1 }, (_, index) => first + index), capacity })

describe('openerDrop', () => {
  it('lets UDP, a first SYN and ICMP queries open', () => {
    expect(openerDrop(packetOf(udp(A, 1)))).toBe(0)
    expect(openerDrop(packetOf(buildIcmpEcho({ source: A, destination: P, identifier: 0 })))).toBe(0)
    expect(openerDrop(packetOf(buildIcmp({ source: A, destination: P, type: 13, payload: new Uint8Array(12) })))).toBe(0)
    for (let flags = 0; flags < 64; flags++) {
      const opens = (flags & SYN) !== 0 && (flags & (ACK | RST | FIN)) === 0
      const packet = packetOf(buildTcp({ source: A, destination: P, sourcePort: 1, destinationPort: 2, flags }))
      expect(openerDrop(packet)).toBe(opens ? 0 : Drop['not-a-flow-opener'])
    }
  })

  it('UDP-16: refuses source port 0', () => {
    expect(openerDrop(packetOf(udp(A, 0)))).toBe(Drop['not-a-flow-opener'])
    const syn = buildTcp({ source: A, destination: P, sourcePort: 0, destinationPort: 80, flags: SYN })
    expect(openerDrop(packetOf(syn))).toBe(Drop['not-a-flow-opener'])
  })

  it('ICMP-10c, RTR-14: refuses replies without query, obsolete and unknown ICMP', () => {
    for (const type of [0, 14]) expect(openerDrop(packetOf(buildIcmp({ source: A, destination: P, type })))).toBe(Drop['not-a-flow-opener'])
    for (const type of [1, 2, 6, 7, 9, 10, 15, 16, 17, 18, 30, 40, 255]) {
      expect(openerDrop(packetOf(buildIcmp({ source: A, destination: P, type })))).toBe(Drop['icmp-refused'])
    }
  })

  it('refuses protocols that are not translated', () => {
    for (const protocol of [0, 2, 41, 51, 89]) {
      const packet = packetOf(buildIpv4({ source: A, destination: P, protocol, payload: new Uint8Array(20) }))
      expect(openerDrop(packet)).toBe(Drop['protocol-refused'])
    }
  })
})

describe('opening a flow', () => {
  it('writes both keys, class and state', () => {
    const { table, open } = setUp(1, 65535)
    const side = open(buildTcp({ source: A, destination: P, sourcePort: 5000, destinationPort: 80, flags: SYN }), 42)
    expect(side & 1).toBe(0)
    expect(table.find(ip(P), ip(E), (80 << 16) | 5000, 6 | 256)).toBe(side ^ 1)
    expect(table.zoneOf(side)).toBe(0)
    expect(table.egressOf(side)).toBe(1)
    expect(table.zoneOf(side ^ 1)).toBe(1)
    expect(table.egressOf(side ^ 1)).toBe(0)
    expect(table.sides[side * SIDE_WORDS + SIDE_SOURCE]).toBe(ip(A))
    expect(table.sides[(side ^ 1) * SIDE_WORDS + SIDE_DESTINATION]).toBe(ip(E))
    expect(table.classOf(side >> 1)).toBe(CLASS_TCP_SYN_SENT)
    expect(stateName(table.eventsOf(side >> 1))).toBe('SYN_SENT')
    expect(table.classOf(open(udp(A, 1)) >> 1)).toBe(CLASS_UDP)
    expect(table.classOf(open(buildIcmpEcho({ source: A, destination: P, identifier: 5 })) >> 1)).toBe(CLASS_ICMP)
  })

  it('UDP-3, TCP-7 (REQ-3): two insides never share a port towards one remote', () => {
    const { open, externalPort } = setUp(1, 65535)
    expect(externalPort(open(udp(A, 5000)))).toBe(5000)
    expect(externalPort(open(udp(B, 5000)))).not.toBe(5000)
  })

  it('NAT-1, UPD-4: one port serves many remotes, and each protocol by itself', () => {
    const { open, externalPort } = setUp(40000, 40000)
    const remotes = [P, Q, '192.0.2.1', '192.0.2.2']
    for (const remote of remotes) expect(externalPort(open(udp(A, 5000, remote)))).toBe(40000)
    expect(externalPort(open(udp(A, 5000, P, 54)))).toBe(40000)
    expect(externalPort(open(buildTcp({ source: A, destination: P, sourcePort: 5000, destinationPort: 53, flags: SYN })))).toBe(40000)
    expect(externalPort(open(buildIcmpEcho({ source: A, destination: P, identifier: 5000 })))).toBe(40000)
    expect(open(udp(B, 5000))).toBe(-Drop['ports-exhausted'])
  })

  it('UDP-4: a full lower class does not take from the upper one, nor stop it', () => {
    const { open, externalPort } = setUp(1000, 2000)
    for (let n = 0; n < 24; n++) expect(externalPort(open(udp(`10.0.1.${n}`, 500)))).toBeLessThan(1024)
    expect(open(udp(A, 500))).toBe(-Drop['ports-exhausted'])
    // In the same second, towards the same remote.
    expect(externalPort(open(udp(A, 5000)))).toBeGreaterThanOrEqual(1024)
    expect(externalPort(open(udp(A, 1500)))).toBe(1500)
  })

  it('RND-4: a remote without free port is not searched again within the second', () => {
    const { table, open } = setUp(40000, 40001)
    for (const host of [A, B]) open(udp(host, 5000))
    expect(open(udp('10.0.0.4', 5000), 7)).toBe(-Drop['ports-exhausted'])
    const known = table.find(ip(P), ip(E), (53 << 16) | 40000, 17 | 256)
    table.close(known >> 1)
    expect(open(udp('10.0.0.4', 5000), 7)).toBe(-Drop['ports-exhausted'])
    // A wanted port that is free is seen at once; others in the next second.
    expect(open(udp('10.0.0.4', 40000), 7)).toBeGreaterThanOrEqual(0)
    table.close(table.find(ip(P), ip(E), (53 << 16) | 40000, 17 | 256) >> 1)
    expect(open(udp('10.0.0.4', 5000), 8)).toBeGreaterThanOrEqual(0)
  })

  it('leaves no trace of what is refused, so that the place can be taken', () => {
    const { table, open } = setUp(40000, 40000, 2)
    open(udp(A, 1))
    expect(open(udp(B, 1))).toBe(-Drop['ports-exhausted'])
    expect(table.count).toBe(1)
    expect(open(udp(B, 1, Q), 1)).toBeGreaterThanOrEqual(0)
    expect(open(udp(B, 2, '192.0.2.1'))).toBe(-Drop['table-full'])
    expect(table.count).toBe(2)
  })
})

describe('refusal, seen from outside', () => {
  it('CGN-11, ICMP-8: the sixteenth connection through fifteen ports is refused, told, and leaks nothing', () => {
    const gateway = new MemoryGateway({ ports: ports(40000, 40014) })
    const syn = (n: number): Uint8Array => buildTcp({ source: `10.0.1.${n}`, destination: P, sourcePort: 7000, destinationPort: 80, flags: SYN })
    for (let n = 1; n <= 15; n++) gateway.fromLan(syn(n))
    const out = gateway.toWan()
    expect(out).toHaveLength(15)
    expect(new Set(out.map(({ bytes }) => from(bytes))).size).toBe(15)
    gateway.fromLan(syn(16))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.toLan().map(({ bytes }) => icmp(bytes))).toEqual(['3/1'])
    expect(gateway.flows).toBe(15)
    expect(gateway.drops).toEqual({ 'ports-exhausted': 1 })
    // All the old ones are alive: each reply reaches its owner.
    for (const [index, { bytes }] of out.entries()) {
      const port = u16(bytes, headerOf(bytes))
      gateway.fromWan(buildTcp({ source: P, destination: E, sourcePort: 80, destinationPort: port, flags: SYN | ACK }))
      expect(to(gateway.toLan()[0]!.bytes)).toBe(`10.0.1.${index + 1}:7000`)
    }
    // Another remote has all fifteen ports.
    gateway.fromLan(buildTcp({ source: '10.0.1.16', destination: Q, sourcePort: 7000, destinationPort: 80, flags: SYN }))
    expect(gateway.toWan()).toHaveLength(1)
  })

  it('CGN-11: a full table refuses the new and keeps the old', () => {
    const gateway = new MemoryGateway({ limits: { flows: 3 } })
    for (let port = 1; port <= 3; port++) gateway.fromLan(udp(A, port))
    expect(gateway.toWan()).toHaveLength(3)
    for (let port = 4; port <= 9; port++) gateway.fromLan(udp(A, port))
    expect(gateway.toWan()).toEqual([])
    expect(gateway.toLan().map(({ bytes }) => icmp(bytes))).toEqual(new Array(6).fill('3/1'))
    expect(gateway.drops).toEqual({ 'table-full': 6 })
    for (let port = 1; port <= 3; port++) gateway.fromLan(udp(A, port))
    expect(gateway.toWan()).toHaveLength(3)
    gateway.advance(301)
    gateway.fromLan(udp(A, 9))
    expect(gateway.toWan()).toHaveLength(1)
  })

  it('UDP-3: each reply reaches its owner', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(udp(A, 5000)).fromLan(udp(B, 5000))
    const [first, second] = gateway.toWan()
    expect(from(first!.bytes)).toBe(`${E}:5000`)
    const other = u16(second!.bytes, 20)
    expect(other).not.toBe(5000)
    expect(other).toBeGreaterThanOrEqual(1024)
    gateway.fromWan(udp(P, 53, E, other)).fromWan(udp(P, 53, E, 5000))
    expect(gateway.toLan().map(({ bytes }) => to(bytes))).toEqual([`${B}:5000`, `${A}:5000`])
  })

  it('ICMP-1: two hosts with the same identifier', () => {
    const gateway = new MemoryGateway()
    for (const source of [A, B]) gateway.fromLan(buildIcmpEcho({ source, destination: P, identifier: 7, sequence: 3, payload: Uint8Array.of(1, 2, 3) }))
    const ids = gateway.toWan().map(({ bytes }) => u16(bytes, 24))
    expect(ids[0]).toBe(7)
    expect(ids[1]).not.toBe(7)
    for (const identifier of ids) gateway.fromWan(buildIcmpEcho({ source: P, destination: E, identifier, sequence: 3, reply: true }))
    expect(gateway.toLan().map(({ bytes }) => [to(bytes).split(':')[0], u16(bytes, 24)])).toEqual([[A, 7], [B, 7]])
  })
})
