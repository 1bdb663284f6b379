import { describe, expect, it } from 'vitest'
import { changesInside, insideNetworks } from '../../src/control/inside-networks.js'
import { initialState, runIp } from '../../src/policy/iproute/index.js'
import { formatIpv4, parsePrefix } from '../../src/stack/wire/address.js'

const device = (number: number, name: string, prefix: string) => {
  const { address, length } = parsePrefix(prefix)!
  return { number, name, up: true, addresses: [{ address, prefixLength: length, primary: true }] }
}
const state = initialState([device(1, 'lo', '127.0.0.1/8'), device(2, 'tun0', '10.77.0.1/24'), device(3, 'eth0', '203.0.113.1/24')])
const run = (before: typeof state, command: string) => runIp(before, command.split(' '))
const inside = (of: typeof state): string[] => insideNetworks(of).map(({ address, mask }) => `${formatIpv4(address)}/${formatIpv4(mask)}`)

describe('networks inside', () => {
  it('are those that routes of any table lead into the LAN, each once', () => {
    let now = state
    const commands = [
      'route add 192.168.0.0/16 dev tun0', 'route add 192.168.0.0/16 dev tun0 table 5', 'route add 10.9.0.7 dev tun0',
      'route add 10.8.0.0/16 via 203.0.113.9', 'route add default dev tun0 table 6', 'route add unreachable 10.7.0.0/16',
    ]
    for (const command of commands) now = run(now, command).state
    expect(inside(now).sort()).toEqual(['10.77.0.0/255.255.255.0', '10.9.0.7/255.255.255.255', '192.168.0.0/255.255.0.0'])
  })

  it('change with routes into the LAN, not with others', () => {
    const changes = (before: typeof state, command: string): boolean => changesInside(before, run(before, command).changes)
    expect(changes(state, 'route add 192.168.0.0/16 dev tun0')).toBe(true)
    expect(changes(state, 'route add 192.168.0.0/16 via 203.0.113.9')).toBe(false)
    const after = run(state, 'route add 192.168.0.0/16 dev tun0').state
    expect(changes(after, 'route replace 192.168.0.0/16 dev tun0 metric 0 mtu 1400')).toBe(false)
    expect(changes(after, 'route del 192.168.0.0/16')).toBe(true)
    expect(changes(after, 'rule add fwmark 1 table 5')).toBe(false)
  })
})
