/** RFC 6056, row by row. */
import { describe, expect, it } from 'vitest'
import { PROFILES } from '../../src/nat/profiles.js'
import type { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { A, B, end, gatewayOf, leave, P, packet } from './support.js'

const RANDOM = { ...PROFILES.behave.nat.ports, selection: 'random' } as const
/** Ports of many hosts that all want 5000. */
const forced = (gateway: MemoryGateway, count: number): number[] => {
  leave(gateway, 'udp', end(A, 5000), end(P, 53))
  return Array.from({ length: count }, (_, host) => leave(gateway, 'udp', end(`10.1.${host >> 8}.${host & 255}`, 5000), end(P, 53)))
}
/** Chi-square of `bins` bins of ports from `first` to `last`, which should not be far from bins - 1. */
const chiSquare = (ports: readonly number[], first: number, last: number, bins: number): number => {
  const counts = new Array<number>(bins).fill(0)
  for (const port of ports) counts[Math.floor(((port - first) * bins) / (last - first + 1))]!++
  return counts.reduce((sum, count) => sum + (count - ports.length / bins) ** 2 / (ports.length / bins), 0)
}
/** Correlation of each port with the next. */
const serial = (ports: readonly number[]): number => {
  const mean = ports.reduce((sum, port) => sum + port, 0) / ports.length
  let [same, next] = [0, 0]
  for (const [index, port] of ports.entries()) {
    same += (port - mean) ** 2
    if (index > 0) next += (port - mean) * (ports[index - 1]! - mean)
  }
  return next / same
}

describe('the range', () => {
  it('RND-1: all ports from 1024 to 65535 are drawn from, and none that is not tsnat\'s: those of the host\'s listeners are taken off', () => {
    const gateway = gatewayOf('behave', { limits: { flows: 70_000 }, ports: [[1024, 5999], [6001, 65535]] })
    const ports = forced(gateway, 10_000)
    expect([Math.min(...ports) >= 1024, Math.min(...ports) < 1100, Math.max(...ports) > 65_400, ports.includes(6000)]).toEqual([true, true, true, false])
    expect(leave(gateway, 'udp', end(B, 6000), end(P, 53))).not.toBe(6000)
    // A port that the host binds later is not given out from then on.
    gateway.plane.nat.setPorts([[1024, 5999], [6001, 6999], [7001, 65535]], [])
    expect(leave(gateway, 'udp', end(B, 7000), end(P, 53))).not.toBe(7000)
  })
})

describe('the draw', () => {
  it('RND-2: a free port is kept; of 10 000 collisions ports come evenly and without order', () => {
    const gateway = gatewayOf('behave', { limits: { flows: 20_000 } })
    expect(leave(gateway, 'udp', end(B, 4321), end(P, 53))).toBe(4321)
    const ports = forced(gateway, 10_000)
    // 99.9 % of even draws are below 149 with 100 bins.
    expect(chiSquare(ports, 1024, 65535, 100)).toBeLessThan(149)
    expect(Math.abs(serial(ports))).toBeLessThan(0.04)
  })

  it('RND-2: with selection random no port is kept, and the draw is the same', () => {
    const gateway = gatewayOf('behave', { limits: { flows: 20_000 }, nat: { ports: RANDOM } })
    const ports = Array.from({ length: 10_000 }, (_, count) => leave(gateway, 'udp', end(A, 1024 + count), end(P, 53)))
    expect(ports.filter((port, count) => port === 1024 + count).length).toBeLessThan(10)
    expect(chiSquare(ports, 1024, 65535, 100)).toBeLessThan(149)
    expect(Math.abs(serial(ports))).toBeLessThan(0.04)
  })

  it('RND-3: another secret, another series', () => {
    const [one, other, again] = [1, 2, 1].map((seed) => forced(gatewayOf('behave', { seed }), 50))
    expect(again).toEqual(one)
    expect(other!.filter((port, index) => port === one![index]).length).toBeLessThan(3)
  })

  it('RND-4: a search of a full range ends, and is not made again for each packet', () => {
    const gateway = gatewayOf('behave', { limits: { flows: 70_000, makeRoom: false }, ports: [[1024, 65535]] })
    for (let port = 1024; port <= 65535; port++) gateway.lan.push(packet('udp', end(`10.1.${port >> 8}.${port & 255}`, port), end(P, 53)))
    gateway.fromLan(packet('udp', end('10.1.4.0', 1024), end(P, 53))).toWan()
    expect(gateway.flows).toBe(64_512)
    for (let port = 1024; port < 11_024; port++) gateway.lan.push(packet('udp', end(B, port), end(P, 53)))
    gateway.fromLan(packet('udp', end(B, 1), end(P, 53)))
    expect([gateway.toWan().length, gateway.drops['ports-exhausted']]).toEqual([0, 10_001])
    expect(leave(gateway, 'tcp', end(B, 5000), end(P, 80))).toBe(5000)
  })
})
