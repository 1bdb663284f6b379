/** RFC 7857 and RFC 6864, row by row. */
import { describe, expect, it } from 'vitest'
import { PROFILES } from '../../src/nat/profiles.js'
import { NETFILTER } from '../../src/nat/behaviour.js'
import { parseForward } from '../../src/forward-text.js'
import { ACK, FIN, PSH, RST, SYN } from '../../src/stack/wire/tcp.js'
import { Connection } from './connection.js'
import {
  A, all, B, back, buildIcmpError, buildIpv4, buildUdp, bytesOf, E, E2, end, endsAfter, enter, gatewayOf, inward, leave, outward, P, packet, pieces, ping, PROTOCOLS, Q,
  sourceOf, swallows, u16,
} from './support.js'

const HOST = end(A, 5000)

describe('the states of a connection', () => {
  const behaving = (): Connection => new Connection(gatewayOf('behave'))
  const CASES: readonly (readonly [string, number, (connection: Connection) => unknown])[] = [
    ['SYN of the client', 240, (one) => one.all([one.out(SYN)])],
    ['SYN of the server, not acknowledged', 240, (one) => one.all([one.out(SYN), one.in(SYN | ACK)])],
    ['both acknowledged', 7440, (one) => one.open()],
    ['FIN of the client', 7440, (one) => one.open().all([one.out(FIN | ACK)])],
    ['FIN of the server', 7440, (one) => one.open().all([one.in(FIN | ACK)])],
    ['FIN of both', 240, (one) => one.open().all([one.in(FIN | ACK), one.out(FIN | ACK)])],
    ['RST of the client', 240, (one) => one.open().all([one.out(RST)])],
    ['RST of the server', 240, (one) => one.open().all([one.in(RST)])],
    ['data after a RST', 7440, (one) => one.open().all([one.in(RST), one.out(ACK | PSH, { payload: bytesOf(9) })])],
  ]
  it.each(CASES)('UPD-1: %s: idle for %i s', (_, seconds, go) => {
    const connection = behaving()
    go(connection)
    connection.gateway.advance(seconds - 1)
    expect(connection.gateway.flows).toBe(1)
    connection.gateway.advance(3)
    expect(connection.gateway.flows).toBe(0)
  })

  it('UPD-2: opening and closing have times of their own', () => {
    const settings = { timeouts: { tcpSynSent: 100, tcpSynRecv: 110, tcpLastAck: 120, tcpTimeWait: 130, tcpClose: 140 } }
    const idle = (go: (connection: Connection) => unknown): number => {
      const connection = new Connection(gatewayOf('behave', settings))
      go(connection)
      let seconds = 0
      for (; connection.gateway.flows > 0; seconds++) connection.gateway.advance(1)
      return Math.floor(seconds / 10) * 10
    }
    expect([
      idle((one) => one.out(SYN)), idle((one) => one.all([one.out(SYN), one.in(SYN | ACK)])),
      idle((one) => one.open().all([one.out(FIN | ACK), one.in(FIN | ACK)])), idle((one) => one.open().close()), idle((one) => one.open().out(RST)),
    ]).toEqual([100, 110, 120, 130, 140])
  })

  it('UPD-3: a RST is translated and passed on; if it gets lost behind the gateway, the other side\'s data still passes', () => {
    const connection = behaving().open()
    const reset = connection.in(RST)!
    expect(reset[33]! & RST).toBe(RST)
    connection.gateway.advance(239)
    expect(connection.works).toBe(true)
    connection.gateway.advance(7000)
    expect(connection.works).toBe(true)
  })
})

describe('mappings', () => {
  it('UPD-4: with mapping "shared" one outside port serves two hosts towards different remotes, never towards one', () => {
    const gateway = gatewayOf('behave', { behaviours: { tcp: NETFILTER, udp: NETFILTER, icmp: NETFILTER } })
    expect(leave(gateway, 'udp', HOST, end(P, 53))).toBe(5000)
    expect(leave(gateway, 'udp', end(B, 5000), end(Q, 53))).toBe(5000)
    expect(leave(gateway, 'udp', end('10.0.0.4', 5000), end(P, 53))).not.toBe(5000)
    expect([enter(gateway, 'udp', end(P, 53), 5000), enter(gateway, 'udp', end(Q, 53), 5000)]).toEqual([`${A}:5000`, `${B}:5000`])
  })

  it('UPD-5: without a free port on a host\'s address of the pool its new flows are refused; with paired-soft they take another address', () => {
    const filled = (pooling: 'paired' | 'paired-soft'): [string[], number] => {
      const gateway = gatewayOf('behave', { wanAddresses: [E, E2], ports: [[40000, 40009]], nat: { pool: `${E},${E2}`, pooling } })
      for (let port = 0; port < 15; port++) for (const protocol of PROTOCOLS) gateway.fromLan(packet(protocol, end(A, 5000 + port), end(P, 80)))
      return [[...new Set(gateway.toWan().map(({ bytes }) => sourceOf(bytes)))].sort(), gateway.flows]
    }
    const [paired, flows] = filled('paired')
    expect([paired.length, flows]).toEqual([1, 20])
    expect(filled('paired-soft')).toEqual([[E, E2], 30])
  })

  it('UPD-6: what TCP has opened does not let UDP in, nor the other way round; each has its own behaviour', () => {
    for (const [one, other] of [['tcp', 'udp'], ['udp', 'tcp']] as const) {
      const gateway = gatewayOf('behave', all({ filtering: 'endpoint-independent' }))
      const port = leave(gateway, one, HOST, end(P, 80))
      expect(enter(gateway, other, end(P, 80), port)).toBeNull()
      expect(enter(gateway, one, end(Q, 80), port)).toBe(`${A}:5000`)
    }
  })

  it('UPD-7: a stranger\'s refused packets every 100 s do not prolong a mapping', () => {
    expect(endsAfter(() => {
      const gateway = gatewayOf('behave')
      leave(gateway, 'udp', HOST, end(P, 53))
      gateway.advance(100)
      expect(enter(gateway, 'udp', end(Q, 53), 5000)).toBeNull()
      gateway.advance(100)
      expect(enter(gateway, 'udp', end(Q, 53), 5000)).toBeNull()
      return gateway
    }, 100)).toEqual([1, 0])
  })

  it('UPD-7: nor do admitted packets that the inside answers with ICMP or RST only', () => {
    const gateway = gatewayOf('behave', all({ filtering: 'endpoint-independent' }))
    leave(gateway, 'udp', HOST, end(P, 53))
    leave(gateway, 'tcp', HOST, end(P, 80))
    for (let round = 0; round < 2; round++) {
      gateway.advance(100)
      const arrived = inward(gateway, packet('udp', end(Q, 53), end(E, 5000)))
      outward(gateway, buildIcmpError({ source: A, destination: Q, type: 3, code: 3, quote: arrived }))
      const connection = new Connection(gateway, { remote: end(Q, 100 + round) })
      connection.all([connection.in(SYN), connection.out(RST | ACK, { sequence: 0 })])
    }
    gateway.advance(42)
    // The TCP mapping is over (240 s), the UDP one is not yet (300 s).
    expect([enter(gateway, 'tcp', end(Q, 1), 5000), enter(gateway, 'udp', end(Q, 1), 5000)]).toEqual([null, `${A}:5000`])
    gateway.advance(60)
    expect(enter(gateway, 'udp', end(Q, 2), 5000)).toBeNull()
  })

  it('UPD-8: parity is off by default: ports that have to change come even and odd; nat.ports.parity keeps it', () => {
    const evens = (parity: boolean): number => {
      const gateway = gatewayOf('behave', { nat: { ports: { ...PROFILES.behave.nat.ports, parity } } })
      const ports = Array.from({ length: 200 }, (_, host) => leave(gateway, 'udp', end(`10.0.1.${host}`, 5000), end(P, 53)))
      return ports.filter((port) => port % 2 === 0).length
    }
    expect([evens(false) > 60 && evens(false) < 140, evens(true)]).toEqual([true, 200])
  })

  it('UPD-9: ports that have to change are spread over the whole class', () => {
    const gateway = gatewayOf('behave')
    const ports = Array.from({ length: 200 }, (_, host) => leave(gateway, 'udp', end(`10.0.1.${host}`, 5000), end(P, 53))).slice(1)
    expect(new Set(ports).size).toBe(199)
    expect([Math.min(...ports) < 10_000, Math.max(...ports) > 55_000]).toEqual([true, true])
    // Neither the next one of the last, nor near the one that was wanted.
    expect(ports.filter((port, index) => index > 0 && Math.abs(port - ports[index - 1]!) < 5).length).toBeLessThan(5)
    expect(ports.filter((port) => Math.abs(port - 5000) < 100).length).toBeLessThan(5)
  })

  it('UPD-11: a ping\'s id is free again 60 s after its last packet', () => {
    const gateway = gatewayOf('behave')
    expect([ping(gateway, A, P), ping(gateway, B, P) === 7]).toEqual([7, false])
    gateway.advance(62)
    expect([gateway.flows, ping(gateway, B, P)]).toEqual([0, 7])
  })

  it('UPD-12: errors about hairpinned packets find their way by the addresses of the flow', () => {
    const gateway = gatewayOf('behave', { forwards: [parseForward(`udp:8080:${B}:80`)!] })
    const arrived = back(gateway, packet('udp', HOST, end(E, 8080)))
    expect(back(gateway, buildIcmpError({ source: B, destination: E, type: 3, code: 3, quote: arrived }))[20]).toBe(3)
    expect(swallows(gateway, 'lan', buildIcmpError({ source: B, destination: E, type: 3, code: 3, quote: packet('udp', end(E, 4), end(B, 80)) }))).toBe(true)
  })
})

describe('headers', () => {
  it('UPD-10: datagrams that may be cut get IDs that no other inside host\'s have, towards one remote and protocol', () => {
    const gateway = gatewayOf('behave')
    const seen = new Set<number>()
    for (let id = 0; id < 1000; id++) {
      for (const host of [A, B]) seen.add(u16(outward(gateway, buildUdp({ source: host, sourcePort: 5000, destination: P, destinationPort: 53, id })), 4))
    }
    expect(seen.size).toBe(2000)
  })

  it('UPD-10: the fragments of one datagram share one new ID; two hosts\' datagrams with one ID get two', () => {
    const gateway = gatewayOf('behave')
    const parts = [A, B].map((host) => pieces(end(host, 5000), end(P, 53), 1, 1200))
    const ids = [new Set<number>(), new Set<number>()]
    for (const index of [2, 0, 1]) {
      for (const [host, list] of parts.entries()) {
        for (const { bytes } of gateway.fromLan(list[index]!).toWan()) ids[host]!.add(u16(bytes, 4))
      }
    }
    expect([ids[0]!.size, ids[1]!.size, [...ids[0]!][0] === [...ids[1]!][0]]).toEqual([1, 1, false])
  })

  it('UPD-10: a datagram with DF, which nobody cuts, keeps its ID; towards the inside all do', () => {
    const gateway = gatewayOf('behave')
    expect(u16(outward(gateway, buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, id: 1234, df: true })), 4)).toBe(1234)
    expect(u16(inward(gateway, buildUdp({ source: P, sourcePort: 53, destination: E, destinationPort: 5000, id: 4321 })), 4)).toBe(4321)
  })

  it('UPD-13: DF stays set, of whole packets and of fragments, and what has it is never cut', () => {
    const gateway = gatewayOf('behave', { wanMtu: 1000 })
    const ends = { source: A, sourcePort: 5000, destination: P, destinationPort: 53, df: true }
    expect(outward(gateway, buildUdp({ ...ends, payload: bytesOf(972) }))[6]).toBe(0x40)
    expect(gateway.fromLan(buildUdp({ ...ends, payload: bytesOf(973) })).toWan()).toEqual([])
    const fragment = { source: A, destination: P, protocol: 17, id: 5, df: true, mf: true }
    const first = buildUdp({ ...ends, payload: bytesOf(1500) }).subarray(20, 820)
    expect(outward(gateway, buildIpv4({ ...fragment, payload: first }))[6]! & 0x60).toBe(0x60)
    expect(gateway.fromLan(buildIpv4({ ...fragment, offset: 800, payload: bytesOf(1200) })).toWan()).toEqual([])
  })
})
