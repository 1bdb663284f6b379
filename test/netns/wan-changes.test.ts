/** What happens to the WAN interface while the gateway runs is followed, without a restart. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabProcess } from '../../src/testing/lab/index.js'
import { fetchPage, GATEWAY, GatewayLab, pause, REMOTE, serveEcho, serveHttp, SERVER, Talker, until } from './gateway-support.js'

let lab: GatewayLab
let up: LabProcess
beforeEach(async () => {
  lab = await GatewayLab.create({ withSwitch: true })
  await Promise.all([serveHttp(lab.server), serveEcho(lab.server, SERVER)])
  up = await lab.up()
})
afterEach(async () => {
  // Whatever happened, it stops in good order and leaves nothing.
  up.kill('SIGINT')
  const { code, stderr } = await up.done
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
  expect((await lab.gateway.snapshot()).filter((line) => /^rule/.test(line))).toHaveLength(3)
  await lab.close()
})

const NEW = '203.0.113.77'
const page = (...options: string[]): Promise<string> => fetchPage(lab.client, `http://${SERVER}/`, ...options)
const seesAddress = (address: string): Promise<string> => until(async () => {
  const seen = await page('--max-time', '1')
  return seen.startsWith(`${address} `) ? seen : undefined
}, page) as Promise<string>
const degraded = (reason: string): Promise<unknown> =>
  lab.untilStatus(({ state, reasons }) => state === 'degraded' && reasons.some((one) => one.includes(reason)))
const ready = (): Promise<unknown> => lab.untilStatus(({ state }) => state === 'ready')

describe('address', () => {
  it('another one: old flows are forgotten, new ones have it', async () => {
    const { gateway } = lab
    const talker = await Talker.start(lab.client, SERVER)
    await lab.ip(gateway, `addr add ${NEW}/24 dev eth0`)
    expect(await page()).toContain(`${GATEWAY} `)
    // With the first, its routes go; the second becomes primary where promote_secondaries says so.
    await lab.ip(gateway, `addr del ${GATEWAY}/24 dev eth0`)
    if (!(await lab.ip(gateway, 'addr show dev eth0')).includes(NEW)) await lab.ip(gateway, `addr add ${NEW}/24 dev eth0`)
    await lab.ip(gateway, `route replace default via ${SERVER}`)
    await seesAddress(NEW)
    expect((await lab.flows()).filter(({ reply }) => reply.dst === GATEWAY)).toEqual([])
    expect(await lab.status()).toMatchObject({ state: 'ready', wans: [{ address: NEW, addresses: [`${NEW}/24`] }] })
    expect(await fetchPage(gateway, `http://${SERVER}/`)).toContain(NEW)
    await talker.stop()
  })

  it('gone, and back', async () => {
    const { gateway } = lab
    await seesAddress(GATEWAY)
    await lab.ip(gateway, `addr del ${GATEWAY}/24 dev eth0`)
    await degraded('interface eth0 has no IPv4 address')
    await until(async () => (await lab.flows()).length === 0)
    // The client is told at once (ICMP net unreachable), it does not wait in vain.
    expect(await page()).toBe('error 7')
    await lab.ip(gateway, `addr add ${GATEWAY}/24 dev eth0`)
    await degraded('no default route leaves by eth0')
    await lab.ip(gateway, `route add default via ${SERVER}`)
    await ready()
    await seesAddress(GATEWAY)
    expect(up.stderr).toContain('new flows cannot leave: interface eth0 has no IPv4 address')
    expect(up.stderr).toContain('the WAN is usable again')
  })
})

describe('link', () => {
  it('down and up by the administrator', async () => {
    await lab.ip(lab.gateway, 'link set eth0 down')
    await degraded('interface eth0 is down')
    expect((await lab.status()).wans[0]!.up).toBe(false)
    expect(await page()).toBe('error 7')
    await lab.ip(lab.gateway, 'link set eth0 up')
    await degraded('no default route leaves by eth0')
    await lab.ip(lab.gateway, `route add default via ${SERVER}`)
    await ready()
    await seesAddress(GATEWAY)
  })

  it('cable out and in: flows go on', async () => {
    const talker = await Talker.start(lab.client, SERVER)
    await lab.cable('gateway-eth0', 'down')
    await degraded('interface eth0 is down or has no carrier')
    await lab.cable('gateway-eth0', 'up')
    await ready()
    await talker.hears()
    expect(talker.errors).toEqual([])
    await talker.stop()
  })
})

it('default route by another next hop: flows follow it', async () => {
  const { gateway } = lab
  const router = await lab.lab.namespace('router')
  await lab.plug(router, 'eth0', '203.0.113.10/24')
  router.sysctl('net.ipv4.ip_forward', 1)
  router.sysctl('net.ipv4.conf.all.send_redirects', 0)
  router.sysctl('net.ipv4.conf.eth0.send_redirects', 0)
  await router.route('198.51.100.0/24', SERVER)
  await serveEcho(lab.server, REMOTE)
  const talker = await Talker.start(lab.client, REMOTE)
  expect((await lab.status()).wans[0]!.nextHop).toBe(SERVER)
  const capture = await lab.capture(router)
  await lab.ip(gateway, 'route replace default via 203.0.113.10')
  await lab.untilStatus(({ wans: [wan] }) => wan!.nextHop === '203.0.113.10' && wan!.neighbour === router.mac('eth0'))
  await until(async () => (await capture.packets(`src host ${GATEWAY} and dst host ${REMOTE}`)).length > 4)
  await talker.hears()
  expect(talker.errors).toEqual([])
  expect(await fetchPage(lab.client, `http://${REMOTE}/`)).toContain(GATEWAY)
  await talker.stop()
})

describe('neighbour', () => {
  it.each(['speaks up', 'says nothing'])('with another MAC address that %s', async (how) => {
    // The kernel confirms neighbours every half minute or so; here sooner.
    lab.gateway.sysctl('net.ipv4.neigh.eth0.base_reachable_time_ms', how === 'speaks up' ? 30_000 : 500)
    lab.gateway.sysctl('net.ipv4.neigh.eth0.delay_first_probe_time', 1)
    await lab.forgetNeighbours(lab.gateway)
    await seesAddress(GATEWAY)
    const first = (await lab.status()).wans[0]!.neighbour
    expect(first).toBe(lab.server.mac('eth0'))
    await lab.ip(lab.server, 'link del eth0')
    await lab.plug(lab.server, 'eth0', `${SERVER}/24`, '02:00:00:00:00:77')
    if (how === 'speaks up') expect((await lab.server.run('ping', ['-c', '1', GATEWAY])).code).toBe(0)
    await seesAddress(GATEWAY)
    await lab.untilStatus(({ wans: [wan] }) => wan!.neighbour === '02:00:00:00:00:77')
  })

  it('that is not there: the client is told, and served as soon as it is', async () => {
    await lab.ip(lab.server, 'link set eth0 down')
    await lab.forgetNeighbours(lab.gateway)
    const ping = await lab.client.run('ping', ['-c', '2', '-W', '5', SERVER])
    expect(ping.stdout).toContain('Destination Host Unreachable')
    await lab.ip(lab.server, 'link set eth0 up')
    await seesAddress(GATEWAY)
  })

  it('unknown at first, and slow to answer: the first packet waits for it', async () => {
    up.kill('SIGINT')
    await up.done
    await lab.ip(lab.server, 'link set eth0 arp off')
    await lab.forgetNeighbours(lab.gateway)
    up = await lab.up()
    const fetched = fetchPage(lab.client, `http://${SERVER}/`)
    await lab.untilStatus(({ lan }) => lan.rx.packets > 0)
    await pause(100)
    await lab.ip(lab.server, 'link set eth0 arp on')
    expect(await fetched).toContain(GATEWAY)
    expect((await lab.status()).drops).not.toHaveProperty('next-hop-unresolved')
  })

  it('stays known when the WAN gets another MAC address itself', async () => {
    const talker = await Talker.start(lab.client, SERVER)
    await lab.ip(lab.gateway, 'link set eth0 address 02:00:00:00:00:88')
    await until(() => up.stderr.includes('was exchanged'))
    await talker.hears()
    expect(talker.errors).toEqual([])
    await talker.stop()
  })
})

it('interface removed, and made again under its name', async () => {
  const { gateway } = lab
  await seesAddress(GATEWAY)
  const before = (await lab.status()).wans[0]!.ifindex
  await lab.ip(gateway, 'link del eth0')
  await degraded('interface eth0 does not exist')
  expect(await page()).toBe('error 7')
  for (const round of [1, 2]) {
    await lab.plug(gateway, 'eth0', `${GATEWAY}/24`)
    await lab.ip(gateway, `route add default via ${SERVER}`)
    await ready()
    await seesAddress(GATEWAY)
    expect((await lab.status()).wans[0]!.ifindex).not.toBe(before)
    // The guard is on the new one: what belongs to nobody is not answered.
    const capture = await lab.capture()
    expect(await fetchPage(lab.server, `http://${GATEWAY}:40000/`, '--max-time', '0.5')).toBe('error 28')
    expect(await fetchPage(lab.server, `http://${GATEWAY}:99/`)).toBe('error 7')
    expect(await capture.packets(`src host ${GATEWAY} and src port 40000`)).toEqual([])
    // At once: removed and back before anybody looks.
    if (round === 1) await lab.ip(gateway, 'link del eth0')
  }
})

it('interface exchanged many times in a row', async () => {
  for (let round = 0; round < 10; round++) {
    await lab.ip(lab.gateway, 'link del eth0')
    await lab.plug(lab.gateway, 'eth0', `${GATEWAY}/24`)
  }
  await lab.ip(lab.gateway, `route add default via ${SERVER}`)
  await ready()
  await seesAddress(GATEWAY)
})

it('MTU 1500, 1400, 1500: the TUN follows', async () => {
  const probe = async (size: number): Promise<string> => (await lab.client.run('ping', ['-M', 'do', '-c', '1', '-W', '2', '-s', String(size - 28), SERVER])).stdout
  expect(await probe(1500)).toContain('1 received')
  for (const mtu of [1400, 1500]) {
    await lab.ip(lab.gateway, `link set eth0 mtu ${mtu}`)
    await lab.untilStatus(({ wans: [wan], lan }) => wan!.mtu === mtu && lan.mtu === mtu)
    await until(async () => (await lab.ip(lab.gateway, 'link show tun0')).includes(`mtu ${mtu}`))
    if (mtu === 1400) {
      expect(await probe(1500)).toMatch(/Frag needed and DF set \(mtu = 1400\)|message too long, mtu.1400/)
      await lab.ip(lab.client, 'route flush cache')
      expect(await probe(1400)).toContain('1 received')
    }
  }
  await lab.ip(lab.client, 'route flush cache')
  expect(await probe(1500)).toContain('1 received')
})
