/** SYNs from outside that nobody waits for (RFC 5382 REQ-4). */
import { describe, expect, it } from 'vitest'
import { formatIpv4 } from '../src/stack/wire/address.js'
import { ACK, SYN } from '../src/stack/wire/tcp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildTcp } from '../src/testing/packets.js'
import { behaving, end, leave, packet } from './behaviours.js'
import { A, E, icmp, ip, only, P, Q, to } from './stack/support.js'

const knock = (gateway: MemoryGateway, source = P, port = 5000): void => {
  gateway.fromWan(packet('tcp', end(source, 80), end(E, port)))
  expect(gateway.toLan()).toEqual([])
}

describe('a SYN from outside that nobody waits for', () => {
  it('TCP-4: is answered only after 6 s, once, with ICMP 3/3 that quotes it', () => {
    const gateway = behaving()
    knock(gateway)
    gateway.advance(5.9)
    expect(gateway.toWan()).toEqual([])
    gateway.advance(0.1)
    const answer = only(gateway.toWan())
    expect(checkPacket(answer)).toEqual([])
    expect([icmp(answer), to(answer).split(':')[0]]).toEqual(['3/3', P])
    expect(answer.subarray(28, 48)).toEqual(packet('tcp', end(P, 80), end(E, 5000)).subarray(0, 20))
    gateway.advance(100)
    expect([gateway.toWan(), gateway.flows, gateway.drops]).toEqual([[], 0, { 'no-flow': 1 }])
  })

  it('TCP-4b, TCP-2: is forgotten when the inside opens the connection in time; its repetition passes', () => {
    const gateway = behaving()
    knock(gateway)
    gateway.advance(3)
    expect(leave(gateway, 'tcp', end(A, 5000), end(P, 80))).toBe(5000)
    gateway.fromWan(packet('tcp', end(P, 80), end(E, 5000)))
    expect(to(only(gateway.toLan()))).toBe(`${A}:5000`)
    gateway.fromLan(packet('tcp', end(A, 5000), end(P, 80), SYN | ACK))
    expect(gateway.toWan()).toHaveLength(1)
    gateway.advance(10)
    expect(gateway.toWan()).toEqual([])
  })

  it('TCP-4: a mapping whose filter does not admit its sender makes no difference', () => {
    const gateway = behaving()
    leave(gateway, 'tcp', end(A, 5000), end(Q, 80))
    knock(gateway)
    gateway.advance(6)
    expect(icmp(only(gateway.toWan()))).toBe('3/3')
  })

  it('TCP-4: repetitions neither add answers nor time', () => {
    const gateway = behaving()
    knock(gateway)
    gateway.advance(3)
    knock(gateway)
    gateway.advance(3)
    expect(gateway.toWan()).toHaveLength(1)
    gateway.advance(20)
    expect(gateway.toWan()).toEqual([])
  })

  it('TCP-4: a thousand of them keep room for the latest, and the oldest are forgotten silently', () => {
    const gateway = behaving({}, { limits: { icmpErrorsPerSecond: 1_000_000 } })
    for (let port = 1; port <= 1000; port++) {
      knock(gateway, P, port)
      gateway.advance(0.001)
    }
    let answers = 0
    for (let second = 0; second < 8; second++) {
      gateway.advance(1)
      answers += gateway.toWan().length
    }
    // As many as are held, less what the burst of the error limit stops.
    expect(answers).toBeGreaterThan(0)
    expect(answers).toBeLessThanOrEqual(256)
    knock(gateway, P, 2000)
    gateway.advance(6)
    expect(gateway.toWan()).toHaveLength(1)
  })

  it('TCP-4: is answered to a neighbour that was not asked for before', () => {
    const gateway = behaving({}, { neighbours: true })
    knock(gateway)
    expect(gateway.asked).toEqual([ip(P)])
    gateway.plane.learnNeighbour(0, ip(P), 0x0242, 5)
    gateway.advance(6)
    expect(icmp(only(gateway.toWan()))).toBe('3/3')
  })

  it('in a flood of them no more neighbours are asked for than are answered', () => {
    const gateway = behaving({}, { neighbours: true })
    for (let host = 0; host < 2000; host++) knock(gateway, formatIpv4(ip(P) + host))
    expect(gateway.asked).toHaveLength(256)
  })

  it('other segments, and SYNs to addresses that are not ours, are not held', () => {
    const gateway = behaving()
    gateway.fromWan(packet('tcp', end(P, 80), end(E, 5000), ACK)).fromWan(packet('tcp', end(P, 80), end(E, 5000), SYN | ACK))
    gateway.fromWan(buildTcp({ source: P, destination: '10.0.0.2', sourcePort: 1, destinationPort: 2, flags: SYN }))
    gateway.advance(10)
    expect([...gateway.toWan(), ...gateway.toLan()]).toEqual([])
  })

  it('linux: is dropped', () => {
    const gateway = new MemoryGateway({ profile: 'linux' })
    knock(gateway)
    gateway.advance(10)
    expect(gateway.toWan()).toEqual([])
  })
})
