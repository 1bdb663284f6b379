/**
 * Which address MASQUERADE takes (scenario S2): the first primary one whose subnet holds the next hop.
 *
 *     client 192.168.1.2 ── eth1  gateway  eth0 10.0.2.15/24, 1.2.3.56/24 ── upstream 10.0.2.2, 1.2.3.4, with the servers 1.1.1.1 and 8.8.8.8
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../../src/testing/lab/index.js'
import { until } from '../gateway-support.js'
import { Asker, Scenario, serveTeller, sourceOf, tableOf, WAYS } from './support.js'

const FLAGS = '--wan eth0 --capture iif=eth1 --log-level warn'
const POLICY = {
  commands: ['tsnat iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE', 'tsnat ip route add 1.1.1.1 via 1.2.3.4 dev eth0'],
  rules: tableOf('nat', '-A POSTROUTING -o eth0 -j MASQUERADE'),
  batch: 'route add 1.1.1.1 via 1.2.3.4 dev eth0\n',
}

let bed: Scenario
let client: LabNamespace
let server: LabNamespace
let asker: Asker
beforeEach(async () => {
  bed = await Scenario.create()
  client = await bed.host('client', '192.168.1.2/24', 'eth1', '192.168.1.1/24')
  await client.route('default', '192.168.1.1')
  // The second of each subnet is secondary.
  server = await bed.host('upstream', ['10.0.2.2/24', '1.2.3.4/24'], 'eth0', ['10.0.2.15/24', '10.0.2.16/24', '1.2.3.56/24', '1.2.3.57/24'])
  await bed.gateway.route('default', '10.0.2.2')
  for (const address of ['1.1.1.1', '8.8.8.8']) await bed.ip(server, `addr add ${address}/32 dev lo`)
  await serveTeller(server, 80, '1.1.1.1', '8.8.8.8')
  asker = new Asker(client)
})
afterEach(async () => {
  await bed.close()
})

const seen = async (protocol: 'tcp' | 'udp', host: string): Promise<string> => sourceOf(await asker.ask({ protocol, host, port: 80 })).address

describe.each(WAYS)('%s', (way) => {
  it('S2: a flow to 1.1.1.1 leaves from 1.2.3.56, all others from 10.0.2.15, none from a secondary address', async () => {
    await bed.upWith(FLAGS, way, POLICY)
    for (const protocol of ['tcp', 'udp'] as const) {
      expect(await seen(protocol, '1.1.1.1')).toBe('1.2.3.56')
      expect(await seen(protocol, '8.8.8.8')).toBe('10.0.2.15')
    }
    const capture = await bed.capture(server)
    expect(await asker.ping('1.1.1.1')).toHaveLength(1)
    expect(await asker.ping('8.8.8.8')).toHaveLength(1)
    await until(async () => (await capture.packets('icmp')).length >= 4)
    expect((await capture.packets('icmp[0] = 8 and dst host 1.1.1.1')).every((line) => line.includes(' 1.2.3.56 > 1.1.1.1:'))).toBe(true)
    expect((await capture.packets('icmp[0] = 8 and dst host 8.8.8.8')).every((line) => line.includes(' 10.0.2.15 > 8.8.8.8:'))).toBe(true)
    expect(await bed.typed('tsnat ip route get 1.1.1.1')).toMatch(/^1\.1\.1\.1 via 1\.2\.3\.4 dev eth0 src 1\.2\.3\.56 /)
    expect(await bed.typed('tsnat ip route get 8.8.8.8')).toMatch(/^8\.8\.8\.8 via 10\.0\.2\.2 dev eth0 src 10\.0\.2\.15 /)
  })
})

it('S2: when the address is removed, or the interface goes down, the flows that used it are forgotten', async () => {
  // As the kernel forgets them.
  await bed.upWith(`${FLAGS} --profile linux`, 'by commands', POLICY)
  await asker.ask({ protocol: 'tcp', host: '1.1.1.1', port: 80, keep: 'one' })
  await asker.ask({ protocol: 'tcp', host: '8.8.8.8', port: 80, keep: 'two' })
  const outside = async (): Promise<string[]> => (await bed.flows()).map(({ reply }) => reply.dst).sort()
  expect(await outside()).toEqual(['1.2.3.56', '10.0.2.15'])
  await bed.ip(bed.gateway, 'addr del 1.2.3.56/24 dev eth0')
  await until(async () => (await outside()).join() === '10.0.2.15', async () => JSON.stringify(await bed.flows()))
  await bed.gateway.down('eth0')
  await until(async () => (await outside()).length === 0, async () => JSON.stringify(await bed.flows()))
})
