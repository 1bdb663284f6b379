import { afterEach, describe, expect, it } from 'vitest'
import { WanMonitor } from '../../src/host/wan.js'
import type { NeighbourReport, WanState } from '../../src/host/wan.js'
import { formatIpv4, formatMac, parseIpv4 } from '../../src/stack/wire/address.js'
import { testNamespace, until } from './host-support.js'

const host = testNamespace()
const peer = testNamespace()
const ip = (text: string): number => parseIpv4(text)!
const text = (state: WanState): string[] =>
  state.routes.map((r) => `${formatIpv4(r.destination)}/${r.prefixLength} ${r.gateway === null ? '-' : formatIpv4(r.gateway)} m${r.metric} mtu${r.mtu}`)
const addresses = (state: WanState): string[] =>
  state.addresses.map((a) => `${formatIpv4(a.address)}/${a.prefixLength}${a.primary ? '' : ' secondary'}`)

let monitor: WanMonitor | undefined
const open = async (name: string): Promise<WanMonitor> => {
  monitor = await WanMonitor.open(name, host.namespace)
  return monitor
}
const state = (): WanState => monitor!.state
const show = (): string => JSON.stringify(state())

afterEach(() => {
  monitor?.close()
  monitor = undefined
  for (const line of host.run('ip -o link').split('\n')) {
    const name = /^\d+: (eth\d)/.exec(line)?.[1]
    if (name !== undefined) host.run(`ip link del ${name}`)
  }
})

describe('WanMonitor', () => {
  it('reads the state: addresses in order, routes by preference, the main table only', async () => {
    host.veth('eth0', peer, 'p0')
    host.script(
      'ip link set eth0 address 02:00:00:00:00:01 mtu 1400',
      'ip addr add 198.51.100.2/24 dev eth0',
      'ip addr add 198.51.100.3/24 dev eth0',
      'ip addr add 203.0.113.7 peer 203.0.113.9/32 dev eth0',
      'ip route add default via 198.51.100.1 metric 200',
      'ip route add default via 198.51.100.9 metric 100 mtu 1300',
      'ip route add 192.0.2.0/24 nexthop via 198.51.100.4 nexthop via 198.51.100.5',
      'ip route add 192.0.2.64/26 via 198.51.100.1 table 77',
      'ip route add blackhole 10.9.0.0/16',
    )
    await open('eth0')
    expect(state()).toMatchObject({ name: 'eth0', up: true, mtu: 1400, ethernet: true })
    expect(formatMac(state().mac!.high, state().mac!.low)).toBe('02:00:00:00:00:01')
    expect(addresses(state())).toEqual(['198.51.100.2/24', '203.0.113.7/32', '198.51.100.3/24 secondary'])
    expect(formatIpv4(state().addresses[1]!.peer)).toBe('203.0.113.9')
    expect(text(state())).toEqual([
      '203.0.113.9/32 - m0 mtunull',
      '192.0.2.0/24 198.51.100.4 m0 mtunull',
      '192.0.2.0/24 198.51.100.5 m0 mtunull',
      '198.51.100.0/24 - m0 mtunull',
      '0.0.0.0/0 198.51.100.9 m100 mtu1300',
      '0.0.0.0/0 198.51.100.1 m200 mtunull',
    ])
  })

  it('follows addresses, routes, MTU, carrier and administrative state', async () => {
    host.veth('eth0', peer, 'p0')
    await open('eth0')
    expect(addresses(state())).toEqual([])
    host.run('ip addr add 198.51.100.2/24 dev eth0')
    await until(() => state().addresses.length === 1 && state().routes.length === 1, show)
    host.run('ip route add default via 198.51.100.1')
    await until(() => state().routes.length === 2, show)
    host.run('ip route replace default via 198.51.100.7')
    await until(() => text(state())[1] === '0.0.0.0/0 198.51.100.7 m0 mtunull', show)
    host.run('ip link set eth0 mtu 1280')
    await until(() => state().mtu === 1280, show)
    peer.run('ip link set p0 down')
    await until(() => !state().up, show)
    peer.run('ip link set p0 up')
    await until(() => state().up, show)
    // The kernel sends no event for the default route that goes with the interface.
    host.run('ip link set eth0 down')
    await until(() => !state().up && state().routes.length === 0, show)
    host.run('ip link set eth0 up')
    await until(() => state().up && text(state()).length === 1, show)
    host.run('ip addr flush dev eth0')
    await until(() => state().addresses.length === 0, show)
  })

  it('finds the interface again after it was removed and made anew', async () => {
    host.veth('eth0', peer, 'p0')
    host.run('ip addr add 198.51.100.2/24 dev eth0')
    await open('eth0')
    const before = state().ifindex
    host.run('ip link del eth0')
    await until(() => state().ifindex === 0, show)
    expect(state()).toMatchObject({ name: 'eth0', up: false, addresses: [], routes: [] })
    host.veth('eth0', peer, 'p0')
    host.run('ip addr add 198.51.100.5/24 dev eth0')
    await until(() => state().up && state().addresses.length === 1, show)
    expect(state().ifindex).not.toBe(before)
    host.script('ip link set eth0 down', 'ip link set eth0 name eth1')
    await until(() => state().ifindex === 0, show)
    host.run('ip link set eth1 name eth0')
    await until(() => state().ifindex !== 0, show)
  })

  it('reads once for many events, and survives lost ones', async () => {
    host.veth('eth0', peer, 'p0')
    await open('eth0')
    let changes = 0
    monitor!.on('change', () => changes++)
    const batch = (verb: string): void => {
      const lines = Array.from({ length: 4000 }, (_, i) => `addr ${verb} 10.${i >> 8}.${i & 255}.1/32 dev eth0`).join('\n')
      host.runInput('ip -batch -', lines)
    }
    // While this thread waits for the program, nothing is read: the kernel's queue overflows.
    batch('add')
    await until(() => state().addresses.length === 4000, () => String(state().addresses.length))
    batch('del')
    await until(() => state().addresses.length === 0, () => String(state().addresses.length))
    expect(changes).toBeLessThan(20)
  })

  it('knows an interface without Ethernet headers', async () => {
    host.run('ip tuntap add eth3 mode tun')
    host.script('ip addr add 198.51.100.2/30 dev eth3', 'ip link set eth3 up')
    await open('eth3')
    expect(state()).toMatchObject({ ethernet: false, mac: null, up: false })
    expect(addresses(state())).toEqual(['198.51.100.2/30'])
  })
})

describe('neighbours', () => {
  const reports: NeighbourReport[] = []
  const last = (): string => {
    const report = reports.at(-1)
    return report === undefined ? 'none' : `${formatIpv4(report.ip)} ${report.mac === null ? '-' : formatMac(report.mac.high, report.mac.low)}`
  }
  const prepare = async (): Promise<void> => {
    reports.length = 0
    host.veth('eth0', peer, 'p0')
    host.run('ip addr add 198.51.100.2/24 dev eth0')
    peer.script('ip link set p0 address 02:00:00:00:00:99', 'ip addr add 198.51.100.1/24 dev p0')
    await open('eth0')
    monitor!.on('neighbour', (report) => reports.push(report))
  }

  it('has the kernel resolve, and notices a new MAC address', async () => {
    await prepare()
    monitor!.resolve(ip('198.51.100.1'))
    await until(() => last() === '198.51.100.1 02:00:00:00:00:99', last)
    // Known already: reported at once, without an event.
    monitor!.release(ip('198.51.100.1'))
    reports.length = 0
    monitor!.resolve(ip('198.51.100.1'))
    await until(() => last() === '198.51.100.1 02:00:00:00:00:99', last)
    // A new address that the neighbour announces.
    peer.script('ip link set p0 down', 'ip link set p0 address 02:00:00:00:00:77', 'ip link set p0 up')
    await until(() => last() === '198.51.100.1 02:00:00:00:00:77', last)
  })

  it('uses a stale entry again, so that it is confirmed', async () => {
    await prepare()
    monitor!.resolve(ip('198.51.100.1'))
    await until(() => last() === '198.51.100.1 02:00:00:00:00:99', last)
    host.script('sysctl -qw net.ipv4.neigh.eth0.delay_first_probe_time=1', 'sysctl -qw net.ipv4.neigh.eth0.retrans_time_ms=50')
    // The neighbour silently becomes another machine.
    peer.script('sysctl -qw net.ipv4.conf.p0.arp_notify=0', 'ip link set p0 address 02:00:00:00:00:55')
    host.run('ip neigh change 198.51.100.1 lladdr 02:00:00:00:00:99 dev eth0 nud stale')
    await until(() => last() === '198.51.100.1 02:00:00:00:00:55', last)
    expect(reports.map(({ state: name }) => name)).toContain('stale')
    expect(reports.at(-1)!.state).toBe('reachable')
  })

  it('reports one that does not answer, and keeps asking', async () => {
    await prepare()
    host.script('sysctl -qw net.ipv4.neigh.eth0.retrans_time_ms=50')
    monitor!.resolve(ip('198.51.100.66'))
    await until(() => reports.at(-1)?.state === 'failed', last)
    peer.run('ip addr add 198.51.100.66/24 dev p0')
    await until(() => last() === '198.51.100.66 02:00:00:00:00:99', last)
    host.run('ip neigh del 198.51.100.66 dev eth0')
    host.run('ip link set eth0 down')
    await until(() => reports.at(-1)?.state === 'failed', last)
    host.run('ip link set eth0 up')
    await until(() => last() === '198.51.100.66 02:00:00:00:00:99', last)
  })

  it('takes permanent entries as they are', async () => {
    await prepare()
    host.run('ip neigh add 198.51.100.44 lladdr 02:00:00:00:00:44 dev eth0 nud permanent')
    monitor!.resolve(ip('198.51.100.44'))
    await until(() => last() === '198.51.100.44 02:00:00:00:00:44', last)
    expect(reports.at(-1)!.state).toBe('permanent')
  })
})
