/** RFC 7422, row by row. */
import { describe, expect, it } from 'vitest'
import { A, E, end, gatewayOf, icmp, back, outward, P, packet, ping, portsOf, swallows, u16 } from './support.js'

const INSIDE = '10.77.0.0/28'
const host = (number: number): string => `10.77.0.${number}`
const deterministic = (dynamic: number, perHost = 0) =>
  gatewayOf('behave', { limits: { flows: 100_000 }, nat: { deterministic: { inside: INSIDE, reserved: 1024, dynamic, perHost } } })

describe('the ports of a host', () => {
  it('DET-3: of a /28 with dynamic 2 each of 14 hosts has 4032 ports, drawn at random; ports below 1024 are nobody\'s', () => {
    const gateway = deterministic(2)
    for (const number of [1, 2, 14]) {
      const first = 1024 + (number - 1) * 4032
      const ports = Array.from({ length: 100 }, (_, port) => u16(outward(gateway, packet('udp', end(host(number), 80 + port), end(P, 53))), 20))
      expect(ports.every((port) => port >= first && port < first + 4032)).toBe(true)
      const steps = ports.filter((port, index) => index > 0 && port === ports[index - 1]! + 1)
      expect(steps.length).toBeLessThan(10)
    }
  })

  it('DET-1: the ids of pings come from the same range', () => {
    const gateway = deterministic(2)
    for (let id = 1; id < 50; id++) {
      const outside = ping(gateway, host(1), P, id)
      expect(outside >= 1024 && outside <= 5055).toBe(true)
    }
  })

  it('DET-4: a host that needs more gets blocks of the overflow range, up to perHost ports in all', () => {
    const gateway = deterministic(2, 5040)
    for (let port = 1; port <= 6000; port++) gateway.lan.push(packet('udp', end(host(1), port), end(P, 53)))
    gateway.fromLan(packet('tcp', end(host(2), 1), end(P, 53)))
    const ports = portsOf(gateway.toWan().filter(({ bytes }) => bytes[9] === 17))
    const own = ports.filter((port) => port >= 1024 && port <= 5055)
    const overflow = ports.filter((port) => port >= 57_472)
    expect([own.length, own.length + overflow.length]).toEqual([4032, ports.length])
    // Whole blocks of them.
    expect([overflow.length <= 1008, overflow.length > 900]).toEqual([true, true])
  })

  it('DET-4: without a dynamic share there is no overflow: the next flow is refused and told', () => {
    const gateway = deterministic(0)
    for (let port = 1; port <= 4608; port++) gateway.lan.push(packet('udp', end(host(1), port), end(P, 53)))
    gateway.fromLan(packet('udp', end(host(2), 1), end(P, 53)))
    expect(gateway.toWan()).toHaveLength(4609)
    expect(icmp(back(gateway, packet('udp', end(host(1), 9999), end(P, 53))))).toBe('3/1')
  })

  it('DET-3: hosts outside of the network get nothing', () => {
    const gateway = deterministic(2)
    for (const source of [A, host(0), host(15)]) expect(gateway.fromLan(packet('udp', end(source, 5000), end(P, 53))).toWan()).toEqual([])
    expect([gateway.flows, gateway.toLan().every(({ bytes }) => icmp(bytes) === '3/1')]).toEqual([0, true])
    expect(swallows(gateway, 'wan', packet('udp', end(P, 53), end(E, 1024)))).toBe(true)
  })
})
