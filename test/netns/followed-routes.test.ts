/** What a gateway follows: WANs in one namespace, inside networks in the same or in another. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FollowedRoutes } from '../../src/control/followed-routes.js'
import type { FollowedRoutesOptions, FollowedWan } from '../../src/control/followed-routes.js'
import { initialState, runIp, withFollowed } from '../../src/policy/iproute/index.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'
import { TestNamespace, until } from './host-support.js'

const ip = (text: string): number => parseIpv4(text)!
const wan = (name: string, more: Partial<FollowedWan> = {}): FollowedWan => ({ name, owned: null, gateway: null, weight: null, metric: null, ...more })

let outside: TestNamespace
let inside: TestNamespace
let followed: FollowedRoutes

const open = async (more: Partial<FollowedRoutesOptions> = {}): Promise<void> => {
  followed = await FollowedRoutes.open({
    wanNamespace: outside.namespace, lanNamespace: outside.namespace, wans: [wan('eth0'), wan('eth1')],
    lan: { name: 'tun0', addresses: [{ address: ip('10.77.0.1'), prefixLength: 24, primary: true }] }, everything: false, ...more,
  })
}

const shown = (): string[] => {
  const { devices, routes } = followed.tables
  return runIp(withFollowed(initialState([]), devices, [], routes).state, ['route']).output.split('\n').slice(0, -1).map((line) => line.trim())
}
const shows = (...lines: string[]): Promise<void> => until(() => shown().join('\n') === lines.join('\n'), () => shown().join('\n'))

const LAN = '10.77.0.0/24 dev tun0 proto kernel scope link src 10.77.0.1'
const ETH0 = '10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1'
const ETH1 = '10.1.0.0/24 dev eth1 proto kernel scope link src 10.1.0.1'

beforeEach(() => {
  outside = new TestNamespace()
  inside = new TestNamespace()
  for (const [place, name] of ['eth0', 'eth1'].entries()) {
    outside.script(`ip link add ${name} type veth peer name p${name}`, `ip link set p${name} up`, `ip link set ${name} up`, `ip addr add 10.${place}.0.1/24 dev ${name}`)
  }
})
afterEach(() => {
  followed.close()
  outside.remove()
  inside.remove()
})

describe('FollowedRoutes', () => {
  it('takes inside networks behind other interfaces, and not the capture', async () => {
    outside.script(
      'ip tuntap add tun0 mode tun', 'ip addr add 10.77.0.2/24 dev tun0', 'ip link set tun0 up', 'ip route add 198.51.100.0/24 dev tun0',
      'ip link add br0 type bridge', 'ip link set br0 up', 'ip addr add 172.17.0.1/16 dev br0',
    )
    await open()
    await shows(ETH0, ETH1, LAN, '172.17.0.0/16 dev tun0 proto kernel scope link')
  })

  it('takes them from the namespace of the TUN', async () => {
    outside.script('ip link add br0 type bridge', 'ip link set br0 up', 'ip addr add 172.17.0.1/16 dev br0')
    inside.script('ip link add br0 type bridge', 'ip link set br0 up', 'ip addr add 192.168.1.1/24 dev br0')
    await open({ lanNamespace: inside.namespace })
    const changes: number[] = []
    followed.listen({ change: ({ routes }) => changes.push(routes.length), problem: (error) => { throw error } })
    await shows(ETH0, ETH1, LAN, '192.168.1.0/24 dev tun0 proto kernel scope link')
    inside.run('ip route add 192.168.2.0/24 via 192.168.1.9')
    await shows(ETH0, ETH1, LAN, '192.168.1.0/24 dev tun0 proto kernel scope link', '192.168.2.0/24 dev tun0 scope link')
    inside.run('ip link del br0')
    await shows(ETH0, ETH1, LAN)
    outside.run('ip route add default via 10.1.0.254')
    await shows('default via 10.1.0.254 dev eth1', ETH0, ETH1, LAN)
    expect(changes.length).toBeGreaterThan(2)
  })

  it('has the default routes of several WANs, which come and go', async () => {
    outside.run('ip route add default via 10.1.0.254 metric 50')
    await open({ wans: [wan('eth0', { weight: 3, gateway: ip('10.0.0.9') }), wan('eth1', { weight: 1 })] })
    const subnets = [ETH0, ETH1, LAN]
    await shows('default proto static', 'nexthop via 10.0.0.9 dev eth0 weight 3', 'nexthop via 10.1.0.254 dev eth1 weight 1', ...subnets)
    outside.run('ip link set eth1 down')
    await shows('default via 10.0.0.9 dev eth0 proto static', ETH0, LAN)
    expect(followed.tables.devices.map(({ name, up }) => [name, up])).toEqual([['lo', true], ['tun0', true], ['eth0', true], ['eth1', false]])
    outside.script('ip link set eth1 up', 'ip route add default via 10.1.0.253')
    await shows('default proto static', 'nexthop via 10.0.0.9 dev eth0 weight 3', 'nexthop via 10.1.0.253 dev eth1 weight 1', ...subnets)
  })

  it('has the subnets of addresses that only tsnat has', async () => {
    await open({ wans: [wan('eth0', { owned: [{ address: ip('192.0.2.5'), prefixLength: 24, primary: true }], gateway: ip('192.0.2.1') })] })
    await shows('default via 192.0.2.1 dev eth0 proto static', '10.0.0.0/24 dev eth0 proto kernel scope link', '10.1.0.0/24 dev tun0 proto kernel scope link', LAN,
      '192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.5')
  })
})
