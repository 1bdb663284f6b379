/** Packets are routed by rules and tables, and flows when a link is lost. */
import { describe, expect, it } from 'vitest'
import { numberOfZone } from '../../src/attachment.js'
import { anyRule, defaultRules } from '../../src/route/rules.js'
import { Origin, type PrefixRoutes, type RouteInfo, RouteType, Scope, Table } from '../../src/route/types.js'
import { ACK, RST, SYN } from '../../src/stack/wire/tcp.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../../src/testing/memory-gateway.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildIcmpEcho, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, B, E, from, G, icmp, ip, only, P, Q, to } from '../stack/support.js'

const E2 = '192.0.2.1'
const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const route = (type: RouteInfo['type'], zone: number | null, metric = 0): RouteInfo => ({
  type, tos: 0, metric, scope: Scope.global, origin: Origin.static, source: 0, mtu: 0, mtuLocked: false,
  hops: zone === null ? [] : [{ gateway: null, device: numberOfZone(zone), weight: 1, onlink: false, ownGateway: false }],
})
const change = (gateway: MemoryGateway, routes: PrefixRoutes[], rules = defaultRules()): void =>
  gateway.plane.policy.handle({ type: 'routing', update: { routes, rules, interfaces: [['tun0', 2], ['eth0', 3], ['eth1', 4]] } })
const two = (options: MemoryGatewayOptions = {}): MemoryGateway => new MemoryGateway({ wans: [{ addresses: [E] }, { addresses: [E2] }], ...options })
const sent = (gateway: MemoryGateway, index: number): Uint8Array[] => gateway.toWanAt(index).map(({ bytes }) => {
  expect(checkPacket(bytes)).toEqual([])
  return bytes
})

describe('routes', () => {
  it.each([
    ['unreachable', RouteType.unreachable, '3/1', 'route-unreachable'], ['prohibit', RouteType.prohibit, '3/13', 'route-prohibited'],
    ['blackhole', RouteType.blackhole, null, 'route-blackhole'],
  ] as const)('RTR-7: of type %s', (_, type, told, reason) => {
    const gateway = new MemoryGateway()
    change(gateway, [{ table: Table.main, destination: ip(P), length: 32, routes: [route(type, null)] }])
    const back = gateway.fromLan(buildUdp(UDP)).toLan()
    expect(back.map(({ bytes }) => icmp(bytes))).toEqual(told === null ? [] : [told])
    expect(gateway.drops).toEqual({ [reason]: 1 })
    expect(gateway.flows).toBe(0)
  })

  it('NAT-8: looked up with the destination that a rule gave', () => {
    const gateway = two().restoreRules(`*nat\n-A PREROUTING -d ${P}/32 -j DNAT --to-destination ${Q}\nCOMMIT\n`)
    change(gateway, [{ table: Table.main, destination: ip(Q), length: 32, routes: [route(RouteType.unicast, 2)] }])
    const out = only(sent(gateway.fromLan(buildUdp(UDP)), 1).map((bytes) => ({ bytes })))
    expect([from(out), to(out)]).toEqual([`${E2}:5000`, `${Q}:53`])
  })

  it('by source, port and protocol of the packet', () => {
    const gateway = two()
    const table = { table: 7, destination: 0, length: 0, routes: [route(RouteType.unicast, 2)] }
    change(gateway, [table], [{ ...anyRule, preference: 10, source: ip(A), sourceLength: 32, protocol: 17, destinationPorts: [53, 53], table: 7 }, ...defaultRules()])
    gateway.fromLan(buildUdp(UDP)).fromLan(buildUdp({ ...UDP, source: B })).fromLan(buildUdp({ ...UDP, destinationPort: 54 }))
    expect(sent(gateway, 1).map(from)).toEqual([`${E2}:5000`])
    expect(sent(gateway, 0)).toHaveLength(2)
  })

  it('with an MTU of their own: longer packets that must not be cut are refused, others are cut', () => {
    const gateway = new MemoryGateway()
    change(gateway, [{ table: Table.main, destination: ip(P), length: 32, routes: [{ ...route(RouteType.unicast, 1), mtu: 1000 }] }])
    const long = { ...UDP, payload: new Uint8Array(1200) }
    for (let packet = 0; packet < 2; packet++) {
      expect(icmp(only(gateway.fromLan(buildUdp({ ...long, df: true })).toLan()))).toBe('3/4')
      expect(gateway.fromLan(buildUdp(long)).toWan().map(({ bytes }) => bytes.length <= 1000)).toEqual([true, true])
    }
    expect(gateway.fromLan(buildUdp({ ...long, destination: Q })).toWan()).toHaveLength(1)
  })
})

it('RDR-1: REDIRECT makes a packet the gateway\'s own, at the address of the interface that it came by', () => {
  const gateway = new MemoryGateway().restoreRules('*nat\n-A PREROUTING -p icmp -j REDIRECT\n-A PREROUTING -p udp -j REDIRECT --to-ports 99\nCOMMIT\n')
  expect(icmp(only(gateway.fromLan(buildUdp(UDP)).toLan()))).toBe('3/3')
  expect(gateway.toWan()).toEqual([])
  expect(gateway.drops).toEqual({ 'to-gateway': 1 })
})

it('CT-12: a flow keeps the translation that it began with, whatever becomes of the rule', () => {
  const gateway = new MemoryGateway().restoreRules(`*nat\n-A PREROUTING -d ${P}/32 -j DNAT --to-destination ${Q}\nCOMMIT\n`)
  expect(to(only(gateway.fromLan(buildUdp(UDP)).toWan()))).toBe(`${Q}:53`)
  gateway.restoreRules('*nat\nCOMMIT\n')
  expect(to(only(gateway.fromLan(buildUdp(UDP)).toWan()))).toBe(`${Q}:53`)
  expect(to(only(gateway.fromLan(buildUdp({ ...UDP, sourcePort: 5001 })).toWan()))).toBe(`${P}:53`)
})

it('CT-11: raw, mangle, nat, then mangle and filter of FORWARD, then mangle and nat', () => {
  const gateway = new MemoryGateway()
  const chains = { raw: ['PREROUTING'], mangle: ['PREROUTING', 'FORWARD', 'POSTROUTING'], nat: ['PREROUTING', 'POSTROUTING'], filter: ['FORWARD'] }
  gateway.restoreRules(Object.entries(chains).map(([table, names]) => `*${table}\n${names.map((name) => `-A ${name}`).join('\n')}\nCOMMIT\n`).join(''))
  const met: string[] = []
  gateway.plane.policy.evaluator.recorder = { table: (table, hook) => met.push(`${table} ${hook}`), rule: () => {}, policy: () => {} }
  gateway.fromLan(buildUdp(UDP))
  expect(met).toEqual(['raw PREROUTING', 'mangle PREROUTING', 'nat PREROUTING', 'mangle FORWARD', 'filter FORWARD', 'mangle POSTROUTING', 'nat POSTROUTING'])
})

describe('when the link of a flow is lost', () => {
  const TCP = { source: A, destination: P, sourcePort: 40000, destinationPort: 80 }
  const ANSWER = { source: P, destination: E, sourcePort: 80, destinationPort: 40000 }
  const lose = (gateway: MemoryGateway, dead = true): void => gateway.plane.policy.handle({ type: 'device-dead', device: 3, dead })
  const connect = (gateway: MemoryGateway): void => {
    gateway.fromLan(buildTcp({ ...TCP, flags: SYN, sequence: 10 })).fromWan(buildTcp({ ...ANSWER, flags: SYN | ACK, sequence: 100, acknowledgment: 11 }))
    gateway.fromLan(buildTcp({ ...TCP, flags: ACK, sequence: 11, acknowledgment: 101 }))
    for (const index of [0, 1]) sent(gateway, index)
    gateway.toLan()
  }
  const data = buildTcp({ ...TCP, flags: ACK, sequence: 11, acknowledgment: 101, payload: Uint8Array.of(1, 2, 3) })

  it('MASQ-4: UDP and pings leave by the other link when theirs is lost, from its address', () => {
    const gateway = two()
    const ping = buildIcmpEcho({ source: A, destination: P, identifier: 5 })
    gateway.fromLan(buildUdp(UDP)).fromLan(ping)
    expect(sent(gateway, 0)).toHaveLength(2)
    lose(gateway)
    gateway.fromLan(buildUdp(UDP)).fromLan(ping)
    expect(sent(gateway, 1).map((bytes) => from(bytes).split(':')[0])).toEqual([E2, E2])
    expect(gateway.flows).toBe(2)
  })

  it('MASQ-4: they stay there when the first comes back; new flows take it', () => {
    const gateway = two()
    lose(gateway)
    gateway.fromLan(buildUdp(UDP))
    lose(gateway, false)
    gateway.fromLan(buildUdp(UDP)).fromLan(buildUdp({ ...UDP, sourcePort: 5001 }))
    expect([sent(gateway, 0).map(from), sent(gateway, 1).map(from)]).toEqual([[`${E}:5001`], [`${E2}:5000`, `${E2}:5000`]])
  })

  it('a SYN that was not answered is a new one', () => {
    const gateway = two()
    const syn = buildTcp({ ...TCP, flags: SYN, sequence: 10 })
    gateway.fromLan(syn)
    lose(gateway)
    gateway.fromLan(syn)
    expect([sent(gateway, 0).map(from), sent(gateway, 1).map(from)]).toEqual([[`${E}:40000`], [`${E2}:40000`]])
  })

  it('MASQ-4: a TCP connection is reset, told by ICMP, or left alone', () => {
    for (const [deadFlows, told] of [['reset', 'reset'], ['icmp', '3/1'], ['leave', '']] as const) {
      const gateway = two({ deadFlows })
      connect(gateway)
      lose(gateway)
      const back = gateway.fromLan(data).toLan().map(({ bytes }) => (bytes[9] === 6 ? (bytes[33]! === RST ? 'reset' : 'tcp') : icmp(bytes)))
      expect(back).toEqual(told === '' ? [] : [told])
      expect(gateway.flows).toBe(deadFlows === 'leave' ? 1 : 0)
      expect(gateway.drops).toEqual({ 'link-dead': 1 })
      lose(gateway, false)
      gateway.fromLan(data)
      expect(sent(gateway, 0)).toHaveLength(deadFlows === 'leave' ? 1 : 0)
    }
  })

  it('an untranslated one goes on by the other', () => {
    const gateway = two().restoreRules('*nat\n-A POSTROUTING -s 10.9.9.9/32 -j MASQUERADE\nCOMMIT\n')
    gateway.fromLan(buildTcp({ ...TCP, flags: SYN, sequence: 10 })).fromWan(buildTcp({ ...ANSWER, destination: A, flags: SYN | ACK, sequence: 100, acknowledgment: 11 }))
    gateway.fromLan(buildTcp({ ...TCP, flags: ACK, sequence: 11, acknowledgment: 101 }))
    expect(sent(gateway, 0)).toHaveLength(2)
    lose(gateway)
    gateway.fromLan(data)
    expect(sent(gateway, 1).map(from)).toEqual([`${A}:40000`])
  })

  it('with no other, the sender is told that there is no way', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(UDP))
    lose(gateway)
    expect(icmp(only(gateway.fromLan(buildUdp(UDP)).toLan()))).toBe('3/0')
  })
})

it('the gateway answers pings of its own address whatever routes say', () => {
  const gateway = new MemoryGateway()
  change(gateway, [{ table: Table.main, destination: 0, length: 0, routes: [route(RouteType.prohibit, null)] }])
  expect(icmp(only(gateway.fromLan(buildIcmpEcho({ source: A, destination: G, identifier: 1 })).toLan()))).toBe('0/0')
})
