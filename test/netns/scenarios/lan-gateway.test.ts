/**
 * The gateway of a LAN (scenario S14), on a router with a bridge and another interface behind it, whose own connections go on.
 *
 *     hosts 192.168.1.2, .3 ── br0 192.168.1.1 ─┐
 *     host 192.168.2.2 ──────── eth2 192.168.2.1 ┴ router  eth0 203.0.113.1 ── 203.0.113.9 upstream, 198.51.100.1
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../../src/testing/lab/index.js'
import { Talker, serveEcho } from '../gateway-support.js'
import { Asker, Scenario, serverOf, serveTeller, sourceOf, tableOf } from './support.js'

const WAN = '203.0.113.1'
const SERVER = '198.51.100.1'

let bed: Scenario
let server: LabNamespace
let hosts: LabNamespace[]
beforeEach(async () => {
  bed = await Scenario.create()
  await bed.ip(bed.gateway, 'link add br0 type bridge')
  await bed.gateway.address('br0', '192.168.1.1/24')
  await bed.gateway.up('br0')
  hosts = [await bed.host('one', '192.168.1.2/24', 'port1'), await bed.host('two', '192.168.1.3/24', 'port2'), await bed.host('three', '192.168.2.2/24', 'eth2', '192.168.2.1/24')]
  for (const port of ['port1', 'port2']) await bed.ip(bed.gateway, `link set ${port} master br0`)
  for (const [index, host] of hosts.entries()) await host.route('default', index < 2 ? '192.168.1.1' : '192.168.2.1')
  server = await bed.host('upstream', '203.0.113.9/24', 'eth0', `${WAN}/24`)
  await bed.gateway.route('default', '203.0.113.9')
  await bed.ip(server, `addr add ${SERVER}/32 dev lo`)
  await Promise.all([serveTeller(server, 80, SERVER), serveEcho(server, SERVER), serveTeller(bed.gateway, 2222, WAN)])
})
afterEach(async () => {
  await bed.close()
})

describe.each([
  ['without rules', undefined],
  ['with rules', tableOf('nat', '-A POSTROUTING -o eth0 -j MASQUERADE') + tableOf('filter', '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', '-A FORWARD -i eth0 -j DROP')],
] as const)('%s', (_, rules) => {
  it('S14: hosts behind it reach the Internet, its own connections go on, and no RST or ICMP of its kernel hits a flow', async () => {
    const own = await Talker.start(bed.gateway, SERVER)
    const visitors = new Asker(server)
    const capture = await bed.capture(server)
    await bed.upWith('--wan eth0 --lan tun0 --capture iif=br0,eth2 --log-level warn', 'from files', rules === undefined ? { commands: [] } : { commands: [], rules })
    const inside = await Talker.start(hosts[0]!, SERVER)
    for (const host of hosts) {
      const asker = new Asker(host)
      for (const protocol of ['tcp', 'udp'] as const) expect(sourceOf(await asker.ask({ protocol, host: SERVER, port: 80 })).address).toBe(WAN)
      expect(await asker.ping(SERVER)).toHaveLength(1)
    }
    // The router's own: what went on before, a new one, and one to it.
    await own.hears()
    expect(sourceOf(await new Asker(bed.gateway).ask({ protocol: 'tcp', host: SERVER, port: 80 })).address).toBe(WAN)
    expect(serverOf(await visitors.ask({ protocol: 'tcp', host: WAN, port: 2222 }))).toBe(`${WAN}:2222`)
    await inside.hears()
    expect([...own.errors, ...inside.errors]).toEqual([])
    expect(await capture.packets(`src host ${WAN} and (tcp[13] & 4 != 0 or icmp[0] = 3)`)).toEqual([])
    expect(await capture.packets('src net 192.168.0.0/16')).toEqual([])
    await Promise.all([own.stop(), inside.stop()])
  })
})

it('S14: with --wan and --lan alone, the router\'s own traffic takes the way through it', async () => {
  await bed.up('--wan eth0 --lan tun0 --log-level warn')
  const asker = new Asker(bed.gateway)
  for (const protocol of ['tcp', 'udp'] as const) expect(sourceOf(await asker.ask({ protocol, host: SERVER, port: 80 })).address).toBe(WAN)
  expect((await bed.flows()).map(({ protocol, original }) => `${protocol} ${original.dst}`).sort()).toEqual([`tcp ${SERVER}`, `udp ${SERVER}`])
  expect(serverOf(await new Asker(server).ask({ protocol: 'tcp', host: WAN, port: 2222 }))).toBe(`${WAN}:2222`)
})
