import { describe, expect, it } from 'vitest'
import { followKernel } from '../../src/control/main-table.js'
import type { TableSources, TableWan } from '../../src/control/main-table.js'
import type { KernelNetwork } from '../../src/host/kernel-routes.js'
import type { KernelHop, KernelRoute } from '../../src/host/route-messages.js'
import type { Link } from '../../src/host/rtnetlink-types.js'
import { initialState, runIp, withFollowed } from '../../src/policy/iproute/index.js'
import { Origin, RouteType, Scope, Table } from '../../src/route/types.js'
import { parseIpv4, parsePrefix } from '../../src/stack/wire/address.js'

const ip = (text: string): number => parseIpv4(text)!
const own = (text: string) => {
  const { address, length } = parsePrefix(text)!
  return { address, prefixLength: length, primary: true }
}

/** Interfaces of the kernel, by their numbers there. */
const LO = 1
const ETH0 = 12
const ETH1 = 13
const TUN = 14
const BR0 = 15
const links = [['lo', LO], ['eth0', ETH0], ['eth1', ETH1], ['tun0', TUN], ['br0', BR0]] as const
const link = (name: string, index: number): Link => ({ index, name, ethernet: true, up: true, carrier: true, mtu: 1500, mac: null })

const hop = (ifindex: number, gateway: string | null = null, more: Partial<KernelHop> = {}): KernelHop =>
  ({ ifindex, gateway: gateway === null ? null : ip(gateway), weight: 1, onlink: false, dead: false, foreign: false, ...more })

const route = (to: string, hops: KernelHop[], more: Partial<KernelRoute> = {}): KernelRoute => {
  const { address, length } = parsePrefix(to === 'default' ? '0.0.0.0/0' : to)!
  return {
    table: Table.main, type: RouteType.unicast, destination: address, length, tos: 0, metric: 0, scope: Scope.global, origin: Origin.boot, source: 0, mtu: 0,
    mtuLocked: false, object: 0, hops, ...more,
  }
}

const subnet = (to: string, ifindex: number, source: string): KernelRoute =>
  route(to, [hop(ifindex)], { scope: Scope.link, origin: Origin.kernel, source: ip(source) })

const network = (...routes: KernelRoute[]): KernelNetwork => ({
  links: links.map(([name, index]) => link(name, index)),
  addresses: ['10.0.0.1', '10.1.0.1'].map((text, place) =>
    ({ ifindex: ETH0 + place, address: ip(text), peer: ip(text), prefixLength: 24, primary: true, scope: 0 })),
  routes: [subnet('10.0.0.0/24', ETH0, '10.0.0.1'), subnet('10.1.0.0/24', ETH1, '10.1.0.1'), subnet('10.77.0.0/24', TUN, '10.77.0.2'), ...routes],
})

const eth0: TableWan = { number: 3, name: 'eth0', ifindex: ETH0, up: true, addresses: [own('10.0.0.1/24')], owned: false, gateway: null, weight: null, metric: null }
const eth1: TableWan = { ...eth0, number: 4, name: 'eth1', ifindex: ETH1, addresses: [own('10.1.0.1/24')] }
const lan = { number: 2, name: 'tun0', ifindex: TUN, addresses: [own('10.77.0.1/24')] }

const sources = (kernel: KernelNetwork, more: Partial<TableSources> = {}): TableSources =>
  ({ wans: [eth0, eth1], lan, kernel, inside: null, everything: false, ...more })

/** What `ip route` prints of it, line by line. */
const shown = (from: TableSources, ...words: string[]): string[] => {
  const { devices, routes } = followKernel(from)
  const { state } = withFollowed(initialState([]), devices, [], routes)
  return runIp(state, ['route', 'show', ...words]).output.split('\n').slice(0, -1).map((line) => line.trim())
}

const CONNECTED = [
  '10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1', '10.1.0.0/24 dev eth1 proto kernel scope link src 10.1.0.1',
  '10.77.0.0/24 dev tun0 proto kernel scope link src 10.77.0.1',
]
/** Without the subnets of the links. */
const added = (from: TableSources): string[] => shown(from).filter((line) => !CONNECTED.includes(line))

describe('what forwarding needs', () => {
  it('has the subnets of the WANs and of the LAN, and the local addresses of all', () => {
    expect(shown(sources(network()))).toEqual(CONNECTED)
    expect(shown(sources(network()), 'table', 'local', 'type', 'local')).toEqual([
      'local 10.0.0.1 dev eth0 proto kernel scope host src 10.0.0.1', 'local 10.1.0.1 dev eth1 proto kernel scope host src 10.1.0.1',
      'local 10.77.0.1 dev tun0 proto kernel scope host src 10.77.0.1', 'local 127.0.0.0/8 dev lo proto kernel scope host src 127.0.0.1', 'local 127.0.0.1 dev lo proto kernel scope host src 127.0.0.1',
    ])
    expect(followKernel(sources(network())).devices.map(({ number, name }) => [number, name])).toEqual([[1, 'lo'], [2, 'tun0'], [3, 'eth0'], [4, 'eth1']])
  })

  it('takes routes by the WANs with their gateways', () => {
    expect(added(sources(network(
      route('default', [hop(ETH0, '10.0.0.254')], { metric: 100, source: ip('10.0.0.1'), mtu: 1400 }),
      route('7.0.0.0/8', [hop(ETH1, '10.1.0.254')], { origin: Origin.static }),
      route('8.0.0.0/8', [hop(ETH0, '4.4.4.4', { onlink: true })]),
      route('9.0.0.0/8', [hop(ETH0, '10.0.0.254', { weight: 3 }), hop(ETH1, '10.1.0.254')]),
    )))).toEqual([
      'default via 10.0.0.254 dev eth0 metric 100', '7.0.0.0/8 via 10.1.0.254 dev eth1 proto static', '8.0.0.0/8 via 4.4.4.4 dev eth0 onlink',
      '9.0.0.0/8', 'nexthop via 10.0.0.254 dev eth0 weight 3', 'nexthop via 10.1.0.254 dev eth1 weight 1',
    ])
  })

  it('reaches what other interfaces lead to by the TUN', () => {
    expect(added(sources(network(
      subnet('192.168.1.0/24', BR0, '192.168.1.1'),
      route('172.16.0.0/12', [hop(BR0, '192.168.1.254')], { metric: 5, mtu: 1400 }),
      route('172.17.0.0/16', [hop(BR0, '192.168.1.253'), hop(BR0, '192.168.1.254')]),
    )))).toEqual([
      '172.16.0.0/12 dev tun0 scope link metric 5', '172.17.0.0/16 dev tun0 scope link', '192.168.1.0/24 dev tun0 proto kernel scope link',
    ])
  })

  it('leaves out the capture, the loopback, and ways to everywhere by other interfaces', () => {
    expect(added(sources(network(
      route('default', [hop(TUN, '10.77.0.1')]),
      route('192.168.9.0/24', [hop(TUN)]),
      route('127.0.0.0/16', [hop(LO)]),
      route('default', [hop(BR0, '192.168.1.254')], { metric: 5 }),
      route('0.0.0.0/1', [hop(BR0, '192.168.1.254')]),
      route('128.0.0.0/1', [hop(BR0, '192.168.1.254')]),
    )))).toEqual([])
  })

  it('keeps of several next hops those by WANs that tsnat can use', () => {
    expect(added(sources(network(
      route('7.0.0.0/8', [hop(BR0, '192.168.1.254'), hop(ETH1, '10.1.0.254')]),
      route('8.0.0.0/8', [hop(ETH0, '10.0.0.254', { dead: true }), hop(ETH1, '10.1.0.254')]),
      route('9.0.0.0/8', [hop(ETH0, null, { foreign: true })]),
      route('10.9.0.0/16', [hop(BR0, '192.168.1.254', { dead: true })]),
    )))).toEqual(['7.0.0.0/8 via 10.1.0.254 dev eth1', '8.0.0.0/8 via 10.1.0.254 dev eth1'])
  })

  it('leaves out types, TOS, and what only the host itself needs', () => {
    expect(added(sources(network(
      route('7.0.0.0/8', [], { type: RouteType.blackhole }), route('8.0.0.0/8', [], { type: RouteType.throw }),
      route('9.0.0.0/8', [hop(ETH0)], { tos: 0x10, scope: Scope.link }), route('198.51.100.0/24', [hop(ETH0)], { type: RouteType.local, scope: Scope.host }),
    )))).toEqual([])
  })

  it('takes inside networks from the namespace of the TUN when that is another', () => {
    const inside: KernelNetwork = {
      links: [link('lo', 1), link('tun0', TUN), link('br0', ETH0)],
      addresses: [],
      // Numbers of interfaces are each namespace's own: this one is not the WAN.
      routes: [route('default', [hop(TUN, '10.77.0.1')]), subnet('10.77.0.0/24', TUN, '10.77.0.2'), subnet('192.168.1.0/24', ETH0, '192.168.1.1')],
    }
    const kernel = network(route('default', [hop(ETH0, '10.0.0.254')]), subnet('172.17.0.0/16', BR0, '172.17.0.1'))
    expect(added(sources(kernel, { inside }))).toEqual(['default via 10.0.0.254 dev eth0', '192.168.1.0/24 dev tun0 proto kernel scope link'])
  })

  it('has no routes by a WAN that is not there', () => {
    const gone = { ...eth1, ifindex: 0, up: false, addresses: [] }
    const { routes, ...kernel } = network(route('default', [hop(ETH0, '10.0.0.254')]))
    const left = routes.filter(({ hops }) => hops[0]?.ifindex !== ETH1)
    expect(shown(sources({ ...kernel, routes: left }, { wans: [eth0, gone] }))).toEqual(['default via 10.0.0.254 dev eth0', CONNECTED[0], CONNECTED[2]])
  })

  it('puts the subnets of owned addresses on the link, whatever the kernel has there', () => {
    const owned = { ...eth0, owned: true, addresses: [own('192.0.2.5/24')], gateway: ip('192.0.2.1') }
    expect(shown(sources(network(subnet('192.0.2.0/24', ETH0, '192.0.2.9')), { wans: [owned] }))).toEqual([
      'default via 192.0.2.1 dev eth0 proto static', '10.0.0.0/24 dev eth0 proto kernel scope link', '10.1.0.0/24 dev tun0 proto kernel scope link',
      '10.77.0.0/24 dev tun0 proto kernel scope link src 10.77.0.1', '192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.5',
    ])
  })
})

describe('everything', () => {
  it('has types, TOS, preferred sources and MTU as the kernel has them', () => {
    const kernel = network(
      route('default', [hop(ETH0, '10.0.0.254')], { metric: 100, source: ip('10.0.0.1'), mtu: 1400, mtuLocked: true }),
      route('default', [], { type: RouteType.unreachable, metric: 4_278_198_272 }),
      route('default', [hop(ETH1, '10.1.0.254')], { tos: 0x10 }),
      route('6.0.0.0/8', [], { type: RouteType.blackhole }), route('6.1.0.0/16', [], { type: RouteType.prohibit, metric: 7 }), route('6.2.0.0/16', [], { type: RouteType.throw }),
      route('198.51.100.0/24', [hop(ETH0)], { type: RouteType.local, scope: Scope.host }),
      route('203.0.113.0/24', [hop(BR0)], { type: RouteType.local, scope: Scope.host }),
      route('224.0.0.0/4', [hop(ETH0)], { type: RouteType.multicast, scope: Scope.link }),
      route('192.168.5.0/24', [hop(ETH0)], { type: 11 }),
      route('192.168.1.0/24', [hop(BR0)], { source: ip('192.168.1.1'), mtu: 1300 }),
    )
    expect(added(sources(kernel, { everything: true }))).toEqual([
      'default tos 0x10 via 10.1.0.254 dev eth1', 'default via 10.0.0.254 dev eth0 src 10.0.0.1 metric 100 mtu lock 1400', 'unreachable default metric 4278198272',
      'blackhole 6.0.0.0/8', 'prohibit 6.1.0.0/16 metric 7', 'throw 6.2.0.0/16', '192.168.1.0/24 dev tun0 scope link mtu 1300',
      'local 198.51.100.0/24 dev eth0 scope host', 'multicast 224.0.0.0/4 dev eth0 scope link',
    ])
  })

  it('leaves alone what is no route of the WANs in the namespace of the TUN', () => {
    const inside: KernelNetwork = { ...network(), routes: [route('6.0.0.0/8', [], { type: RouteType.blackhole }), route('192.168.1.0/24', [hop(BR0)])] }
    expect(added(sources(network(), { inside, everything: true }))).toEqual(['192.168.1.0/24 dev tun0 scope link'])
  })

  it('knows a gateway that is the host itself', () => {
    const { routes } = followKernel(sources(network(route('7.0.0.0/8', [hop(ETH0, '10.0.0.1')])), { everything: true }))
    expect(routes.find(({ destination }) => destination === ip('7.0.0.0'))!.routes[0]!.hops[0]).toMatchObject({ gateway: ip('10.0.0.1'), ownGateway: true })
  })
})
