/** REDIRECT and DNAT to the gateway itself, plain packets for it, and what its sockets answer. */
import { describe, expect, it } from 'vitest'
import { traceRecord } from '../../src/control/trace-words.js'
import { initialState } from '../../src/policy/iproute/index.js'
import * as icmp4 from '../../src/stack/wire/icmp4.js'
import { ACK, RST, SYN } from '../../src/stack/wire/tcp.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../../src/testing/memory-gateway.js'
import { buildFragments, buildIcmpEcho, buildIcmpError, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, B, bytesOf, E, from, G, icmp, ip, only, P, Q, to } from '../stack/support.js'
import { textOf } from '../trace/support.js'
import { divert, fromSocket, open, TCP, UDP } from './own-sockets.js'

const REDIRECT = '*nat\n-A PREROUTING -p tcp -j REDIRECT --to-ports 1080\n-A PREROUTING -p udp -j REDIRECT --to-ports 1053\nCOMMIT\n'
const SYN_80 = { source: A, destination: P, sourcePort: 40000, destinationPort: 80, flags: SYN }
const DNS = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }

const gatewayWith = (rules: string, options: MemoryGatewayOptions = {}): MemoryGateway => {
  const gateway = new MemoryGateway({ sockets: 64, ...options })
  if (rules !== '') gateway.restoreRules(rules)
  return gateway
}
/** With somebody who listens at both ports. */
const redirecting = (rules = REDIRECT): MemoryGateway => {
  const gateway = gatewayWith(rules)
  open(gateway, { protocol: TCP, local: '*:1080' })
  open(gateway, { protocol: UDP, local: '*:1053' })
  return gateway
}
/** The packet's ends as it was delivered, and where it was sent to. */
const delivered = (gateway: MemoryGateway): string[] => gateway.toSelf().map(({ bytes, originalAddress, originalPort }) => {
  expect(checkPacket(bytes)).toEqual([])
  return `${from(bytes)} > ${to(bytes)}${originalPort < 0 ? '' : ` for ${originalAddress === ip(P) ? 'P' : 'Q'}:${originalPort}`}`
})
const ends = (bytes: Uint8Array | null): string => {
  if (bytes === null) return 'none'
  expect(checkPacket(bytes)).toEqual([])
  return `${from(bytes)} > ${to(bytes)}`
}

describe('REDIRECT', () => {
  it('RDR-1, ORG-1: leads to the first address of the incoming interface, and the socket learns where the client wanted to go', () => {
    const gateway = redirecting()
    gateway.fromLan(buildTcp(SYN_80)).fromLan(buildUdp(DNS))
    expect(delivered(gateway)).toEqual([`${A}:40000 > ${G}:1080 for P:80`, `${A}:5000 > ${G}:1053 for P:53`])
    gateway.fromWan(buildUdp({ ...DNS, source: Q, destination: P }))
    expect(delivered(gateway)).toEqual([`${Q}:5000 > ${E}:1053 for P:53`])
    expect(gateway.drops).toEqual({})
  })

  it('RDR-1: an interface without address drops', () => {
    const gateway = gatewayWith(REDIRECT, { wanAddresses: [] })
    open(gateway, { protocol: UDP, local: '*:1053' })
    gateway.fromWan(buildUdp({ ...DNS, source: Q }))
    expect([gateway.toSelf(), gateway.flows]).toEqual([[], 0])
  })

  it('RDR-2: without --to-ports the port stays', () => {
    const gateway = gatewayWith('*nat\n-A PREROUTING -p udp -j REDIRECT\nCOMMIT\n')
    open(gateway, { protocol: UDP, local: '*:53' })
    expect(delivered(gateway.fromLan(buildUdp(DNS)))).toEqual([`${A}:5000 > ${G}:53 for P:53`])
  })

  it('RDR-3: the reply leaves with the original destination as its source', () => {
    const gateway = redirecting()
    gateway.fromLan(buildTcp(SYN_80)).fromLan(buildUdp(DNS))
    const synAck = buildTcp({ source: G, destination: A, sourcePort: 1080, destinationPort: 40000, flags: SYN | ACK, acknowledgment: 1 })
    expect(ends(fromSocket(gateway, synAck))).toBe(`${P}:80 > ${A}:40000`)
    const answer = buildUdp({ source: G, destination: A, sourcePort: 1053, destinationPort: 5000, ttl: 64 })
    const sent = fromSocket(gateway, answer)!
    expect(ends(sent)).toBe(`${P}:53 > ${A}:5000`)
    expect(sent[8]).toBe(64)
    expect(fromSocket(gateway, buildUdp({ source: G, destination: A, sourcePort: 1054, destinationPort: 5000 }))).toBeNull()
  })

  it('ORG-2: later packets of the flow come with its original destination, rules or not, and with their TTL', () => {
    const gateway = redirecting()
    gateway.fromLan(buildUdp({ ...DNS, ttl: 1 })).restoreRules('*nat\nCOMMIT\n').fromLan(buildUdp({ ...DNS, ttl: 255 }))
    const got = gateway.toSelf()
    expect(got.map(({ bytes }) => bytes[8])).toEqual([1, 255])
    expect(got.map(({ originalAddress, originalPort }) => [originalAddress, originalPort])).toEqual([[ip(P), 53], [ip(P), 53]])
    expect(got.map(({ bytes }) => checkPacket(bytes))).toEqual([[], []])
    expect(gateway.flows).toBe(1)
  })

  it('NAT-7: two flows of a client that lead to one port get different source ports, and each its own replies', () => {
    const gateway = redirecting()
    gateway.fromLan(buildUdp(DNS)).fromLan(buildUdp({ ...DNS, destination: Q }))
    const [first, second] = gateway.toSelf().map(({ bytes, originalAddress }) => ({ port: (bytes[20]! << 8) | bytes[21]!, originalAddress }))
    expect([first, second!.originalAddress]).toEqual([{ port: 5000, originalAddress: ip(P) }, ip(Q)])
    expect(second!.port).not.toBe(5000)
    const answer = (port: number): Uint8Array => buildUdp({ source: G, destination: A, sourcePort: 1053, destinationPort: port })
    expect([ends(fromSocket(gateway, answer(5000))), ends(fromSocket(gateway, answer(second!.port)))]).toEqual([`${P}:53 > ${A}:5000`, `${Q}:53 > ${A}:5000`])
  })

  it('NAT-7: nor does it clash with a connection that came to the gateway itself, whichever was first', () => {
    const rules = `*nat\n-A PREROUTING -d ${P}/32 -p tcp -j REDIRECT --to-ports 1080\nCOMMIT\n`
    const plain = buildTcp({ ...SYN_80, destination: G, destinationPort: 1080 })
    const first = redirecting(rules)
    open(first, { protocol: TCP, local: `${G}:1080`, remote: `${A}:40000` })
    expect(delivered(first.fromLan(buildTcp(SYN_80)))[0]).not.toBe(`${A}:40000 > ${G}:1080 for P:80`)
    const second = redirecting(rules)
    second.fromLan(buildTcp(SYN_80)).fromLan(plain)
    const [redirected, other] = delivered(second)
    expect(redirected).toBe(`${A}:40000 > ${G}:1080 for P:80`)
    expect(other).toMatch(new RegExp(`^${A}:\\d+ > ${G}:1080$`))
    expect(other).not.toBe(`${A}:40000 > ${G}:1080`)
  })

  it('RDR-2: where nobody listens, TCP is answered with RST and UDP with 3/3 by whom the client asked; no flow is opened', () => {
    const gateway = gatewayWith(REDIRECT)
    const reset = only(gateway.fromLan(buildTcp(SYN_80)).toLan())
    expect([ends(reset), reset[33]]).toEqual([`${P}:80 > ${A}:40000`, RST | ACK])
    expect(icmp(only(gateway.fromLan(buildUdp(DNS)).toLan()))).toBe('3/3')
    expect([gateway.flows, gateway.toSelf(), gateway.drops]).toEqual([0, [], { 'to-gateway': 2 }])
  })

  it('a refusal of INPUT opens no flow, and INPUT sees the new destination', () => {
    const gateway = redirecting()
    gateway.restoreRules('*filter\n-A INPUT -p udp --dport 1053 -j DROP\nCOMMIT\n').fromLan(buildUdp(DNS))
    expect([gateway.flows, gateway.drops, gateway.toSelf()]).toEqual([0, { rule: 1 }, []])
  })

  it('rules of INPUT are met by each packet of a flow until what comes out is stored', () => {
    const gateway = redirecting()
    gateway.restoreRules('*filter\n-A INPUT -p udp -m limit --limit 1/hour --limit-burst 2 -j ACCEPT\n-A INPUT -p udp -j DROP\nCOMMIT\n')
    for (let packet = 0; packet < 4; packet++) gateway.fromLan(buildUdp(DNS))
    expect([gateway.toSelf().length, gateway.drops]).toEqual([2, { rule: 2 }])
  })

  it('SNAT in INPUT gives the socket another source, and takes it back', () => {
    const gateway = redirecting(`*nat\n-A PREROUTING -p udp -j REDIRECT --to-ports 1053\n-A INPUT -p udp -j SNAT --to-source 192.0.2.9\nCOMMIT\n`)
    expect(delivered(gateway.fromLan(buildUdp(DNS)))).toEqual([`192.0.2.9:5000 > ${G}:1053 for P:53`])
    expect(ends(fromSocket(gateway, buildUdp({ source: G, destination: '192.0.2.9', sourcePort: 1053, destinationPort: 5000 })))).toBe(`${P}:53 > ${A}:5000`)
  })

  it('a flow ends when its time is over', () => {
    const gateway = redirecting()
    gateway.fromLan(buildUdp(DNS)).advance(3600)
    expect(gateway.flows).toBe(0)
  })
})

describe('DNAT', () => {
  const dnat = (target: string, protocol = 'udp'): string => `*nat\n-A PREROUTING -d ${P}/32 -p ${protocol} -j DNAT --to-destination ${target}\nCOMMIT\n`

  it.each([G, E])('ORG-1: to an address of the gateway: %s', (address) => {
    const gateway = redirecting(dnat(`${address}:1053`))
    expect(delivered(gateway.fromLan(buildUdp(DNS)))).toEqual([`${A}:5000 > ${address}:1053 for P:53`])
    expect(ends(fromSocket(gateway, buildUdp({ source: address, destination: A, sourcePort: 1053, destinationPort: 5000 })))).toBe(`${P}:53 > ${A}:5000`)
  })

  it('from outside, to the address of the LAN', () => {
    const gateway = redirecting(`*nat\n-A PREROUTING -p udp --dport 53 -j DNAT --to-destination ${G}:1053\nCOMMIT\n`)
    gateway.fromWan(buildUdp({ ...DNS, source: Q, destination: E }))
    expect(gateway.toSelf()).toMatchObject([{ originalAddress: ip(E), originalPort: 53, interface: 3 }])
  })

  it('to 127.0.0.1 is refused, as the kernel does without route_localnet', () => {
    const gateway = redirecting(dnat('127.0.0.1:1053'))
    gateway.fromLan(buildUdp(DNS)).fromWan(buildUdp({ ...DNS, source: Q }))
    expect([gateway.drops, gateway.toSelf(), gateway.toLan(), gateway.flows]).toEqual([{ 'invalid-destination': 2 }, [], [], 0])
  })

  it('ORG-3: with TPROXY, the socket gets the packet as DNAT left it, and learns where it went before', () => {
    const gateway = gatewayWith(`*mangle\n-A PREROUTING -p tcp -j TPROXY --on-port 9 --tproxy-mark 1\nCOMMIT\n${dnat(`${Q}:8080`, 'tcp')}`)
    divert(gateway, 1, 1)
    const listener = open(gateway, { protocol: TCP, local: '*:9', flags: ['transparent'] })
    gateway.fromLan(buildTcp(SYN_80))
    const [got] = gateway.toSelf()
    expect([to(got!.bytes), got!.socket, got!.originalAddress, got!.originalPort]).toEqual([`${Q}:8080`, listener, ip(P), 80])
  })
})

describe('ICMP errors', () => {
  it('NAT-7: about what a socket sent in a flow reach it, with what it sent in their quote', () => {
    const gateway = redirecting()
    gateway.fromLan(buildUdp(DNS)).toSelf()
    const quote = buildUdp({ source: P, destination: A, sourcePort: 53, destinationPort: 5000, payload: bytesOf(8) })
    gateway.fromLan(buildIcmpError({ source: A, destination: P, type: icmp4.UNREACHABLE, code: icmp4.CODE_PORT, quote, ttl: 255 }))
    const { bytes } = gateway.toSelf()[0]!
    expect(checkPacket(bytes)).toEqual([])
    expect([bytes.subarray(12, 16).join('.'), bytes.subarray(16, 20).join('.'), bytes[8], ends(bytes.slice(28))]).toEqual([A, G, 255, `${G}:1053 > ${A}:5000`])
  })

  it('RDR-3: of a socket about what came to it quote what the client sent, in the name of where he sent it', () => {
    const gateway = redirecting()
    gateway.fromLan(buildUdp(DNS))
    const quote = gateway.toSelf()[0]!.bytes
    const sent = fromSocket(gateway, buildIcmpError({ source: G, destination: A, type: icmp4.UNREACHABLE, code: icmp4.CODE_PORT, quote, ttl: 64 }))!
    expect(checkPacket(sent)).toEqual([])
    expect([sent.subarray(12, 16).join('.'), sent.subarray(16, 20).join('.'), sent[8], ends(sent.slice(28))]).toEqual([P, A, 64, `${A}:5000 > ${P}:53`])
  })

  it('SOM-2: about what a socket sent as it is reach it; others do not', () => {
    const gateway = gatewayWith('')
    open(gateway, { protocol: TCP, local: `${E}:40000`, remote: `${P}:80` })
    const error = (port: number): Uint8Array => buildIcmpError({
      source: Q, destination: E, type: icmp4.UNREACHABLE, code: icmp4.CODE_HOST, quote: buildTcp({ ...SYN_80, source: E, sourcePort: port }),
    })
    expect(gateway.fromWan(error(40000)).toSelf().map(({ bytes }) => bytes)).toEqual([error(40000)])
    expect([gateway.fromWan(error(40001)).toSelf(), gateway.drops]).toEqual([[], { 'no-flow': 1 }])
    const related = '*filter\n-A INPUT -m conntrack --ctstate RELATED -j DROP\nCOMMIT\n'
    expect(gateway.restoreRules(related).fromWan(error(40000)).toSelf()).toEqual([])
  })
})

describe('packets for the gateway\'s own addresses', () => {
  it('from the LAN: TCP always, as the stack says that nobody is there; UDP to who is bound, else 3/3', () => {
    const gateway = gatewayWith('')
    expect(gateway.fromLan(buildTcp({ ...SYN_80, destination: G })).toSelf()).toMatchObject([{ socket: -1, originalPort: -1, zone: 0, interface: 2 }])
    expect(icmp(only(gateway.fromLan(buildUdp({ ...DNS, destination: G })).toLan()))).toBe('3/3')
    open(gateway, { protocol: UDP, local: '*:53' })
    expect(delivered(gateway.fromLan(buildUdp({ ...DNS, destination: G })))).toEqual([`${A}:5000 > ${G}:53`])
    expect(gateway.flows).toBe(0)
  })

  it('of a WAN: what a socket waits for, from outside and inside; other ports stay silent, or lead back inside', () => {
    const gateway = gatewayWith('')
    const outside = { source: Q, destination: E, sourcePort: 7, destinationPort: 53 }
    expect(gateway.fromWan(buildUdp(outside)).fromWan(buildTcp({ ...SYN_80, source: Q, destination: E })).toSelf()).toEqual([])
    expect([gateway.toWan(), gateway.drops]).toEqual([[], { 'no-flow': 2 }])
    open(gateway, { protocol: UDP, local: '*:53' })
    open(gateway, { protocol: TCP, local: `${E}:80` })
    expect(gateway.fromWan(buildUdp(outside)).fromLan(buildUdp({ ...DNS, destination: E })).fromWan(buildTcp({ ...SYN_80, source: Q, destination: E })).toSelf()).toHaveLength(3)
    expect(gateway.flows).toBe(0)
  })

  it('replies to a socket that has an address of a WAN', () => {
    const gateway = gatewayWith('')
    open(gateway, { protocol: TCP, local: `${E}:40000`, remote: `${P}:80` })
    const established = '*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n'
    gateway.restoreRules(established).fromWan(buildTcp({ source: P, destination: E, sourcePort: 80, destinationPort: 40000, flags: SYN | ACK }))
    expect(gateway.toSelf()).toHaveLength(1)
  })

  it('a forwarded port stays forwarded', () => {
    const gateway = gatewayWith('', { forwards: [{ protocol: UDP, external: null, firstPort: 53, lastPort: 53, address: ip(B), port: 53, from: 0, fromMask: 0 }] })
    open(gateway, { protocol: UDP, local: '*:53' })
    gateway.fromWan(buildUdp({ source: Q, destination: E, sourcePort: 7, destinationPort: 53 }))
    expect([gateway.toSelf(), gateway.toLan().length]).toEqual([[], 1])
  })

  it('pings are answered, and what answers a ping of a socket reaches it', () => {
    const gateway = gatewayWith('')
    expect(icmp(only(gateway.fromLan(buildIcmpEcho({ source: A, destination: G, identifier: 5 })).toLan()))).toBe('0/0')
    const reply = buildIcmpEcho({ source: A, destination: G, identifier: 5, reply: true })
    expect(gateway.fromLan(reply).toSelf()).toEqual([])
    open(gateway, { protocol: 1, local: `${G}:5`, remote: `${A}:0` })
    expect(gateway.fromLan(reply).toSelf()).toHaveLength(1)
    open(gateway, { protocol: 1, local: '*:6' })
    expect(gateway.fromWan(buildIcmpEcho({ source: P, destination: E, identifier: 6, reply: true })).toSelf()).toHaveLength(1)
  })

  it('fragments are delivered as they come, those of a flow translated', () => {
    for (const [rules, destination, seen] of [['', G, G], [REDIRECT, P, G]] as const) {
      const gateway = gatewayWith(rules)
      open(gateway, { protocol: UDP, local: rules === '' ? '*:53' : '*:1053' })
      const [first, second] = buildFragments(buildUdp({ ...DNS, destination, payload: bytesOf(2000), id: 9 }), 1500) as [Uint8Array, Uint8Array]
      gateway.fromLan(second).fromLan(first)
      const got = gateway.toSelf()
      expect(got.map(({ bytes }) => [bytes.length, bytes.subarray(16, 20).join('.')])).toEqual([[first.length, seen], [second.length, seen]])
      expect(gateway.drops).toEqual({})
    }
  })
})

describe('a trace', () => {
  const text = (gateway: MemoryGateway, bytes: Uint8Array): string => {
    const trace = gateway.plane.explain(bytes, 0, 0, false)
    const devices = ['lo', 'tun0', 'eth0'].map((name, index) => ({ number: index + 1, name, up: true, addresses: [] }))
    const record = traceRecord(trace, {
      ruleset: gateway.ruleset, ip: initialState(devices), interfaceName: (zone) => devices[zone + 1]!.name, timeouts: new Int32Array(32), wallTime: (time) => time,
    })
    return textOf(record)
  }

  it('tells which socket gets a packet, and delivers nothing', () => {
    const gateway = redirecting()
    const said = text(gateway, buildTcp(SYN_80))
    expect(said).toContain(`a flow would have this destination: ${G}`)
    expect(said).toContain('for the gateway itself: delivered to the socket *:1080')
    expect([gateway.toSelf(), gateway.flows]).toEqual([[], 0])
    gateway.fromLan(buildTcp(SYN_80)).toSelf()
    expect(text(gateway, buildTcp(SYN_80))).toContain('delivered to the socket *:1080')
    expect([gateway.toSelf(), gateway.flows]).toEqual([[], 1])
  })

  it('tells what TPROXY found, and that routes lead elsewhere', () => {
    const gateway = gatewayWith('*mangle\n-A PREROUTING -p tcp -j TPROXY --on-port 9 --tproxy-mark 1\nCOMMIT\n')
    expect(text(gateway, buildTcp(SYN_80))).toContain('dropped: no-socket')
    open(gateway, { protocol: TCP, local: '*:9', flags: ['transparent'] })
    const elsewhere = text(gateway, buildTcp(SYN_80))
    expect(elsewhere).toContain('TPROXY gives it to the socket *:9 (transparent), if routes lead here')
    expect(elsewhere).toContain('sent by eth0')
    divert(gateway, 1, 1)
    expect(text(gateway, buildTcp(SYN_80))).toContain('delivered to the socket *:9 (transparent)')
    expect([gateway.toSelf(), gateway.flows]).toEqual([[], 0])
  })
})
