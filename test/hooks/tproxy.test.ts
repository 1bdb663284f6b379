/** TPROXY: packets for others go to transparent sockets, untouched. */
import { describe, expect, it } from 'vitest'
import { ACK, FIN, RST, SYN } from '../../src/stack/wire/tcp.js'
import { NO_SOCKET } from '../../src/stack/sockets/network.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildFragments, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, B, bytesOf, E, G, P, Q } from '../stack/support.js'
import { changeRoutes, divert, localRoute, open, TCP, UDP } from './own-sockets.js'

const TPROXY_TCP = '-A PREROUTING -p tcp --dport 80 -j TPROXY --on-port 8080 --tproxy-mark 0x1/0x3'
const TPROXY_UDP = '-A PREROUTING -p udp -j TPROXY --tproxy-mark 0x2333/0x2333 --on-ip 127.0.0.1 --on-port 1080'
const mangle = (...rules: string[]): string => `*mangle\n${rules.join('\n')}\nCOMMIT\n`

const tcpGateway = (...more: string[]): MemoryGateway => {
  const gateway = new MemoryGateway({ sockets: 64 }).restoreRules(mangle(...more, TPROXY_TCP))
  divert(gateway, 1, 3)
  return gateway
}
const udpGateway = (): MemoryGateway => {
  const gateway = new MemoryGateway({ sockets: 64 }).restoreRules(mangle(TPROXY_UDP))
  divert(gateway, 0x2333, 0x2333)
  return gateway
}
const segment = (flags: number, more: Partial<Parameters<typeof buildTcp>[0]> = {}): Uint8Array =>
  buildTcp({ source: A, destination: P, sourcePort: 40000, destinationPort: 80, flags, ...more })
const DNS = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }

/** Rows of the sockets that packets were given to. */
const rows = (gateway: MemoryGateway): number[] => gateway.toSelf().map(({ socket }) => socket)

describe('the lookup', () => {
  it('TPX-1: a listener at on-port gets a SYN for somebody else, headers untouched', () => {
    const gateway = tcpGateway()
    const listener = open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
    const syn = segment(SYN)
    expect(gateway.fromLan(syn).toSelf()).toEqual([{
      bytes: syn, zone: 0, socket: listener, originalAddress: 0, originalPort: -1, interface: 2, mark: 1,
    }])
    expect([gateway.drops, gateway.flows, gateway.toWan(), gateway.toLan()]).toEqual([{}, 0, [], []])
  })

  it('TPX-1: a socket that is connected with the packet\'s own ends comes before the listener', () => {
    const gateway = tcpGateway()
    open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
    const connection = open(gateway, { protocol: TCP, local: `${P}:80`, remote: `${A}:40000`, flags: ['transparent'] })
    expect(rows(gateway.fromLan(segment(ACK)))).toEqual([connection])
  })

  it('TPX-1: without on-ip, at the first address of the interface; without on-port, at the packet\'s own port', () => {
    const gateway = new MemoryGateway({ sockets: 64 }).restoreRules(mangle('-A PREROUTING -p tcp -j TPROXY --on-port 0 --tproxy-mark 1'))
    divert(gateway, 1, 1)
    const inside = open(gateway, { protocol: TCP, local: `${G}:80`, flags: ['transparent'] })
    const outside = open(gateway, { protocol: TCP, local: `${E}:80`, flags: ['transparent'] })
    expect(rows(gateway.fromLan(segment(SYN)))).toEqual([inside])
    expect(rows(gateway.fromWan(segment(SYN, { source: P, destination: Q })))).toEqual([outside])
  })

  it('TPX-1: a listener at another address than on-ip is none', () => {
    const gateway = udpGateway()
    open(gateway, { protocol: UDP, local: '127.0.0.2:1080', flags: ['transparent'] })
    expect(rows(gateway.fromLan(buildUdp(DNS)))).toEqual([])
    const right = open(gateway, { protocol: UDP, local: '127.0.0.1:1080', flags: ['transparent'] })
    expect(rows(gateway.fromLan(buildUdp(DNS)))).toEqual([right])
  })

  it('TPX-2: of UDP, a connected socket takes the packets of its ends, others go to one that is not connected', () => {
    const gateway = udpGateway()
    const bound = open(gateway, { protocol: UDP, local: '*:1080', flags: ['transparent'] })
    // Bound to where the packet goes, but not connected: the first lookup passes it by, the second looks at on-ip and on-port.
    open(gateway, { protocol: UDP, local: `${P}:53`, flags: ['transparent'] })
    expect(rows(gateway.fromLan(buildUdp(DNS)))).toEqual([bound])
    const connected = open(gateway, { protocol: UDP, local: `${P}:53`, remote: `${A}:5000`, flags: ['transparent'] })
    expect(rows(gateway.fromLan(buildUdp(DNS)).fromLan(buildUdp({ ...DNS, sourcePort: 5001 })))).toEqual([connected, bound])
  })

  it('TPX-3: a pure SYN that meets TIME_WAIT goes to the listener, other segments to the TIME_WAIT', () => {
    const gateway = tcpGateway()
    const listener = open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
    const old = open(gateway, { protocol: TCP, local: `${P}:80`, remote: `${A}:40000`, flags: ['transparent', 'timeWait'] })
    for (const flags of [SYN, ACK, FIN | ACK, RST, SYN | ACK]) gateway.fromLan(segment(flags))
    expect(rows(gateway)).toEqual([listener, old, old, old, old])
  })

  it('TPX-3: without a listener the TIME_WAIT keeps its SYN', () => {
    const gateway = tcpGateway()
    const old = open(gateway, { protocol: TCP, local: `${P}:80`, remote: `${A}:40000`, flags: ['transparent', 'timeWait'] })
    expect(rows(gateway.fromLan(segment(SYN)))).toEqual([old])
  })

  it('TPX-4: drops what no transparent socket takes, and tells nobody', () => {
    const gateway = tcpGateway()
    gateway.fromLan(segment(SYN))
    open(gateway, { protocol: TCP, local: '*:8080' })
    gateway.fromLan(segment(SYN))
    open(gateway, { protocol: TCP, local: `${P}:80`, remote: `${A}:40000`, flags: ['timeWait'] })
    gateway.fromLan(segment(ACK))
    expect([gateway.drops, gateway.toSelf(), gateway.toLan(), gateway.toWan(), gateway.flows]).toEqual([{ 'no-socket': 3 }, [], [], [], 0])
  })

  it('TPX-4: a gateway without sockets drops', () => {
    const gateway = new MemoryGateway().restoreRules(mangle(TPROXY_TCP))
    expect(gateway.fromLan(segment(SYN)).drops).toEqual({ 'no-socket': 1 })
  })
})

describe('the mark', () => {
  it('TPX-5: is (mark & ~mask) ^ value', () => {
    const gateway = tcpGateway('-A PREROUTING -j MARK --set-mark 0xf0')
    open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
    expect(gateway.fromLan(segment(SYN)).toSelf().map(({ mark }) => mark)).toEqual([0xf1])
  })

  it('TPX-6: without a rule for it, packets are forwarded, with NAT like others', () => {
    const gateway = new MemoryGateway({ sockets: 64 }).restoreRules(mangle(TPROXY_TCP))
    open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
    expect(gateway.fromLan(segment(SYN)).toWan()).toHaveLength(1)
    expect([gateway.toSelf(), gateway.flows]).toEqual([[], 1])
    // The flow does not keep its packets from the socket once routes lead there.
    divert(gateway, 1, 3)
    expect(gateway.fromLan(segment(ACK)).toSelf()).toHaveLength(1)
    expect(gateway.toWan()).toEqual([])
  })

  it('TPX-6: an answer to what was forwarded goes back to its host, though a rule without interface finds a socket for it, too', () => {
    const gateway = new MemoryGateway({ sockets: 64 }).restoreRules(mangle('-A PREROUTING -p tcp -j TPROXY --on-port 8080 --on-ip 127.0.0.1 --tproxy-mark 0x1/0x3'))
    open(gateway, { protocol: TCP, local: '127.0.0.1:8080', flags: ['transparent'] })
    gateway.fromLan(segment(SYN))
    gateway.fromWan(buildTcp({ source: P, destination: E, sourcePort: 80, destinationPort: 40000, flags: SYN | ACK }))
    expect(gateway.toLan()).toHaveLength(1)
    expect(gateway.toSelf()).toEqual([])
  })

  it.each([1, 3, 4])('TPX-6: the local route may be by any interface: %i', (device) => {
    const gateway = new MemoryGateway({ sockets: 64, wans: [{ addresses: [E] }, { addresses: ['192.0.2.1'] }] }).restoreRules(mangle(TPROXY_TCP))
    divert(gateway, 1, 3, device)
    open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
    expect(gateway.fromLan(segment(SYN)).toSelf()).toHaveLength(1)
  })

  it('TPX-6: a packet for the gateway itself needs no mark', () => {
    const gateway = new MemoryGateway({ sockets: 64 }).restoreRules(mangle(TPROXY_TCP))
    const listener = open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
    expect(rows(gateway.fromLan(segment(SYN, { destination: G })).fromLan(segment(SYN, { destination: E })))).toEqual([listener, listener])
  })
})

describe('rules of packets for sockets', () => {
  it('TPX-6: INPUT is met, FORWARD and POSTROUTING are not; nat only by what may begin a connection', () => {
    const gateway = tcpGateway()
    open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
    const met: string[] = []
    gateway.plane.policy.evaluator.recorder = { table: (table, hook) => met.push(`${table} ${hook}`), rule: () => {}, policy: () => {} }
    gateway.fromLan(segment(SYN))
    expect(met.splice(0)).toEqual(['raw PREROUTING', 'mangle PREROUTING', 'nat PREROUTING', 'mangle INPUT', 'filter INPUT', 'nat INPUT'])
    open(gateway, { protocol: TCP, local: `${P}:80`, remote: `${A}:40000`, flags: ['transparent'] })
    gateway.fromLan(segment(ACK))
    expect(met).toEqual(['raw PREROUTING', 'mangle PREROUTING', 'mangle INPUT', 'filter INPUT'])
  })

  it('segments of a connection are ESTABLISHED, a SYN is NEW, others are INVALID', () => {
    const gateway = tcpGateway(...['NEW', 'ESTABLISHED', 'INVALID'].map((state, at) => `-A INPUT -m conntrack --ctstate ${state} -j MARK --set-mark ${at + 16}`))
    open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
    gateway.fromLan(segment(SYN))
    open(gateway, { protocol: TCP, local: `${P}:80`, remote: `${A}:40000`, flags: ['transparent', 'synReceived'] })
    gateway.fromLan(segment(ACK)).fromLan(segment(ACK)).fromLan(segment(FIN | ACK, { sourcePort: 40001 }))
    expect(gateway.toSelf().map(({ mark }) => mark)).toEqual([16, 17, 17, 18])
  })

  it('INPUT may drop and reject', () => {
    const gateway = tcpGateway()
    open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
    gateway.restoreRules('*filter\n-A INPUT -p tcp --dport 80 -j REJECT --reject-with tcp-reset\nCOMMIT\n')
    gateway.fromLan(segment(SYN))
    expect([gateway.drops, gateway.toSelf(), gateway.toLan()]).toEqual([{ 'rule-rejected': 1 }, [], [expect.anything()]])
  })

  it('packets with a source that no packet may have are refused', () => {
    const gateway = udpGateway()
    open(gateway, { protocol: UDP, local: '*:1080', flags: ['transparent'] })
    gateway.fromLan(buildUdp({ ...DNS, source: '127.0.0.1' })).fromLan(buildUdp({ ...DNS, source: G })).fromLan(buildUdp({ ...DNS, source: E }))
    expect([gateway.drops, gateway.toSelf()]).toEqual([{ 'invalid-source': 3 }, []])
  })
})

it('TPX-6: all fragments of a datagram go to the socket that its first one goes to, in whatever order they come', () => {
  const datagram = buildUdp({ ...DNS, payload: bytesOf(3000), id: 7 })
  const [first, second, third] = buildFragments(datagram, 1500) as [Uint8Array, Uint8Array, Uint8Array]
  for (const order of [[first, second, third], [second, third, first], [third, first, second]]) {
    const gateway = udpGateway()
    const bound = open(gateway, { protocol: UDP, local: '*:1080', flags: ['transparent'] })
    for (const fragment of order) gateway.fromLan(fragment)
    const got = gateway.toSelf()
    expect(got.map(({ socket }) => socket)).toEqual([bound, bound, bound])
    expect(got.map(({ bytes }) => bytes)).toEqual(expect.arrayContaining([first, second, third]))
    expect(gateway.drops).toEqual({})
  }
})

describe('routes of type local', () => {
  it('lead packets to the gateway\'s sockets without any rule', () => {
    const gateway = new MemoryGateway({ sockets: 64 })
    changeRoutes(gateway, [{ table: 255, destination: 0x05050505, length: 32, routes: [localRoute(1)] }])
    const bound = open(gateway, { protocol: UDP, local: '*:53' })
    const query = buildUdp({ ...DNS, destination: '5.5.5.5' })
    expect(gateway.fromLan(query).toSelf()).toMatchObject([{ bytes: query, socket: NO_SOCKET, originalPort: -1 }])
    gateway.sockets!.remove(bound)
    expect(gateway.fromLan(query).toSelf()).toEqual([])
    expect(gateway.toLan()).toHaveLength(1)
    // Its RST is the stack's to send; so is the answer to a segment that cannot begin a flow.
    for (const flags of [SYN, ACK]) expect(gateway.fromLan(segment(flags, { destination: '5.5.5.5' })).toSelf()).toHaveLength(1)
  })

  it('from outside, only to what a socket waits for', () => {
    const gateway = new MemoryGateway({ sockets: 64 })
    changeRoutes(gateway, [{ table: 255, destination: 0x05050505, length: 32, routes: [localRoute(1)] }])
    const query = buildUdp({ ...DNS, source: Q, destination: '5.5.5.5' })
    expect(gateway.fromWan(query).toSelf()).toEqual([])
    open(gateway, { protocol: UDP, local: '*:53' })
    expect(gateway.fromWan(query).toSelf()).toHaveLength(1)
    expect([gateway.drops, gateway.toWan()]).toEqual([{ 'no-flow': 1 }, []])
  })
})

it('TPX-6: works for packets that are not tracked, and two clients have one socket', () => {
  const gateway = tcpGateway()
  gateway.restoreRules('*raw\n-A PREROUTING -j NOTRACK\nCOMMIT\n')
  const listener = open(gateway, { protocol: TCP, local: '*:8080', flags: ['transparent'] })
  expect(rows(gateway.fromLan(segment(SYN)).fromLan(segment(SYN, { source: B })))).toEqual([listener, listener])
})
