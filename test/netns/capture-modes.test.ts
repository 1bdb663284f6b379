/** Which traffic enters the TUN, by --capture, --netns and --lan-address, with real programs. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { CLIENT, fetchPage, GATEWAY, GatewayLab, REMOTE, serveHttp, SERVER, until } from './gateway-support.js'

let lab: GatewayLab
let before: string[]
beforeEach(async () => {
  lab = await GatewayLab.create()
  await serveHttp(lab.server)
  before = await lab.snapshot()
})
afterEach(async () => {
  for (const name of lab.left()) expect((await lab.tsnat('down', '--name', name)).code).toBe(0)
  expect(await lab.snapshot()).toEqual(before)
  await lab.close()
})

/** Inside addresses of the flows there are. */
const sources = async (): Promise<string[]> => [...new Set((await lab.flows()).map(({ original }) => original.src))].sort()
const pings = async (namespace: LabNamespace, address: string, ...options: string[]): Promise<boolean> =>
  (await namespace.run('ping', ['-c', '1', '-W', '5', ...options, address])).code === 0

describe('--capture default', () => {
  beforeEach(async () => {
    await lab.up('--capture', 'default')
  })

  it('takes what the host sends by its default route, and leaves alone what is on the link', async () => {
    const { gateway } = lab
    expect(await fetchPage(gateway, `http://${SERVER}/`)).toContain(`${GATEWAY} `)
    expect(await pings(gateway, CLIENT)).toBe(true)
    expect(await sources()).toEqual([])
    expect(await fetchPage(gateway, `http://${REMOTE}/`)).toContain(`${GATEWAY} `)
    expect(await pings(gateway, REMOTE)).toBe(true)
    expect(await sources()).toEqual(['10.77.0.2'])
    expect((await lab.flows()).map(({ protocol }) => protocol).sort()).toEqual(['icmp', 'tcp'])
  })

  it('keeps connections to the host working, from near and far', async () => {
    const { gateway, server } = lab
    await serveHttp(gateway, 8080)
    expect(await fetchPage(server, `http://${GATEWAY}:8080/`)).toContain(SERVER)
    expect(await fetchPage(server, `http://${GATEWAY}:8080/`, '--interface', REMOTE)).toContain(REMOTE)
    expect(await pings(server, GATEWAY, '-I', REMOTE)).toBe(true)
    expect(await sources()).toEqual([])
  })

  it('lets pass what asks for the WAN device', async () => {
    expect(await fetchPage(lab.gateway, `http://${REMOTE}/`, '--interface', 'eth0')).toContain(`${GATEWAY} `)
    expect(await sources()).toEqual([])
  })

  it('tsnat itself is the first address of the subnet, and answers pings', async () => {
    expect(await pings(lab.gateway, '10.77.0.1')).toBe(true)
    expect(await pings(lab.gateway, '10.77.0.1', '-s', '4000')).toBe(true)
    expect(await lab.flows()).toEqual([])
    expect((await lab.status()).lan).toMatchObject({ gatewayAddress: '10.77.0.1', capture: 'default', addresses: ['10.77.0.2/24'], netns: null })
  })
})

it('--capture none leaves routing alone; who asks for the TUN gets it', async () => {
  const { gateway } = lab
  await lab.up('--capture', 'none')
  expect(await lab.ip(gateway, 'rule')).not.toContain('2981')
  expect(await fetchPage(gateway, `http://${REMOTE}/`)).toContain(`${GATEWAY} `)
  expect(await lab.flows()).toEqual([])
  await lab.ip(gateway, `route add ${REMOTE}/32 dev tun0`)
  expect(await fetchPage(gateway, `http://${REMOTE}/`)).toContain(`${GATEWAY} `)
  expect(await sources()).toEqual(['10.77.0.2'])
})

describe('--capture iif=…', () => {
  let second: LabNamespace
  beforeEach(async () => {
    second = await lab.lab.namespace('second')
    await lab.lab.link(second, { name: 'eth0', address: '192.168.2.2/24' }, lab.gateway, { name: 'eth2', address: '192.168.2.1/24' })
    await second.route('default', '192.168.2.1')
    await Promise.all([serveHttp(lab.client), serveHttp(lab.gateway, 8080)])
    before = await lab.snapshot()
  })

  it('takes what arrives on each of them, but not what goes from one to the other, or to the host', async () => {
    await lab.up('--capture', 'iif=eth1,eth2')
    for (const from of [lab.client, second]) {
      for (const to of [SERVER, REMOTE]) expect(await fetchPage(from, `http://${to}/`)).toContain(`${GATEWAY} `)
      expect(await fetchPage(from, 'http://192.168.1.1:8080/')).toMatch(/^192\.168\./)
    }
    expect(await sources()).toEqual([CLIENT, '192.168.2.2'])
    expect(await fetchPage(second, `http://${CLIENT}/`)).toContain('192.168.2.2 ')
    expect((await lab.flows()).filter(({ original }) => original.dst === CLIENT)).toEqual([])
    expect(await pings(lab.client, '10.77.0.1')).toBe(true)
  })

  it('leaves the others, and the host itself, alone', async () => {
    await lab.up('--capture', 'iif=eth2')
    expect(await fetchPage(second, `http://${REMOTE}/`)).toContain(`${GATEWAY} `)
    expect(await fetchPage(lab.client, `http://${REMOTE}/`, '--max-time', '0.5')).toBe('error 28')
    expect(await fetchPage(lab.gateway, `http://${REMOTE}/`)).toContain(`${GATEWAY} `)
    expect(await sources()).toEqual(['192.168.2.2'])
  })
})

describe('--netns', () => {
  let app: LabNamespace
  let inside: string[]
  beforeEach(async () => {
    app = await lab.lab.namespace('app')
    inside = await lab.snapshot(app)
  })

  it.each(['name', 'path', 'pid'] as const)('by %s: the TUN is there, tsnat stays here', async (how) => {
    const sleeper = app.spawn('sleep', ['60'])
    if (how === 'name') app.bind()
    const target = { name: app.name, path: app.path, pid: String(sleeper.pid) }[how]
    await lab.up('--netns', target)
    expect(await lab.ip(app, 'route')).toContain('default via 10.77.0.1 dev tun0')
    expect(await lab.ip(lab.gateway, '-br link')).not.toContain('tun0')
    expect(await fetchPage(app, `http://${REMOTE}/`)).toContain(`${GATEWAY} `)
    expect(await fetchPage(app, `http://${SERVER}/`)).toContain(`${GATEWAY} `)
    expect(await pings(app, '10.77.0.1')).toBe(true)
    expect(await sources()).toEqual(['10.77.0.2'])
    expect((await lab.status()).lan.netns).toBe(target)
    expect((await lab.tsnat('down')).code).toBe(0)
    await until(async () => !(await lab.ip(app, '-br link')).includes('tun0'))
    expect(await lab.snapshot(app)).toEqual(inside)
  })

  it('kill -9 leaves nothing there either', async () => {
    const up = await lab.up('--netns', app.path)
    up.kill('SIGKILL')
    await up.done
    expect((await lab.tsnat('down')).code).toBe(0)
    expect(await lab.snapshot(app)).toEqual(inside)
  })

  it('goes with the MTU of the WAN there, too', async () => {
    await lab.up('--netns', app.path)
    await lab.ip(lab.gateway, 'link set eth0 mtu 1400')
    await until(async () => (await lab.ip(app, 'link show tun0')).includes('mtu 1400'))
    await lab.ip(lab.gateway, 'link set eth0 mtu 1500')
    await until(async () => (await lab.ip(app, 'link show tun0')).includes('mtu 1500'))
  })
})

it('--lan-address chooses another subnet, --lan another name', async () => {
  await lab.up('--capture', 'default', '--lan-address', '172.20.5.9/28', '--lan', 'nat9')
  expect(await lab.ip(lab.gateway, 'addr show nat9')).toContain('inet 172.20.5.9/28')
  expect(await pings(lab.gateway, '172.20.5.1')).toBe(true)
  expect(await fetchPage(lab.gateway, `http://${REMOTE}/`)).toContain(`${GATEWAY} `)
  expect(await sources()).toEqual(['172.20.5.9'])
})
