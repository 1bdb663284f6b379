/** Which port and address a flow gets, as Linux chooses them, row by row, in profile `linux`. */
import { describe, expect, it } from 'vitest'
import { parseForward } from '../../src/forward-text.js'
import { PROFILES } from '../../src/nat/profiles.js'
import { A, B, back, buildUdp, bytesOf, E, end, enter, from, gatewayOf, icmp, inward, leave, outward, P, packet, Q, swallows, to } from './support.js'

const HOST = end(A, 5000)

describe('uniqueness', () => {
  it('NAT-1: one address serves 70 000 flows to two remotes, each outside port both', () => {
    const gateway = gatewayOf('linux', { limits: { flows: 80_000 } })
    const taken = new Map<string, number>()
    for (const remote of [P, Q]) {
      for (let count = 0; count < 35_000; count++) {
        const port = leave(gateway, 'udp', end(remote === P ? A : B, 1024 + count), end(remote, 53))
        taken.set(remote, (taken.get(remote) ?? 0) + (port === 1024 + count ? 1 : 0))
      }
    }
    expect([gateway.flows, [...taken.values()]]).toEqual([70_000, [35_000, 35_000]])
    expect([enter(gateway, 'udp', end(P, 53), 2000), enter(gateway, 'udp', end(Q, 53), 2000)]).toEqual([`${A}:2000`, `${B}:2000`])
  })
})

describe('forwards', () => {
  it('NAT-7: a range keeps its ports, one for one', () => {
    const gateway = gatewayOf('linux', { forwards: [parseForward(`udp:5000-5010:${B}:5000`)!] })
    for (const port of [5000, 5005, 5010]) expect(enter(gateway, 'udp', end(P, 4000), port)).toBe(`${B}:${port}`)
  })

  it('NAT-7: a sender that the host would take for another flow of its appears with another source port', () => {
    const [first, second] = ['203.0.113.1', '203.0.113.2']
    const gateway = gatewayOf('linux', { wanAddresses: [first, second], forwards: [parseForward(`udp:8080:${B}:80`)!] })
    const [one, two] = [first, second].map((address) => from(inward(gateway, packet('udp', end(P, 4000), end(address, 8080)))))
    expect([one, two === one]).toEqual([`${P}:4000`, false])
    for (const [seen, address] of [[one, first], [two, second]] as const) {
      const sent = outward(gateway, packet('udp', end(B, 80), end(P, Number(seen!.split(':')[1]))))
      expect([from(sent), to(sent)]).toEqual([`${address}:8080`, `${P}:4000`])
    }
  })

  it('NAT-8: the way is looked up for the new destination: back into the LAN, whose MTU counts', () => {
    const gateway = gatewayOf('linux', { forwards: [parseForward(`udp:8080:${B}:80`)!], lanMtu: 1000, wanMtu: 1500 })
    const sent = back(gateway, packet('udp', HOST, end(E, 8080)))
    expect([from(sent), to(sent)]).toEqual([`${E}:5000`, `${B}:80`])
    const told = back(gateway, buildUdp({ source: A, sourcePort: 5000, destination: E, destinationPort: 8080, df: true, payload: bytesOf(1200) }))
    expect(icmp(told)).toBe('3/4')
    expect(to(inward(gateway, packet('udp', end(P, 1), end(E, 8080))))).toBe(`${B}:80`)
  })
})

describe('search', () => {
  it('NAT-2: the own port towards each remote where it is free', () => {
    const gateway = gatewayOf('linux')
    leave(gateway, 'udp', end(B, 5000), end(P, 53))
    expect(leave(gateway, 'udp', HOST, end(Q, 53))).toBe(5000)
    expect(leave(gateway, 'udp', HOST, end(P, 53))).not.toBe(5000)
  })

  it('NAT-2: where it is not, the port that the same socket already has elsewhere, if that one is free', () => {
    const gateway = gatewayOf('linux')
    for (const remote of [P, Q]) leave(gateway, 'udp', end(B, 5000), end(remote, 53))
    const first = leave(gateway, 'udp', HOST, end(P, 53))
    expect(leave(gateway, 'udp', HOST, end(Q, 53))).toBe(first)
  })

  it.each([[1, 1, 511], [511, 1, 511], [512, 600, 1023], [700, 600, 1023], [1023, 600, 1023], [1024, 1024, 65535], [50000, 1024, 65535]])(
    'NAT-3: port %i that is taken becomes one of %i to %i', (port, first, last) => {
      const gateway = gatewayOf('linux')
      leave(gateway, 'udp', end(A, port), end(P, 53))
      for (let host = 3; host < 60; host++) {
        const other = leave(gateway, 'udp', end(`10.0.0.${host}`, port), end(P, 53))
        expect(other >= first && other <= last).toBe(true)
      }
    },
  )

  it('NAT-4: with every port of the class taken the packet is dropped at once, and what lives stays', () => {
    const gateway = gatewayOf('linux', { ports: [[40000, 40999]] })
    for (let count = 0; count < 1000; count++) leave(gateway, 'udp', end(A, 1024 + count), end(P, 53))
    for (let count = 0; count < 100; count++) expect(gateway.fromLan(packet('udp', end(B, 1024 + count), end(P, 53))).toWan()).toEqual([])
    expect(gateway.drops).toEqual({ 'ports-exhausted': 100 })
    // Towards another remote all of them are free.
    gateway.toLan()
    expect(leave(gateway, 'udp', end(B, 1024), end(Q, 53))).toBeGreaterThanOrEqual(40000)
    expect(swallows(gateway, 'wan', packet('udp', end(P, 54), end(E, 40000)))).toBe(true)
  })

  it('NAT-5: of a given range (ports) the own port is kept inside of it, else, or when it is taken, one of the range is drawn', () => {
    const gateway = gatewayOf('linux', { ports: [[40000, 40099]] })
    expect(leave(gateway, 'udp', end(A, 40050), end(P, 53))).toBe(40050)
    for (const port of [40050, 5000, 41000]) {
      const other = leave(gateway, 'udp', end(B, port), end(P, 53))
      expect([other >= 40000 && other <= 40099, other === 40050]).toEqual([true, false])
    }
    expect(from(outward(gateway, packet('tcp', end(B, 40050), end(P, 53))))).toBe(`${E}:40050`)
  })

  it('NAT-6: with selection fully-random each flow gets a port of its own, even where the own one is free', () => {
    const gateway = gatewayOf('linux', { nat: { ports: { ...PROFILES.linux.nat.ports, selection: 'fully-random' } } })
    const ports = Array.from({ length: 300 }, (_, remote) => leave(gateway, 'udp', HOST, end(`198.51.100.${1 + (remote % 250)}`, 53 + remote)))
    expect(ports.filter((port) => port === 5000).length).toBeLessThan(3)
    expect(new Set(ports).size).toBeGreaterThan(280)
    expect([Math.min(...ports) < 10_000, Math.max(...ports) > 55_000]).toEqual([true, true])
  })
})
