/** Limits: who is refused, what he is told, and that nobody else notices. */
import { describe, expect, it } from 'vitest'
import { ACK, SYN } from '../src/stack/wire/tcp.js'
import { MemoryGateway, type MemoryGatewayOptions, seededRandom } from '../src/testing/memory-gateway.js'
import { formatIpv4 } from '../src/stack/wire/address.js'
import { buildGre } from '../src/testing/packets.js'
import { behaving, end, enter, leave, packet } from './behaviours.js'
import { A, B, E, icmp, only, P, Q } from './stack/support.js'

/** Sends a first packet outwards; whether it left, and what came back instead. */
const attempt = (gateway: MemoryGateway, source = A, port = 5000, protocol: 'tcp' | 'udp' = 'udp', remotePort = 80): string => {
  gateway.fromLan(packet(protocol, end(source, port), end(P, remotePort)))
  const [told] = gateway.toLan()
  return gateway.toWan().length === 1 ? 'left' : told === undefined ? 'silence' : icmp(told.bytes)
}
const attempts = (gateway: MemoryGateway, count: number, source = A, protocol: 'tcp' | 'udp' = 'udp'): string[] =>
  Array.from({ length: count }, (_, index) => attempt(gateway, source, 5000 + index, protocol))
const handshake = (gateway: MemoryGateway, source: string, port: number): void => {
  const outside = leave(gateway, 'tcp', end(source, port), end(Q, 443))
  gateway.fromWan(packet('tcp', end(Q, 443), end(E, outside), SYN | ACK)).fromLan(packet('tcp', end(source, port), end(Q, 443), ACK))
  gateway.toLan()
  gateway.toWan()
}

describe('a limit for each inside address', () => {
  it('CGN-4: the flow after the last is refused, other hosts are not, and living flows go on', () => {
    const gateway = behaving({}, { limits: { flowsPerSource: 3 } })
    expect(attempts(gateway, 4)).toEqual(['left', 'left', 'left', '3/1'])
    expect(attempts(gateway, 3, B)).toEqual(['left', 'left', 'left'])
    expect(attempt(gateway, A, 5001)).toBe('left')
    expect(gateway.drops).toEqual({ 'source-limit': 1 })
    gateway.advance(302)
    expect(attempts(gateway, 3)).toEqual(['left', 'left', 'left'])
  })

  it('CGN-4: flows that strangers open do not count', () => {
    const gateway = behaving({ filtering: 'endpoint-independent' }, { limits: { flowsPerSource: 2 } })
    const port = leave(gateway, 'udp', end(A, 5000), end(P, 80))
    for (let host = 1; host < 20; host++) expect(enter(gateway, 'udp', end(`192.0.2.${host}`, 1), port)).toBe(`${A}:5000`)
    expect(attempt(gateway, A, 5001)).toBe('left')
  })

  it.each([['host-unreachable', '3/1'], ['prohibited', '3/13'], ['silent', 'silence']] as const)('CGN-11, ICMP-8: refusal %s tells %s', (refusal, told) => {
    const gateway = behaving({}, { limits: { flowsPerSource: 1, refusal } })
    expect(attempts(gateway, 2)).toEqual(['left', told])
  })

  it('CGN-5: new flows a second: twice the rate at once, then the rate', () => {
    const gateway = behaving({}, { limits: { newFlowsPerSource: 5 } })
    expect(attempts(gateway, 11)).toEqual([...Array<string>(10).fill('left'), '3/1'])
    expect(attempt(gateway, B)).toBe('left')
    gateway.advance(1)
    expect(Array.from({ length: 6 }, (_, index) => attempt(gateway, A, 6000 + index))).toEqual([...Array<string>(5).fill('left'), '3/1'])
    expect(gateway.drops).toEqual({ 'rate-limit': 2 })
  })

  it('CGN-5: the rate is remembered of a host whose flows have ended', () => {
    const gateway = behaving({}, { limits: { newFlowsPerSource: 1 }, timeouts: { udp: 1 } })
    expect(attempts(gateway, 2)).toEqual(['left', 'left'])
    gateway.advance(0.5)
    expect(attempt(gateway, A, 7000)).toBe('3/1')
  })

  it('half-open TCP flows: only those count, until they are established', () => {
    const gateway = behaving({}, { limits: { halfOpenPerSource: 2 } })
    handshake(gateway, A, 4000)
    expect(attempts(gateway, 3, A, 'tcp')).toEqual(['left', 'left', '3/1'])
    expect(attempt(gateway, A, 1, 'udp')).toBe('left')
    expect(attempt(gateway, B, 1, 'tcp')).toBe('left')
    expect(gateway.drops).toEqual({ 'half-open-limit': 1 })
    gateway.advance(242)
    expect(attempts(gateway, 2, A, 'tcp')).toEqual(['left', 'left'])
  })

  it('half-open TCP flows in total', () => {
    const gateway = behaving({}, { limits: { halfOpen: 3 } })
    expect(attempts(gateway, 2, A, 'tcp')).toEqual(['left', 'left'])
    expect(attempts(gateway, 2, B, 'tcp')).toEqual(['left', '3/1'])
    expect(attempt(gateway, B, 9, 'udp')).toBe('left')
  })

  it('without a limit, one host leaves room for another', () => {
    const gateway = behaving({}, { ports: [[10_000, 11_000]] })
    const outcome = attempts(gateway, 1200)
    expect(outcome.filter((one) => one === 'left').length).toBeGreaterThan(900)
    expect(gateway.drops).toEqual({ 'source-limit': outcome.filter((one) => one !== 'left').length })
    expect(attempts(gateway, 30, B)).toEqual(Array<string>(30).fill('left'))
  })
})

describe('a limit for a rule', () => {
  it('refuses what the rule lets in beyond it, and counts ended flows no more', () => {
    const gateway = behaving({}, { nat: { rules: [{ protocol: 'udp', ports: '53', flows: 2 }] } })
    const dns = (port: number): string => attempt(gateway, A, port, 'udp', 53)
    expect([dns(1), dns(2), dns(3), attempt(gateway, A, 4)]).toEqual(['left', 'left', '3/1', 'left'])
    expect(gateway.drops).toEqual({ 'rule-limit': 1 })
    gateway.advance(302)
    expect(dns(3)).toBe('left')
  })

  it('UPD-6: mapping and filtering by rule, for one host and one protocol', () => {
    const rules = [{ from: `${A}/32`, protocol: 'udp', mapping: 'address-and-port-dependent', filtering: 'endpoint-independent' }] as const
    const gateway = behaving({}, { nat: { rules } })
    expect(leave(gateway, 'udp', end(A, 5000), end(P, 1))).not.toBe(leave(gateway, 'udp', end(A, 5000), end(Q, 1)))
    expect(leave(gateway, 'tcp', end(A, 5000), end(P, 1))).toBe(leave(gateway, 'tcp', end(A, 5000), end(Q, 1)))
    const b = leave(gateway, 'udp', end(B, 5000), end(P, 1))
    expect(leave(gateway, 'udp', end(B, 5000), end(Q, 1))).toBe(b)
    expect(enter(gateway, 'udp', end('192.0.2.1', 7), b)).toBe(null)
    const a = leave(gateway, 'udp', end(A, 6000), end(P, 1))
    expect(enter(gateway, 'udp', end('192.0.2.1', 7), a)).toBe(`${A}:6000`)
  })

  it('CGN-6: addresses and ports stay as they are towards an excluded destination, and answers come back', () => {
    const gateway = behaving({}, { nat: { rules: [{ to: `${Q}/32`, translate: false }] } })
    gateway.fromLan(packet('udp', end(A, 5000), end(Q, 53)))
    expect(only(gateway.toWan()).subarray(12, 24)).toEqual(packet('udp', end(A, 5000), end(Q, 53)).subarray(12, 24))
    gateway.fromWan(packet('udp', end(Q, 53), end(A, 5000)))
    expect(only(gateway.toLan()).subarray(12, 24)).toEqual(packet('udp', end(Q, 53), end(A, 5000)).subarray(12, 24))
    gateway.fromWan(packet('udp', end(Q, 54), end(A, 5000)))
    expect(gateway.toLan()).toEqual([])
    // A change of the WAN's addresses does not concern it.
    gateway.setWan(0, { up: true, mtu: 1500, addresses: [], routes: [] })
    expect(gateway.flows).toBe(1)
  })
})

describe('a flood', () => {
  const flood = (gateway: MemoryGateway, count: number, protocol: 'tcp' | 'udp', seed = 5): void => {
    const random = seededRandom(seed)
    for (let index = 0; index < count; index++) {
      const source = formatIpv4(0x0a000000 | (random.next() & 0xffffff) | 1)
      gateway.fromLan(packet(protocol, end(source, 1024 + (random.next() & 0x3fff)), end(P, 80)))
      if ((index & 63) === 0) {
        gateway.toWan()
        gateway.toLan()
      }
    }
    gateway.toWan()
    gateway.toLan()
  }
  const small: MemoryGatewayOptions = { limits: { flows: 4096 }, ports: [[10_000, 12_999]] }

  it.each(['tcp', 'udp'] as const)('of %s with 100 000 forged sources keeps no other host from opening flows, and ends none that is established', (protocol) => {
    const gateway = behaving({}, small)
    handshake(gateway, B, 4000)
    flood(gateway, 100_000, protocol)
    // One that was there before, and one that nobody has heard of yet.
    for (const host of [B, '192.168.7.7']) {
      expect(attempt(gateway, host, 6000, protocol)).toBe('left')
      flood(gateway, 1000, protocol, 6)
    }
    gateway.fromLan(packet('tcp', end(B, 4000), end(Q, 443), ACK))
    expect(gateway.toWan()).toHaveLength(1)
    expect(gateway.plane.table.count).toBeLessThanOrEqual(4096)
  })

  it('towards one server does not keep another host from it where ports are shared', () => {
    const gateway = new MemoryGateway({ profile: 'linux', ...small })
    flood(gateway, 20_000, 'tcp')
    expect(attempt(gateway, '192.168.7.7', 6000, 'tcp', 80)).toBe('left')
  })

  it('takes no remote of GRE from the host that has it', () => {
    const gateway = new MemoryGateway({ profile: 'linux', ...small })
    const gre = (source: string): number => gateway.fromLan(buildGre({ source, destination: Q })).toWan().length
    expect(gre(B)).toBe(1)
    flood(gateway, 1000, 'udp')
    expect(gre('192.168.7.7')).toBe(0)
    expect(gre(B)).toBe(1)
  })

  it('CGN-11: with makeRoom off nothing gives way', () => {
    const gateway = behaving({}, { ...small, limits: { flows: 4096, makeRoom: false } })
    flood(gateway, 5000, 'udp')
    const { opened, count } = { opened: gateway.plane.table.columns.header[1], count: gateway.flows }
    expect(opened).toBe(count)
    gateway.advance(1)
    expect(attempt(gateway, '192.168.7.7', 6000)).toBe('3/1')
  })

  it('of SYNs of one host leaves ports and flows to another', () => {
    const gateway = behaving({}, small)
    for (let index = 0; index < 60_000; index++) gateway.fromLan(packet('tcp', end(A, 1024 + index), end(P, 80)))
    gateway.toWan()
    gateway.toLan()
    for (let port = 5000; port < 5100; port++) expect(attempt(gateway, B, port, 'tcp')).toBe('left')
  })

  it('from outside, of a forwarded port, leaves flows to the inside', () => {
    const gateway = behaving({ filtering: 'endpoint-independent' }, { limits: { flows: 1024 } })
    const port = leave(gateway, 'udp', end(A, 5000), end(P, 80))
    for (let host = 0; host < 2000; host++) gateway.fromWan(packet('udp', end(`192.0.${host >> 8}.${host & 255}`, 9), end(E, port)))
    gateway.toLan()
    gateway.toWan()
    expect(gateway.drops['table-full']).toBeGreaterThan(1000)
    expect(attempts(gateway, 40, B)).toEqual(Array<string>(40).fill('left'))
  })
})
