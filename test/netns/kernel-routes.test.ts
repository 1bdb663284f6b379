/** The main table that tsnat follows beside the kernel's own: `ip route show` of both must say the same. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { followKernel } from '../../src/control/main-table.js'
import type { FollowedTables, TableWan } from '../../src/control/main-table.js'
import { KernelRoutes } from '../../src/host/kernel-routes.js'
import { initialState, runIp, withFollowed } from '../../src/policy/iproute/index.js'
import type { IpState } from '../../src/policy/iproute/index.js'
import { TestNamespace, until } from './host-support.js'

const WANS = ['eth0', 'eth1']
let host: TestNamespace
let routes: KernelRoutes
let state: IpState
let followed: FollowedTables

/** What a gateway with these WANs follows. */
const follow = (): void => {
  const { links, addresses } = routes.state
  const wans = WANS.map((name, place): TableWan => {
    const link = links.find((each) => each.name === name)
    const own = addresses.filter(({ ifindex }) => ifindex === link?.index)
    return {
      number: place + 3, name, ifindex: link?.index ?? 0, up: link !== undefined && link.up && link.carrier, addresses: own, owned: false, gateway: null, weight: null,
      metric: null,
    }
  })
  const next = followKernel({ wans, lan: { number: 2, name: 'tun0', ifindex: 0, addresses: [] }, kernel: routes.state, inside: null, everything: true })
  ;({ state } = withFollowed(state, next.devices, followed.routes, next.routes))
  followed = next
}

const shown = (...words: string[]): string => runIp(state, [...words, 'route', 'show']).output
const kernels = (...words: string[]): string => host.run(['ip', '-4', ...words, 'route', 'show'].join(' ')).replaceAll(/ nhid \d+|\tnh_info .*\n/g, '')
const sameAsKernel = (): Promise<void> => until(() => shown() === kernels(), () => `${shown()}\n---\n${kernels()}`)

const open = async (): Promise<void> => {
  state = initialState([])
  followed = { devices: [], routes: [] }
  routes = await KernelRoutes.open(host.namespace)
  follow()
  routes.on('change', follow)
}

beforeEach(() => {
  host = new TestNamespace()
  for (const name of WANS) host.script(`ip link add ${name} type veth peer name p${name}`, `ip link set p${name} up`, `ip link set ${name} up`)
  host.script('ip addr add 10.0.0.1/24 dev eth0', 'ip addr add 10.0.0.9/24 dev eth0', 'ip addr add 10.1.0.1/24 dev eth1', 'ip addr add 192.0.2.1 peer 192.0.2.9/32 dev eth1')
})
afterEach(() => {
  routes.close()
  host.remove()
})

describe('the main table', () => {
  it('says of each kind of route what the kernel says', async () => {
    host.runInput('ip -batch -', [
      'addr add 198.51.100.1/24 metric 300 dev eth1',
      'addr add 203.0.113.1/24 noprefixroute dev eth1',
      'route add default via 10.0.0.254 proto dhcp src 10.0.0.1 metric 100',
      'route add default via 10.1.0.254 metric 200',
      'route add unreachable default metric 4278198272',
      'route add 1.0.0.0/8 via 10.0.0.254 mtu lock 1400',
      'route add 2.0.0.0/8 dev eth0 tos 0x10 mtu 1280',
      'route add 2.0.0.0/8 dev eth1 metric 5',
      'route append 2.0.0.0/8 dev eth0 metric 5',
      'route prepend 2.0.0.0/8 via 10.0.0.253 metric 5',
      'route add 2.0.0.0/9 dev eth1 scope 77 proto bgp',
      'route add blackhole 3.0.0.0/8',
      'route add prohibit 3.1.0.0/16 metric 7',
      'route add throw 3.2.0.0/16 proto static',
      'route add unreachable 3.3.3.3',
      'route add 4.0.0.0/8 nexthop via 10.0.0.254 weight 3 nexthop via 10.1.0.254 weight 256 nexthop dev eth1',
      'route add 5.0.0.0/8 nexthop via 7.7.7.7 dev eth0 onlink nexthop via 10.1.0.254',
      'route add 5.5.0.0/16 via 7.7.7.7 dev eth1 onlink',
      'route add local 6.0.0.0/24 dev eth0',
      'route add broadcast 6.0.1.255 dev eth0 scope link',
      'route add multicast 224.0.0.0/4 dev eth1 scope link',
      'nexthop add id 1 via 10.0.0.254 dev eth0', 'nexthop add id 2 via 10.1.0.254 dev eth1', 'nexthop add id 3 group 1,2/2,5', 'nexthop add id 4 blackhole',
      'route add 7.0.0.0/8 nhid 1', 'route add 8.0.0.0/8 nhid 3 metric 9', 'route add 10.0.0.0/8 via 10.1.0.250 table 77',
    ].join('\n'))
    await open()
    expect(shown()).toBe(kernels())
    expect(shown('-d')).toBe(kernels('-d'))
    expect(JSON.parse(shown('-j'))).toEqual(JSON.parse(kernels('-j').replaceAll(/"nhid":\d+,/g, '')))
    expect(shown()).toContain('198.51.100.0/24 dev eth1 proto kernel scope link src 198.51.100.1 metric 300')
    // A blackhole by a next hop object has no interface here.
    host.run('ip route add 9.0.0.0/8 nhid 4')
    await until(() => shown().includes('blackhole 9.0.0.0/8 \n'), shown)
  })

  it('reads next hop objects where the kernel does not spell them out', async () => {
    host.script(
      'sysctl -qw net.ipv4.nexthop_compat_mode=0', 'ip nexthop add id 1 via 10.0.0.254 dev eth0', 'ip nexthop add id 2 via 10.1.0.254 dev eth1',
      'ip nexthop add id 3 group 1,2/2,5', 'ip route add 7.0.0.0/8 nhid 1', 'ip route add 8.0.0.0/8 nhid 3',
    )
    await open()
    const lines = (): string[] => shown().split('\n').filter((line) => line.includes('.254') || line.startsWith('8.'))
    expect(lines()).toEqual(['7.0.0.0/8 via 10.0.0.254 dev eth0 ', '8.0.0.0/8 ', '\tnexthop via 10.0.0.254 dev eth0 weight 2 ', '\tnexthop via 10.1.0.254 dev eth1 weight 5 '])
    // Neither changes a route, as far as the kernel tells.
    host.run('ip nexthop replace id 3 group 2')
    await until(() => lines().includes('8.0.0.0/8 via 10.1.0.254 dev eth1 '), shown)
    host.run('ip nexthop del id 1')
    await until(() => !shown().includes('7.0.0.0/8'), shown)
  })

  it('follows changes of routes, addresses, links and next hop objects', async () => {
    await open()
    expect(shown()).toBe(kernels())
    host.run('ip route add default via 10.0.0.254')
    await sameAsKernel()
    host.run('ip route replace default via 10.1.0.254 metric 0')
    await sameAsKernel()
    host.script('ip route append default via 10.0.0.253', 'ip route add 7.0.0.0/8 nexthop via 10.0.0.254 nexthop via 10.1.0.254')
    await sameAsKernel()
    // The kernel tells of none of the routes that go with an address.
    host.script('ip route add 8.0.0.0/8 via 10.1.0.254 src 192.0.2.1', 'ip addr del 192.0.2.1 peer 192.0.2.9 dev eth1')
    await sameAsKernel()
    expect(shown()).not.toContain('8.0.0.0/8')
    host.script('ip nexthop add id 1 via 10.0.0.254 dev eth0', 'ip route add 9.0.0.0/8 nhid 1')
    await sameAsKernel()
    host.run('ip nexthop replace id 1 via 10.0.0.250 dev eth0')
    await sameAsKernel()
    host.run('ip nexthop del id 1')
    await sameAsKernel()
    // Nor of those that go with a link; of several next hops one is left, beside a dead one.
    host.run('ip link set eth0 down')
    await sameAsKernel()
    expect(shown()).toContain('nexthop via 10.0.0.254 dev eth0 weight 1 dead linkdown')
    host.run('ip link set eth0 up')
    await sameAsKernel()
    host.run('ip link del eth1')
    await sameAsKernel()
    expect(state.devices.find(({ name }) => name === 'eth1')).toMatchObject({ up: false, addresses: [] })
  })

  it('sends what other interfaces lead to by the TUN, while they do', async () => {
    host.script('ip link add br0 type bridge', 'ip link set br0 up', 'ip addr add 192.168.1.1/24 dev br0', 'ip route add 172.16.0.0/12 via 192.168.1.254')
    await open()
    expect(shown()).toContain('172.16.0.0/12 dev tun0 scope link \n192.0.2.9 dev eth1 proto kernel scope link src 192.0.2.1 \n192.168.1.0/24 dev tun0 proto kernel scope link \n')
    host.run('ip link del br0')
    await until(() => !shown().includes('tun0'), shown)
    expect(shown()).toBe(kernels())
  })

  it('tells nobody of what concerns no route of the main table', async () => {
    await open()
    let changes = 0
    routes.on('change', () => changes++)
    host.script('ip route add 7.0.0.0/8 dev eth0 table 77', 'ip rule add from 7.0.0.0/8 table 77', 'ip neigh add 10.0.0.77 lladdr 02:00:00:00:00:01 dev eth0')
    host.run('ip route add 8.0.0.0/8 dev eth0')
    await sameAsKernel()
    expect(changes).toBe(1)
  })

  it('takes ten thousand routes, and survives lost events', async () => {
    await open()
    let changes = 0
    routes.on('change', () => changes++)
    const batch = (verb: string): void => {
      host.runInput('ip -batch -', Array.from({ length: 10_000 }, (_, i) => `route ${verb} 20.${i >> 8}.${i & 255}.0/24 via 10.0.0.${100 + i % 50}`).join('\n'))
    }
    // While this thread waits for the program, nothing is read: the kernel's queue overflows.
    batch('add')
    await until(() => state.prefixes > 10_000, () => String(state.prefixes))
    await sameAsKernel()
    expect(changes).toBeLessThan(10)
    batch('del')
    await until(() => state.prefixes < 100, () => String(state.prefixes))
    await sameAsKernel()
  })
})
