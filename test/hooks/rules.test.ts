/** Packets meet rules: the whole data plane, with rule sets as iptables-save writes them. */
import { describe, expect, it } from 'vitest'
import { runIptables, saveRuleset, withCounters } from '../../src/policy/iptables/index.js'
import { numberOfZone } from '../../src/attachment.js'
import { ACK, PSH, RST, SYN } from '../../src/stack/wire/tcp.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../../src/testing/memory-gateway.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildIcmpEcho, buildIcmpError, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { FLOW_MARK } from '../../src/nat/flow-table.js'
import { anyRule, defaultRules } from '../../src/route/rules.js'
import { Origin, RouteType, Scope } from '../../src/route/types.js'
import { A, B, destinationOf, E, from, G, icmp, only, P, Q, sourceOf, to } from '../stack/support.js'

const gatewayWith = (rules: string, options: MemoryGatewayOptions = {}): MemoryGateway => new MemoryGateway(options).restoreRules(`${rules.trim()}\n`)
const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const BACK = { source: P, destination: E, sourcePort: 53, destinationPort: 5000 }
/** Sent inwards or outwards, all of it valid. */
const wan = (gateway: MemoryGateway): Uint8Array => checked(only(gateway.toWan()))
const lan = (gateway: MemoryGateway): Uint8Array => checked(only(gateway.toLan()))
const checked = (bytes: Uint8Array): Uint8Array => {
  expect(checkPacket(bytes)).toEqual([])
  return bytes
}
/** The rules with what they have counted by now. */
const counted = (gateway: MemoryGateway): string[] => {
  const { policy } = gateway.plane
  policy.onCount()
  const { ruleset } = policy.evaluator
  const saved = withCounters(gateway.ruleset, (id) => {
    const index = ruleset.indexOf(id)
    return index < 0 ? undefined : { packets: ruleset.counters[index * 2]!, bytes: ruleset.counters[index * 2 + 1]! }
  })
  return saveRuleset(saved, { counters: true }).split('\n').filter((line) => line.startsWith('[') || / \[/.test(line))
}
const countOf = (gateway: MemoryGateway, text: string): string => counted(gateway).find((line) => line.includes(text))!.match(/\[.*\]/)![0]

describe('nat', () => {
  const MASQUERADE = `
*nat
-A POSTROUTING -s 10.0.0.0/8 -p tcp -o eth0 -j MASQUERADE --to-ports 55666-55680
-A POSTROUTING -s 10.0.0.0/8 -o eth0 -j MASQUERADE
COMMIT`
  const syn = (sourcePort: number, destination = P): Uint8Array => buildTcp({ source: A, destination, sourcePort, destinationPort: 80, flags: SYN })

  it('MASQUERADE --to-ports: a port of the range, shared by flows to different remotes; one more to the same is refused and counted', () => {
    const gateway = gatewayWith(MASQUERADE)
    const ports = new Set<number>()
    for (let flow = 0; flow < 15; flow++) ports.add(Number(from(wan(gateway.fromLan(syn(40000 + flow)))).split(':')[1]))
    expect([...ports].sort()).toEqual(Array.from({ length: 15 }, (_, index) => 55666 + index))
    gateway.fromLan(syn(41000))
    expect(gateway.toWan()).toEqual([])
    expect(icmp(lan(gateway))).toBe('3/1')
    expect(gateway.drops).toEqual({ 'ports-exhausted': 1 })
    expect(from(wan(gateway.fromLan(syn(41000, Q))))).toMatch(/^203\.0\.113\.1:556[678]\d$/)
    expect(from(wan(gateway.fromLan(buildUdp(UDP))))).toBe(`${E}:5000`)
    expect(countOf(gateway, '--to-ports')).toBe('[17:680]')
  })

  it('what no rule of POSTROUTING translates leaves as it is', () => {
    const gateway = gatewayWith('*nat\n-A POSTROUTING -s 10.0.0.9/32 -j MASQUERADE\nCOMMIT')
    expect(from(wan(gateway.fromLan(buildUdp(UDP))))).toBe(`${A}:5000`)
    expect(from(lan(gateway.fromWan(buildUdp({ ...BACK, destination: A }))))).toBe(`${P}:53`)
  })

  it('as long as POSTROUTING has no rule, tsnat masquerades by itself', () => {
    const gateway = gatewayWith('*nat\n-A PREROUTING -i eth0 -p udp --dport 99 -j DNAT --to-destination 10.0.0.3:9\nCOMMIT')
    expect(from(wan(gateway.fromLan(buildUdp(UDP))))).toBe(`${E}:5000`)
    expect(to(lan(gateway.fromWan(buildUdp(BACK))))).toBe(`${A}:5000`)
    expect(to(lan(gateway.fromWan(buildUdp({ source: Q, destination: E, sourcePort: 7, destinationPort: 99 }))))).toBe(`${B}:9`)
    expect(from(wan(gateway.fromLan(buildUdp({ source: B, destination: Q, sourcePort: 9, destinationPort: 7 }))))).toBe(`${E}:99`)
  })

  it('DNAT from inside, SNAT to a range, both in one flow', () => {
    const gateway = gatewayWith(`*nat
-A PREROUTING -i tun0 -d ${P} -p udp --dport 53 -j DNAT --to-destination ${Q}:5353
-A POSTROUTING -o eth0 -d ${Q} -p udp -j SNAT --to-source 203.0.113.20-203.0.113.23:6000-6001
COMMIT`, { wanAddresses: [E, '203.0.113.20', '203.0.113.21', '203.0.113.22', '203.0.113.23'] })
    const out = wan(gateway.fromLan(buildUdp(UDP)))
    expect(to(out)).toBe(`${Q}:5353`)
    expect(from(out)).toMatch(/^203\.0\.113\.2[0-3]:600[01]$/)
    const [address, port] = from(out).split(':') as [string, string]
    expect(from(lan(gateway.fromWan(buildUdp({ source: Q, destination: address, sourcePort: 5353, destinationPort: Number(port) }))))).toBe(`${P}:53`)
  })

  it('NMAP-1: NETMAP both ways keeps the host bits and the ports', () => {
    const gateway = gatewayWith(`*nat
-A PREROUTING -i eth0 -d 192.0.2.0/24 -j NETMAP --to 10.0.0.0/24
-A POSTROUTING -o eth0 -s 10.0.0.0/24 -j NETMAP --to 192.0.2.0/24
COMMIT`)
    expect(from(wan(gateway.fromLan(buildUdp(UDP))))).toBe('192.0.2.2:5000')
    const ping = lan(gateway.fromWan(buildIcmpEcho({ source: P, destination: '192.0.2.3', identifier: 9 })))
    expect([sourceOf(ping), destinationOf(ping)]).toEqual([P, B])
    expect(sourceOf(wan(gateway.fromLan(buildIcmpEcho({ source: B, destination: P, identifier: 9, reply: true }))))).toBe('192.0.2.3')
  })

  it('is asked once a flow, and sees its own destination in POSTROUTING', () => {
    const gateway = gatewayWith(`*nat
-A PREROUTING -d ${P} -j DNAT --to-destination ${Q}
-A POSTROUTING -d ${Q} -j MASQUERADE
COMMIT`)
    for (let packet = 0; packet < 5; packet++) expect(destinationOf(wan(gateway.fromLan(buildUdp(UDP))))).toBe(Q)
    expect(countOf(gateway, 'DNAT')).toBe('[1:28]')
    expect(countOf(gateway, 'MASQUERADE')).toBe('[1:28]')
  })
})

describe('filter', () => {
  it('DROP and REJECT, each kind, and the policy; a refused packet opens nothing', () => {
    const gateway = gatewayWith(`*filter
:FORWARD DROP [0:0]
-A FORWARD -p udp --dport 53 -j ACCEPT
-A FORWARD -p udp --dport 54 -j REJECT
-A FORWARD -p udp --dport 55 -j REJECT --reject-with icmp-admin-prohibited
-A FORWARD -p tcp --dport 80 -j REJECT --reject-with tcp-reset
COMMIT`)
    expect(from(wan(gateway.fromLan(buildUdp(UDP))))).toBe(`${E}:5000`)
    expect(icmp(lan(gateway.fromLan(buildUdp({ ...UDP, destinationPort: 54 }))))).toBe('3/3')
    expect(icmp(lan(gateway.fromLan(buildUdp({ ...UDP, destinationPort: 55 }))))).toBe('3/13')
    const reset = lan(gateway.fromLan(buildTcp({ source: A, destination: P, sourcePort: 1, destinationPort: 80, flags: SYN, sequence: 77 })))
    expect([from(reset), to(reset), reset[33], reset.slice(28, 32).join()]).toEqual([`${P}:80`, `${A}:1`, RST | ACK, '0,0,0,78'])
    gateway.fromLan(buildUdp({ ...UDP, destinationPort: 56 }))
    expect([gateway.toLan(), gateway.toWan()]).toEqual([[], []])
    expect(gateway.drops).toEqual({ 'rule-rejected': 3, 'rule': 1 })
    expect(gateway.flows).toBe(1)
    expect(countOf(gateway, ':FORWARD')).toBe('[1:28]')
  })

  it('knows states and directions; counts for packets that asked nobody', () => {
    const gateway = gatewayWith(`*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i tun0 -o eth0 -m conntrack --ctstate NEW -j ACCEPT
COMMIT`)
    for (let packet = 0; packet < 3; packet++) wan(gateway.fromLan(buildUdp(UDP)))
    expect(countOf(gateway, 'NEW')).toBe('[3:84]')
    for (let packet = 0; packet < 10; packet++) {
      lan(gateway.fromWan(buildUdp(BACK)))
      wan(gateway.fromLan(buildUdp(UDP)))
    }
    lan(gateway.fromWan(buildIcmpError({ source: Q, destination: E, type: 3, code: 3, quote: buildUdp({ source: E, destination: P, sourcePort: 5000, destinationPort: 53 }) })))
    expect(countOf(gateway, 'NEW')).toBe('[3:84]')
    expect(countOf(gateway, 'ESTABLISHED')).toBe(`[21:${20 * 28 + 56}]`)
  })

  it('a change of rules is felt by the next packet of each flow, and counters go on', () => {
    const gateway = gatewayWith('*filter\n-A FORWARD -p udp -j ACCEPT\nCOMMIT')
    for (let packet = 0; packet < 4; packet++) wan(gateway.fromLan(buildUdp(UDP)))
    gateway.restoreRules('*filter\n:FORWARD DROP [0:0]\nCOMMIT\n')
    gateway.fromLan(buildUdp(UDP))
    expect(gateway.toWan()).toEqual([])
    gateway.restoreRules('*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n')
    wan(gateway.fromLan(buildUdp(UDP)))
  })

  it('what packets without questions are to count for is not lost when rules are exchanged, nor counted for others', () => {
    const gateway = gatewayWith('*filter\n-A FORWARD -p udp -j ACCEPT\nCOMMIT')
    for (let packet = 0; packet < 6; packet++) wan(gateway.fromLan(buildUdp(UDP)))
    gateway.useRules(runIptables(gateway.ruleset, ['-I', 'FORWARD', '-p', 'icmp', '-j', 'DROP']).ruleset)
    expect([countOf(gateway, '-p udp'), countOf(gateway, '-p icmp')]).toEqual(['[6:168]', '[0:0]'])
    for (let packet = 0; packet < 3; packet++) wan(gateway.fromLan(buildUdp(UDP)))
    gateway.useRules(runIptables(gateway.ruleset, ['-D', 'FORWARD', '-p', 'udp', '-j', 'ACCEPT']).ruleset)
    for (let packet = 0; packet < 2; packet++) wan(gateway.fromLan(buildUdp(UDP)))
    expect([countOf(gateway, ':FORWARD'), countOf(gateway, '-p icmp')]).toEqual(['[2:56]', '[0:0]'])
  })

  it('INPUT decides on what is for the gateway itself', () => {
    const gateway = gatewayWith('*filter\n-A INPUT -p icmp -j DROP\nCOMMIT')
    gateway.fromLan(buildIcmpEcho({ source: A, destination: G, identifier: 1 }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ rule: 1 })
  })
})

it('OUTPUT decides on what the gateway itself says', () => {
  const gateway = gatewayWith('*filter\n-A OUTPUT -p icmp --icmp-type echo-reply -m conntrack --ctstate ESTABLISHED -j DROP\nCOMMIT\n*mangle\n-A OUTPUT -m conntrack --ctstate RELATED -j DSCP --set-dscp 8\nCOMMIT')
  gateway.fromLan(buildIcmpEcho({ source: A, destination: G, identifier: 1 }))
  expect(gateway.toLan()).toEqual([])
  const exceeded = lan(gateway.fromLan(buildUdp({ ...UDP, ttl: 1 })))
  expect([icmp(exceeded), exceeded[1]]).toEqual(['11/0', 32])
  expect(gateway.drops).toEqual({ 'rule': 1, 'ttl-expired': 1 })
})

describe('mangle', () => {
  const ttlOf = (bytes: Uint8Array): number => bytes[8]!
  it.each([
    ['PREROUTING -j TTL --ttl-inc 1', 64], ['PREROUTING -j TTL --ttl-set 10', 9], ['FORWARD -j TTL --ttl-set 10', 10],
    ['POSTROUTING -j TTL --ttl-set 255', 255], ['POSTROUTING -j TTL --ttl-dec 3', 60],
  ])('%s: leaves with TTL %i, each packet', (rule, ttl) => {
    const gateway = gatewayWith(`*mangle\n-A ${rule}\nCOMMIT`)
    for (let packet = 0; packet < 3; packet++) expect(ttlOf(wan(gateway.fromLan(buildUdp({ ...UDP, ttl: 64 }))))).toBe(ttl)
  })

  it('TOS and DSCP, seen by later rules', () => {
    const gateway = gatewayWith('*mangle\n-A PREROUTING -j DSCP --set-dscp 10\n-A POSTROUTING -m dscp --dscp 10 -j TOS --set-tos 0x10/0xff\nCOMMIT')
    for (let packet = 0; packet < 3; packet++) expect(wan(gateway.fromLan(buildUdp(UDP)))[1]).toBe(0x10)
  })

  it('TCPMSS changes SYNs alone, other segments ask nobody', () => {
    const gateway = gatewayWith('*mangle\n-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000\nCOMMIT')
    const out = { source: A, destination: P, sourcePort: 1, destinationPort: 80 }
    const back = { source: P, destination: E, sourcePort: 80, destinationPort: 1 }
    const syn = wan(gateway.fromLan(buildTcp({ ...out, flags: SYN, sequence: 10, options: Uint8Array.of(2, 4, 5, 180) })))
    expect([...syn.slice(40, 44)]).toEqual([2, 4, 3, 232])
    lan(gateway.fromWan(buildTcp({ ...back, flags: SYN | ACK, sequence: 100, acknowledgment: 11 })))
    for (let packet = 0; packet < 5; packet++) wan(gateway.fromLan(buildTcp({ ...out, flags: ACK | PSH, sequence: 11, acknowledgment: 101, window: 1000 })))
    expect(countOf(gateway, 'TCPMSS')).toBe('[2:84]')
  })

  it('marks lead to another uplink, also by the mark of the connection', () => {
    const gateway = gatewayWith(`*mangle
-A PREROUTING -j CONNMARK --restore-mark
-A PREROUTING -m mark ! --mark 0 -j ACCEPT
-A PREROUTING -p udp --dport 53 -j MARK --set-mark 100
-A PREROUTING -j CONNMARK --save-mark
COMMIT`, { wans: [{ addresses: [E] }, { addresses: ['192.0.2.1'] }] })
    const hops = [{ gateway: null, device: numberOfZone(2), weight: 1, onlink: false, ownGateway: false }]
    const route = { type: RouteType.unicast, tos: 0, metric: 0, scope: Scope.global, origin: Origin.static, source: 0, mtu: 0, mtuLocked: false, hops }
    const marked = { ...anyRule, preference: 100, mark: 100, markMask: 0xffffffff, table: 100 }
    gateway.plane.policy.handle({
      type: 'routing',
      update: { routes: [{ table: 100, destination: 0, length: 0, routes: [route] }], rules: [marked, ...defaultRules()], interfaces: null },
    })
    for (let packet = 0; packet < 3; packet++) {
      expect(from(checked(only(gateway.fromLan(buildUdp(UDP)).toWanAt(1))))).toBe('192.0.2.1:5000')
      lan(gateway.fromWanAt(1, buildUdp({ ...BACK, destination: '192.0.2.1' })))
    }
    expect(from(wan(gateway.fromLan(buildUdp({ ...UDP, destinationPort: 54 }))))).toBe(`${E}:5000`)
    expect(gateway.plane.table.flows[FLOW_MARK]).toBe(100)
  })
})

it('NOTRACK: routed without a flow, and as it is', () => {
  const gateway = gatewayWith('*raw\n-A PREROUTING -p udp --dport 53 -j NOTRACK\nCOMMIT\n*filter\n-A FORWARD -m conntrack --ctstate UNTRACKED -j ACCEPT\nCOMMIT')
  expect(from(wan(gateway.fromLan(buildUdp({ ...UDP, ttl: 9 }))))).toBe(`${A}:5000`)
  expect(gateway.flows).toBe(0)
  expect(countOf(gateway, 'UNTRACKED')).toBe('[1:28]')
})
