/** RFC 4787, row by row. */
import { describe, expect, it } from 'vitest'
import { DEPENDENCES } from '../../src/nat/behaviour.js'
import { PROFILES } from '../../src/nat/profiles.js'
import { parseForward } from '../../src/forward-text.js'
import {
  A, all, B, back, buildIcmpEcho, buildIcmpError, buildIpv4, buildUdp, bytesOf, C, destinationOf, E, E2, end, endsAfter, enter, from, gatewayOf, headerOf, icmp,
  inward, ip, leave, outside, outward, P, packet, pieces, ping, Q, RO, same, silent, sourceOf, swallows, to, u16, u32,
} from './support.js'

const HOST = end(A, 5000)
const REMOTES = [end(P, 1), end(P, 2), end(Q, 1)]

describe('mappings', () => {
  it('UDP-1: one outside endpoint towards every remote, also when the own port is another host\'s already', () => {
    const gateway = gatewayOf('behave')
    for (const [index, host] of [A, B, C].entries()) {
      const seen = new Set(REMOTES.map((remote) => outside(gateway, 'udp', end(host, 5000), remote)))
      expect(seen.size).toBe(1)
      expect(seen.has(`${E}:5000`)).toBe(index === 0)
    }
  })

  it('UDP-1: the mapping stays while any of its sessions lives, whichever came first', () => {
    const gateway = gatewayOf('behave')
    leave(gateway, 'udp', end(B, 5000), end(RO, 9))
    const before = outside(gateway, 'udp', HOST, REMOTES[0]!)
    for (let round = 0; round < 4; round++) {
      gateway.advance(200)
      expect(outside(gateway, 'udp', HOST, REMOTES[1]!)).toBe(before)
    }
    expect(outside(gateway, 'udp', HOST, REMOTES[2]!)).toBe(before)
  })

  it('UDP-3: two hosts with one port get two, and each reply reaches its owner', () => {
    const gateway = gatewayOf('behave')
    const ports = [A, B].map((host) => leave(gateway, 'udp', end(host, 5000), end(P, 53)))
    expect(ports[0]).not.toBe(ports[1])
    for (const [index, host] of [A, B].entries()) expect(enter(gateway, 'udp', end(P, 53), ports[index]!)).toBe(`${host}:5000`)
  })

  it('UDP-4: a port below 1024 that has to change becomes another one below 1024, any other one from 1024 on', () => {
    const gateway = gatewayOf('behave')
    for (const port of [1, 53, 700, 1023, 1024, 5000, 65535]) {
      leave(gateway, 'udp', end(A, port), end(P, 9))
      for (let host = 3; host < 30; host++) expect(leave(gateway, 'udp', end(`10.0.0.${host}`, port), end(P, 9)) < 1024).toBe(port < 1024)
    }
  })

  it('UDP-5: with nat.ports.parity even ports become even ones and odd ports odd ones, in both classes', () => {
    const gateway = gatewayOf('behave', { nat: { ports: { ...PROFILES.behave.nat.ports, parity: true } } })
    for (const port of [700, 701, 5000, 5001]) {
      leave(gateway, 'udp', end(A, port), end(P, 9))
      for (let host = 3; host < 40; host++) {
        const other = leave(gateway, 'udp', end(`10.0.0.${host}`, port), end(P, 9))
        expect([other % 2, other < 1024]).toEqual([port % 2, port < 1024])
      }
    }
  })

  it('UDP-2: 200 sockets of one host leave from one address of a pool', () => {
    const gateway = gatewayOf('behave', { wanAddresses: [E, E2], nat: { pool: `${E},${E2}` } })
    for (const host of [A, B, C]) {
      const seen = new Set(Array.from({ length: 200 }, (_, port) => sourceOf(outward(gateway, packet('udp', end(host, 5000 + port), end(port % 2 === 0 ? P : Q, port + 1))))))
      expect(seen.size).toBe(1)
    }
  })

  it('UDP-12: mapping and filtering are the same in and after collisions', () => {
    for (const filtering of DEPENDENCES) {
      const gateway = gatewayOf('behave', all({ filtering }))
      const seen = [A, B, C].map((host) => {
        const ports = new Set(REMOTES.slice(0, 2).map((remote) => leave(gateway, 'udp', end(host, 5000), remote)))
        const [port] = ports
        return [ports.size, ...[end(P, 1), end(P, 9), end(Q, 9)].map((remote) => enter(gateway, 'udp', remote, port!) === `${host}:5000`)]
      })
      expect(seen[1]).toEqual(seen[0])
      expect(seen[2]).toEqual(seen[0])
    }
  })

  it('UDP-16: a packet from port 0 is dropped, and port 0 is never given out', () => {
    const gateway = gatewayOf('behave', { ports: [[1, 2023]] })
    expect(swallows(gateway, 'lan', packet('udp', end(A, 0), end(P, 9)))).toBe(true)
    expect(gateway.flows).toBe(0)
    for (let port = 2000; port < 3000; port++) expect(leave(gateway, 'udp', end(A, port), end(P, 9))).toBeGreaterThan(0)
  })
})

describe('their life', () => {
  it.each([[53, 300], [5353, 300], [40000, 300]])('UDP-6: towards port %i a mapping without traffic lives %i s', (port, seconds) => {
    expect(endsAfter(() => gatewayOf('behave').fromLan(packet('udp', HOST, end(P, port))), seconds)).toEqual([1, 0])
    expect(endsAfter(() => gatewayOf('behave').fromLan(packet('udp', HOST, end(P, port))).fromWan(packet('udp', end(P, port), end(E, 5000))), seconds)).toEqual([1, 0])
  })

  it('UDP-7: a packet from inside every 119 s keeps it; packets of a remote that was asked do, too', () => {
    const gateway = gatewayOf('behave')
    const port = leave(gateway, 'udp', HOST, end(P, 53))
    for (let round = 0; round < 31; round++) {
      gateway.advance(119)
      expect(leave(gateway, 'udp', HOST, end(P, 53))).toBe(port)
    }
    for (let round = 0; round < 10; round++) {
      gateway.advance(290)
      expect(enter(gateway, 'udp', end(P, 53), port)).toBe(`${A}:5000`)
    }
  })

  it('UDP-13: no ICMP error, whatever its type and code, ends it; those of any router arrive', () => {
    const gateway = gatewayOf('behave')
    const sent = outward(gateway, packet('udp', HOST, end(P, 53), 0, bytesOf(40)))
    const kinds = [...Array.from({ length: 16 }, (_, code) => [3, code]), [11, 0], [11, 1], [12, 0]]
    for (const [type, code] of kinds) {
      const told = inward(gateway, buildIcmpError({ source: RO, destination: E, type: type!, code: code!, quote: sent, mtu: code === 4 ? 1280 : 0 }))
      expect([sourceOf(told), destinationOf(told), icmp(told)]).toEqual([RO, A, `${type}/${code}`])
      expect(enter(gateway, 'udp', end(P, 53), 5000)).toBe(`${A}:5000`)
    }
  })
})

describe('the addresses of both sides', () => {
  it('UDP-8: with a WAN address out of the LAN\'s network, inside hosts reach the outside, even the one that has that address', () => {
    const wan = '10.0.0.7'
    const gateway = gatewayOf('behave', {
      wanAddresses: [wan],
      routes: [{ destination: 0, prefixLength: 0, gateway: ip('10.0.0.254'), source: ip(wan) }, { destination: ip('10.0.0.0'), prefixLength: 24, gateway: null, source: ip(wan) }],
    })
    for (const host of [A, wan]) {
      const sent = outward(gateway, packet('udp', end(host, 5000), end(P, 53)))
      expect(sourceOf(sent)).toBe(wan)
      const answer = inward(gateway, packet('udp', end(P, 53), end(wan, u16(sent, 20))))
      expect(to(answer)).toBe(`${host}:5000`)
    }
  })
})

describe('filtering', () => {
  it.each([['endpoint-independent', true, true], ['address-dependent', true, false], ['address-and-port-dependent', false, false]] as const)(
    'UDP-9: %s: another port of a known remote passes: %s, a stranger passes: %s', (filtering, otherPort, stranger) => {
      const gateway = gatewayOf('behave', all({ filtering }))
      const port = leave(gateway, 'udp', HOST, end(P, 53))
      expect([enter(gateway, 'udp', end(P, 54), port) !== null, enter(gateway, 'udp', end(Q, 53), port) !== null]).toEqual([otherPort, stranger])
    },
  )
})

describe('hairpin', () => {
  it('UDP-10: a packet to another host\'s outside endpoint arrives there, from the sender\'s outside endpoint; answers too', () => {
    const gateway = gatewayOf('behave')
    leave(gateway, 'udp', end(C, 5000), end(P, 1))
    const [a, b] = [A, B].map((host) => leave(gateway, 'udp', end(host, 5000), end(P, 1))) as [number, number]
    const arrived = back(gateway, packet('udp', HOST, end(E, b)))
    expect([from(arrived), to(arrived)]).toEqual([`${E}:${a}`, `${B}:5000`])
    const answer = back(gateway, packet('udp', end(B, 5000), end(E, a)))
    expect([from(answer), to(answer)]).toEqual([`${E}:${b}`, `${A}:5000`])
  })

  it('UDP-10: so does one to a forwarded port', () => {
    const gateway = gatewayOf('behave', { forwards: [parseForward(`udp:8080:${B}:80`)!] })
    const arrived = back(gateway, packet('udp', HOST, end(E, 8080)))
    expect([from(arrived), to(arrived)]).toEqual([`${E}:5000`, `${B}:80`])
  })
})

describe('contents', () => {
  it('UDP-11: payloads that carry addresses, such as SIP, are not touched', () => {
    const payload = Buffer.from(`INVITE sip:b@${P} SIP/2.0\r\nVia: SIP/2.0/UDP ${A}:5060\r\nContact: <sip:a@${A}:5060>\r\n\r\nc=IN IP4 ${A}\r\n`)
    const gateway = gatewayOf('behave')
    const sent = outward(gateway, packet('udp', end(A, 5060), end(P, 5060), 0, payload))
    expect(same(sent.subarray(28), payload)).toBe(true)
    const arrived = inward(gateway, packet('udp', end(P, 5060), end(E, 5060), 0, payload))
    expect(same(arrived.subarray(28), payload)).toBe(true)
  })
})

describe('sizes', () => {
  const long = (df: boolean) => buildUdp({ source: A, sourcePort: 5000, destination: P, destinationPort: 53, df, payload: bytesOf(1472) })

  it('UDP-14: too big with DF set: 3/4 with the MTU of the way out goes to the sender, and nothing else', () => {
    const gateway = gatewayOf('behave', { wanMtu: 1400 })
    const told = back(gateway, long(true))
    expect([destinationOf(told), icmp(told), u32(told, 24)]).toEqual([A, '3/4', 1400])
    expect([silent(gateway), gateway.flows]).toEqual([true, 0])
  })

  it('UDP-14: too big without DF: fragments leave, in order', () => {
    const gateway = gatewayOf('behave', { wanMtu: 1400 })
    const sent = gateway.fromLan(long(false)).toWan().map(({ bytes }) => bytes)
    expect(sent.map((bytes) => [bytes.length, (u16(bytes, 6) & 0x1fff) * 8, (bytes[6]! & 0x20) !== 0])).toEqual([[1396, 0, true], [124, 1376, false]])
    expect(gateway.toLan()).toEqual([])
  })

  it('UDP-15: fragments come through in any order, out and back', () => {
    for (const order of [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]) {
      const gateway = gatewayOf('behave')
      const out = pieces(HOST, end(P, 53), 7, 1200)
      for (const index of order) gateway.fromLan(out[index]!)
      const sent = gateway.toWan().map(({ bytes }) => bytes)
      expect(sent.map(sourceOf)).toEqual([E, E, E])
      expect(new Set(sent.map((bytes) => u16(bytes, 4))).size).toBe(1)
      const home = pieces(end(P, 53), end(E, 5000), 9, 1200)
      for (const index of order) gateway.fromWan(home[index]!)
      expect(gateway.toLan().map(({ bytes }) => destinationOf(bytes))).toEqual([A, A, A])
      expect([gateway.drops, gateway.flows]).toEqual([{}, 1])
    }
  })

  it('UDP-15: a flood of 100 000 half datagrams stops neither pings nor another host\'s fragments', () => {
    const gateway = gatewayOf('behave', { limits: { fragmentBytes: 256 << 10 } })
    for (let count = 0; count < 100_000; count++) {
      gateway.lan.push(buildIpv4({ source: A, destination: P, protocol: 17, id: count & 0xffff, offset: 8 + ((count >> 16) << 6), mf: count % 2 === 0, payload: bytesOf(64) }))
      if (count % 5000 === 0) expect(ping(gateway, B, P)).toBe(7)
    }
    gateway.toLan()
    expect(headerOf(outward(gateway, buildIcmpEcho({ source: B, destination: Q, identifier: 5 })))).toBe(20)
    for (const piece of pieces(end(B, 5000), end(P, 53), 7, 1200)) gateway.fromLan(piece)
    expect(gateway.toWan()).toHaveLength(3)
  })
})
