/** What users of Linux' connection tracking expect, row by row, in profile `linux`. */
import { describe, expect, it } from 'vitest'
import { formatConntrack } from '../../src/api/conntrack.js'
import { readFlows } from '../../src/control/flow-reader.js'
import { parseForward } from '../../src/forward-text.js'
import { PROFILES } from '../../src/nat/profiles.js'
import { timeoutColumn } from '../../src/nat/timeouts.js'
import { ACK, FIN, PSH, RST, SYN } from '../../src/stack/wire/tcp.js'
import type { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { Connection } from './connection.js'
import { A, B, buildIcmpEcho, buildIpv4, buildUdp, bytesOf, E, end, enter, gatewayOf, inward, leave, outward, P, packet, ping, pong, Q, to } from './support.js'

const HOST = end(A, 5000)
const IDLE = timeoutColumn(PROFILES.linux.timeouts)
const records = (gateway: MemoryGateway) => [...readFlows(gateway.plane.table.columns, IDLE, {})].map(({ record }) => record)
/** The lines of conntrack -L. */
const lines = (gateway: MemoryGateway): string[] => records(gateway).map((record) => formatConntrack(record))
const open = (): Connection => new Connection(gatewayOf('linux')).open()
const idle = (connection: Connection): [string | null, number] => {
  const [flow] = records(connection.gateway)
  return [flow!.state, flow!.timeout]
}

describe('flows', () => {
  it('CT-1: flows are listed with original and reply tuple, the reply\'s destination being the outside endpoint, and found by either', () => {
    const gateway = gatewayOf('linux')
    leave(gateway, 'udp', end(B, 5000), end(P, 53))
    const port = leave(gateway, 'udp', HOST, end(P, 53))
    expect(enter(gateway, 'udp', end(P, 53), port)).toBe(`${A}:5000`)
    expect(records(gateway)[1]).toMatchObject({
      original: { src: A, dst: P, sport: 5000, dport: 53 }, reply: { src: P, dst: E, sport: 53, dport: port },
    })
  })

  it('CT-4: flows are there only when their first packet has left: refused ones leave nothing', () => {
    const gateway = gatewayOf('linux', { wanMtu: 1000 })
    const ends = { source: A, sourcePort: 5000, destination: P, destinationPort: 53 }
    gateway.fromLan(buildUdp({ ...ends, ttl: 1 })).fromLan(buildUdp({ ...ends, df: true, payload: bytesOf(1200) })).fromLan(buildUdp({ ...ends, destination: '255.255.255.255' }))
    expect(lines(gateway)).toEqual([])
  })

  it('CT-12: flows keep going where their first packet went, whatever becomes of the forward', () => {
    const gateway = gatewayOf('linux', { forwards: [parseForward(`udp:8080:${B}:80`)!] })
    expect(to(inward(gateway, packet('udp', end(P, 4000), end(E, 8080))))).toBe(`${B}:80`)
    gateway.plane.nat.setPorts([[1, 65535]], [parseForward(`udp:8080:${A}:80`)!])
    expect(to(inward(gateway, packet('udp', end(P, 4000), end(E, 8080))))).toBe(`${B}:80`)
    expect(to(inward(gateway, packet('udp', end(Q, 4000), end(E, 8080))))).toBe(`${A}:80`)
  })
})

describe('the line', () => {
  it('CT-2: the line of TCP, as SYN_SENT, SYN_RECV and ESTABLISHED', () => {
    const connection = new Connection(gatewayOf('linux'))
    const line = (): string => lines(connection.gateway)[0]!
    const flow = (reply: string): RegExp =>
      new RegExp(`^tcp      6 \\d+ ${reply.replace('|', ' src=10\\.0\\.0\\.2 dst=198\\.51\\.100\\.10 sport=5000 dport=80 packets=\\d+ bytes=\\d+ ')} mark=0 use=1$`)
    const back = 'src=198\\.51\\.100\\.10 dst=203\\.0\\.113\\.1 sport=80 dport=5000 packets=\\d+ bytes=\\d+'
    connection.out(SYN)
    expect(line()).toMatch(flow(`SYN_SENT|\\[UNREPLIED\\] ${back}`))
    connection.in(SYN | ACK)
    expect(line()).toMatch(flow(`SYN_RECV|${back}`))
    connection.out(ACK)
    expect(line()).toMatch(flow(`ESTABLISHED|${back} \\[ASSURED\\]`))
  })

  it('CT-2: the line of UDP', () => {
    const gateway = gatewayOf('linux')
    outward(gateway, packet('udp', HOST, end(P, 53)))
    expect(lines(gateway)).toEqual([
      'udp      17 30 src=10.0.0.2 dst=198.51.100.10 sport=5000 dport=53 packets=1 bytes=28 [UNREPLIED] src=198.51.100.10 dst=203.0.113.1 sport=53 dport=5000 packets=0 bytes=0 mark=0 use=1',
    ])
  })

  it('CT-3: the line of a ping, the reply\'s type being 0', () => {
    const gateway = gatewayOf('linux')
    pong(gateway, P, ping(gateway, A, P))
    expect(lines(gateway)).toEqual([
      'icmp     1 30 src=10.0.0.2 dst=198.51.100.10 type=8 code=0 id=7 packets=1 bytes=28 src=198.51.100.10 dst=203.0.113.1 type=0 code=0 id=7 packets=1 bytes=28 mark=0 use=1',
    ])
  })
})

describe('the line of others', () => {
  it('CT-3: the line of GRE has keys, that of ESP addresses only', () => {
    const gateway = gatewayOf('linux')
    gateway.fromLan(buildIpv4({ source: A, destination: P, protocol: 47, payload: Uint8Array.of(0, 0, 8, 0, 1, 2, 3, 4) }))
    gateway.fromLan(buildIpv4({ source: A, destination: P, protocol: 50, payload: bytesOf(16) }))
    expect(gateway.toWan()).toHaveLength(2)
    const [gre, esp] = lines(gateway)
    expect(gre).toMatch(/^gre      47 30 src=10\.0\.0\.2 dst=198\.51\.100\.10 srckey=0x0 dstkey=0x0 .*\[UNREPLIED\] src=198\.51\.100\.10 dst=203\.0\.113\.1 srckey=0x0 dstkey=0x0 /)
    expect(esp).toMatch(/^\w+ +50 600 src=10\.0\.0\.2 dst=198\.51\.100\.10 .*\[UNREPLIED\] src=198\.51\.100\.10 dst=203\.0\.113\.1 /)
  })
})

describe('states and their idle times', () => {
  const CASES: readonly (readonly [string, number, () => Connection])[] = [
    ['SYN_SENT', 120, () => { const one = new Connection(gatewayOf('linux')); return one.all([one.out(SYN)]) }],
    ['SYN_SENT2', 120, () => { const one = new Connection(gatewayOf('linux')); return one.all([one.out(SYN), one.in(SYN)]) }],
    ['SYN_RECV', 60, () => { const one = new Connection(gatewayOf('linux')); return one.all([one.out(SYN), one.in(SYN | ACK)]) }],
    ['ESTABLISHED', 432_000, open],
    ['FIN_WAIT', 120, () => { const one = open(); return one.all([one.out(FIN | ACK)]) }],
    ['CLOSE_WAIT', 60, () => { const one = open(); return one.all([one.out(FIN | ACK), one.in(ACK)]) }],
    ['LAST_ACK', 30, () => { const one = open(); return one.all([one.out(FIN | ACK), one.in(ACK), one.in(FIN | ACK)]) }],
    ['TIME_WAIT', 120, () => open().close()],
    ['CLOSE', 10, () => { const one = open(); return one.all([one.in(RST)]) }],
  ]
  it.each(CASES)('CT-2: %s is kept for %i s', (state, seconds, make) => {
    const connection = make()
    expect(idle(connection)).toEqual([state, seconds])
    connection.gateway.advance(seconds - 1)
    expect(connection.gateway.flows).toBe(1)
    connection.gateway.advance(3)
    expect(connection.gateway.flows).toBe(0)
  })

  it('CT-5: TCP is ASSURED once established; a DNS-like pair of datagrams never is', () => {
    const connection = new Connection(gatewayOf('linux'))
    connection.all([connection.out(SYN), connection.in(SYN | ACK)])
    expect(records(connection.gateway)[0]!.assured).toBe(false)
    connection.all([connection.out(ACK)])
    expect(records(connection.gateway)[0]!.assured).toBe(true)
    const gateway = gatewayOf('linux')
    leave(gateway, 'udp', HOST, end(P, 53))
    enter(gateway, 'udp', end(P, 53), 5000)
    expect(records(gateway)[0]).toMatchObject({ replied: true, assured: false, timeout: 30 })
  })

  it('CT-5: UDP that goes on for more than 2 s is a stream: ASSURED, 120 s', () => {
    const gateway = gatewayOf('linux')
    leave(gateway, 'udp', HOST, end(P, 53))
    enter(gateway, 'udp', end(P, 53), 5000)
    gateway.advance(3)
    leave(gateway, 'udp', HOST, end(P, 53))
    enter(gateway, 'udp', end(P, 53), 5000)
    expect(records(gateway)[0]).toMatchObject({ assured: true, timeout: 120 })
  })

  it('CT-6: what is far out of window is dropped and changes neither state nor idle time', () => {
    const connection = open()
    connection.gateway.advance(100)
    const before = idle(connection)
    for (const flags of [ACK, FIN | ACK, RST, RST | ACK]) {
      expect(connection.out(flags, { sequence: (connection.client.next + 0x2000_0000) | 0 })).toBeNull()
      expect(connection.in(flags, { sequence: (connection.server.next + 0x2000_0000) | 0 })).toBeNull()
    }
    expect(idle(connection)).toEqual(before)
    expect(connection.works).toBe(true)
  })

  it('CT-6: a connection from before the gateway\'s start is picked up in mid-stream, whatever its window scale', () => {
    const connection = new Connection(gatewayOf('linux'))
    connection.all([connection.out(ACK | PSH, { payload: bytesOf(100), window: 10 }), connection.in(ACK | PSH, { payload: bytesOf(1400), window: 10 })])
    for (let count = 0; count < 50; count++) connection.all([connection.in(ACK, { payload: bytesOf(1400), window: 10 })])
    connection.all([connection.out(ACK, { window: 10 })])
    expect(idle(connection)[0]).toBe('ESTABLISHED')
  })

  it('CT-7: a RST with the next number expected closes; one elsewhere in the window passes and leaves it established; one outside does neither', () => {
    const exact = open()
    expect(exact.in(RST)).not.toBeNull()
    expect(idle(exact)).toEqual(['CLOSE', 10])
    const inexact = open()
    expect(inexact.in(RST, { sequence: inexact.server.next + 1000 })).not.toBeNull()
    expect(idle(inexact)[0]).toBe('ESTABLISHED')
    for (const away of [0x1000_0000, -0x1000_0000, -1000]) {
      const outside = open()
      outside.all([outside.in(ACK, { payload: bytesOf(1400) }), outside.out(ACK)])
      expect(outside.in(RST, { sequence: (outside.server.next + away) | 0 })).toBeNull()
      expect(idle(outside)[0]).toBe('ESTABLISHED')
    }
  })

  it('CT-7: a RST as the only answer ends the flow at once', () => {
    const connection = new Connection(gatewayOf('linux'))
    connection.all([connection.out(SYN), connection.in(RST | ACK, { sequence: 0 })])
    expect(connection.gateway.flows).toBe(0)
  })

  it('CT-8: a SYN in TIME_WAIT or after a RST starts anew; one in an open connection passes and changes nothing', () => {
    for (const end of ['close', 'reset'] as const) {
      const gateway = gatewayOf('linux')
      const first = new Connection(gateway).open()
      if (end === 'close') first.close()
      else first.all([first.in(RST)])
      const second = new Connection(gateway, { start: 0x4000_0000 })
      second.all([second.out(SYN)])
      expect(idle(second)).toEqual(['SYN_SENT', 120])
      expect(second.all([second.in(SYN | ACK), second.out(ACK)]).works).toBe(true)
    }
    const connection = open()
    const before = idle(connection)
    expect(connection.out(SYN, { sequence: connection.client.next })).not.toBeNull()
    expect(idle(connection)).toEqual(before)
  })

  it('CT-9: a wrong TCP, UDP or ICMP checksum is dropped, opens no flow and changes none', () => {
    for (const bytes of [packet('tcp', HOST, end(P, 80)), packet('udp', HOST, end(P, 53)), buildIcmpEcho({ source: A, destination: P, identifier: 7 })]) {
      const gateway = gatewayOf('linux')
      const wrong = bytes.slice()
      wrong[wrong.length - 1]! ^= 1
      gateway.fromLan(wrong)
      expect([gateway.toWan(), gateway.flows, gateway.drops]).toEqual([[], 0, { 'bad-checksum': 1 }])
      gateway.fromLan(bytes)
      expect(gateway.toWan()).toHaveLength(1)
    }
    // None at all is no wrong one; one that is still to be made, or was verified by a card, neither.
    const none = packet('udp', HOST, end(P, 53))
    none[26] = none[27] = 0
    expect(gatewayOf('linux').fromLan(none).drops).toEqual({})
    const wrong = packet('udp', HOST, end(P, 53))
    wrong[26]! ^= 1
    const trusting = gatewayOf('linux')
    trusting.isLenient = true
    expect(trusting.fromLan(wrong, { flags: 2 }).drops).toEqual({})
  })

  it('CT-9: out of window, without flow, or refused: nothing leaves with its inside address', () => {
    const connection = open()
    const { gateway } = connection
    connection.out(ACK, { sequence: (connection.client.next + 0x2000_0000) | 0, payload: bytesOf(9) })
    for (const flags of [RST, SYN | FIN, SYN | RST, FIN, 0]) gateway.fromLan(packet('tcp', end(B, 1), end(Q, 1), flags))
    gateway.fromLan(packet('udp', end(B, 0), end(Q, 1)))
    expect(gateway.toWan()).toEqual([])
  })
})
