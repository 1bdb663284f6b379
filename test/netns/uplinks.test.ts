/**
 * Two WANs to two networks, in each of which one and the same remote address is:
 *
 *     client 192.168.1.2 ── eth1 gateway eth0 203.0.113.1 ── 203.0.113.9 server  198.51.100.1
 *                                        eth2 192.0.2.1   ── 192.0.2.9   second  198.51.100.1
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { LabNamespace, LabProcess } from '../../src/testing/lab/index.js'
import { CLI, CLIENT, fetchPage, GATEWAY, GatewayLab, REMOTE, serveEcho, serveHttp, SERVER, Talker, until } from './gateway-support.js'

const GATEWAY_2 = '192.0.2.1'
const SERVER_2 = '192.0.2.9'
/** The same next hop on both links. */
const ROUTER = '10.9.9.1'
const FORWARDS = ['--forward', `tcp:8080:${CLIENT}:80`, '--forward', `tcp:7777:${CLIENT}:7`, '--forward', `udp:7777:${CLIENT}:7`]

let lab: GatewayLab
let second: LabNamespace
let up: LabProcess | undefined
const joinSecond = async (): Promise<void> => {
  await lab.lab.link(lab.gateway, { name: 'eth2', address: `${GATEWAY_2}/24` }, second, { name: 'eth0', address: `${SERVER_2}/24` })
  await lab.ip(lab.gateway, `route add default via ${SERVER_2} dev eth2 metric 200`)
  await lab.ip(second, `addr add ${ROUTER}/24 dev eth0`)
}

beforeAll(async () => {
  lab = await GatewayLab.create()
  second = await lab.lab.namespace('second')
  await joinSecond()
  await lab.ip(second, `addr add ${REMOTE}/32 dev lo`)
  await lab.ip(lab.server, `addr add ${ROUTER}/24 dev eth0`)
  await Promise.all([serveHttp(lab.client), serveEcho(lab.client), serveHttp(lab.server)])
})
afterAll(() => lab.close())
afterEach(async () => {
  // Whatever happened, it stops in good order and leaves nothing.
  up?.kill('SIGINT')
  expect((await up?.done)?.code ?? 0).toBe(0)
  up = undefined
  expect((await lab.gateway.snapshot()).filter((line) => /^rule/.test(line))).toHaveLength(3)
})

/** The page of the client, as the remote of that network gets it through a forwarded port. */
const pageFrom = (namespace: LabNamespace, address: string): Promise<string> => fetchPage(namespace, `http://${address}:8080/`, '--interface', REMOTE)
const served = /^198\.51\.100\.1 \d+$/
const wansUp = (...more: string[]): Promise<LabProcess> => lab.up('--wan', 'eth0', '--wan', 'eth2', ...FORWARDS, ...more)

describe('two WANs', () => {
  it('what comes in by either is answered by it, though the remote is the same', async () => {
    up = await wansUp()
    const [first, other] = await Promise.all([lab.capture(lab.server), lab.capture(second)])
    expect(await pageFrom(lab.server, GATEWAY)).toMatch(served)
    expect(await pageFrom(second, GATEWAY_2)).toMatch(served)
    const talkers = await Promise.all([Talker.start(lab.server, GATEWAY, 7777), Talker.start(second, GATEWAY_2, 7777)])
    await Promise.all([first.stop(), other.stop()])
    for (const [capture, own, foreign] of [[first, GATEWAY, GATEWAY_2], [other, GATEWAY_2, GATEWAY]] as const) {
      expect(await capture.packets(`tcp and src ${own}`)).not.toEqual([])
      expect(await capture.packets(`host ${foreign} or net 192.168.1.0/24`)).toEqual([])
    }
    for (const talker of talkers) expect(talker.errors).toEqual([])
    await Promise.all(talkers.map((talker) => talker.stop()))
    const { state, wans, drops } = await lab.status()
    expect({ state, drops }).toEqual({ state: 'ready', drops: {} })
    expect(wans.map(({ name, address, nextHop, state: each }) => [name, address, nextHop, each])).toEqual([
      ['eth0', GATEWAY, SERVER, 'ready'], ['eth2', GATEWAY_2, SERVER_2, 'ready'],
    ])
    for (const { rx, tx } of wans) expect(Math.min(rx.packets, tx.packets)).toBeGreaterThan(5)
  })

  it('what the LAN sends goes out', async () => {
    up = await wansUp()
    expect(await fetchPage(lab.client, `http://${SERVER}/`)).toMatch(new RegExp(`^${GATEWAY} `))
  })

  it('one that loses its link, or its interface, leaves the other alone, and serves again when it is back', async () => {
    up = await wansUp()
    const talkers = { first: await Talker.start(lab.server, GATEWAY, 7777), second: await Talker.start(second, GATEWAY_2, 7777) }
    await lab.ip(lab.server, 'link set eth0 down')
    const cut = await lab.untilStatus(({ wans }) => wans[0]!.state === 'degraded')
    expect(cut).toMatchObject({ state: 'ready', reasons: [], wans: [{ up: false, reasons: [expect.stringContaining('eth0 is down') as string] }, { state: 'ready', reasons: [] }] })
    await talkers.second.hears()
    expect(await pageFrom(second, GATEWAY_2)).toMatch(served)
    const { stdout } = await lab.tsnat('status')
    expect(stdout).toMatch(/^tsnat default: ready/)
    expect(stdout).toMatch(/^ {2}WAN +eth0 .*\n +! interface eth0 is down or has no carrier$/m)
    expect(stdout).toMatch(/^ {2}WAN +eth2 192\.0\.2\.1 via 192\.0\.2\.9 /m)

    await lab.ip(lab.server, 'link set eth0 up')
    await lab.untilStatus(({ wans }) => wans[0]!.state === 'ready')
    await talkers.first.hears()

    await lab.ip(lab.gateway, 'link del eth2')
    const gone = await lab.untilStatus(({ wans }) => wans[1]!.ifindex === 0)
    expect(gone).toMatchObject({ state: 'ready', wans: [{ state: 'ready' }, { state: 'degraded', reasons: ['interface eth2 does not exist'], addresses: [] }] })
    await talkers.first.hears()
    await joinSecond()
    await lab.untilStatus(({ wans }) => wans[1]!.state === 'ready')
    expect(await pageFrom(second, GATEWAY_2)).toMatch(served)
    expect(await pageFrom(lab.server, GATEWAY)).toMatch(served)
    expect(talkers.first.errors).toEqual([])
    for (const talker of Object.values(talkers)) await talker.stop()
  })

  it('without any, new flows cannot leave; the log says so once, and for each', async () => {
    up = await wansUp()
    for (const namespace of [lab.server, second]) await lab.ip(namespace, 'link set eth0 down')
    const { reasons } = await lab.untilStatus(({ state }) => state === 'degraded')
    expect(reasons).toEqual(expect.arrayContaining([expect.stringContaining('eth0 is down'), expect.stringContaining('eth2 is down')]))
    for (const namespace of [lab.server, second]) await lab.ip(namespace, 'link set eth0 up')
    await lab.untilStatus(({ state, wans }) => state === 'ready' && wans.every((wan) => wan.state === 'ready'))
    expect(await pageFrom(lab.server, GATEWAY)).toMatch(served)
    const lines = up.stderr.split('\n').map((line) => (line === '' ? '' : (JSON.parse(line) as { msg: string }).msg))
    for (const text of ['the WAN eth0 cannot be used: interface eth0 is down', 'the WAN eth2 cannot be used: interface eth2 is down', 'the WAN eth0 is usable again', 'the WAN eth2 is usable again']) {
      expect(lines.filter((line) => line.startsWith(text))).toHaveLength(1)
    }
    expect(lines.filter((line) => line.startsWith('new flows cannot leave'))).not.toEqual([])
    expect(lines).toContain('a WAN is usable again')
  })

  it('with a router of one address on both links, each goes to its own', async () => {
    // One shared, so that the kernel resolves; one with an address that tsnat has alone.
    up = await lab.up('--wan', `eth0,gateway=${ROUTER}`, '--wan', `eth2,address=owned:192.0.2.50/24,gateway=${ROUTER}`, ...FORWARDS)
    const [first, other] = await Promise.all([lab.capture(lab.server), lab.capture(second)])
    for (let round = 0; round < 2; round++) {
      expect(await pageFrom(lab.server, GATEWAY)).toMatch(served)
      expect(await pageFrom(second, '192.0.2.50')).toMatch(served)
    }
    await Promise.all([first.stop(), other.stop()])
    expect(await first.packets('host 192.0.2.50')).toEqual([])
    expect(await other.packets(`host ${GATEWAY}`)).toEqual([])
    const { wans, drops } = await lab.status()
    // Connections of earlier tests may still say something.
    expect(Object.keys(drops).filter((reason) => reason !== 'not-a-flow-opener')).toEqual([])
    expect(wans).toMatchObject([
      { nextHop: ROUTER, neighbour: lab.server.mac('eth0'), addressMode: 'shared' },
      { nextHop: ROUTER, addressMode: 'owned', addresses: ['192.0.2.50/24'], address: '192.0.2.50' },
    ])
  })

  it('a capture has each as an interface of its own', async () => {
    up = await wansUp()
    const file = join(lab.lab.temporaryDirectory(), 'both.pcapng')
    const recording = lab.gateway.spawn(process.execPath, [CLI, 'capture', '-i', 'wan', '-w', file], { env: lab.environment })
    await until(() => existsSync(file) && statSync(file).size > 0)
    expect(await pageFrom(lab.server, GATEWAY)).toMatch(served)
    expect(await pageFrom(second, GATEWAY_2)).toMatch(served)
    recording.kill('SIGINT')
    await recording.done
    const lines = async (filter: string): Promise<string[]> =>
      (await lab.gateway.run('tcpdump', ['-Z', 'root', '-n', '-r', file, filter], { check: true })).stdout.split('\n').filter(Boolean)
    for (const address of [GATEWAY, GATEWAY_2]) expect((await lines(`tcp port 8080 and host ${address}`)).length).toBeGreaterThan(4)
    const bytes = readFileSync(file, 'latin1')
    for (const name of ['eth0', 'eth2']) expect(bytes).toContain(name)
  })

  it('an instance on the second of them is refused what is taken', async () => {
    up = await wansUp()
    const { code, stderr } = await lab.tsnat('up', '--wan', 'eth2', '--name', 'other', '--lan', 'tun1', '--lan-address', '10.78.0.2/24', '--capture', 'none')
    expect([code, stderr]).toEqual([69, expect.stringContaining('interface "eth2" is in use by instance "default"')])
  })

  it('--capture default leaves alone what is bound to either, or comes from its address', async () => {
    up = await lab.up('--wan', 'eth0', '--wan', 'eth2', '--capture', 'default')
    const rules = await lab.ip(lab.gateway, 'rule')
    for (const rule of ['from all oif eth0', 'from all oif eth2', `from ${GATEWAY}`, `from ${GATEWAY_2}`]) expect(rules).toContain(`${rule} lookup main`)
    expect(await lab.ip(lab.gateway, `route get ${REMOTE} oif eth2`)).toContain('dev eth2')
    expect(await lab.ip(lab.gateway, `route get ${REMOTE}`)).toContain('dev tun0')
    expect(await fetchPage(lab.gateway, `http://${REMOTE}/`)).toMatch(new RegExp(`^${GATEWAY} `))
    expect(await lab.ip(lab.gateway, 'route show table main')).toContain(`default via ${SERVER_2} dev eth2 metric 200`)
  })

  it('by raw sockets what comes in is answered by the same', async () => {
    up = await wansUp('--wan-driver', 'raw')
    const [first, other] = await Promise.all([lab.capture(lab.server), lab.capture(second)])
    expect(await pageFrom(lab.server, GATEWAY)).toMatch(served)
    expect(await pageFrom(second, GATEWAY_2)).toMatch(served)
    await Promise.all([first.stop(), other.stop()])
    expect(await first.packets(`host ${GATEWAY_2}`)).toEqual([])
    expect(await other.packets(`host ${GATEWAY}`)).toEqual([])
  })
})
