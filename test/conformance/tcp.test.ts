/** RFC 5382, row by row. */
import { describe, expect, it } from 'vitest'
import { parseForward } from '../../src/forward-text.js'
import { PROFILES } from '../../src/nat/profiles.js'
import { ACK, FIN, PSH, RST, SYN } from '../../src/stack/wire/tcp.js'
import { Connection } from './connection.js'
import {
  A, all, B, back, buildIcmpError, bytesOf, C, destinationOf, E, end, enter, from, gatewayOf, icmp, inward, leave, mssOption, only, outside, P, packet, Q, RO,
  same, silent, sourceOf, swallows, to, u16, u32,
} from './support.js'

const HOST = end(A, 5000)
const REMOTES = [end(P, 80), end(P, 81), end(Q, 80)]

describe('mappings', () => {
  it('TCP-1: one outside endpoint towards every remote, also when the own port is another host\'s already', () => {
    const gateway = gatewayOf('behave')
    for (const [index, host] of [A, B, C].entries()) {
      const seen = new Set(REMOTES.map((remote) => outside(gateway, 'tcp', end(host, 5000), remote)))
      expect(seen.size).toBe(1)
      expect(seen.has(`${E}:5000`)).toBe(index === 0)
    }
  })

  it('TCP-7: two hosts with one port get two, and each answer reaches its owner', () => {
    const gateway = gatewayOf('behave')
    const both = [A, B].map((host) => new Connection(gateway, { inside: end(host, 5000) }).open())
    expect(both[0]!.outside.port).not.toBe(both[1]!.outside.port)
    for (const connection of both) expect(connection.works).toBe(true)
  })

  it('TCP-8: a connection to another host\'s outside endpoint is made with that host, and both see outside endpoints', () => {
    const gateway = gatewayOf('behave')
    leave(gateway, 'tcp', end(C, 5000), end(P, 1))
    const [a, b] = [A, B].map((host) => leave(gateway, 'tcp', end(host, 5000), end(P, 1))) as [number, number]
    const there = (flags: number): string => {
      const arrived = back(gateway, packet('tcp', HOST, end(E, b), flags))
      return `${from(arrived)} ${to(arrived)}`
    }
    expect(there(SYN)).toBe(`${E}:${a} ${B}:5000`)
    const answer = back(gateway, packet('tcp', end(B, 5000), end(E, a), SYN | ACK))
    expect([from(answer), to(answer)]).toEqual([`${E}:${b}`, `${A}:5000`])
  })

  it.each([['endpoint-independent', true, true], ['address-dependent', true, false], ['address-and-port-dependent', false, false]] as const)(
    'TCP-3: %s filtering: a SYN from another port of a known remote passes: %s, from a stranger: %s', (filtering, otherPort, stranger) => {
      const gateway = gatewayOf('behave', all({ filtering }))
      const port = leave(gateway, 'tcp', HOST, end(P, 80))
      expect([enter(gateway, 'tcp', end(P, 81), port) !== null, enter(gateway, 'tcp', end(Q, 80), port) !== null]).toEqual([otherPort, stranger])
    },
  )
})

describe('sequences of segments', () => {
  it('TCP-2: handshake from inside, data both ways, close from either side', () => {
    for (const first of ['inside', 'outside']) {
      const connection = new Connection(gatewayOf('behave')).open()
      expect(connection.works).toBe(true)
      if (first === 'inside') connection.close()
      else connection.all([connection.in(FIN | ACK), connection.out(ACK), connection.out(FIN | ACK), connection.in(ACK)])
    }
  })

  it('TCP-2: handshake from outside, to a mapping whose filtering admits it', () => {
    const gateway = gatewayOf('behave', all({ filtering: 'endpoint-independent' }))
    leave(gateway, 'tcp', HOST, end(P, 80))
    const connection = new Connection(gateway, { remote: end(Q, 999) })
    connection.all([connection.in(SYN), connection.out(SYN | ACK), connection.in(ACK)])
    expect(connection.works).toBe(true)
    connection.close()
  })

  it('TCP-2: simultaneous open: SYN out, SYN in, SYN-ACK out, SYN-ACK in, data', () => {
    const connection = new Connection(gatewayOf('behave'))
    const [first, second] = [connection.client.next, connection.server.next]
    connection.all([connection.out(SYN), connection.in(SYN), connection.out(SYN | ACK, { sequence: first }), connection.in(SYN | ACK, { sequence: second })])
    expect(connection.works).toBe(true)
  })

  it('TCP-2: simultaneous close, lost segments sent again, data with the FIN, urgent data', () => {
    const connection = new Connection(gatewayOf('behave'))
    const payload = bytesOf(100)
    const start = connection.client.next
    connection.all([connection.out(SYN), connection.out(SYN, { sequence: start }), connection.in(SYN | ACK), connection.out(ACK), connection.out(ACK | PSH, { payload })])
    connection.all([connection.out(ACK | PSH, { payload, sequence: start + 1 }), connection.out(ACK | 0x20, { payload, urgentPointer: 10 })])
    connection.all([connection.out(FIN | ACK, { payload }), connection.in(FIN | ACK), connection.in(ACK), connection.out(ACK)])
  })

  it('TCP-11: a segment of no connection is dropped without an answer, on both sides', () => {
    const gateway = gatewayOf('behave')
    for (const flags of [ACK, ACK | PSH, SYN | ACK, FIN | ACK, RST, 0]) {
      expect(swallows(gateway, 'lan', packet('tcp', HOST, end(P, 80), flags))).toBe(true)
      expect(swallows(gateway, 'wan', packet('tcp', end(P, 80), end(E, 5000), flags))).toBe(true)
    }
    expect(gateway.flows).toBe(0)
  })

  it('TCP-13: options (window scale, SACK, timestamps, unknown ones) leave as they came', () => {
    const syn = Uint8Array.of(...mssOption(1460), 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7)
    const data = Uint8Array.of(1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 5, 10, 0, 0, 0, 9, 0, 0, 1, 9, 254, 4, 9, 9)
    const connection = new Connection(gatewayOf('behave'))
    expect(same(connection.out(SYN, { options: syn })!.subarray(40), syn)).toBe(true)
    expect(same(connection.in(SYN | ACK, { options: syn })!.subarray(40), syn)).toBe(true)
    expect(same(connection.out(ACK, { options: data })!.subarray(40), data)).toBe(true)
    expect(same(connection.in(ACK, { options: data })!.subarray(40), data)).toBe(true)
  })

  it('TCP-12: sequence and acknowledgment numbers, window and SACK edges leave as they came', () => {
    const connection = new Connection(gatewayOf('behave')).open()
    const sack = Uint8Array.of(1, 1, 5, 10, 0x10, 0, 3, 0xe9, 0x10, 0, 4, 0)
    const [sequence, acknowledgment] = [connection.client.next, connection.server.next]
    const sent = connection.out(ACK, { options: sack, window: 1234 })!
    expect([u32(sent, 24), u32(sent, 28), u16(sent, 34), same(sent.subarray(40), sack)]).toEqual([sequence, acknowledgment, 1234, true])
  })
})

describe('out of window', () => {
  it('TCP-12: a segment far out of window is dropped; it neither changes the state nor prolongs it', () => {
    const connection = new Connection(gatewayOf('behave')).open()
    const { gateway } = connection
    gateway.advance(7000)
    for (const flags of [RST, RST | ACK, FIN | ACK, ACK]) {
      expect(connection.in(flags, { sequence: (connection.server.next + 0x2000_0000) | 0 })).toBeNull()
      expect(connection.out(flags, { sequence: (connection.client.next + 0x2000_0000) | 0 })).toBeNull()
    }
    gateway.advance(439)
    expect(gateway.flows).toBe(1)
    gateway.advance(3)
    expect(gateway.flows).toBe(0)
  })

  it('TCP-12: a RST that is in window but not the next expected passes; the challenge ACK that answers it keeps the connection as it was', () => {
    const connection = new Connection(gatewayOf('behave')).open()
    connection.all([connection.in(RST, { sequence: connection.server.next + 1000 }), connection.out(ACK)])
    connection.gateway.advance(7000)
    expect(connection.works).toBe(true)
  })

  it('TCP-14: a RST out of window does not shorten TIME_WAIT', () => {
    const connection = new Connection(gatewayOf('behave')).open().close()
    expect(connection.in(RST, { sequence: (connection.server.next + 0x2000_0000) | 0 })).toBeNull()
    connection.gateway.advance(239)
    expect(connection.gateway.flows).toBe(1)
  })
})

describe('their life', () => {
  const opening = (): Connection => {
    const connection = new Connection(gatewayOf('behave'))
    return connection.all([connection.out(SYN), connection.in(SYN | ACK)])
  }
  const open = (): Connection => new Connection(gatewayOf('behave')).open()
  const CASES: readonly (readonly [string, number, () => Connection])[] = [
    ['a SYN without answer', 240, () => { const connection = new Connection(gatewayOf('behave')); return connection.all([connection.out(SYN)]) }],
    ['a SYN-ACK that is not acknowledged', 240, opening],
    ['established', 7440, open],
    ['one FIN from inside, acknowledged', 7440, () => { const connection = open(); return connection.all([connection.out(FIN | ACK), connection.in(ACK)]) }],
    ['one FIN from outside, acknowledged', 7440, () => { const connection = open(); return connection.all([connection.in(FIN | ACK), connection.out(ACK)]) }],
    ['FINs both ways', 240, () => open().close()],
    ['a RST', 240, () => { const connection = open(); return connection.all([connection.in(RST)]) }],
  ]
  it.each(CASES)('TCP-5: %s: kept for %i s', (_, seconds, make) => {
    const { gateway } = make()
    gateway.advance(seconds - 1)
    expect(gateway.flows).toBe(1)
    gateway.advance(3)
    expect(gateway.flows).toBe(0)
  })

  it('TCP-5b: established only when both ends have sent an acknowledgment', () => {
    const connection = opening()
    connection.gateway.advance(242)
    expect(connection.gateway.flows).toBe(0)
    const later = opening()
    later.all([later.out(ACK)]).gateway.advance(7000)
    expect(later.works).toBe(true)
  })

  it('TCP-5b: half closed and idle for 7000 s, data of the other half still passes', () => {
    const connection = open()
    connection.all([connection.out(FIN | ACK), connection.in(ACK)]).gateway.advance(7000)
    connection.all([connection.in(ACK | PSH, { payload: bytesOf(100) }), connection.out(ACK)])
  })

  it('TCP-14: after both FINs a FIN that is sent again still gets its acknowledgment', () => {
    const connection = open()
    const fin = connection.server.next
    connection.close().gateway.advance(30)
    connection.all([connection.in(FIN | ACK, { sequence: fin }), connection.out(ACK)])
  })

  it('TCP-14: a new SYN on the same four-tuple 10 s after the end opens again, on the same outside port', () => {
    for (const opener of ['inside', 'outside'] as const) {
      const gateway = gatewayOf('behave')
      const first = new Connection(gateway).open().close()
      gateway.advance(10)
      const second = new Connection(gateway, { start: 0x4000_0000 })
      if (opener === 'inside') second.open()
      else second.all([second.in(SYN), second.out(SYN | ACK), second.in(ACK)])
      expect([second.outside, second.works]).toEqual([first.outside, true])
      gateway.advance(7000)
      expect(gateway.flows).toBe(1)
    }
  })
})

describe('ICMP about them', () => {
  it('TCP-9: 3/4 from a router on the way reaches the host, quoting its own segment', () => {
    const connection = new Connection(gatewayOf('behave'), { inside: HOST }).open()
    const sent = connection.out(ACK | PSH, { payload: bytesOf(1400), df: true })!
    const told = inward(connection.gateway, buildIcmpError({ source: RO, destination: E, type: 3, code: 4, mtu: 1280, quote: sent, quoteLength: 28 }))
    expect([destinationOf(told), icmp(told), u32(told, 24), from(told.subarray(28)), to(told.subarray(28))]).toEqual([A, '3/4', 1280, `${A}:5000`, `${P}:80`])
  })

  it('TCP-10: no error ends a connection, be it opening or established', () => {
    const gateway = gatewayOf('behave')
    const connection = new Connection(gateway)
    const syn = connection.out(SYN)!
    for (let code = 0; code < 16; code++) gateway.fromWan(buildIcmpError({ source: RO, destination: E, type: 3, code, quote: syn }))
    expect(gateway.toLan()).toHaveLength(16)
    connection.all([connection.in(SYN | ACK), connection.out(ACK)])
    for (let code = 0; code < 16; code++) gateway.fromWan(buildIcmpError({ source: P, destination: E, type: 3, code, quote: syn }))
    gateway.toLan()
    gateway.advance(7000)
    expect(connection.works).toBe(true)
  })
})

describe('contents', () => {
  it.each([1720, 554, 5060, 21])('TCP-6: payloads on port %i are not touched', (port) => {
    const payload = Buffer.from(`PORT 10,0,0,2,19,136\r\nTransport: RTP/AVP;client_port=5000 ${A}:5000\r\n`)
    const connection = new Connection(gatewayOf('behave'), { remote: end(P, port) }).open()
    expect(same(connection.out(ACK | PSH, { payload })!.subarray(40), payload)).toBe(true)
    expect(same(connection.in(ACK | PSH, { payload })!.subarray(40), payload)).toBe(true)
  })
})

describe('the unasked', () => {
  it('TCP-4: a SYN to no mapping is not answered within 6 s', () => {
    const gateway = gatewayOf('behave')
    gateway.fromWan(packet('tcp', end(P, 80), end(E, 5000)))
    for (let second = 0; second < 5; second++) {
      expect(silent(gateway)).toBe(true)
      gateway.advance(1)
    }
    expect([silent(gateway), gateway.flows]).toEqual([true, 0])
  })

  it('TCP-4b: if the inside sends its own SYN within 6 s, nothing is ever said of it, and the SYN sent again passes', () => {
    const gateway = gatewayOf('behave')
    const connection = new Connection(gateway)
    const [first, second] = [connection.client.next, connection.server.next]
    expect(connection.in(SYN)).toBeNull()
    gateway.advance(3)
    connection.all([connection.out(SYN), connection.in(SYN, { sequence: second })])
    gateway.advance(30)
    expect(silent(gateway)).toBe(true)
    connection.all([connection.out(SYN | ACK, { sequence: first }), connection.in(SYN | ACK, { sequence: second })])
    expect(connection.works).toBe(true)
  })

  it('TCP-4b: otherwise one ICMP 3/3 that quotes it goes out after 6 s, one for each SYN\'s sender, rate limited', () => {
    const gateway = gatewayOf('behave')
    const syn = packet('tcp', end(P, 80), end(E, 5000))
    gateway.fromWan(syn)
    gateway.advance(5)
    expect(silent(gateway)).toBe(true)
    gateway.advance(2)
    const told = only(gateway.toWan())
    expect([sourceOf(told), destinationOf(told), icmp(told), same(told.subarray(28), syn)]).toEqual([E, P, '3/3', true])
    gateway.advance(60)
    expect(silent(gateway)).toBe(true)
    const limited = gatewayOf('behave', { limits: { icmpErrorsPerSecond: 1 } })
    for (let port = 1; port <= 1000; port++) limited.fromWan(packet('tcp', end(Q, port), end(E, 5000)))
    limited.advance(7)
    expect(limited.toWan().length).toBeLessThanOrEqual(51)
  })

  it('TCP-4b: a SYN to a forwarded port is answered at once; with nat.tcp.unsolicitedSyn drop none is ever told', () => {
    const gateway = gatewayOf('behave', { forwards: [parseForward(`tcp:8080:${B}:80`)!] })
    expect(to(inward(gateway, packet('tcp', end(P, 4000), end(E, 8080))))).toBe(`${B}:80`)
    const silentOne = gatewayOf('behave', { nat: { tcp: { ...PROFILES.behave.nat.tcp, unsolicitedSyn: 'drop' } } })
    silentOne.fromWan(packet('tcp', end(P, 80), end(E, 5000)))
    silentOne.advance(10)
    expect(silent(silentOne)).toBe(true)
  })
})
