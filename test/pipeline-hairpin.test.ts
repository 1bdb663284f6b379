/** Inside hosts that reach each other by the outside address, and forwarded ports. */
import { describe, expect, it } from 'vitest'
import { readFlows } from '../src/control/flow-reader.js'
import { parseForward } from '../src/forward-text.js'
import type { Forward } from '../src/nat/forwards.js'
import { DEPENDENCES, NETFILTER } from '../src/nat/behaviour.js'
import { PROFILES } from '../src/nat/profiles.js'
import { timeoutColumn } from '../src/nat/timeouts.js'
import { ACK, RST, SYN } from '../src/stack/wire/tcp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { describePacket } from '../src/testing/describe-packet.js'
import type { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildIcmpError, buildTcp, buildUdp } from '../src/testing/packets.js'
import { behaving, end, enter, leave, packet, type Protocol } from './behaviours.js'
import { A, B, bytesOf, destinationOf, E, from, icmp, only, P, Q, sourceOf, to } from './stack/support.js'

const C = '10.0.0.4'
const E2 = '203.0.113.2'
const forwards = (...texts: string[]): Forward[] => texts.map((text) => parseForward(text)!)
const PROTOCOLS: readonly Protocol[] = ['udp', 'tcp']
/** What the LAN gets for a packet that it sent: `from > to`. */
const across = (gateway: MemoryGateway, bytes: Uint8Array): string => {
  const sent = only(gateway.fromLan(bytes).toLan())
  expect(checkPacket(sent)).toEqual([])
  expect(gateway.toWan()).toEqual([])
  return `${from(sent)} > ${to(sent)}`
}

describe.each(PROTOCOLS)('hairpin of %s', (protocol) => {
  it.each(DEPENDENCES)('UDP-10, TCP-8, STUN-10: to a mapping, from the outside endpoint, whatever the filtering (%s)', (filtering) => {
    const gateway = behaving({ filtering })
    leave(gateway, protocol, end(C, 5000), end(P, 1))
    const [a, b] = [A, B].map((host) => leave(gateway, protocol, end(host, 5000), end(P, 1))) as [number, number]
    expect(across(gateway, packet(protocol, end(A, 5000), end(E, b)))).toBe(`${E}:${a} > ${B}:5000`)
    expect(across(gateway, packet(protocol, end(B, 5000), end(E, a), SYN | ACK, bytesOf(99)))).toBe(`${E}:${b} > ${A}:5000`)
    expect(across(gateway, packet(protocol, end(A, 5000), end(E, b), ACK, bytesOf(99)))).toBe(`${E}:${a} > ${B}:5000`)
    expect(gateway.flows).toBe(4)
    expect(gateway.drops).toEqual({})
  })

  it('a host that was unknown so far gets a mapping by it', () => {
    const gateway = behaving()
    const b = leave(gateway, protocol, end(B, 5000), end(P, 1))
    expect(across(gateway, packet(protocol, end(A, 6000), end(E, b)))).toBe(`${E}:6000 > ${B}:5000`)
    expect(leave(gateway, protocol, end(A, 6000), end(P, 1))).toBe(6000)
    expect(leave(gateway, protocol, end(C, 6000), end(P, 1))).not.toBe(6000)
  })

  it('UDP-7: a mapping stays while another inside host talks with its owner, and ends when they are silent', () => {
    const gateway = behaving({}, { timeouts: { udp: 300, udpStream: 300, tcpSynSent: 300, tcpSynRecv: 300, tcpEstablished: 300 } })
    const b = leave(gateway, protocol, end(B, 5000), end(P, 1))
    across(gateway, packet(protocol, end(A, 6000), end(E, b)))
    for (let minute = 0; minute < 30; minute++) {
      gateway.advance(60)
      across(gateway, packet(protocol, end(B, 5000), end(E, 6000), minute === 0 ? SYN | ACK : ACK))
      across(gateway, packet(protocol, end(A, 6000), end(E, b), ACK))
    }
    expect(leave(gateway, protocol, end(B, 5000), end(Q, 1))).toBe(b)
    gateway.advance(1000)
    expect(gateway.flows).toBe(0)
  })

  it('UDP-7: not for the sake of a host whose packets the owner never answers', () => {
    const gateway = behaving({}, { timeouts: { udp: 300, tcpSynSent: 300 } })
    const b = leave(gateway, protocol, end(B, 5000), end(P, 1))
    for (let minute = 0; minute < 10; minute++) {
      across(gateway, packet(protocol, end(A, 6000), end(E, b)))
      gateway.advance(60)
    }
    expect(gateway.plane.table.count).toBe(1)
  })

  it('between two sockets of one host, and of a socket to itself', () => {
    const gateway = behaving()
    const port = leave(gateway, protocol, end(A, 5000), end(P, 1))
    leave(gateway, protocol, end(A, 5001), end(P, 1))
    expect(across(gateway, packet(protocol, end(A, 5001), end(E, port)))).toBe(`${E}:5001 > ${A}:5000`)
    expect(across(gateway, packet(protocol, end(A, 5000), end(E, 5001), SYN | ACK))).toBe(`${E}:5000 > ${A}:5001`)
    expect(across(gateway, packet(protocol, end(A, 5000), end(E, 5000)))).toBe(`${E}:5000 > ${A}:5000`)
    gateway.advance(10_000)
    expect(gateway.flows).toBe(0)
    expect(gateway.plane.table.columns.index.every((word) => word === 0)).toBe(true)
  })

  it('by each of several addresses; who has a mapping appears as that', () => {
    const gateway = behaving({}, { wanAddresses: [E, E2] })
    leave(gateway, protocol, end(A, 5000), end(P, 1))
    gateway.fromLan(packet(protocol, end(B, 7000), end(P, 1))).toWan()
    // Nobody has 7000 on the second address; C is not known at all.
    gateway.fromLan(packet(protocol, end(A, 5000), end(E2, 7000)))
    expect(gateway.toLan()).toEqual([])
    expect(across(gateway, packet(protocol, end(A, 5000), end(E, 7000)))).toBe(`${E}:5000 > ${B}:7000`)
    expect(gateway.drops).toEqual({ 'no-flow': 1 })
  })

  it('TTL and MTU count', () => {
    const gateway = behaving({}, { lanMtu: 1000 })
    const b = leave(gateway, protocol, end(B, 5000), end(P, 1))
    const ends = { source: A, sourcePort: 5000, destination: E, destinationPort: b, flags: SYN }
    const build = protocol === 'tcp' ? buildTcp : buildUdp
    gateway.fromLan(build({ ...ends, ttl: 1 }))
    expect(icmp(only(gateway.toLan()))).toBe('11/0')
    gateway.fromLan(build({ ...ends, df: true, payload: bytesOf(1200) }))
    expect(icmp(only(gateway.toLan()))).toBe('3/4')
    expect(gateway.flows).toBe(1)
  })

  it('nowhere, where nobody is or ports are shared', () => {
    for (const gateway of [behaving(), behaving(NETFILTER)]) {
      leave(gateway, protocol, end(B, 5000), end(P, 1))
      gateway.fromLan(packet(protocol, end(A, 5000), end(E, gateway.drops['no-flow'] === undefined ? 5001 : 0)))
      expect([...gateway.toLan(), ...gateway.toWan()]).toEqual([])
      expect(gateway.drops).toEqual({ 'no-flow': 1 })
    }
    const shared = behaving(NETFILTER)
    leave(shared, protocol, end(B, 5000), end(P, 1))
    shared.fromLan(packet(protocol, end(A, 5000), end(E, 5000)))
    expect(shared.drops).toEqual({ 'no-flow': 1 })
  })

  it('ICMP-7: an error goes back, from the outside address, quoting what its receiver sent', () => {
    const gateway = behaving()
    leave(gateway, protocol, end(C, 5000), end(P, 1))
    const [a, b] = [A, B].map((host) => leave(gateway, protocol, end(host, 5000), end(P, 1))) as [number, number]
    const arrived = only(gateway.fromLan(packet(protocol, end(A, 5000), end(E, b))).toLan())
    expect(from(arrived)).toBe(`${E}:${a}`)
    gateway.fromLan(buildIcmpError({ source: B, destination: E, type: 3, code: 3, quote: arrived }))
    const error = only(gateway.toLan())
    expect(checkPacket(error)).toEqual([])
    expect([sourceOf(error), destinationOf(error), icmp(error)]).toEqual([E, A, '3/3'])
    const quote = error.subarray(28)
    expect([from(quote), to(quote)]).toEqual([`${A}:5000`, `${E}:${b}`])
    // And the other way round.
    const answer = only(gateway.fromLan(packet(protocol, end(B, 5000), end(E, a), SYN | ACK)).toLan())
    gateway.fromLan(buildIcmpError({ source: A, destination: E, type: 3, code: 1, quote: answer }))
    const back = only(gateway.toLan())
    expect(checkPacket(back)).toEqual([])
    expect([sourceOf(back), destinationOf(back), from(back.subarray(28)), to(back.subarray(28))]).toEqual([E, B, `${B}:5000`, `${E}:${a}`])
    expect(gateway.drops).toEqual({})
  })
})

describe('an own address as source', () => {
  it('does not come from outside', () => {
    const gateway = behaving({ filtering: 'endpoint-independent' }, { wanAddresses: [E, E2], forwards: forwards(`udp:8080:${A}:80`) })
    leave(gateway, 'udp', end(A, 5000), end(P, 1))
    for (const source of [E, E2]) for (const port of [5000, 8080]) expect(enter(gateway, 'udp', end(source, 1), port)).toBeNull()
    expect(gateway.drops).toEqual({ 'invalid-source': 4 })
    expect(gateway.toWan()).toEqual([])
  })
})

describe('pings to the outside address', () => {
  it('from inside are answered, by that address', () => {
    const gateway = behaving()
    gateway.fromLan(buildIcmpEcho({ source: A, destination: E, identifier: 7 }))
    const answer = only(gateway.toLan())
    expect(checkPacket(answer)).toEqual([])
    expect([describePacket(answer), gateway.toWan(), gateway.flows]).toEqual([expect.stringContaining(`${E} > ${A}`), [], 0])
    expect(gateway.drops).toEqual({})
  })
})

describe.each(PROTOCOLS)('a forward of %s', (protocol) => {
  const forwarded = (options: Parameters<typeof behaving>[1] = {}, ...texts: string[]): MemoryGateway =>
    behaving({}, { forwards: forwards(...(texts.length > 0 ? texts : [`${protocol}:8080:${A}:80`])), ...options })

  it('leads strangers to its host, whose answers come from the forwarded port', () => {
    for (const ownedAddresses of [[], [E]]) {
      const gateway = forwarded({ ownedAddresses })
      expect(enter(gateway, protocol, end(P, 4000), 8080)).toBe(`${A}:80`)
      gateway.fromLan(packet(protocol, end(A, 80), end(P, 4000), SYN | ACK, bytesOf(77)))
      const answer = only(gateway.toWan())
      expect([from(answer), to(answer)]).toEqual([`${E}:8080`, `${P}:4000`])
      expect(checkPacket(answer)).toEqual([])
      gateway.fromWan(packet(protocol, end(P, 4000), end(E, 8080), ACK, bytesOf(9)))
      expect(to(only(gateway.toLan()))).toBe(`${A}:80`)
      const [flow] = [...readFlows(gateway.plane.table.columns, timeoutColumn(PROFILES.behave.timeouts), {})]
      expect(flow!.record).toMatchObject({
        replied: true, original: { src: P, dst: E, sport: 4000, dport: 8080, packets: 2 }, reply: { src: A, dst: P, sport: 80, dport: 4000, packets: 1 },
      })
    }
  })

  it('does so with every behaviour', () => {
    for (const mapping of [...DEPENDENCES, 'shared'] as const) {
      for (const filtering of DEPENDENCES) {
        const gateway = behaving({ mapping, filtering }, { forwards: forwards(`${protocol}:8080:${A}:80`) })
        expect(enter(gateway, protocol, end(P, 4000), 8080)).toBe(`${A}:80`)
        expect(enter(gateway, protocol, end(Q, 4000), 8080)).toBe(`${A}:80`)
      }
    }
  })

  it('has ranges', () => {
    const gateway = forwarded({}, `${protocol}:5000-5010:${A}:6000`)
    expect([4999, 5000, 5005, 5010, 5011].map((port) => enter(gateway, protocol, end(P, 1), port))).toEqual([null, `${A}:6000`, `${A}:6005`, `${A}:6010`, null])
    gateway.fromLan(packet(protocol, end(A, 6005), end(P, 1), SYN | ACK))
    expect(from(only(gateway.toWan()))).toBe(`${E}:5005`)
  })

  it('is for a prefix of senders, when it says so', () => {
    const gateway = forwarded({}, `${protocol}:80:${A}:80@${P}/32`, `${protocol}:80:${B}:81@198.51.100.0/24`)
    expect([P, Q, '192.0.2.1'].map((sender) => enter(gateway, protocol, end(sender, 1), 80))).toEqual([`${A}:80`, `${B}:81`, null])
    expect(gateway.drops).toEqual({ 'no-flow': 1 })
  })

  it('is for the WAN\'s own addresses only', () => {
    const gateway = forwarded({ wanAddresses: [E, E2] })
    const addresses = [E, E2, '203.0.113.3', A]
    expect(addresses.map((address, index) => enter(gateway, protocol, end(P, index + 1), 8080, address))).toEqual([`${A}:80`, `${A}:80`, null, null])
    expect(enter(gateway, protocol, end(P, 9), 8080)).toBe(`${A}:80`)
    for (const [port, address] of [[2, E2], [9, E]] as const) {
      gateway.fromLan(packet(protocol, end(A, 80), end(P, port), SYN | ACK))
      expect(from(only(gateway.toWan()))).toBe(`${address}:8080`)
    }
  })

  it('NAT-7: keeps the sender\'s port, unless the host knows that one by another address already', () => {
    for (const port of [9, 5000]) {
      const gateway = forwarded({ wanAddresses: [E, E2] })
      const arrives = (address: string): string => {
        gateway.fromWan(packet(protocol, end(P, port), end(address, 8080)))
        const sent = only(gateway.toLan())
        expect(to(sent)).toBe(`${A}:80`)
        expect(checkPacket(sent)).toEqual([])
        return from(sent)
      }
      expect(arrives(E)).toBe(`${P}:${port}`)
      const other = Number(arrives(E2).split(':')[1])
      expect(other).not.toBe(port)
      expect(other < 1024).toBe(port < 1024)
      // The answers go back by the address that was asked, to the port that asked.
      for (const [seen, address] of [[other, E2], [port, E]] as const) {
        gateway.fromLan(packet(protocol, end(A, 80), end(P, seen), SYN | ACK))
        const sent = only(gateway.toWan())
        expect([from(sent), to(sent)]).toEqual([`${address}:8080`, `${P}:${port}`])
        expect(checkPacket(sent)).toEqual([])
      }
      expect(gateway.flows).toBe(2)
    }
  })

  it('its port is nobody else\'s', () => {
    const gateway = forwarded()
    for (const mapping of [A, B]) expect(leave(gateway, protocol, end(mapping, 8080), end(P, 1))).not.toBe(8080)
    const shared = behaving(NETFILTER, { forwards: forwards(`${protocol}:8080:${A}:80`) })
    expect(leave(shared, protocol, end(B, 8080), end(P, 1))).not.toBe(8080)
    expect(leave(shared, protocol === 'tcp' ? 'udp' : 'tcp', end(B, 8080), end(P, 1))).toBe(8080)
  })

  it('UDP-10, TCP-8: works from inside, also with shared ports', () => {
    for (const mapping of ['endpoint-independent', 'shared'] as const) {
      const gateway = behaving({ mapping }, { forwards: forwards(`${protocol}:8080:${A}:80`) })
      expect(across(gateway, packet(protocol, end(B, 5000), end(E, 8080)))).toBe(`${E}:5000 > ${A}:80`)
      expect(across(gateway, packet(protocol, end(A, 80), end(E, 5000), SYN | ACK, bytesOf(50)))).toBe(`${E}:8080 > ${B}:5000`)
      // And for the host itself.
      expect(across(gateway, packet(protocol, end(A, 5001), end(E, 8080)))).toBe(`${E}:5001 > ${A}:80`)
      expect(gateway.drops).toEqual({})
    }
  })

  it('ICMP-5, ICMP-7: its host\'s errors come from the outside address', () => {
    const gateway = forwarded()
    const arrived = only(gateway.fromWan(packet(protocol, end(P, 4000), end(E, 8080))).toLan())
    gateway.fromLan(buildIcmpError({ source: A, destination: P, type: 3, code: 3, quote: arrived }))
    const error = only(gateway.toWan())
    expect(checkPacket(error)).toEqual([])
    expect([sourceOf(error), destinationOf(error), icmp(error)]).toEqual([E, P, '3/3'])
    expect([from(error.subarray(28)), to(error.subarray(28))]).toEqual([`${P}:4000`, `${E}:8080`])
    const inside = only(gateway.fromLan(packet(protocol, end(B, 5000), end(E, 8080))).toLan())
    gateway.fromLan(buildIcmpError({ source: A, destination: E, type: 3, code: 3, quote: inside }))
    const back = only(gateway.toLan())
    expect([sourceOf(back), destinationOf(back), to(back.subarray(28))]).toEqual([E, B, `${E}:8080`])
  })

  it('what comes from outside alone does not keep its flows', () => {
    const gateway = forwarded()
    const [idle, kinds] = protocol === 'tcp' ? [240, [[SYN], [ACK], [RST, SYN]]] : [300, [[0]]]
    for (const [index, flags] of kinds.entries()) {
      expect(enter(gateway, protocol, end(P, 4000 + index), 8080)).toBe(`${A}:80`)
      for (let round = 0; round < 4; round++) {
        gateway.advance(50)
        gateway.fromWan(packet(protocol, end(P, 4000 + index), end(E, 8080), flags[round % flags.length]))
        expect(gateway.toLan()).toHaveLength(1)
      }
      gateway.advance(idle - 200)
      expect(gateway.flows).toBeGreaterThan(0)
      gateway.advance(2)
      expect(gateway.flows).toBe(0)
    }
  })

  it('may be taken back: its flows stay', () => {
    const gateway = forwarded()
    enter(gateway, protocol, end(P, 4000), 8080)
    gateway.plane.nat.setPorts([[1, 65535]], [])
    expect(enter(gateway, protocol, end(Q, 4000), 8080)).toBeNull()
    gateway.fromWan(packet(protocol, end(P, 4000), end(E, 8080), ACK))
    expect(to(only(gateway.toLan()))).toBe(`${A}:80`)
  })

  it('RTR-16: TTL 1 opens nothing, and a full table says so', () => {
    const gateway = forwarded({ limits: { flows: 1 } })
    const ends = { source: P, sourcePort: 4000, destination: E, destinationPort: 8080, flags: SYN, ttl: 1 }
    gateway.fromWan(protocol === 'tcp' ? buildTcp(ends) : buildUdp(ends))
    const told = only(gateway.toWan())
    expect([sourceOf(told), destinationOf(told), icmp(told), gateway.flows]).toEqual([E, P, '11/0', 0])
    enter(gateway, protocol, end(P, 4000), 8080)
    gateway.fromWan(packet(protocol, end(P, 4001), end(E, 8080)))
    expect(icmp(only(gateway.toWan()))).toBe('3/1')
    expect(gateway.drops).toEqual({ 'ttl-expired': 1, 'table-full': 1 })
  })
})

it('many hosts on one mapping each: all is forgotten in the end', () => {
  const gateway = behaving({ filtering: 'endpoint-independent' }, { forwards: forwards(`udp:9:${A}:9`, `tcp:9:${A}:9`) })
  for (const protocol of PROTOCOLS) {
    for (let host = 2; host < 30; host++) {
      const port = leave(gateway, protocol, end(`10.0.0.${host}`, 5000), end(P, host))
      enter(gateway, protocol, end(Q, host), port)
      enter(gateway, protocol, end(Q, host), 9)
      gateway.fromLan(packet(protocol, end(`10.0.0.${host}`, 5000), end(E, 5000))).toLan()
      gateway.fromLan(packet(protocol, end(`10.0.0.${host}`, 5000), end(Q, host), SYN | ACK)).toWan()
    }
  }
  expect(gateway.flows).toBeGreaterThan(200)
  gateway.advance(10_000)
  expect(gateway.flows).toBe(0)
  expect(gateway.plane.table.columns.index.every((word) => word === 0)).toBe(true)
  // Every endpoint is nobody's again.
  expect(enter(gateway, 'udp', end(P, 2), 5000)).toBeNull()
})
