/** Addresses that tsnat has alone: it answers for them on the link, and the host's kernel keeps out of it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ExitCode } from '../../src/errors.js'
import { fetchPage, GATEWAY, GatewayLab, REMOTE, serveEcho, serveHttp, SERVER, Talker, until } from './gateway-support.js'
import type { Capture } from './gateway-support.js'

const OWNED = '203.0.113.50'
const SECOND = '203.0.113.51'

let lab: GatewayLab
let before: string[]
let capture: Capture
let mac: string
beforeEach(async () => {
  lab = await GatewayLab.create()
  await Promise.all([serveHttp(lab.server), serveEcho(lab.server)])
  before = await lab.snapshot()
  capture = await lab.capture()
  mac = lab.gateway.mac('eth0')
})
afterEach(async () => {
  for (const name of lab.left()) expect((await lab.tsnat('down', '--name', name)).code).toBe(ExitCode.ok)
  expect(await lab.snapshot()).toEqual(before)
  await lab.close()
})

const owned = (...addresses: string[]): string[] => ['--wan-address', `owned:${addresses.map((one) => `${one}/24`).join(',')}`]
const page = (...options: string[]): Promise<string> => fetchPage(lab.client, `http://${SERVER}/`, ...options)

/** Over ARP, ping, TCP, UDP, far and near. */
const works = async (): Promise<void> => {
  const { client, server } = lab
  expect(await page()).toContain(`${OWNED} `)
  expect(await fetchPage(client, `http://${REMOTE}/`)).toContain(`${OWNED} `)
  expect((await client.run('ping', ['-c', '1', '-W', '5', REMOTE])).code).toBe(0)
  await lab.forgetNeighbours(server)
  for (const [size, ...from] of [['56'], ['4000'], ['56', '-I', REMOTE]]) {
    expect((await server.run('ping', ['-c', '1', '-W', '2', '-s', size!, ...from, OWNED])).stdout).toContain('1 received')
  }
  expect(await lab.ip(server, `neigh show ${OWNED}`)).toContain(mac)
}

describe('an owned address', () => {
  it('beside the host\'s own', async () => {
    const { gateway, server } = lab
    await serveHttp(gateway, 8080)
    await lab.up(...owned(OWNED), '--wan-gateway', SERVER)
    await works()
    expect(await lab.status()).toMatchObject({ state: 'ready', wans: [{ addressMode: 'owned', address: OWNED, nextHop: SERVER, ports: '1-65535' }] })
    // The host has all of its ports.
    expect(gateway.readSysctl('net.ipv4.ip_local_reserved_ports')).toBe('')
    expect(await fetchPage(gateway, `http://${SERVER}/`)).toContain(`${GATEWAY} `)
    expect(await fetchPage(server, `http://${GATEWAY}:8080/`)).toContain(SERVER)
  })

  it('without a default route of the kernel\'s, without any address of the kernel\'s', async () => {
    await lab.ip(lab.gateway, `addr del ${GATEWAY}/24 dev eth0`)
    before = await lab.snapshot()
    await lab.up(...owned(OWNED), '--wan-gateway', SERVER)
    await works()
    expect(await capture.packets(`src host ${GATEWAY}`)).toEqual([])
  })

  it('with the kernel\'s default route for a next hop', async () => {
    await lab.up(...owned(OWNED))
    await works()
    expect((await lab.status()).wans[0]!.nextHop).toBe(SERVER)
  })

  it('may use every port, and keeps the client\'s', async () => {
    await lab.up(...owned(OWNED))
    for (const port of [1, 600, 1024, 22222, 65535]) expect(await page('--local-port', String(port))).toBe(`${OWNED} ${port}`)
    await lab.tsnat('conntrack', '-D')
    const talker = await Talker.start(lab.client, SERVER)
    expect((await lab.flows()).filter(({ original, reply }) => original.sport !== reply.dport)).toEqual([])
    await talker.stop()
  })

  it('several of them: all are answered for', async () => {
    await lab.up(...owned(OWNED, SECOND))
    expect(await page()).toContain(`${OWNED} `)
    for (const address of [OWNED, SECOND]) expect((await lab.server.run('ping', ['-c', '1', '-W', '5', address])).code).toBe(0)
  })

  it('a forwarding host neither answers nor forwards what comes to it', async () => {
    const { client, gateway, server } = lab
    gateway.sysctl('net.ipv4.ip_forward', 1)
    before = await lab.snapshot()
    await lab.up(...owned(OWNED))
    const talker = await Talker.start(client, SERVER, 7, 'talk')
    await lab.ip(client, 'link set eth0 down')
    expect((await lab.tsnat('conntrack', '-D')).code).toBe(0)
    const talking = `dst host ${OWNED} and (tcp or udp)`
    const count = (await capture.packets(talking)).length
    // Late packets, and packets to no flow at all.
    await until(async () => (await capture.packets(talking)).length > count + 10)
    expect(await fetchPage(server, `http://${OWNED}:40000/`, '--max-time', '0.5')).toBe('error 28')
    await server.run('ping', ['-c', '2', '-i', '0.2', OWNED])
    expect(await capture.packets('icmp[icmptype] = icmp-unreach or icmp[icmptype] = icmp-redirect or tcp[tcpflags] & tcp-rst != 0')).toEqual([])
    // Nothing that was sent to it came back.
    expect(await capture.packets(`dst host ${OWNED} and ether src ${mac} and not arp`)).toEqual([])
    expect(await capture.packets(`arp and src host ${GATEWAY} and dst host ${OWNED}`)).toEqual([])
    await talker.stop()
  })

  it('the host\'s own traffic leaves from it, too, when captured', async () => {
    await lab.up(...owned(OWNED), '--capture', 'default')
    expect(await fetchPage(lab.gateway, `http://${REMOTE}/`)).toContain(`${OWNED} `)
    expect(await fetchPage(lab.gateway, `http://${SERVER}/`)).toContain(`${GATEWAY} `)
  })

  it('a neighbour with another MAC address, and the WAN made anew', async () => {
    const { gateway, server } = lab
    await lab.up(...owned(OWNED), '--wan-gateway', SERVER)
    expect(await page()).toContain(`${OWNED} `)
    await lab.ip(server, 'link set eth0 address 02:00:00:00:00:77')
    // It has to ask for tsnat's address by itself; the question tells who it is.
    expect((await server.run('ping', ['-c', '1', '-W', '2', OWNED])).code).toBe(0)
    expect(await page()).toContain(`${OWNED} `)
    await lab.ip(gateway, 'link del eth0')
    await lab.untilStatus(({ state }) => state === 'degraded')
    await lab.lab.link(gateway, { name: 'eth0', address: `${GATEWAY}/24` }, server, { name: 'eth0', address: `${SERVER}/24` })
    await lab.untilStatus(({ state }) => state === 'ready')
    await until(async () => (await page('--max-time', '1')).startsWith(`${OWNED} `), page)
    await lab.tsnat('down')
    await gateway.route('default', SERVER)
  })
})

it('refuses an address that the kernel has', async () => {
  const { code, stderr, stdout } = await lab.tsnat('up', '--wan', 'eth0', ...owned(GATEWAY))
  expect({ code, stdout, stderr }).toEqual({
    code: ExitCode.config,
    stdout: '',
    stderr: `tsnat: ${GATEWAY} is to be tsnat's own address, but the kernel has it on eth0\n`
      + `  hint: remove it there (ip address del ${GATEWAY}/24 dev eth0), or share it: --wan-address shared\n`,
  })
})
