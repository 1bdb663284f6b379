/** MASQUERADE as Linux does it, row by row, in profile `linux`. */
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config.js'
import { planWan } from '../../src/control/wan-plan.js'
import { absentState, type WanAddress, type WanState } from '../../src/host/wan-state.js'
import { A, E, end, from, gatewayOf, icmp, back, ip, outward, P, packet, Q, sourceOf, swallows, WatchedGateway } from './support.js'

const HOST = end(A, 5000)
const address = (text: string, prefixLength: number, primary = true): WanAddress => ({ address: ip(text), peer: ip(text), prefixLength, primary, scope: 0 })
const route = (destination: string, prefixLength: number, gateway: string | null) =>
  ({ destination: ip(destination), prefixLength, gateway: gateway === null ? null : ip(gateway), source: null, metric: 0, mtu: null })
const CONFIG = parseConfig({ wan: 'wan', profile: 'linux' })
const state = (addresses: WanAddress[], routes: WanState['routes']): WanState => ({ ...absentState('wan'), ifindex: 2, up: true, enabled: true, mtu: 1500, addresses, routes })
const settle = (gateway: WatchedGateway, wan: WanState): WatchedGateway => {
  gateway.setWan(0, planWan(wan, CONFIG.wans[0]!, CONFIG))
  return gateway
}
const OTHER = '192.0.2.7'
const BOTH = [address(E, 24), address('203.0.113.3', 24, false), address(OTHER, 24)]

describe('the source of a flow', () => {
  it('MASQ-1: a flow leaves from the first primary address in the subnet of the next hop, else the first; without any, the packet is refused', () => {
    const routes = [route('0.0.0.0', 0, '203.0.113.254'), route('198.51.100.20', 32, '192.0.2.254'), route('198.18.0.0', 15, '198.18.0.1')]
    const gateway = settle(gatewayOf('linux'), state(BOTH, routes))
    const leaves = (destination: string): string => sourceOf(outward(gateway, packet('udp', HOST, end(destination, 53))))
    expect([leaves(P), leaves(Q), leaves('192.0.2.99'), leaves('198.18.0.9')]).toEqual([E, OTHER, E, E])
    settle(gateway, state([], routes))
    expect(icmp(back(gateway, packet('udp', HOST, end(P, 54))))).toBe('3/0')
  })

  it('MASQ-1: on the link the destination is the next hop', () => {
    const gateway = settle(gatewayOf('linux'), state(BOTH, [route('203.0.113.0', 24, null), route('192.0.2.0', 24, null)]))
    expect([sourceOf(outward(gateway, packet('udp', HOST, end('192.0.2.99', 53)))), sourceOf(outward(gateway, packet('udp', HOST, end('203.0.113.99', 53))))]).toEqual([OTHER, E])
  })

  it('MASQ-2: no flow leaves from a secondary address; packets from 0.0.0.0 do not leave', () => {
    const routes = [route('0.0.0.0', 0, '203.0.113.254')]
    const gateway = settle(gatewayOf('linux'), state([address('203.0.113.3', 24, false), address(E, 24)], routes))
    expect(sourceOf(outward(gateway, packet('udp', HOST, end(P, 53))))).toBe(E)
    expect(swallows(gateway, 'lan', packet('udp', end('0.0.0.0', 68), end('255.255.255.255', 67)))).toBe(true)
    expect(swallows(gateway, 'lan', packet('udp', end('0.0.0.0', 68), end(P, 67)))).toBe(true)
  })

  it('MASQ-3: flows end with their address, those of another address stay, new ones take the new address', () => {
    const routes = [route('0.0.0.0', 0, '203.0.113.254'), route('198.51.100.20', 32, '192.0.2.254')]
    const gateway = settle(gatewayOf('linux'), state(BOTH, routes))
    for (const remote of [P, Q]) outward(gateway, packet('udp', HOST, end(remote, 53)))
    settle(gateway, state([address(OTHER, 24)], routes))
    expect(gateway.flows).toBe(1)
    expect(from(outward(gateway, packet('udp', HOST, end(P, 53))))).toBe(`${OTHER}:5000`)
    expect(gateway.flows).toBe(2)
  })

  it('MASQ-3: flows end when the interface is taken down, not when it loses its carrier', () => {
    const routes = [route('0.0.0.0', 0, '203.0.113.254')]
    const gateway = settle(gatewayOf('linux'), state([address(E, 24)], routes))
    outward(gateway, packet('udp', HOST, end(P, 53)))
    settle(gateway, { ...state([address(E, 24)], routes), up: false, enabled: true })
    expect(gateway.flows).toBe(1)
    settle(gateway, { ...state([address(E, 24)], routes), up: false, enabled: false })
    expect(gateway.flows).toBe(0)
    const patient = settle(gatewayOf('behave'), state([address(E, 24)], routes))
    outward(patient, packet('udp', HOST, end(P, 53)))
    settle(patient, { ...state([address(E, 24)], routes), up: false, enabled: false })
    expect(patient.flows).toBe(1)
  })
})
