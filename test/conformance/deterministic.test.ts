/** RFC 7422, row by row. */
import { describe, expect, it } from 'vitest'
import { DeterministicPlan } from '../../src/nat/deterministic.js'
import { A, back, E, E2, end, gatewayOf, icmp, ip, outward, P, packet, ping, portsOf, swallows, u16 } from './support.js'

const INSIDE = '10.77.0.0/28'
const host = (number: number): string => `10.77.0.${number}`
const deterministic = (dynamic: number, perHost = 0) =>
  gatewayOf('behave', { limits: { flows: 100_000 }, nat: { deterministic: { inside: INSIDE, reserved: 1024, dynamic, perHost } } })

describe('the ports of a host', () => {
  it('DET-1: from inside to outside and back: every port\'s owner is the host that has it, of several outside addresses too', () => {
    for (const outside of [[E], [E, E2], ['203.0.113.9', E, E2]]) {
      const plan = new DeterministicPlan({ inside: INSIDE, reserved: 1024, dynamic: 2, perHost: 0 }, outside.map(ip))
      let owned = 0
      for (const one of plan.assignments()) {
        expect(plan.assignment(one.inside)).toEqual(one)
        for (let port = one.first; port <= one.last; port++, owned++) {
          if (plan.owner(one.outside, port)?.inside !== one.inside) throw new Error(`port ${port} is not its own`)
        }
      }
      expect(owned).toBe(14 * plan.portsPerHost)
      for (const port of [0, 1000, 1023, plan.overflow, 65535]) expect(plan.owner(ip(E), port)).toBeNull()
    }
  })

  it('DET-3: host 1 has 1024-5055, host 14 has 53440-57471, from 57472 on it is overflow', () => {
    const plan = new DeterministicPlan({ inside: INSIDE, reserved: 1024, dynamic: 2, perHost: 0 }, [ip(E)])
    expect([1, 14].map((number) => plan.assignment(ip(host(number))))).toMatchObject([{ first: 1024, last: 5055 }, { first: 53_440, last: 57_471 }])
    expect([plan.hosts, plan.portsPerHost, plan.overflow]).toEqual([14, 4032, 57_472])
  })

  it('DET-5: the record has time, inside and outside addresses, D, M, A and R', () => {
    const plan = new DeterministicPlan({ inside: INSIDE, reserved: 1024, dynamic: 2, perHost: 5040 }, [E2, E].map(ip))
    expect(plan.record(new Date(0))).toEqual({ time: '1970-01-01T00:00:00.000Z', I: INSIDE, O: '203.0.113.1-203.0.113.2', D: 2, M: 5040, A: 0, R: 1024 })
  })

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
