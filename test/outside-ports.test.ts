/** Outside ports belong either to flows or to the gateway's own sockets. */
import { describe, expect, it } from 'vitest'
import { SOCKET_FLAG } from '../src/stack/sockets/socket-row.js'
import * as ipv4 from '../src/stack/wire/ipv4.js'
import { SYN } from '../src/stack/wire/tcp.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildTcp, buildUdp } from '../src/testing/packets.js'
import { from, ip, only, to } from './stack/support.js'

const CLIENT = '10.0.0.2'
const WAN = '203.0.113.1'
const SERVER = '198.51.100.10'
const OTHER = '198.51.100.20'

/** Ports are kept where that is possible, and there are only two. */
const open = (options: MemoryGatewayOptions = {}): MemoryGateway => new MemoryGateway({ sockets: 16, ports: [[40_000, 40_001]], ...options })

interface Ends { protocol?: number; flags?: number; localAddress?: string; localPort?: number; remoteAddress?: string; remotePort?: number }
const socket = (gateway: MemoryGateway, { protocol = ipv4.PROTOCOL_UDP, flags = 0, localAddress = '0.0.0.0', localPort = 40_000, remoteAddress = '0.0.0.0', remotePort = 0 }: Ends): number =>
  gateway.sockets!.add({ protocol, flags, localAddress: ip(localAddress), localPort, remoteAddress: ip(remoteAddress), remotePort, interface: 0, mark: 0, tos: 0 })

const ask = (gateway: MemoryGateway, { sourcePort = 40_000, destination = SERVER, destinationPort = 53 } = {}): string[] =>
  gateway.fromLan(buildUdp({ source: CLIENT, destination, sourcePort, destinationPort, payload: Uint8Array.of(1) })).toWan().map(({ bytes }) => from(bytes))

describe('flows keep off', () => {
  it('a port that a socket is bound to, at that address or any, for whatever remote', () => {
    for (const localAddress of ['0.0.0.0', WAN]) {
      const gateway = open()
      socket(gateway, { localAddress })
      expect(ask(gateway)).toEqual([`${WAN}:40001`])
      expect(ask(gateway, { destination: OTHER })).toEqual([`${WAN}:40001`])
    }
  })

  it('no port of another address or another protocol', () => {
    for (const ends of [{ localAddress: '10.0.0.1' }, { protocol: ipv4.PROTOCOL_TCP, flags: SOCKET_FLAG.listening }, { localPort: 40_002 }]) {
      const gateway = open()
      socket(gateway, ends)
      expect(ask(gateway)).toEqual([`${WAN}:40000`])
    }
  })

  it('a port of a connected socket towards its remote end; others can have it', () => {
    const gateway = open()
    socket(gateway, { flags: SOCKET_FLAG.connected, localAddress: WAN, remoteAddress: SERVER, remotePort: 53 })
    expect(ask(gateway, { destination: OTHER })).toEqual([`${WAN}:40000`])
    const taken = open()
    socket(taken, { flags: SOCKET_FLAG.connected, localAddress: WAN, remoteAddress: SERVER, remotePort: 53 })
    expect(ask(taken)).toEqual([`${WAN}:40001`])
  })

  it('the identifier of a socket that pings', () => {
    const gateway = open()
    socket(gateway, { protocol: ipv4.PROTOCOL_ICMP, localPort: 40_000 })
    gateway.fromLan(buildIcmpEcho({ source: CLIENT, destination: SERVER, identifier: 40_000, sequence: 1 }))
    const left = only(gateway.toWan())
    expect((left[24]! << 8) | left[25]!).not.toBe(40_000)
  })

  it('nothing, where all ports are sockets\': the flow is refused', () => {
    const gateway = open()
    for (const localPort of [40_000, 40_001]) socket(gateway, { localPort })
    expect(ask(gateway)).toEqual([])
    expect(gateway.flows).toBe(0)
  })
})

describe('sockets keep off', () => {
  const connecting = (gateway: MemoryGateway, localPort: number, remoteAddress = SERVER): number =>
    socket(gateway, { protocol: ipv4.PROTOCOL_TCP, flags: SOCKET_FLAG.connected, localPort, remoteAddress, remotePort: 80 })
  const syn = (gateway: MemoryGateway, row: number, sourcePort: number, destination = SERVER): MemoryGateway =>
    gateway.fromSelf(row, buildTcp({ source: '0.0.0.0', destination, sourcePort, destinationPort: 80, flags: SYN }))

  it('the port of a flow, whatever its remote, where the flow has a mapping', () => {
    const gateway = open({ profile: 'behave' })
    gateway.fromLan(buildTcp({ source: CLIENT, destination: OTHER, sourcePort: 40_000, destinationPort: 80, flags: SYN })).toWan()
    const row = connecting(gateway, 40_000)
    expect(syn(gateway, row, 40_000).toWan()).toEqual([])
    expect(gateway.told()).toEqual([{ what: 'taken', socket: row, source: ip(WAN) }])
    expect(syn(gateway, connecting(gateway, 40_001), 40_001).toWan().map(({ bytes }) => `${from(bytes)} ${to(bytes)}`)).toEqual([`${WAN}:40001 ${SERVER}:80`])
  })

  it('the port of a forward', () => {
    const gateway = open({
      ports: [[40_000, 50_000]],
      forwards: [{ protocol: ipv4.PROTOCOL_TCP, external: null, firstPort: 8080, lastPort: 8080, address: ip(CLIENT), port: 80, from: 0, fromMask: 0 }],
    })
    const row = connecting(gateway, 8080)
    expect(syn(gateway, row, 8080).toWan()).toEqual([])
    expect(gateway.told()).toMatchObject([{ what: 'taken' }])
  })

  it('no port of a flow once that is over', () => {
    const gateway = open()
    ask(gateway)
    const datagrams = { protocol: ipv4.PROTOCOL_UDP, flags: SOCKET_FLAG.connected, remoteAddress: SERVER, remotePort: 53 }
    const row = socket(gateway, datagrams)
    const send = (): string[] => gateway.fromSelf(row, buildUdp({ source: '0.0.0.0', destination: SERVER, sourcePort: 40_000, destinationPort: 53 })).toWan().map(({ bytes }) => from(bytes))
    expect(send()).toEqual([])
    gateway.advance(3600)
    expect(send()).toEqual([`${WAN}:40000`])
  })
})
