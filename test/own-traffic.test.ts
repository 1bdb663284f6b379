/** What the gateway's own sockets send: routes, rules, and the source that is chosen again (scenario S3). */
import { describe, expect, it } from 'vitest'
import { numberOfZone } from '../src/attachment.js'
import { anyRule, defaultRules } from '../src/route/rules.js'
import { Origin, type PrefixRoutes, RouteType, Scope, Table } from '../src/route/types.js'
import { SOCKET_FLAG } from '../src/stack/sockets/socket-row.js'
import * as ipv4 from '../src/stack/wire/ipv4.js'
import { ACK, SYN } from '../src/stack/wire/tcp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildIcmpError, buildTcp, buildUdp } from '../src/testing/packets.js'
import { from, ip, only, to } from './stack/support.js'

const ONE = '10.0.0.1'
const TWO = '10.1.0.1'
const SERVER = '198.51.100.10'
const VTAB = 100
const UNCHOSEN = '0.0.0.0'

const byDefault = (table: number, zone: number, source: string): PrefixRoutes => ({
  table, destination: 0, length: 0,
  routes: [{
    type: RouteType.unicast, tos: 0, metric: 0, scope: Scope.global, origin: Origin.static, source: ip(source), mtu: 0, mtuLocked: false,
    hops: [{ gateway: null, device: numberOfZone(zone), weight: 1, onlink: false, ownGateway: false }],
  }],
})

/** Two providers: the main table leads to the first, table 100 to the second, for packets with mark 100 or TOS 0x10. */
const twoProviders = (rules: string, options: MemoryGatewayOptions = {}): MemoryGateway => {
  const gateway = new MemoryGateway({ wans: [{ addresses: [ONE] }, { addresses: [TWO], mtu: 1400 }], lanAddress: '10.77.0.1', sockets: 16, ...options })
  gateway.plane.policy.handle({
    type: 'routing',
    update: {
      routes: [byDefault(Table.main, 1, ONE), byDefault(VTAB, 2, TWO)],
      rules: [{ ...anyRule, preference: 10, mark: 100, markMask: -1, table: VTAB }, { ...anyRule, preference: 11, tos: 0x10, table: VTAB }, ...defaultRules()],
      interfaces: [['tun0', 2], ['eth0', 3], ['eth1', 4]],
    },
  })
  return gateway.restoreRules(rules)
}

const MARKED = `*mangle\n-A OUTPUT -d ${SERVER}/32 -j MARK --set-mark 100\nCOMMIT\n`

interface Ends { protocol?: number; flags?: number; localAddress?: string; localPort?: number; remoteAddress?: string; remotePort?: number; mark?: number }

const socket = (gateway: MemoryGateway, { protocol = ipv4.PROTOCOL_TCP, flags = 0, localAddress = UNCHOSEN, localPort = 5000, remoteAddress = UNCHOSEN, remotePort = 0, mark = 0 }: Ends = {}): number =>
  gateway.sockets!.add({ protocol, flags, localAddress: ip(localAddress), localPort, remoteAddress: ip(remoteAddress), remotePort, interface: 0, mark, tos: 0 })

const connecting = (gateway: MemoryGateway, ends: Ends = {}): number => socket(gateway, { flags: SOCKET_FLAG.connected, remoteAddress: SERVER, remotePort: 80, ...ends })

const SYN_PACKET = { source: UNCHOSEN, destination: SERVER, sourcePort: 5000, destinationPort: 80, flags: SYN, df: true }
const DATAGRAM = { source: UNCHOSEN, destination: SERVER, sourcePort: 5000, destinationPort: 53, payload: Uint8Array.of(1, 2, 3) }

/** The ends of what left by each WAN; its checksums are right. */
const sent = (gateway: MemoryGateway): string[] => [0, 1].flatMap((index) => gateway.toWanAt(index).map(({ bytes }) => {
  expect(checkPacket(bytes)).toEqual([])
  return `${index === 0 ? 'eth0' : 'eth1'} ${from(bytes)} > ${to(bytes)}`
}))

describe('S3: the source of an own packet is that of the way it takes in the end', () => {
  it('MGL-1: TCP: at its SYN the socket is moved, and told of it and of the path', () => {
    const gateway = twoProviders(MARKED)
    const row = connecting(gateway)
    gateway.fromSelf(row, buildTcp(SYN_PACKET))
    expect(sent(gateway)).toEqual([`eth1 ${TWO}:5000 > ${SERVER}:80`])
    expect(gateway.told()).toEqual([{ what: 'path', socket: row, source: ip(TWO), mtu: 1400 }])
    expect(gateway.flows).toBe(0)
  })

  it('TCP: an answer that is faster than the thread of the socket, which has not noted its address yet, is delivered', () => {
    const gateway = twoProviders(`${MARKED}*filter\n:INPUT DROP [0:0]\n-A INPUT -m state --state ESTABLISHED -j ACCEPT\nCOMMIT\n`)
    gateway.fromSelf(connecting(gateway), buildTcp(SYN_PACKET))
    gateway.fromWanAt(1, buildTcp({ source: SERVER, sourcePort: 80, destination: TWO, destinationPort: 5000, flags: SYN | ACK }))
    expect(from(only(gateway.toSelf()))).toBe(`${SERVER}:80`)
    gateway.fromWanAt(1, buildTcp({ source: SERVER, sourcePort: 81, destination: TWO, destinationPort: 5000, flags: SYN | ACK }))
    expect(gateway.toSelf()).toEqual([])
  })

  it('TCP: what is not marked leaves by the first exit', () => {
    const gateway = twoProviders(MARKED)
    const row = connecting(gateway, { remoteAddress: '192.0.2.1' })
    gateway.fromSelf(row, buildTcp({ ...SYN_PACKET, destination: '192.0.2.1' }))
    expect(sent(gateway)).toEqual([`eth0 ${ONE}:5000 > 192.0.2.1:80`])
    expect(gateway.told()).toEqual([{ what: 'path', socket: row, source: ip(ONE), mtu: 1500 }])
  })

  it('TCP: a SYN that is sent again, and one with data, may be moved too; the socket is told only what is new', () => {
    const gateway = twoProviders('')
    const row = connecting(gateway)
    gateway.fromSelf(row, buildTcp(SYN_PACKET))
    gateway.restoreRules(MARKED)
    const again = { ...SYN_PACKET, source: ONE, payload: Uint8Array.of(7, 8) }
    gateway.fromSelf(row, buildTcp(again)).fromSelf(row, buildTcp({ ...again, source: TWO }))
    expect(sent(gateway)).toEqual([`eth0 ${ONE}:5000 > ${SERVER}:80`, `eth1 ${TWO}:5000 > ${SERVER}:80`, `eth1 ${TWO}:5000 > ${SERVER}:80`])
    expect(gateway.told().map((told) => ('source' in told ? told.source : 0))).toEqual([ip(ONE), ip(TWO)])
  })

  it('TCP: a connection that is open stays where it is', () => {
    const gateway = twoProviders(MARKED)
    const row = connecting(gateway, { localAddress: ONE })
    gateway.fromSelf(row, buildTcp({ ...SYN_PACKET, source: ONE, flags: ACK }))
    expect(sent(gateway)).toEqual([`eth1 ${ONE}:5000 > ${SERVER}:80`])
  })

  it('TCP: where another socket has the same ends, this one is told to choose another port, and nothing leaves', () => {
    const gateway = twoProviders(MARKED)
    connecting(gateway, { localAddress: TWO })
    const row = connecting(gateway)
    gateway.fromSelf(row, buildTcp(SYN_PACKET))
    expect(sent(gateway)).toEqual([])
    expect(gateway.told()).toEqual([{ what: 'taken', socket: row, source: ip(TWO) }])
  })

  it('MGL-1: UDP, connected or not, and ICMP: each datagram has the source of its way', () => {
    const gateway = twoProviders(MARKED)
    const unconnected = socket(gateway, { protocol: ipv4.PROTOCOL_UDP })
    const connected = connecting(gateway, { protocol: ipv4.PROTOCOL_UDP, localPort: 5001, remotePort: 53 })
    const ping = socket(gateway, { protocol: ipv4.PROTOCOL_ICMP, localPort: 77 })
    gateway.fromSelf(unconnected, buildUdp(DATAGRAM)).fromSelf(unconnected, buildUdp({ ...DATAGRAM, destination: '192.0.2.1' }))
    gateway.fromSelf(connected, buildUdp({ ...DATAGRAM, sourcePort: 5001 }))
    gateway.fromSelf(ping, buildIcmpEcho({ source: UNCHOSEN, destination: SERVER, identifier: 77, sequence: 1 }))
    expect(sent(gateway).map((line) => line.replace(/:\d+$/, ''))).toEqual([
      `eth0 ${ONE}:5000 > 192.0.2.1`, `eth1 ${TWO}:5000 > ${SERVER}`, `eth1 ${TWO}:5001 > ${SERVER}`, expect.stringMatching(`^eth1 ${TWO}`),
    ])
    expect(gateway.flows).toBe(0)
  })

  it('MGL-1: a socket that its program has bound keeps its address on whatever way', () => {
    const gateway = twoProviders(MARKED)
    const row = connecting(gateway, { flags: SOCKET_FLAG.connected | SOCKET_FLAG.boundAddress, localAddress: ONE })
    gateway.fromSelf(row, buildTcp({ ...SYN_PACKET, source: ONE }))
    expect(sent(gateway)).toEqual([`eth1 ${ONE}:5000 > ${SERVER}:80`])
  })

  it('MGL-1: a change of TOS in OUTPUT has the routes looked up again', () => {
    const gateway = twoProviders(`*mangle\n-A OUTPUT -j TOS --set-tos 0x10\nCOMMIT\n`)
    gateway.fromSelf(connecting(gateway), buildTcp(SYN_PACKET))
    expect(sent(gateway)).toEqual([`eth1 ${TWO}:5000 > ${SERVER}:80`])
  })

  it('MGL-1: so has a change of the destination, which takes a flow: the socket goes on knowing the one that it asked for', () => {
    const gateway = twoProviders(`*mangle\n-A OUTPUT -d 192.0.2.1/32 -j MARK --set-mark 100\nCOMMIT\n*nat\n-A OUTPUT -d 192.0.2.1/32 -p tcp -j DNAT --to-destination ${SERVER}:8080\nCOMMIT\n`)
    const row = connecting(gateway, { remoteAddress: '192.0.2.1' })
    gateway.fromSelf(row, buildTcp({ ...SYN_PACKET, destination: '192.0.2.1' }))
    expect(sent(gateway)).toEqual([`eth1 ${TWO}:5000 > ${SERVER}:8080`])
    expect(gateway.told()).toEqual([{ what: 'path', socket: row, source: ip(TWO), mtu: 1400 }])
    expect(gateway.flows).toBe(1)
    gateway.sockets!.update(row, { localAddress: ip(TWO) })
    gateway.fromWanAt(1, buildTcp({ source: SERVER, sourcePort: 8080, destination: TWO, destinationPort: 5000, flags: SYN | ACK }))
    const answer = only(gateway.toSelf())
    expect([from(answer), to(answer)]).toEqual(['192.0.2.1:80', `${TWO}:5000`])
  })

  it('the socket\'s own mark counts in the first look already', () => {
    const gateway = twoProviders('')
    gateway.fromSelf(connecting(gateway, { mark: 100 }), buildTcp(SYN_PACKET))
    expect(sent(gateway)).toEqual([`eth1 ${TWO}:5000 > ${SERVER}:80`])
  })
})

describe('rules for own packets', () => {
  it('are told apart by state: a bare SYN is NEW, what follows is ESTABLISHED', () => {
    const gateway = twoProviders('*filter\n-A OUTPUT -m state --state ESTABLISHED -j ACCEPT\n-A OUTPUT -j REJECT --reject-with icmp-admin-prohibited\nCOMMIT\n')
    const row = connecting(gateway)
    gateway.fromSelf(row, buildTcp(SYN_PACKET)).fromSelf(row, buildTcp({ ...SYN_PACKET, source: ONE, flags: ACK }))
    expect(sent(gateway)).toEqual([`eth0 ${ONE}:5000 > ${SERVER}:80`])
    expect(gateway.told().filter(({ what }) => what === 'refused')).toEqual([{ what: 'refused', socket: row, errno: 113 }])
    expect(gateway.drops).toEqual({ 'rule-rejected': 1 })
  })

  const ONLY_ANSWERS = '*filter\n:INPUT DROP [0:0]\n-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT\nCOMMIT\n'

  it('answers to datagrams and pings of unconnected sockets are ESTABLISHED, what nobody has asked for is NEW', () => {
    const gateway = twoProviders(ONLY_ANSWERS)
    const datagrams = socket(gateway, { protocol: ipv4.PROTOCOL_UDP })
    const ping = socket(gateway, { protocol: ipv4.PROTOCOL_ICMP, localPort: 77 })
    const echo = { source: SERVER, destination: ONE, identifier: 77, sequence: 1, reply: true }
    const answer = { source: SERVER, destination: ONE, sourcePort: 53, destinationPort: 5000, payload: Uint8Array.of(1) }
    gateway.fromWan(buildUdp(answer)).fromWan(buildIcmpEcho(echo))
    expect(gateway.toSelf()).toEqual([])
    gateway.fromSelf(datagrams, buildUdp(DATAGRAM)).fromSelf(ping, buildIcmpEcho({ source: UNCHOSEN, destination: SERVER, identifier: 77, sequence: 1 }))
    gateway.fromWan(buildUdp(answer)).fromWan(buildIcmpEcho(echo)).fromWan(buildUdp({ ...answer, sourcePort: 54 }))
    expect(gateway.toSelf().map(({ bytes }) => from(bytes).replace(/:\d+$/, ''))).toEqual([SERVER, SERVER])
    gateway.advance(121)
    gateway.fromWan(buildUdp(answer))
    expect(gateway.toSelf()).toEqual([])
    expect(gateway.drops).toEqual({ rule: 4 })
  })

  it('so is the ACK that brings a cookie back to a listener, while it sends some', () => {
    const gateway = twoProviders(ONLY_ANSWERS)
    const row = socket(gateway, { protocol: ipv4.PROTOCOL_TCP, flags: SOCKET_FLAG.listening, localPort: 80 })
    const ack = buildTcp({ source: SERVER, destination: ONE, sourcePort: 5000, destinationPort: 80, flags: ACK })
    gateway.fromWan(ack)
    expect(gateway.toSelf()).toEqual([])
    gateway.sockets!.update(row, { flags: SOCKET_FLAG.listening | SOCKET_FLAG.cookies })
    gateway.fromWan(ack).fromWan(buildTcp({ source: SERVER, destination: ONE, sourcePort: 5000, destinationPort: 80, flags: SYN }))
    expect(gateway.toSelf()).toHaveLength(1)
    expect(gateway.drops).toEqual({ rule: 2 })
  })

  it('so they are when the datagram was moved to another way by a mark', () => {
    const gateway = twoProviders(`${MARKED}${ONLY_ANSWERS}`)
    gateway.fromSelf(socket(gateway, { protocol: ipv4.PROTOCOL_UDP }), buildUdp(DATAGRAM))
    expect(sent(gateway)).toEqual([`eth1 ${TWO}:5000 > ${SERVER}:53`])
    gateway.fromWanAt(1, buildUdp({ source: SERVER, destination: TWO, sourcePort: 53, destinationPort: 5000, payload: Uint8Array.of(1) }))
    expect(gateway.toSelf()).toHaveLength(1)
  })

  it('what a server socket sends to whoever has asked it is ESTABLISHED, errors about what came are RELATED', () => {
    const gateway = twoProviders('*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -m state --state ESTABLISHED,RELATED -j ACCEPT\nCOMMIT\n')
    const row = socket(gateway, { protocol: ipv4.PROTOCOL_UDP, localPort: 53 })
    const answer = buildUdp({ source: UNCHOSEN, destination: SERVER, sourcePort: 53, destinationPort: 5000, payload: Uint8Array.of(1) })
    gateway.fromSelf(row, answer)
    expect(sent(gateway)).toEqual([])
    gateway.fromWan(buildUdp({ source: SERVER, destination: ONE, sourcePort: 5000, destinationPort: 53, payload: Uint8Array.of(1) }))
    const asked = only(gateway.toSelf())
    gateway.fromSelf(row, answer)
    expect(sent(gateway)).toEqual([`eth0 ${ONE}:53 > ${SERVER}:5000`])
    gateway.fromSelf(-1, buildIcmpError({ source: ONE, destination: SERVER, type: 3, code: 3, quote: asked }))
    expect(gateway.toWan()).toHaveLength(1)
  })

  it('packets of a socket for another one meet INPUT, by lo; what that drops nobody hears of, what it rejects the sender does', () => {
    const gateway = twoProviders('*filter\n-A INPUT -i lo -p udp --dport 53 -m state --state NEW -j ACCEPT\n-A INPUT -p udp --dport 54 -j DROP\n-A INPUT -i lo -p udp -m state --state NEW -j REJECT\n-A INPUT -p udp ! -i lo -j DROP\nCOMMIT\n')
    const client = socket(gateway, { protocol: ipv4.PROTOCOL_UDP })
    const server = socket(gateway, { protocol: ipv4.PROTOCOL_UDP, localPort: 53 })
    const to53 = { source: UNCHOSEN, destination: '127.0.0.1', sourcePort: 5000, destinationPort: 53, payload: Uint8Array.of(1) }
    for (const destinationPort of [53, 54, 55]) gateway.fromSelf(client, buildUdp({ ...to53, destinationPort }))
    expect(gateway.toSelf().map(({ bytes }) => to(bytes))).toEqual(['127.0.0.1:53'])
    expect(gateway.told().filter(({ what }) => what !== 'path')).toEqual([{ what: 'refused', socket: client, errno: 111 }])
    expect(gateway.drops).toEqual({ rule: 1, 'rule-rejected': 1 })
    // The answer is one.
    gateway.fromSelf(server, buildUdp({ source: '127.0.0.1', destination: '127.0.0.1', sourcePort: 53, destinationPort: 5000, payload: Uint8Array.of(2) }))
    expect(gateway.toSelf()).toHaveLength(1)
  })

  it('what OUTPUT has redirected here meets INPUT with where it goes by now, and its answer with where that comes from', () => {
    const gateway = twoProviders('*nat\n-A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 1080\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -d 127.0.0.1 -p tcp --dport 1080 -j ACCEPT\n' +
      `-A INPUT -i lo -s ${SERVER} -p tcp --sport 80 -m state --state ESTABLISHED -j ACCEPT\nCOMMIT\n`)
    gateway.fromSelf(connecting(gateway), buildTcp(SYN_PACKET))
    expect(gateway.toSelf().map(({ bytes }) => to(bytes))).toEqual(['127.0.0.1:1080'])
    const server = connecting(gateway, { flags: SOCKET_FLAG.connected | SOCKET_FLAG.synReceived, localAddress: '127.0.0.1', localPort: 1080, remoteAddress: ONE, remotePort: 5000 })
    gateway.fromSelf(server, buildTcp({ source: '127.0.0.1', destination: ONE, sourcePort: 1080, destinationPort: 5000, flags: SYN | ACK }))
    expect(gateway.toSelf().map(({ bytes }) => from(bytes))).toEqual([`${SERVER}:80`])
    expect(gateway.drops).toEqual({})
  })

  it('RDR-1: REDIRECT in OUTPUT leads to 127.0.0.1, and tells the listener where it was to go', () => {
    const gateway = twoProviders('*nat\n-A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 1080\nCOMMIT\n')
    const row = connecting(gateway)
    gateway.fromSelf(row, buildTcp(SYN_PACKET))
    const [delivered] = gateway.toSelf()
    expect([from(delivered!.bytes), to(delivered!.bytes)]).toEqual([`${ONE}:5000`, '127.0.0.1:1080'])
    expect(delivered).toMatchObject({ originalAddress: ip(SERVER), originalPort: 80, interface: 1 })
    expect(sent(gateway)).toEqual([])
  })
})

describe('what cannot be sent', () => {
  it.each([[RouteType.unreachable, 113], [RouteType.prohibit, 13], [RouteType.blackhole, 22]])('a route of type %i: errno %i', (type, errno) => {
    const gateway = twoProviders('')
    const route = { type, tos: 0, metric: 0, scope: Scope.global, origin: Origin.static, source: 0, mtu: 0, mtuLocked: false, hops: [] }
    gateway.plane.policy.handle({ type: 'routing', update: { routes: [{ table: Table.main, destination: ip(SERVER), length: 32, routes: [route] }], rules: null, interfaces: null } })
    const row = connecting(gateway)
    gateway.fromSelf(row, buildTcp(SYN_PACKET))
    expect(gateway.told()).toEqual([{ what: 'refused', socket: row, errno }])
  })

  it('a datagram that is too long and must not be cut: EMSGSIZE; one that may be cut is', () => {
    const gateway = twoProviders('')
    const row = socket(gateway, { protocol: ipv4.PROTOCOL_UDP })
    const long = { ...DATAGRAM, payload: new Uint8Array(3000) }
    gateway.fromSelf(row, buildUdp({ ...long, df: true }))
    expect(gateway.told()).toContainEqual({ what: 'refused', socket: row, errno: 90 })
    gateway.fromSelf(row, buildUdp(long))
    expect(gateway.toWanAt(0)).toHaveLength(3)
  })
})

describe('outside ports are shared by flows and sockets', () => {
  const LAN = { source: '10.77.0.2', destination: SERVER, sourcePort: 5000, destinationPort: 80, flags: SYN }

  it('RND-1: a flow does not get the port of a socket that is bound to it, or connected to the same remote', () => {
    const gateway = twoProviders('')
    socket(gateway, { flags: SOCKET_FLAG.listening })
    expect(sent(gateway.fromLan(buildTcp(LAN)))).not.toContain(`eth0 ${ONE}:5000 > ${SERVER}:80`)
    expect(gateway.flows).toBe(1)
  })

  it('a socket does not get the port of a flow: it is told to choose another', () => {
    const gateway = twoProviders('')
    expect(sent(gateway.fromLan(buildTcp(LAN)))).toEqual([`eth0 ${ONE}:5000 > ${SERVER}:80`])
    const row = connecting(gateway)
    gateway.fromSelf(row, buildTcp(SYN_PACKET))
    expect(gateway.told()).toEqual([{ what: 'taken', socket: row, source: ip(ONE) }])
    expect(sent(gateway)).toEqual([])
  })

  it('nor one that a program of the host has by now, unless its own program asks for it', () => {
    const gateway = twoProviders('', { ports: [[40_000, 40_009]], socketPorts: [40_000, 49_999] })
    const chosen = connecting(gateway, { localPort: 40_010 })
    gateway.fromSelf(chosen, buildTcp({ ...SYN_PACKET, sourcePort: 40_010 }))
    expect(gateway.told()).toEqual([{ what: 'taken', socket: chosen, source: ip(ONE) }])
    gateway.fromSelf(connecting(gateway), buildTcp(SYN_PACKET))
    expect(sent(gateway)).toEqual([`eth0 ${ONE}:5000 > ${SERVER}:80`])
  })
})

describe('broadcasts', () => {
  const broadcast = (gateway: MemoryGateway): number =>
    gateway.sockets!.add({ protocol: ipv4.PROTOCOL_UDP, flags: SOCKET_FLAG.broadcast, localAddress: 0, localPort: 5000, remoteAddress: 0, remotePort: 0, interface: 0, mark: 0, tos: 0 })

  it.each(['255.255.255.255', '10.0.0.255'])('to %s goes to all stations of the link', (destination) => {
    const gateway = twoProviders('', { wans: [{ addresses: [ONE], neighbours: true }, { addresses: [TWO] }] })
    gateway.plane.policy.handle({ type: 'routing', update: { routes: [{ ...byDefault(Table.main, 1, ONE), destination: ip('10.0.0.0'), length: 24 }], rules: null, interfaces: null } })
    gateway.fromSelf(broadcast(gateway), buildUdp({ ...DATAGRAM, destination }))
    const [packet] = gateway.toWanAt(0)
    expect([from(packet!.bytes), to(packet!.bytes)]).toEqual([`${ONE}:5000`, `${destination}:53`])
    const { high, low } = gateway.plane.pipeline.wans[0]!.neighbours!
    expect([high[packet!.link], low[packet!.link]]).toEqual([0xffff, -1])
    expect(gateway.askedAt[0]).toEqual([])
  })

  it('a multicast group is refused', () => {
    const gateway = twoProviders('')
    const row = broadcast(gateway)
    gateway.fromSelf(row, buildUdp({ ...DATAGRAM, destination: '224.0.0.5' }))
    expect(gateway.told()).toEqual([{ what: 'refused', socket: row, errno: 13 }])
  })
})

describe('next hops', () => {
  it('a packet waits for its next hop, and leaves with what it was given', () => {
    const gateway = twoProviders(MARKED, { wans: [{ addresses: [ONE] }, { addresses: [TWO], neighbours: true }] })
    const row = connecting(gateway)
    gateway.fromSelf(row, buildTcp(SYN_PACKET))
    expect(sent(gateway)).toEqual([])
    expect(gateway.askedAt[1]).toEqual([ip(SERVER)])
    gateway.plane.learnNeighbour(1, ip(SERVER), 2, 3)
    expect(sent(gateway)).toEqual([`eth1 ${TWO}:5000 > ${SERVER}:80`])
  })

  it('whose next hop does not answer is told: EHOSTUNREACH', () => {
    const gateway = twoProviders('', { wans: [{ addresses: [ONE], neighbours: true }, { addresses: [TWO] }] })
    const row = connecting(gateway)
    gateway.fromSelf(row, buildTcp(SYN_PACKET))
    gateway.plane.failNeighbour(0, ip(SERVER), gateway.now)
    expect(gateway.told()).toContainEqual({ what: 'refused', socket: row, errno: 113 })
  })
})

it('S4: the answer of a UDP socket that is bound to no address goes back as its REDIRECT has come', () => {
  const gateway = new MemoryGateway({ lanAddress: '10.77.0.1', sockets: 16 })
  gateway.plane.policy.handle({
    type: 'routing',
    update: { routes: [{ ...byDefault(Table.main, 0, '10.77.0.1'), destination: ip('10.77.0.0'), length: 24 }], rules: null, interfaces: [['tun0', 2], ['eth0', 3]] },
  })
  gateway.restoreRules('*nat\n-A PREROUTING -p udp -j REDIRECT --to-ports 1080\nCOMMIT\n')
  const row = socket(gateway, { protocol: ipv4.PROTOCOL_UDP, localPort: 1080 })
  gateway.fromLan(buildUdp({ source: '10.77.0.2', destination: SERVER, sourcePort: 5000, destinationPort: 53 }))
  expect(gateway.toSelf()).toMatchObject([{ originalAddress: ip(SERVER), originalPort: 53 }])
  gateway.fromSelf(row, buildUdp({ source: UNCHOSEN, destination: '10.77.0.2', sourcePort: 1080, destinationPort: 5000 }))
  const answer = only(gateway.toLan())
  expect(checkPacket(answer)).toEqual([])
  expect([from(answer), to(answer)]).toEqual([`${SERVER}:53`, '10.77.0.2:5000'])
})

it('a ping of a socket comes back to it', () => {
  const gateway = twoProviders('')
  const row = socket(gateway, { protocol: ipv4.PROTOCOL_ICMP, localPort: 40000 })
  gateway.fromSelf(row, buildIcmpEcho({ source: UNCHOSEN, destination: SERVER, identifier: 40000, sequence: 1 }))
  gateway.fromWanAt(0, buildIcmpEcho({ source: SERVER, destination: ONE, identifier: 40000, sequence: 1, reply: true }))
  expect(gateway.toSelf()).toMatchObject([{ interface: 3 }])
})
