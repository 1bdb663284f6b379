import { describe, expect, it } from 'vitest'
import { ADDRESS_DEPENDENT, ENDPOINT_INDEPENDENT, SHARED, UNTRANSLATED } from '../../src/nat/behaviour.js'
import { PROFILES } from '../../src/nat/profiles.js'
import { Rules } from '../../src/nat/rules.js'
import type { NatRule } from '../../src/nat/settings.js'
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../src/stack/wire/ipv4.js'
import { buildIcmpEcho, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, B, P, parsed, Q } from '../stack/support.js'

const rulesOf = (...rules: NatRule[]): Rules => new Rules(rules, PROFILES.behave.nat, 100)
const udp = (source: string, destination: string, destinationPort: number) => parsed(buildUdp({ source, destination, sourcePort: 5000, destinationPort })).packet

describe('rules', () => {
  it('finds the first that fits: by inside network, remote network, protocol and remote port', () => {
    const rules = rulesOf(
      { from: `${A}/32`, to: `${P}/32`, protocol: 'udp', ports: '53,100-110' },
      { protocol: 'tcp' },
      { from: `${A}/32` },
    )
    expect(rules.find(udp(A, P, 53))).toBe(0)
    expect(rules.find(udp(A, P, 110))).toBe(0)
    expect(rules.find(udp(A, P, 111))).toBe(2)
    expect(rules.find(udp(A, Q, 53))).toBe(2)
    expect(rules.find(udp(B, P, 53))).toBe(-1)
    expect(rules.find(parsed(buildTcp({ source: B, destination: P, sourcePort: 1, destinationPort: 53 })).packet)).toBe(1)
    expect(rules.find(parsed(buildIcmpEcho({ source: A, destination: P, identifier: 1 })).packet)).toBe(2)
  })

  it('leaves what it does not say as it is without it', () => {
    const rules = rulesOf({ mapping: 'shared' }, { filtering: 'endpoint-independent' }, { translate: false })
    expect(rules.behaviour(0, PROTOCOL_TCP)).toBe(SHARED)
    expect(rules.behaviour(1, PROTOCOL_UDP)).toBe(ENDPOINT_INDEPENDENT | (ENDPOINT_INDEPENDENT << 2))
    expect(rulesOf({}).behaviour(0, PROTOCOL_ICMP)).toBe(ENDPOINT_INDEPENDENT | (ADDRESS_DEPENDENT << 2))
    for (const protocol of [PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP]) expect(rules.behaviour(2, protocol)).toBe(UNTRANSLATED)
  })

  it('counts flows, and is full at its limit', () => {
    const rules = rulesOf({ flows: 2 }, {})
    rules.opened(7, 0)
    rules.opened(8, 1)
    expect(rules.isFull(0)).toBe(false)
    rules.opened(9, 0)
    expect([rules.isFull(0), rules.isFull(1)]).toEqual([true, false])
    for (const flow of [7, 8, 50]) rules.closed(flow)
    rules.closed(7)
    expect([...rules.counts]).toEqual([1, 0])
    expect(rules.isFull(0)).toBe(false)
  })
})
