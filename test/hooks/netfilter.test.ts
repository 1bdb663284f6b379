/** Where rules see packets as they do in the kernel: what is for the gateway itself, what belongs to no flow, what has just happened. */
import { describe, expect, it } from 'vitest'
import { saveRuleset, withCounters } from '../../src/policy/iptables/index.js'
import { TABLE_NAMES } from '../../src/policy/model.js'
import { ACK, PSH, SYN } from '../../src/stack/wire/tcp.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../../src/testing/memory-gateway.js'
import { buildIcmpError, buildTcp, buildUdp, mssOption } from '../../src/testing/packets.js'
import { FLOW_MARK } from '../../src/nat/flow-table.js'
import { A, E, from, icmp, only, P, to } from '../stack/support.js'

const gatewayWith = (rules: readonly string[], options: MemoryGatewayOptions = {}): MemoryGateway => {
  const text = TABLE_NAMES.map((table) => [`*${table}`, ...rules.filter((rule) => rule.startsWith(`${table} `)).map((rule) => rule.slice(table.length + 1)), 'COMMIT', ''].join('\n'))
  return new MemoryGateway(options).restoreRules(text.join(''))
}

/** Packets that the rule which holds `text` has counted. */
const countOf = (gateway: MemoryGateway, text: string): number => {
  const { policy } = gateway.plane
  policy.onCount()
  const { ruleset } = policy.evaluator
  const saved = withCounters(gateway.ruleset, (id) => {
    const index = ruleset.indexOf(id)
    return index < 0 ? undefined : { packets: ruleset.counters[index * 2]!, bytes: ruleset.counters[index * 2 + 1]! }
  })
  return Number(saveRuleset(saved, { counters: true }).split('\n').find((line) => line.includes(text))!.match(/\[(\d+):/)![1])
}

const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const BACK = { source: P, destination: E, sourcePort: 53, destinationPort: 5000 }
const TCP = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
const ANSWER = { source: P, destination: E, sourcePort: 80, destinationPort: 5000 }
const MASQUERADE = 'nat -A POSTROUTING -o eth0 -j MASQUERADE'
const OWNED: MemoryGatewayOptions = { ownedAddresses: [E] }

describe('DNAT', () => {
  it.each([
    ['8080-8089/5000', 5000, 8080], ['8080-8089/5000', 5007, 8087], ['8080-8089/5000', 5010, 8080], ['8080-8089', 5000, 8080], ['8080-8089', 8083, 8083],
  ])('to ports %s, asked for %i: %i', (ports, asked, port) => {
    const gateway = gatewayWith([`nat -A PREROUTING -i eth0 -p udp -j DNAT --to-destination ${A}:${ports}`])
    expect(to(only(gateway.fromWan(buildUdp({ ...BACK, destinationPort: asked })).toLan()))).toBe(`${A}:${port}`)
  })
})

describe('INPUT', () => {
  it('is asked about what comes to an outside address and belongs to nobody', () => {
    const gateway = gatewayWith(['filter -A INPUT -p tcp -j REJECT --reject-with tcp-reset', 'filter -A INPUT -p udp -j LOG', MASQUERADE], OWNED)
    const reset = only(gateway.fromWan(buildTcp({ ...ANSWER, destinationPort: 22, flags: SYN })).toWan())
    expect([from(reset), reset[33]]).toEqual([`${E}:22`, 0x14])
    gateway.fromWan(buildUdp(BACK))
    expect(countOf(gateway, 'LOG')).toBe(1)
    expect(gateway.toLan()).toEqual([])
  })

  it('is not asked about what goes to a host inside, or is refused on its way there', () => {
    const gateway = gatewayWith([`nat -A PREROUTING -i eth0 -p udp --dport 53 -j DNAT --to-destination ${A}`, 'filter -A FORWARD -j REJECT', 'filter -A INPUT -j LOG'], OWNED)
    gateway.fromWan(buildUdp({ ...BACK, destinationPort: 53 }))
    expect(icmp(only(gateway.toWan()))).toBe('3/3')
    expect(countOf(gateway, 'LOG')).toBe(0)
  })

  it('sees where rules have led a packet', () => {
    const gateway = gatewayWith(['nat -A PREROUTING -i tun0 -p udp -j REDIRECT --to-ports 99', 'filter -A INPUT -d 10.0.0.1 -p udp --dport 99 -j LOG', `filter -A INPUT -d ${P} -j NFLOG`])
    gateway.fromLan(buildUdp(UDP))
    expect([countOf(gateway, '-j LOG'), countOf(gateway, 'NFLOG')]).toEqual([1, 0])
  })
})

describe('packets that are not tracked', () => {
  const rules = ['raw -A PREROUTING -i eth0 -p udp -j NOTRACK', 'filter -A INPUT -j LOG', MASQUERADE]

  it('stay at the gateway when they are addressed to it', () => {
    const gateway = gatewayWith(rules, OWNED)
    gateway.fromWan(buildUdp(BACK))
    expect([gateway.toLan(), countOf(gateway, 'LOG'), gateway.drops]).toEqual([[], 1, { 'no-flow': 1 }])
  })

  it('leave with the TTL that rules set, 255 too', () => {
    const gateway = gatewayWith(['raw -A PREROUTING -p udp -j NOTRACK', 'mangle -A POSTROUTING -j TTL --ttl-set 255', MASQUERADE])
    const out = only(gateway.fromLan(buildUdp(UDP)).toWan())
    expect([out[8], checkPacket(out)]).toEqual([255, []])
  })

  it('do not get inside when routing knows nothing of their destination there', () => {
    const gateway = gatewayWith(rules)
    gateway.fromWan(buildUdp({ ...BACK, destination: '192.168.7.1' }))
    expect([gateway.toLan(), gateway.drops]).toEqual([[], { 'no-flow': 1 }])
  })
})

describe('what has just happened', () => {
  it('a first answer has been seen, an acknowledged connection is assured', () => {
    const gateway = gatewayWith([MASQUERADE, 'filter -A FORWARD -i eth0 -m conntrack --ctstatus SEEN_REPLY -j LOG', 'filter -A FORWARD -i tun0 -m conntrack --ctstatus ASSURED -j NFLOG'])
    gateway.fromLan(buildTcp({ ...TCP, flags: SYN, sequence: 10 }))
    gateway.fromWan(buildTcp({ ...ANSWER, flags: SYN | ACK, sequence: 20, acknowledgment: 11 }))
    gateway.fromLan(buildTcp({ ...TCP, flags: ACK, sequence: 11, acknowledgment: 21 }))
    expect([countOf(gateway, '-j LOG'), countOf(gateway, 'NFLOG')]).toEqual([1, 1])
    gateway.fromLan(buildTcp({ ...TCP, flags: ACK | PSH, sequence: 11, acknowledgment: 21, payload: Uint8Array.of(1) }))
    expect(countOf(gateway, 'NFLOG')).toBe(2)
  })

  it('a connection is marked also by its packets that are dropped, and by errors about them', () => {
    const gateway = gatewayWith([
      MASQUERADE, 'mangle -A PREROUTING -i tun0 -m length --length 100:200 -j CONNMARK --set-mark 7', 'mangle -A PREROUTING -i eth0 -p icmp -j CONNMARK --set-mark 9',
      'filter -A FORWARD -m length --length 100:200 -j DROP',
    ])
    const out = only(gateway.fromLan(buildUdp(UDP)).toWan())
    gateway.fromLan(buildUdp({ ...UDP, payload: new Uint8Array(100) }))
    expect([gateway.toWan(), gateway.plane.table.flows[FLOW_MARK]]).toEqual([[], 7])
    gateway.fromWan(buildIcmpError({ source: P, destination: E, type: 3, code: 3, quote: out }))
    expect(gateway.plane.table.flows[FLOW_MARK]).toBe(9)
  })

  it.each([['--set-mss 1000', 1000], ['--clamp-mss-to-pmtu', 1360]])('TCPMSS %s: later rules see the lower segment size', (option, mss) => {
    const gateway = gatewayWith([
      MASQUERADE, `mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS ${option}`, `filter -A FORWARD -p tcp -m tcpmss --mss ${mss} -j LOG`,
      'mangle -A POSTROUTING -p tcp -m tcpmss --mss 1460 -j DROP',
    ], { wanMtu: 1400 })
    const out = only(gateway.fromLan(buildTcp({ ...TCP, flags: SYN, options: mssOption(1460) })).toWan())
    expect([...out.subarray(40, 44)]).toEqual([2, 4, mss >> 8, mss & 0xff])
    expect(countOf(gateway, 'LOG')).toBe(1)
  })

  it('an error whose TTL has run out has met PREROUTING, and no more', () => {
    const gateway = gatewayWith([MASQUERADE, 'mangle -A PREROUTING -p icmp -j LOG', 'mangle -A FORWARD -p icmp -j NFLOG'])
    const out = only(gateway.fromLan(buildUdp(UDP)).toWan())
    gateway.fromWan(buildIcmpError({ source: P, destination: E, type: 3, code: 3, quote: out, ttl: 1 }))
    expect([gateway.toLan(), countOf(gateway, '-j LOG'), countOf(gateway, 'NFLOG')]).toEqual([[], 1, 0])
  })
})
