/** `-m socket`, and the way of packets that it marks: the divert shortcut. */
import { describe, expect, it } from 'vitest'
import { ACK, SYN } from '../../src/stack/wire/tcp.js'
import * as icmp4 from '../../src/stack/wire/icmp4.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildIcmpError, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, E, P, Q } from '../stack/support.js'
import { divert, open, type SocketWish, TCP, UDP } from './own-sockets.js'

const REPLY = { source: P, destination: A, sourcePort: 80, destinationPort: 40000, flags: ACK }
/** A proxy that dials the server as its client. */
const PROXY: SocketWish = { protocol: TCP, local: `${A}:40000`, remote: `${P}:80`, flags: ['transparent', 'boundAddress'] }

const gatewayWith = (match: string, ...more: string[]): MemoryGateway => {
  const gateway = new MemoryGateway({ sockets: 64 })
  gateway.restoreRules(['*mangle', ...more, `-A PREROUTING -m socket ${match} -j MARK --set-mark 0x233`, 'COMMIT', ''].join('\n'))
  divert(gateway, 0x233, -1)
  return gateway
}
/** Whether a packet from outside is diverted to the sockets. */
const isDiverted = (gateway: MemoryGateway, bytes: Uint8Array): boolean => gateway.fromWan(bytes).toSelf().length > 0

describe('a socket that matches', () => {
  it('SOM-1: is connected with the ends of the packet', () => {
    const gateway = gatewayWith('')
    open(gateway, { ...PROXY, flags: [] })
    expect(isDiverted(gateway, buildTcp(REPLY))).toBe(true)
    expect(isDiverted(gateway, buildTcp({ ...REPLY, destinationPort: 40001 }))).toBe(false)
  })

  it('SOM-1: or is bound to its destination', () => {
    const gateway = gatewayWith('')
    open(gateway, { protocol: TCP, local: `${Q}:443` })
    open(gateway, { protocol: UDP, local: `${Q}:53` })
    expect(isDiverted(gateway, buildTcp({ ...REPLY, destination: Q, destinationPort: 443, flags: SYN }))).toBe(true)
    expect(isDiverted(gateway, buildUdp({ source: P, destination: Q, sourcePort: 7, destinationPort: 53 }))).toBe(true)
  })

  it('SOM-1: one that is bound to any address counts with --nowildcard only', () => {
    for (const [match, expected] of [['', false], ['--nowildcard', true]] as const) {
      const gateway = gatewayWith(match)
      open(gateway, { protocol: UDP, local: '*:53', flags: ['transparent'] })
      expect(isDiverted(gateway, buildUdp({ source: P, destination: Q, sourcePort: 7, destinationPort: 53 }))).toBe(expected)
    }
  })

  it('SOM-1: must be transparent with --transparent', () => {
    for (const flags of [[], ['transparent']] as const) {
      const gateway = gatewayWith('--transparent')
      open(gateway, { ...PROXY, flags })
      expect(isDiverted(gateway, buildTcp(REPLY))).toBe(flags.length > 0)
    }
  })

  it('SOM-1: gives the packet its mark with --restore-skmark, but not in TIME_WAIT', () => {
    for (const [flags, expected] of [[['transparent'], 1], [['transparent', 'timeWait'], 0]] as const) {
      const gateway = new MemoryGateway({ sockets: 64 }).restoreRules('*mangle\n-A PREROUTING -m socket --transparent --restore-skmark -j ACCEPT\nCOMMIT\n')
      divert(gateway, 0x42, -1)
      open(gateway, { ...PROXY, flags, mark: 0x42 })
      expect(gateway.fromWan(buildTcp(REPLY)).toSelf()).toHaveLength(expected)
    }
  })

  it('TPX-3: does not match a SYN that meets TIME_WAIT: TPROXY behind it gets it; other segments match', () => {
    const gateway = new MemoryGateway({ sockets: 64 }).restoreRules('*mangle\n-A PREROUTING -m socket -j MARK --set-mark 0x42\nCOMMIT\n')
    divert(gateway, 0x42, -1)
    open(gateway, { ...PROXY, flags: ['transparent', 'timeWait'] })
    expect(gateway.fromWan(buildTcp({ ...REPLY, flags: SYN })).toSelf()).toHaveLength(0)
    expect(gateway.fromWan(buildTcp(REPLY)).toSelf()).toHaveLength(1)
  })

  it('SOM-1: without sockets, nothing matches', () => {
    const gateway = new MemoryGateway().restoreRules('*mangle\n-A PREROUTING -m socket --nowildcard -j DROP\nCOMMIT\n')
    gateway.fromWan(buildTcp(REPLY)).fromLan(buildTcp({ ...REPLY, flags: SYN }))
    expect(gateway.drops['rule']).toBeUndefined()
  })
})

describe('packets from inside', () => {
  it('SOM-1: the divert shortcut: packets of connections pass TPROXY by', () => {
    const gateway = new MemoryGateway({ sockets: 64 }).restoreRules([
      '*mangle', ':tproxy_divert - [0:0]', '-A tproxy_divert -j MARK --set-mark 0x233', '-A tproxy_divert -j ACCEPT',
      '-A PREROUTING -p tcp -m socket -j tproxy_divert', '-A PREROUTING -p tcp -j TPROXY --on-port 10000 --on-ip 127.0.0.1 --tproxy-mark 0x233', 'COMMIT', '',
    ].join('\n'))
    divert(gateway, 0x233, -1)
    const listener = open(gateway, { protocol: TCP, local: '*:10000', flags: ['transparent'] })
    const packet = { source: A, destination: P, sourcePort: 40000, destinationPort: 80 }
    gateway.fromLan(buildTcp({ ...packet, flags: SYN }))
    open(gateway, { protocol: TCP, local: `${P}:80`, remote: `${A}:40000`, flags: ['transparent'] })
    gateway.fromLan(buildTcp({ ...packet, flags: ACK }))
    // The diverted segment has no socket yet: the stack looks it up.
    expect(gateway.toSelf().map(({ socket, mark }) => [socket, mark])).toEqual([[listener, 0x233], [-1, 0x233]])
  })

  it('of a known flow are diverted as soon as a socket matches', () => {
    const gateway = gatewayWith('--transparent')
    const packet = { source: A, destination: P, sourcePort: 40000, destinationPort: 80 }
    expect(gateway.fromLan(buildTcp({ ...packet, flags: SYN })).toWan()).toHaveLength(1)
    open(gateway, { protocol: TCP, local: `${P}:80`, remote: `${A}:40000`, flags: ['transparent'] })
    expect(gateway.fromLan(buildTcp({ ...packet, flags: ACK })).toSelf()).toHaveLength(1)
    expect(gateway.toWan()).toEqual([])
  })
})

describe('ICMP errors', () => {
  const quote = buildTcp({ source: A, destination: P, sourcePort: 40000, destinationPort: 80, flags: SYN })
  const error = (more: Partial<Parameters<typeof buildIcmpError>[0]> = {}): Uint8Array =>
    buildIcmpError({ source: Q, destination: A, type: icmp4.UNREACHABLE, code: icmp4.CODE_PORT, quote, ...more })

  it('SOM-2: match by the ends of the packet that they quote', () => {
    const gateway = gatewayWith('--transparent')
    expect(isDiverted(gateway, error())).toBe(false)
    open(gateway, PROXY)
    expect(isDiverted(gateway, error())).toBe(true)
    expect(isDiverted(gateway, error({ quote: buildTcp({ source: A, destination: Q, sourcePort: 40000, destinationPort: 80 }) }))).toBe(false)
  })

  it('SOM-2: that quote too little match nothing', () => {
    const gateway = gatewayWith('--transparent')
    open(gateway, PROXY)
    for (const quoteLength of [0, 19, 20, 27]) expect(isDiverted(gateway, error({ quoteLength }))).toBe(false)
  })

  it('SOM-2: are RELATED', () => {
    const gateway = gatewayWith('--transparent', '-A INPUT -m conntrack --ctstate RELATED -j DROP')
    open(gateway, PROXY)
    expect(isDiverted(gateway, error())).toBe(false)
    expect(gateway.drops).toEqual({ rule: 1 })
  })
})

it('SOM-2: packets back along a flow whose source NAT changed are looked up as they will be then', () => {
  const gateway = gatewayWith('--transparent')
  // The flow of a host behind: its original source is the proxy's.
  gateway.fromLan(buildTcp({ source: A, destination: P, sourcePort: 40000, destinationPort: 80, flags: SYN }))
  gateway.fromWan(buildTcp({ source: P, destination: E, sourcePort: 80, destinationPort: 40000, flags: SYN | ACK, acknowledgment: 1 }))
  expect([gateway.toWan().length, gateway.toLan().length]).toEqual([1, 1])
  open(gateway, PROXY)
  gateway.restoreRules('*mangle\n-A PREROUTING -m socket --transparent -j MARK --set-mark 9\nCOMMIT\n*filter\n-A FORWARD -m mark --mark 9 -j DROP\nCOMMIT\n')
  gateway.fromWan(buildTcp({ source: P, destination: E, sourcePort: 80, destinationPort: 40000, flags: ACK, sequence: 1, acknowledgment: 1 }))
  expect(gateway.drops).toEqual({ rule: 1 })
})
