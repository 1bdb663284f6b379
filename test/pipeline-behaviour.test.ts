/** Mapping and filtering as the outside sees them (RFC 4787 4 and 5, RFC 5382, RFC 5508). */
import { describe, expect, it } from 'vitest'
import { readFlows } from '../src/control/flow-reader.js'
import { type Behaviour, DEPENDENCES, NETFILTER } from '../src/nat/behaviour.js'
import { PROFILES } from '../src/nat/profiles.js'
import { timeoutColumn } from '../src/nat/timeouts.js'
import { ACK, FIN, RST, SYN } from '../src/stack/wire/tcp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildIcmpError } from '../src/testing/packets.js'
import { behaving, end, enter, leave, packet, type Protocol } from './behaviours.js'
import { A, B, E, from, headerOf, icmp, only, P, Q, to, u16 } from './stack/support.js'

const HOST = end(A, 5000)
const STRANGER = '192.0.2.99'
const PROTOCOLS: readonly Protocol[] = ['udp', 'tcp']
const PAIRS = DEPENDENCES.flatMap((mapping) => DEPENDENCES.map((filtering): Behaviour => ({ mapping, filtering })))
const FREE: Behaviour = { mapping: 'endpoint-independent', filtering: 'endpoint-independent' }

describe.each(PROTOCOLS)('mapping of %s', (protocol) => {
  it.each(PAIRS)('UDP-1, TCP-1, STUN-8: $mapping, whatever the filtering ($filtering)', ({ mapping, filtering }) => {
    const gateway = behaving({ mapping, filtering })
    // UDP-12: the same in and after collisions: B and C have the same source port.
    for (const host of [A, B, '10.0.0.4']) {
      const [first, otherPort, otherAddress] = [end(P, 1), end(P, 2), end(Q, 1)].map((remote) => leave(gateway, protocol, end(host, 5000), remote))
      expect([otherPort === first, otherAddress === first]).toEqual([mapping !== 'address-and-port-dependent', mapping === 'endpoint-independent'])
      if (host === A) expect(first).toBe(5000)
      // What is known stays so.
      expect(leave(gateway, protocol, end(host, 5000), end(P, 1))).toBe(first)
      expect(leave(gateway, protocol, end(host, 5000), end(Q, 1))).toBe(otherAddress)
    }
  })

  it('UDP-1: with the port already taken by another host', () => {
    const gateway = behaving()
    expect(leave(gateway, protocol, end(B, 5000), end(Q, 9))).toBe(5000)
    const ports = [end(P, 1), end(P, 2), end(Q, 1)].map((remote) => leave(gateway, protocol, HOST, remote))
    expect(new Set(ports).size).toBe(1)
    expect(ports[0]).not.toBe(5000)
  })

  it.each(DEPENDENCES)('UDP-3, TCP-7: no port is anybody else\'s, towards any remote (%s)', (mapping) => {
    const gateway = behaving({ mapping })
    const owner = new Map<number, number>()
    for (let host = 2; host < 42; host++) {
      for (const remote of [end(P, 53), end(Q, 53)]) {
        const port = leave(gateway, protocol, end(`10.0.0.${host}`, 5000), remote)
        expect(owner.get(port) ?? host).toBe(host)
        owner.set(port, host)
        gateway.fromWan(packet(protocol, remote, end(E, port), SYN | ACK))
        expect(to(only(gateway.toLan()))).toBe(`10.0.0.${host}:5000`)
      }
    }
  })

  it('NAT-1: shared ports serve several hosts while their remotes differ, as netfilter does it', () => {
    const gateway = behaving(NETFILTER)
    expect(leave(gateway, protocol, HOST, end(P, 53))).toBe(5000)
    expect(leave(gateway, protocol, end(B, 5000), end(Q, 53))).toBe(5000)
    expect(leave(gateway, protocol, end('10.0.0.4', 5000), end(P, 53))).not.toBe(5000)
    expect(enter(gateway, protocol, end(P, 54), 5000)).toBeNull()
    expect(gateway.drops).toEqual({ 'no-flow': 1 })
  })

  it('CGN-11: an exclusive mapping is refused when no port is left, the others live', () => {
    const gateway = behaving({}, { ports: [[40000, 40001]] })
    const ports = [A, B].map((host) => leave(gateway, protocol, end(host, 5000), end(P, 1)))
    expect(ports.sort()).toEqual([40000, 40001])
    gateway.fromLan(packet(protocol, end('10.0.0.4', 5000), end(Q, 1)))
    expect(icmp(only(gateway.toLan()))).toBe('3/1')
    expect(gateway.drops).toEqual({ 'ports-exhausted': 1 })
    for (const host of [A, B]) leave(gateway, protocol, end(host, 5000), end(Q, 7))
  })
})

describe.each(PROTOCOLS)('filtering of %s', (protocol) => {
  it.each(PAIRS)('UDP-9, TCP-3, STUN-9: $filtering, whatever the mapping ($mapping)', ({ mapping, filtering }) => {
    // UDP-12: for the host that has its port, and for those that had to change it.
    const gateway = behaving({ mapping, filtering })
    for (const host of [A, B, '10.0.0.4']) {
      const port = leave(gateway, protocol, end(host, 5000), end(P, 1))
      const expected = [filtering === 'endpoint-independent', filtering !== 'address-and-port-dependent', true].map((open) => (open ? `${host}:5000` : null))
      // Another address and port, another port, and the one that was asked.
      expect([end(Q, 2), end(P, 2)].map((remote) => enter(gateway, protocol, remote, port))).toEqual(expected.slice(0, 2))
      gateway.fromWan(packet(protocol, end(P, 1), end(E, port), SYN | ACK))
      expect(to(only(gateway.toLan()))).toBe(`${host}:5000`)
    }
    const refused = { 'endpoint-independent': 0, 'address-dependent': 3, 'address-and-port-dependent': 6 }[filtering]
    expect(gateway.drops).toEqual(refused === 0 ? {} : { filtered: refused })
    expect(gateway.toWan()).toEqual([])
  })

  it('answers to one who came in go out from the mapping', () => {
    const gateway = behaving(FREE)
    leave(gateway, protocol, end(B, 5000), end(P, 1))
    const port = leave(gateway, protocol, HOST, end(P, 1))
    expect(enter(gateway, protocol, end(Q, 77), port)).toBe(`${A}:5000`)
    gateway.fromLan(packet(protocol, HOST, end(Q, 77), SYN | ACK))
    const out = only(gateway.toWan())
    expect([from(out), to(out)]).toEqual([`${E}:${port}`, `${Q}:77`])
    expect(checkPacket(out)).toEqual([])
    expect(leave(gateway, protocol, HOST, end(Q, 78))).toBe(port)
  })

  it('TCP-4: nobody comes in where nothing is, and nothing is said', () => {
    const gateway = behaving(FREE)
    const port = leave(gateway, protocol, HOST, end(P, 1))
    expect(enter(gateway, protocol, end(P, 1), port + 1)).toBeNull()
    expect(enter(gateway, protocol, end(P, 1), port, '203.0.113.2')).toBeNull()
    expect(enter(gateway, protocol, end(P, 1), 5000, A)).toBeNull()
    // UPD-6: of one protocol to the other's.
    expect(enter(gateway, protocol === 'tcp' ? 'udp' : 'tcp', end(P, 1), port)).toBeNull()
    expect(gateway.toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 4 })
    expect(gateway.flows).toBe(1)
  })

  it('on an address that only the gateway has', () => {
    const gateway = behaving(FREE, { ownedAddresses: [E] })
    const port = leave(gateway, protocol, HOST, end(P, 1))
    expect(enter(gateway, protocol, end(Q, 2), port)).toBe(`${A}:5000`)
    gateway.fromWan(buildIcmpEcho({ source: P, destination: E, identifier: 7 }))
    expect(icmp(only(gateway.toWan()))).toBe('0/0')
  })
})

describe('protocols', () => {
  it('UPD-6: each has its own behaviour and its own ports', () => {
    const strict: Behaviour = { mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent' }
    const gateway = new MemoryGateway({ behaviours: { tcp: FREE, udp: strict, icmp: NETFILTER } })
    for (const protocol of PROTOCOLS) {
      const [one, other] = [1, 2].map((port) => leave(gateway, protocol, HOST, end(P, port)))
      expect(one).toBe(5000)
      expect(other === one).toBe(protocol === 'tcp')
      expect(enter(gateway, protocol, end(Q, 1), 5000)).toBe(protocol === 'tcp' ? `${A}:5000` : null)
    }
  })

  it('TCP-3: from outside only a SYN opens', () => {
    const gateway = behaving(FREE)
    leave(gateway, 'tcp', HOST, end(P, 1))
    for (const flags of [ACK, SYN | ACK, RST, FIN | ACK, 0]) gateway.fromWan(packet('tcp', end(Q, 1), end(E, 5000), flags))
    gateway.fromWan(packet('udp', end(Q, 0), end(E, 5000)))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 6 })
  })

  it('TCP-2: a connection made from outside goes through all its life', () => {
    const gateway = behaving(FREE)
    leave(gateway, 'tcp', HOST, end(P, 1))
    const remote = end(Q, 9)
    const inward = (flags: number): string => to(only(gateway.fromWan(packet('tcp', remote, end(E, 5000), flags)).toLan()))
    const outward = (flags: number): string => from(only(gateway.fromLan(packet('tcp', HOST, remote, flags)).toWan()))
    expect([inward(SYN), outward(SYN | ACK), inward(ACK), outward(ACK)]).toEqual([`${A}:5000`, `${E}:5000`, `${A}:5000`, `${E}:5000`])
    gateway.advance(7000)
    expect([inward(FIN | ACK), outward(ACK), outward(FIN | ACK), inward(ACK)]).toEqual([`${A}:5000`, `${E}:5000`, `${E}:5000`, `${A}:5000`])
    gateway.advance(242)
    expect(gateway.flows).toBe(0)
  })

  it.each(['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const)('ICMP-1: the id of a ping, %s', (mapping) => {
    const gateway = behaving({ mapping })
    const ping = (source: string, destination: string): number => u16(only(gateway.fromLan(buildIcmpEcho({ source, destination, identifier: 7 })).toWan()), 24)
    expect(ping(B, STRANGER)).toBe(7)
    const [toP, toQ] = [ping(A, P), ping(A, Q)]
    expect(toP).not.toBe(7)
    expect(toQ === toP).toBe(mapping === 'endpoint-independent')
    for (const [remote, id] of [[P, toP], [Q, toQ]] as const) {
      gateway.fromWan(buildIcmpEcho({ source: remote, destination: E, identifier: id, reply: true }))
      const back = only(gateway.toLan())
      expect([to(back).split(':')[0], u16(back, 24)]).toEqual([A, 7])
    }
  })

  it('ICMP-11: no ping comes in by a mapping', () => {
    const gateway = behaving(FREE)
    gateway.fromLan(buildIcmpEcho({ source: A, destination: P, identifier: 7 }))
    gateway.fromWan(buildIcmpEcho({ source: P, destination: E, identifier: 7 })).fromWan(buildIcmpEcho({ source: Q, destination: E, identifier: 7, reply: true }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 2 })
  })
})

describe('the life of a mapping', () => {
  const REMOTE = end(P, 1)

  it('UDP-6, UDP-7: 300 s after the last packet, outbound ones prolong it', () => {
    const gateway = behaving(FREE)
    leave(gateway, 'udp', HOST, REMOTE)
    for (let round = 0; round < 30; round++) {
      gateway.advance(119)
      leave(gateway, 'udp', HOST, REMOTE)
    }
    gateway.advance(299)
    expect(enter(gateway, 'udp', end(Q, 1), 5000)).toBe(`${A}:5000`)
    gateway.advance(3)
    expect(gateway.flows).toBe(0)
    expect(enter(gateway, 'udp', end(Q, 1), 5000)).toBeNull()
  })

  it('UDP-7: lives as long as one of its flows, whichever that is', () => {
    for (const kept of [0, 1, 2]) {
      const gateway = behaving(FREE)
      leave(gateway, 'udp', end(B, 5000), end(STRANGER, 1))
      const remotes = [end(P, 1), end(P, 2), end(Q, 1)]
      const port = remotes.map((remote) => leave(gateway, 'udp', HOST, remote))[0]!
      for (let round = 0; round < 10; round++) {
        gateway.advance(150)
        expect(leave(gateway, 'udp', HOST, remotes[kept]!)).toBe(port)
      }
      expect(gateway.flows).toBe(1)
      // The mapping still is this host's, inwards and outwards.
      expect(enter(gateway, 'udp', end(STRANGER, 9), port)).toBe(`${A}:5000`)
      expect(leave(gateway, 'udp', HOST, end(Q, 3))).toBe(port)
    }
  })

  it('UPD-7: what is refused does not prolong it', () => {
    const gateway = behaving({ filtering: 'address-dependent' })
    leave(gateway, 'udp', HOST, REMOTE)
    for (let round = 0; round < 2; round++) {
      gateway.advance(100)
      expect(enter(gateway, 'udp', end(Q, 1), 5000)).toBeNull()
    }
    gateway.advance(102)
    expect([gateway.flows, gateway.drops]).toEqual([0, { filtered: 2 }])
  })

  it.each(['endpoint-independent', 'address-dependent'] as const)('UPD-7: what strangers send does not, however they change their port (%s)', (filtering) => {
    const gateway = behaving({ mapping: 'endpoint-independent', filtering })
    leave(gateway, 'udp', HOST, REMOTE)
    for (let round = 0; round < 5; round++) {
      gateway.advance(50)
      for (const port of [7, 100 + round]) expect(enter(gateway, 'udp', end(P, port), 5000)).toBe(`${A}:5000`)
    }
    expect(gateway.flows).toBe(7)
    gateway.advance(52)
    expect(gateway.flows).toBe(0)
    expect(enter(gateway, 'udp', end(P, 7), 5000)).toBeNull()
  })

  it('UPD-7: nor do SYNs that are answered by RST, nor SYN and RST in turn', () => {
    const gateway = behaving(FREE)
    leave(gateway, 'tcp', HOST, REMOTE)
    for (let second = 0; second < 240; second += 40) {
      gateway.fromWan(packet('tcp', end(Q, 1), end(E, 5000), SYN)).fromLan(packet('tcp', HOST, end(Q, 1), RST | ACK))
      gateway.fromWan(packet('tcp', end(Q, 2), end(E, 5000), SYN)).fromWan(packet('tcp', end(Q, 2), end(E, 5000), RST))
      expect([gateway.toLan().length, gateway.toWan().length]).toEqual([3, 1])
      gateway.advance(40)
    }
    gateway.advance(2)
    expect(gateway.flows).toBe(0)
  })

  it('an answered stranger keeps it, for as long as the inside answers', () => {
    const gateway = behaving(FREE)
    leave(gateway, 'udp', HOST, REMOTE)
    enter(gateway, 'udp', end(Q, 1), 5000)
    enter(gateway, 'udp', end(Q, 2), 5000)
    for (let round = 0; round < 10; round++) {
      gateway.advance(200)
      gateway.fromLan(packet('udp', HOST, end(Q, 1)))
      expect(from(only(gateway.toWan()))).toBe(`${E}:5000`)
    }
    expect(gateway.flows).toBe(1)
    expect(enter(gateway, 'udp', end(STRANGER, 1), 5000)).toBe(`${A}:5000`)
    gateway.fromWan(packet('udp', end(Q, 1), end(E, 5000)))
    gateway.advance(200)
    gateway.fromWan(packet('udp', end(Q, 1), end(E, 5000)))
    gateway.advance(102)
    expect(gateway.flows).toBe(0)
  })

  it('UPD-7: nor does an unanswered stranger hold the filter open for his address', () => {
    const gateway = behaving({ filtering: 'address-dependent' })
    leave(gateway, 'udp', HOST, REMOTE)
    gateway.advance(200)
    leave(gateway, 'udp', HOST, end(Q, 1))
    expect(enter(gateway, 'udp', end(P, 9), 5000)).toBe(`${A}:5000`)
    gateway.advance(102)
    // The flow to P is over; P has spoken last, but nobody has spoken to P.
    expect(enter(gateway, 'udp', end(P, 10), 5000)).toBeNull()
    expect(enter(gateway, 'udp', end(Q, 2), 5000)).toBe(`${A}:5000`)
  })

  it('UDP-13, ICMP-6: ICMP errors neither end nor prolong it', () => {
    const gateway = behaving(FREE)
    leave(gateway, 'udp', HOST, REMOTE)
    gateway.advance(299)
    const quote = packet('udp', end(E, 5000), REMOTE)
    for (const type of [3, 11, 12]) gateway.fromWan(buildIcmpError({ source: Q, destination: E, type, code: 0, quote }))
    expect(gateway.toLan()).toHaveLength(3)
    expect(enter(gateway, 'udp', end(Q, 1), 5000)).toBe(`${A}:5000`)
    gateway.advance(3)
    expect(gateway.flows).toBe(0)
  })

  it('CGN-8: the port rests 120 s, but not for its last owner; not for TCP, nor behind a filter', () => {
    const after = (protocol: Protocol, filtering: Behaviour['filtering'], seconds: number, host: string): number => {
      const gateway = behaving({ filtering })
      leave(gateway, protocol, HOST, REMOTE)
      gateway.advance(protocol === 'udp' ? 302 : 242)
      expect(gateway.flows).toBe(0)
      gateway.advance(seconds)
      return leave(gateway, protocol, end(host, 5000), REMOTE)
    }
    expect(after('udp', 'endpoint-independent', 119, B)).not.toBe(5000)
    expect(after('udp', 'endpoint-independent', 120, B)).toBe(5000)
    expect(after('udp', 'endpoint-independent', 0, A)).toBe(5000)
    expect(after('tcp', 'endpoint-independent', 0, B)).toBe(5000)
    expect(after('udp', 'address-dependent', 0, B)).toBe(5000)
    expect(after('udp', 'address-and-port-dependent', 0, B)).toBe(5000)
  })

  it('CGN-8: no port of many that were given up comes back before its time', () => {
    const gateway = behaving(FREE, { ports: [[40000, 40099]] })
    for (let host = 0; host < 50; host++) leave(gateway, 'udp', end(`10.0.1.${host}`, 40000 + host), REMOTE)
    gateway.advance(302)
    expect(gateway.flows).toBe(0)
    const taken = Array.from({ length: 50 }, (_, host) => leave(gateway, 'udp', end(`10.0.2.${host}`, 5000), REMOTE))
    expect(Math.min(...taken)).toBeGreaterThanOrEqual(40050)
    gateway.fromLan(packet('udp', end('10.0.3.1', 5000), REMOTE))
    expect(gateway.drops).toEqual({ 'ports-exhausted': 1 })
    gateway.advance(120)
    expect(leave(gateway, 'udp', end('10.0.3.1', 40000), REMOTE)).toBe(40000)
  })

  it('ends with the address', () => {
    const gateway = behaving(FREE)
    leave(gateway, 'udp', HOST, REMOTE)
    enter(gateway, 'udp', end(Q, 1), 5000)
    const other = '203.0.113.2'
    gateway.setWan(0, { up: true, mtu: 1500, addresses: [0xcb007102 | 0], routes: [{ destination: 0, prefixLength: 0, gateway: null, source: 0xcb007102 | 0 }] })
    expect(gateway.flows).toBe(0)
    expect(enter(gateway, 'udp', end(Q, 1), 5000)).toBeNull()
    expect(leave(gateway, 'udp', HOST, REMOTE)).toBe(5000)
    expect(enter(gateway, 'udp', end(Q, 1), 5000, other)).toBe(`${A}:5000`)
  })

  it('UDP-1, UDP-2: keeps its address where routes have different ones', () => {
    const route = (destination: number, source: number, prefixLength: number) => ({ destination, prefixLength, gateway: null, source })
    const routes = [route(0, 0xcb007101 | 0, 0), route(0xc6336414 | 0, 0xcb007102 | 0, 32)]
    for (const first of [P, Q]) {
      const gateway = behaving(FREE, { wanAddresses: [E, '203.0.113.2'], routes })
      const outside = first === P ? E : '203.0.113.2'
      for (const remote of [first, P, Q]) {
        gateway.fromLan(packet('udp', HOST, end(remote, 1)))
        expect(from(only(gateway.toWan()))).toBe(`${outside}:5000`)
      }
      expect(enter(gateway, 'udp', end(STRANGER, 1), 5000, outside)).toBe(`${A}:5000`)
      // Another host goes by the route.
      gateway.fromLan(packet('udp', end(B, 6000), end(Q, 1)))
      expect(from(only(gateway.toWan()))).toBe('203.0.113.2:6000')
    }
  })
})

it('CT-1: a flow from outside is listed as it came', () => {
  const gateway = behaving(FREE)
  leave(gateway, 'udp', end(B, 5000), end(P, 1))
  const port = leave(gateway, 'udp', HOST, end(P, 1))
  enter(gateway, 'udp', end(Q, 9), port)
  const records = [...readFlows(gateway.plane.table.columns, timeoutColumn(PROFILES.behave.timeouts), {})].map(({ record }) => record)
  expect(records).toHaveLength(3)
  expect(records[2]).toMatchObject({
    protocol: 'udp', replied: false, assured: false,
    original: { src: Q, dst: E, sport: 9, dport: port, packets: 1 }, reply: { src: A, dst: Q, sport: 5000, dport: 9, packets: 0 },
  })
  gateway.fromLan(packet('udp', HOST, end(Q, 9)))
  expect(headerOf(only(gateway.toWan()))).toBe(20)
  const [, , answered] = [...readFlows(gateway.plane.table.columns, timeoutColumn(PROFILES.behave.timeouts), {})]
  expect(answered!.record).toMatchObject({ replied: true, assured: false, reply: { packets: 1 } })
})
