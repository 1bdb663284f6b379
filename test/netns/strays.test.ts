/**
 * What is the TUN's and would leave by the WAN: answers to a forged source address come out of the TUN for an address that is not
 * inside, and the kernel has things to say of packets that it cannot deliver. The WAN sees packets of the gateway's address only.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import type { Capture } from './gateway-support.js'
import { CLIENT, fetchPage, GATEWAY, GatewayLab, REMOTE, serveEcho, serveHttp, SERVER, until } from './gateway-support.js'

let lab: GatewayLab
let before: string[]
let wire: Capture
beforeEach(async () => {
  lab = await GatewayLab.create()
  const second = await lab.lab.namespace('second')
  await lab.lab.link(second, { name: 'eth0', address: '192.168.2.2/24' }, lab.gateway, { name: 'eth2', address: '192.168.2.1/24' })
  await Promise.all([serveHttp(lab.server), serveEcho(lab.server, REMOTE), serveEcho(lab.server, SERVER)])
  wire = await lab.capture()
  before = await lab.snapshot()
})
afterEach(async () => {
  await wire.stop()
  for (const name of lab.left()) expect((await lab.tsnat('down', '--name', name)).code).toBe(0)
  expect(await lab.snapshot()).toEqual(before)
  await lab.close()
})

/** Packets that the guard dropped because they were the TUN's and would have left by the WAN, or would have gone back into the TUN. */
const strays = async (): Promise<number> => {
  const { stdout } = await lab.gateway.run('nft', ['list', 'table', 'ip', 'tsnat-default'], { check: true })
  return [...stdout.matchAll(/oifname .*counter packets (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0)
}

/** Sends a datagram and a SYN as somebody else. */
const forge = async (from: LabNamespace, source: string, to: string): Promise<void> => {
  await lab.ip(from, `addr replace ${source}/32 dev lo`)
  await from.run('nc', ['-nu', '-w', '1', '-q', '0', '-s', source, to, '7'], { input: 'x' })
  await fetchPage(from, `http://${to}/`, '--interface', source, '--max-time', '0.3')
}

/** What was on the wire but packets between the gateway's address and the server's, and their ARP. */
const others = (outside = GATEWAY): Promise<string[]> =>
  wire.packets(`not (host ${outside} and (arp or host ${SERVER} or host ${REMOTE}))`)

const expectNothingOf = async (source: string, outside?: string): Promise<void> => {
  expect(await others(outside)).toEqual([])
  // In what ICMP errors quote, too.
  expect((await wire.packets()).filter((line) => line.includes(source) || line.includes('192.168.') || line.includes('10.77.'))).toEqual([])
}

const NOWHERE = '10.9.9.9'
const WAN_SUBNET = '203.0.113.77'
const OTHER_NETWORK = '192.168.2.77'

describe.each([
  ['packet driver', [], GATEWAY],
  ['raw driver', ['--wan-driver', 'raw'], GATEWAY],
  ['owned address', ['--wan-address', 'owned:203.0.113.50/24'], '203.0.113.50'],
] as const)('%s', (_, flags, outside) => {
  it.each([['no network', NOWHERE], ["the WAN's network", WAN_SUBNET]])('answers to a source forged of %s end in the gateway, without ARP for it', async (_, source) => {
    await lab.up('--capture', 'iif=eth1,eth2', ...flags)
    for (const to of [SERVER, REMOTE]) await forge(lab.client, source, to)
    await until(async () => await strays() >= 4, async () => `${await strays()} ${(await wire.packets()).join('\n')}`)
    await expectNothingOf(source, outside)
    expect(await fetchPage(lab.client, `http://${REMOTE}/`)).toContain(outside)
  })

  it("answers to a source forged of another inside network go there; the kernel's complaint about them is translated", async () => {
    await lab.up('--capture', 'iif=eth1,eth2', ...flags)
    await forge(lab.client, OTHER_NETWORK, REMOTE)
    await until(async () => (await wire.packets('icmp')).some((line) => line.includes(`${outside} > ${REMOTE}: ICMP host ${outside} unreachable`)))
    await expectNothingOf(OTHER_NETWORK, outside)
    expect(await strays()).toBe(0)
  })
})

it('a host behind a router of the LAN is served', async () => {
  const behind = await lab.lab.namespace('behind')
  await lab.lab.link(behind, { name: 'eth0', address: '10.50.0.2/24' }, lab.client, { name: 'eth1', address: '10.50.0.1/24' })
  await behind.route('default', '10.50.0.1')
  lab.client.sysctl('net.ipv4.ip_forward', 1)
  await lab.gateway.route('10.50.0.0/24', CLIENT)
  before = await lab.snapshot()
  await lab.up('--capture', 'iif=eth1')
  for (const to of [SERVER, REMOTE]) expect(await fetchPage(behind, `http://${to}/`)).toContain(`${GATEWAY} `)
  expect(await strays()).toBe(0)
})

it('a LAN with a smaller MTU is told of to the server: what is larger is sent anew in smaller packets', async () => {
  await lab.up('--capture', 'iif=eth1')
  // One way: the client's MSS promises 1460 bytes.
  await lab.ip(lab.gateway, 'link set eth1 mtu 1000')
  const size = 200_000
  const server = lab.server.spawn('sh', ['-c', `head -c ${size} /dev/zero | nc -nlN ${REMOTE} 9000`])
  await until(async () => (await lab.server.run('ss', ['-Hlnt'])).stdout.includes(':9000 '))
  const { stdout } = await lab.run(lab.client, 'sh', ['-c', `nc -nd -w 5 ${REMOTE} 9000 | wc -c`])
  expect(Number(stdout)).toBe(size)
  expect((await wire.packets('icmp')).some((line) => line.includes(`${GATEWAY} > ${REMOTE}: ICMP ${GATEWAY} unreachable - need to frag (mtu 1000)`))).toBe(true)
  await expectNothingOf(CLIENT)
  server.kill()
  await lab.ip(lab.gateway, 'link set eth1 mtu 1500')
})

it('where /proc/sys is read-only and forwarding is on, it runs, and warns of what is not translated', async () => {
  lab.gateway.sysctl('net.ipv4.ip_forward', 1)
  before = await lab.snapshot()
  const readOnly = ['-m', 'sh', '-c', 'mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys; exec "$@"', 'sh']
  const gateway = lab.gateway.spawn('unshare', [...readOnly, process.execPath, ...lab.upCommand()], { env: lab.environment })
  await gateway.waitFor(/^ready$/m, 20_000)
  expect(await fetchPage(lab.client, `http://${REMOTE}/`)).toContain(`${GATEWAY} `)
  gateway.kill('SIGINT')
  expect((await gateway.finish()).stderr).toMatch(/cannot set net\/ipv4\/icmp_errors_use_inbound_ifaddr to .*: EROFS; ICMP errors of this host/)
})

describe('--capture default', () => {
  it("nothing leaves by the WAN from the TUN's address, not even to its own network", async () => {
    await lab.up('--capture', 'default')
    expect(await fetchPage(lab.gateway, `http://${SERVER}/`, '--interface', '10.77.0.2', '--max-time', '0.5')).toBe('error 28')
    expect(await strays()).toBeGreaterThan(0)
    expect(await fetchPage(lab.gateway, `http://${REMOTE}/`, '--interface', '10.77.0.2')).toContain(`${GATEWAY} `)
    await expectNothingOf('10.77.0.2')
  })

  it('on a host that forwards, answers to forged sources end in the gateway', async () => {
    lab.gateway.sysctl('net.ipv4.ip_forward', 1)
    before = await lab.snapshot()
    await lab.up('--capture', 'default')
    for (const source of [NOWHERE, WAN_SUBNET]) {
      const known = await strays()
      await forge(lab.client, source, REMOTE)
      await until(async () => await strays() >= known + 2)
      await expectNothingOf(source)
    }
  })
})
