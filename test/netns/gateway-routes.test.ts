/** The routing tables of a running gateway: what they follow of the host, and what commands change of them. */
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createControlClient } from '../../src/api/client.js'
import type { LabProcess } from '../../src/testing/lab/index.js'
import { GatewayLab, until } from './gateway-support.js'

let lab: GatewayLab
let up: LabProcess
beforeEach(async () => {
  lab = await GatewayLab.create()
})
afterEach(async () => {
  up.kill('SIGINT')
  const { code, stderr } = await up.done
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
  await lab.close()
})

/** A command of `tsnat ip`. */
const tsnatIp = async (words: string): Promise<string> => {
  const client = createControlClient('default', join(lab.runs, 'default', 'control.sock'))
  const { output, errors } = await client.policy({ tool: 'ip', argv: words.split(' '), input: null })
  expect(errors).toBe('')
  return output
}
const shown = async (): Promise<string[]> => (await tsnatIp('route')).split('\n').slice(0, -1).map((line) => line.trim())
const shows = (lines: readonly string[]): Promise<unknown> =>
  until(async () => (await shown()).join('\n') === lines.join('\n'), async () => (await shown()).join('\n'))

const DEFAULT = 'default via 203.0.113.9 dev eth0'
const LAN = '10.77.0.0/24 dev tun0 proto kernel scope link src 10.77.0.1'
const INSIDE = '192.168.1.0/24 dev tun0 proto kernel scope link'
const WAN = '203.0.113.0/24 dev eth0 proto kernel scope link src 203.0.113.1'

it('has the routes of the WAN and the inside networks from the start, and follows them', async () => {
  up = await lab.up()
  expect(await shown()).toEqual([DEFAULT, LAN, INSIDE, WAN])
  await lab.ip(lab.gateway, 'route add 198.18.0.0/15 via 203.0.113.8')
  await lab.ip(lab.gateway, 'route add 172.16.0.0/12 via 192.168.1.2')
  await lab.ip(lab.gateway, 'route add blackhole 6.0.0.0/8')
  await shows([DEFAULT, LAN, '172.16.0.0/12 dev tun0 scope link', INSIDE, '198.18.0.0/15 via 203.0.113.8 dev eth0', WAN])
  expect(await tsnatIp('route get 198.18.1.1')).toContain('198.18.1.1 via 203.0.113.8 dev eth0')
  expect(await tsnatIp('route get 172.16.1.1')).toContain('172.16.1.1 dev tun0')
  await lab.ip(lab.gateway, 'link set eth0 down')
  await shows([LAN, '172.16.0.0/12 dev tun0 scope link', INSIDE])
})

it('keeps what commands changed', async () => {
  up = await lab.up()
  await tsnatIp('route add 198.18.0.0/15 via 203.0.113.7')
  await tsnatIp(`route del ${DEFAULT}`)
  await lab.ip(lab.gateway, 'route add 198.51.0.0/16 via 203.0.113.8')
  const edited = [LAN, INSIDE, '198.18.0.0/15 via 203.0.113.7 dev eth0', '198.51.0.0/16 via 203.0.113.8 dev eth0', WAN]
  await shows(edited)
  // The kernel changes the deleted one: it is followed again.
  await lab.ip(lab.gateway, 'route replace default via 203.0.113.8')
  await shows(['default via 203.0.113.8 dev eth0', ...edited])
})

it('with --import-kernel-routes says what the kernel says, ten thousand routes and all', async () => {
  const { gateway } = lab
  for (const words of [
    'default via 203.0.113.8 metric 7 mtu lock 1400', 'unreachable default metric 4278198272', 'blackhole 6.0.0.0/8', 'throw 6.1.0.0/16', 'prohibit 6.2.0.0/16',
    '7.0.0.0/8 via 203.0.113.8 src 203.0.113.1', '8.0.0.0/8 dev eth0 tos 0x10', '9.0.0.0/8 nexthop via 203.0.113.8 weight 3 nexthop via 203.0.113.9',
  ]) await lab.ip(gateway, `route add ${words}`)
  up = await lab.up('--import-kernel-routes')
  // The rest, the TUN's subnet and the inside network, is as tsnat sees it.
  const kernels = async (): Promise<string> => (await lab.ip(gateway, 'route')).split('\n').filter((line) => !/tun0|eth1/.test(line)).join('\n')
  const same = (): Promise<unknown> => until(async () => (await tsnatIp('route')).split('\n').filter((line) => !line.includes('tun0')).join('\n') === await kernels(), shown)
  await same()
  const batch = Array.from({ length: 10_000 }, (_, i) => `route add 20.${i >> 8}.${i & 255}.0/24 via 203.0.113.${100 + i % 50}`).join('\n')
  await gateway.run('ip', ['-batch', '-'], { check: true, input: batch })
  await same()
  expect(await tsnatIp('route get 20.3.7.1')).toContain('20.3.7.1 via 203.0.113.')
})
