/** Several outside addresses, blocks of ports and deterministic NAT, as the outside sees them (RFC 4787 4.1, RFC 6888, RFC 7422). */
import { describe, expect, it } from 'vitest'
import { NETFILTER } from '../src/nat/behaviour.js'
import { PROFILES } from '../src/nat/profiles.js'
import type { NatSettings } from '../src/nat/settings.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildGre, buildIcmpEcho } from '../src/testing/packets.js'
import { behaving, end, leave, packet } from './behaviours.js'
import { A, B, E, from, icmp, ip, only, P, Q, sourceOf, to, u16 } from './stack/support.js'

const POOL = ['203.0.113.1', '203.0.113.9', '203.0.113.10', '203.0.113.11', '203.0.113.12', '198.18.0.0', '198.18.0.1', '198.18.0.2', '198.18.0.3']
const host = (number: number): string => `10.0.${number >> 8}.${number & 0xff}`
const hosts = (count: number): string[] => Array.from({ length: count }, (_, index) => host(index + 256))

const pooled = (nat: Partial<NatSettings> = {}, options: MemoryGatewayOptions = {}, wanAddresses = POOL): MemoryGateway =>
  behaving({}, { wanAddresses, nat: { pool: '203.0.113.1,203.0.113.9-203.0.113.12,198.18.0.0/30', ...nat }, limits: { flows: 16_384, flowsPerSource: 10_000 }, ...options })

/** Sends a first packet outwards. The outside endpoint that it leaves from. */
const send = (gateway: MemoryGateway, protocol: 'tcp' | 'udp' | 'icmp', source: string, port: number, remote = P, remotePort = 53): string => {
  gateway.fromLan(protocol === 'icmp' ? buildIcmpEcho({ source, destination: remote, identifier: port }) : packet(protocol, end(source, port), end(remote, remotePort)))
  const sent = only(gateway.toWan())
  expect(checkPacket(sent)).toEqual([])
  return protocol === 'icmp' ? `${sourceOf(sent)}:${u16(sent, 24)}` : from(sent)
}
const addressIn = (endpoint: string): string => endpoint.split(':')[0]!
const portIn = (endpoint: string): number => Number(endpoint.split(':')[1])

describe('a pool of addresses', () => {
  it('UDP-2, CGN-2: paired: 200 sockets of a host, of all protocols, have one address', () => {
    const gateway = pooled()
    const seen = new Map<string, Set<string>>()
    for (const source of hosts(20)) {
      const own = new Set<string>()
      for (let socket = 0; socket < 70; socket++) {
        for (const protocol of ['udp', 'tcp', 'icmp'] as const) own.add(addressIn(send(gateway, protocol, source, 2000 + socket, socket % 2 === 0 ? P : Q)))
      }
      seen.set(source, own)
    }
    expect([...seen.values()].map(({ size }) => size)).toEqual(new Array(20).fill(1))
    // CGN-3: of ranges, networks and single addresses.
    expect(new Set(hosts(200).map((source) => addressIn(send(gateway, 'udp', source, 1, P))))).toEqual(new Set(POOL))
  })

  it('replies reach their owner at every address', () => {
    const gateway = pooled()
    for (const source of hosts(40)) {
      const outside = send(gateway, 'udp', source, 5000)
      gateway.fromWan(packet('udp', end(P, 53), end(addressIn(outside), portIn(outside))))
      expect(to(only(gateway.toLan()))).toBe(`${source}:5000`)
    }
  })

  it('NAT-2: arbitrary: by inside and remote address', () => {
    for (const mapping of ['shared', 'address-dependent'] as const) {
      const gateway = pooled({ pooling: 'arbitrary' }, { behaviours: { tcp: { ...NETFILTER, mapping }, udp: { ...NETFILTER, mapping }, icmp: NETFILTER } })
      const addresses = Array.from({ length: 100 }, (_, index) => addressIn(send(gateway, 'udp', A, 5000 + index, `198.51.100.${index + 1}`)))
      expect(new Set(addresses)).toEqual(new Set(POOL))
      expect(addressIn(send(gateway, 'tcp', A, 5000, '198.51.100.1'))).toBe(addresses[0])
    }
  })

  it('NAT-2: what an inside endpoint has already comes before its address by hash', () => {
    const gateway = pooled({ pooling: 'arbitrary' }, { behaviours: { tcp: NETFILTER, udp: NETFILTER, icmp: NETFILTER } })
    const first = send(gateway, 'udp', A, 5000)
    for (let remote = 1; remote < 30; remote++) expect(send(gateway, 'udp', A, 5000, `198.51.100.${remote}`)).toBe(first)
  })

  /** Uses up the ports of A's address with other hosts of the same address. */
  const filled = (pooling: NatSettings['pooling']): { gateway: MemoryGateway; address: string } => {
    const gateway = pooled({ pooling }, { ports: [[40000, 40009]] })
    const address = addressIn(send(gateway, 'udp', A, 5000))
    for (let port = 5001; port < 5010; port++) send(gateway, 'udp', A, port)
    return { gateway, address }
  }

  it('UPD-5: paired: a host whose address is full is refused, and keeps what it has', () => {
    const { gateway, address } = filled('paired')
    gateway.fromLan(packet('udp', end(A, 6000), end(P, 53)))
    expect(icmp(only(gateway.toLan()))).toBe('3/1')
    expect([gateway.toWan(), gateway.drops]).toEqual([[], { 'ports-exhausted': 1 }])
    expect(addressIn(send(gateway, 'udp', A, 5009, Q))).toBe(address)
    expect(addressIn(send(gateway, 'tcp', A, 6000))).toBe(address)
    expect(hosts(60).filter((source) => addressIn(send(gateway, 'tcp', source, 1)) === address).length).toBeGreaterThan(0)
  })

  it('UPD-5: soft: another address is taken then, for TCP too', () => {
    const { gateway, address } = filled('paired-soft')
    expect(addressIn(send(gateway, 'udp', A, 6000))).not.toBe(address)
    for (let port = 5000; port < 5010; port++) send(gateway, 'tcp', A, port)
    expect(addressIn(send(gateway, 'tcp', A, 6000))).not.toBe(address)
    // Until all are full.
    for (let count = 0; count < 10 * POOL.length - 11; count++) send(gateway, 'udp', A, 7000 + count)
    gateway.fromLan(packet('udp', end(A, 9000), end(P, 53)))
    expect([gateway.toWan(), gateway.drops]).toEqual([[], { 'ports-exhausted': 1 }])
  })

  it('changes with the WAN: mappings stay while their address is there, new ones only get addresses that are', () => {
    const gateway = pooled()
    const before = new Map(hosts(60).map((source) => [source, send(gateway, 'udp', source, 5000)]))
    const gone = addressIn(before.get(host(256))!)
    const left = POOL.filter((address) => address !== gone)
    const wan = (addresses: readonly string[]): void =>
      gateway.setWan(0, { up: true, mtu: 1500, addresses: addresses.map(ip), routes: [{ destination: 0, prefixLength: 0, gateway: null, source: ip(E) }] })
    wan(left)
    const stayed = [...before.values()].filter((outside) => addressIn(outside) !== gone)
    expect(gateway.flows).toBe(stayed.length)
    for (const [source, outside] of before) {
      const now = send(gateway, 'udp', source, 5000)
      if (addressIn(outside) === gone) expect(left).toContain(addressIn(now))
      else expect(now).toBe(outside)
    }
    wan([])
    gateway.fromLan(packet('udp', end(A, 5000), end(P, 53)))
    expect(gateway.drops).toEqual({ 'no-address': 1 })
    wan(['192.0.2.200', '203.0.113.9'])
    expect(addressIn(send(gateway, 'udp', A, 5000))).toBe('203.0.113.9')
  })

  it('UDP-10: hairpin: the source shown is the sender\'s own address of the pool', () => {
    const gateway = pooled()
    const inside = hosts(40)
    const owners = inside.map((source) => send(gateway, 'udp', source, 5000))
    const [sender, target] = [0, owners.findIndex((outside) => addressIn(outside) !== addressIn(owners[0]!))]
    gateway.fromLan(packet('udp', end(inside[sender]!, 7000), end(addressIn(owners[target]!), portIn(owners[target]!))))
    const seen = only(gateway.toLan())
    expect([addressIn(from(seen)), to(seen)]).toEqual([addressIn(owners[sender]!), `${inside[target]}:5000`])
  })
})

describe('blocks of ports', () => {
  const blocked = (settings: Partial<NatSettings['ports']> = {}, options: MemoryGatewayOptions = {}): { gateway: MemoryGateway; events: string[] } => {
    const gateway = behaving({}, { nat: { ports: { ...PROFILES.behave.nat.ports, blockSize: 16, blocksPerHost: 2, ...settings } }, timeouts: { udp: 120, udpStream: 120, icmp: 60 }, ...options })
    const events: string[] = []
    gateway.plane.nat.blocks!.onBlock = (event, inside, outside, first, last, now) => {
      expect(last - first).toBe(15)
      events.push(`${now - 1000} ${event} ${inside === ip(A) ? 'A' : 'B'} ${outside === ip(E) ? first % 16 : '?'}`)
    }
    return { gateway, events }
  }

  it('CGN-13, CGN-14: a host has all protocols in its blocks, one line each, and not more blocks than it may', () => {
    const { gateway, events } = blocked()
    const given = { udp: new Set<number>(), tcp: new Set<number>(), icmp: new Set<number>() }
    for (let port = 5000; port < 5016; port++) {
      for (const protocol of ['udp', 'tcp', 'icmp'] as const) given[protocol].add(portIn(send(gateway, protocol, A, port)))
    }
    expect(given.udp.size).toBe(16)
    expect([given.tcp, given.icmp]).toEqual([given.udp, given.udp])
    expect(events).toEqual(['0 assigned A 0'])
    for (let port = 6000; port < 6016; port++) send(gateway, 'udp', A, port)
    gateway.fromLan(packet('udp', end(A, 7000), end(P, 53)))
    expect(icmp(only(gateway.toLan()))).toBe('3/1')
    expect(gateway.drops).toEqual({ 'ports-exhausted': 1 })
    // Another host is not concerned.
    expect(given.udp.has(portIn(send(gateway, 'udp', B, 5000)))).toBe(false)
    expect(events.slice(1)).toEqual(['0 assigned A 0', '0 assigned B 0'])
  })

  it('CGN-8: a block goes back when its mappings have ended and its ports have rested', () => {
    const { gateway, events } = blocked()
    send(gateway, 'udp', A, 5000)
    gateway.advance(121)
    expect(gateway.flows).toBe(0)
    gateway.advance(119)
    expect(events).toHaveLength(1)
    gateway.advance(2)
    expect(events).toEqual(['0 assigned A 0', '242 released A 0'])
  })

  it('with shared ports as well: the block lives as long as one of its flows', () => {
    const { gateway, events } = blocked({ hold: 0 }, { behaviours: { tcp: NETFILTER, udp: NETFILTER, icmp: NETFILTER } })
    const first = portIn(send(gateway, 'udp', A, 5000))
    gateway.advance(60)
    expect(Math.floor(portIn(send(gateway, 'udp', A, 5000, Q)) / 16)).toBe(Math.floor(first / 16))
    gateway.advance(100)
    expect([gateway.flows, events.length]).toEqual([1, 1])
    gateway.advance(30)
    gateway.advance(1)
    expect(events.slice(1)).toEqual(['191 released A 0'])
  })

  it('what comes from outside neither holds a block nor gives one back', () => {
    const { gateway, events } = blocked({ hold: 0 })
    const outside = send(gateway, 'udp', A, 5000)
    for (let port = 100; port < 110; port++) {
      gateway.fromWan(packet('udp', end(P, port), end(E, portIn(outside))))
      expect(to(only(gateway.toLan()))).toBe(`${A}:5000`)
    }
    gateway.advance(122)
    gateway.advance(1)
    expect([gateway.flows, events.length]).toEqual([0, 2])
  })
})

describe('deterministic NAT', () => {
  const computed = (settings: Partial<NonNullable<NatSettings['deterministic']>> = {}, options: MemoryGatewayOptions = {}): MemoryGateway =>
    behaving({}, { nat: { deterministic: { inside: '10.0.0.0/28', reserved: 1024, dynamic: 2, perHost: 5040, ...settings } }, limits: { flows: 32_768 }, ...options })

  it('DET-1, DET-3: every host has its own ports, for all protocols, identifiers too', () => {
    const gateway = computed()
    const seen = new Set<number>()
    for (let number = 1; number <= 14; number++) {
      for (const port of [80, 1000, 5000, 65535]) {
        for (const protocol of ['udp', 'tcp', 'icmp'] as const) {
          const outside = portIn(send(gateway, protocol, host(number), port))
          expect(Math.floor((outside - 1024) / 4032)).toBe(number - 1)
          seen.add(outside)
        }
      }
    }
    expect([...seen].filter((port) => port < 1024)).toEqual([])
    expect(gateway.plane.nat.blocks!.ownerOf(ip(E), 57472)).toBe(0)
  })

  it('DET-3: ports of its own are drawn at random', () => {
    const gateway = computed()
    const given = Array.from({ length: 1000 }, (_, index) => portIn(send(gateway, 'udp', host(1), 1024 + index)))
    expect(new Set(given).size).toBe(1000)
    expect(given.filter((port, index) => index > 0 && port === given[index - 1]! + 1).length).toBeLessThan(10)
    expect(given.filter((port) => port < 3040).length).toBeGreaterThan(400)
  })

  it('DET-4: D = 2, M = 5040: its own first, then logged blocks, at most 1008 ports more', () => {
    const gateway = computed()
    const events: number[][] = []
    gateway.plane.nat.blocks!.onBlock = (_, inside, __, first, last) => events.push([inside & 0xff, first, last])
    const own = Array.from({ length: 4032 }, (_, index) => portIn(send(gateway, 'udp', host(3), 1024 + index)))
    expect([Math.min(...own), Math.max(...own), new Set(own).size, events.length]).toEqual([9088, 13119, 4032, 0])
    const more: number[] = []
    for (let index = 0; index < 1009; index++) {
      gateway.fromLan(packet('udp', end(host(3), 10_000 + index), end(P, 53)))
      for (const { bytes } of gateway.toWan()) more.push(portIn(from(bytes)))
    }
    // Whole blocks of 64.
    expect(more).toHaveLength(960)
    expect(Math.min(...more)).toBeGreaterThanOrEqual(57472)
    expect(events).toHaveLength(15)
    for (const [inside, first, last] of events) expect([inside, more.filter((port) => port >= first! && port <= last!).length]).toEqual([3, 64])
    expect(gateway.drops).toEqual({ 'ports-exhausted': 49 })
  })

  it('DET-4: D = 0: nothing beyond its own', () => {
    const gateway = computed({ dynamic: 0, perHost: 0, inside: '10.0.0.0/22' }, { ports: [[1, 65535]] })
    expect(gateway.plane.nat.blocks).toBeNull()
    // 1022 hosts have 63 ports each.
    for (let port = 0; port < 63; port++) send(gateway, 'udp', host(2), 5000 + port)
    gateway.fromLan(packet('udp', end(host(2), 6000), end(P, 53)))
    expect([gateway.toWan(), gateway.drops]).toEqual([[], { 'ports-exhausted': 1 }])
    send(gateway, 'udp', host(3), 5000)
  })

  it('what has no ports leaves from the host\'s address as well', () => {
    const gateway = behaving({}, { wanAddresses: POOL, nat: { pool: '203.0.113.1,203.0.113.9', deterministic: { inside: '10.0.0.0/29', reserved: 1024, dynamic: 0, perHost: 0 } } })
    for (const [source, address] of [[host(1), '203.0.113.1'], [host(6), '203.0.113.9']] as const) {
      gateway.fromLan(buildGre({ source, destination: P, payload: new Uint8Array(20) }))
      expect(sourceOf(only(gateway.toWan()))).toBe(address)
    }
    gateway.fromLan(buildGre({ source: '10.0.1.2', destination: Q, payload: new Uint8Array(20) }))
    expect(gateway.drops).toEqual({ 'no-ports-for-host': 1 })
  })

  it('hosts of another network have none', () => {
    const gateway = computed()
    gateway.fromLan(packet('udp', end('10.0.1.2', 5000), end(P, 53)))
    expect([gateway.toWan(), gateway.drops]).toEqual([[], { 'no-ports-for-host': 1 }])
  })

  it('over several addresses, with any policy of selection', () => {
    const gateway = behaving({}, {
      wanAddresses: POOL, nat: {
        pool: '203.0.113.1,203.0.113.9', ports: { ...PROFILES.behave.nat.ports, parity: true },
        deterministic: { inside: '10.0.0.0/29', reserved: 1024, dynamic: 0, perHost: 0 },
      },
    })
    expect([1, 2, 3, 4, 5, 6].map((number) => addressIn(send(gateway, 'tcp', host(number), 5000)))).toEqual([...new Array(3).fill('203.0.113.1'), ...new Array(3).fill('203.0.113.9')])
    for (let port = 5001; port < 5050; port++) expect(portIn(send(gateway, 'tcp', A, port)) & 1).toBe(port & 1)
    expect(leave(gateway, 'udp', end(host(6), 5000), end(P, 1))).toBeGreaterThanOrEqual(1024 + 2 * 21504)
  })
})
