/** Pools of outside addresses with real programs: who is seen where, for TCP, UDP and ping alike. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ExitCode } from '../../src/errors.js'
import { CLIENT, fetchPage, GATEWAY, GatewayLab, REMOTE, serveEcho, serveHttp, SERVER, until } from './gateway-support.js'
import type { Capture } from './gateway-support.js'

const OWNED = '203.0.113.50'
/** On the link, and not. */
const POOL = '203.0.113.51-203.0.113.52,198.18.7.9'
const ADDRESSES = ['203.0.113.51', '203.0.113.52', '198.18.7.9']

let lab: GatewayLab
let before: string[]
let capture: Capture
beforeEach(async () => {
  lab = await GatewayLab.create()
  await Promise.all([serveHttp(lab.server), serveEcho(lab.server)])
  // The upstream router's share: addresses that are not on the link are behind the owned one.
  await lab.ip(lab.server, `route add 198.18.7.9/32 via ${OWNED}`)
  for (let number = 3; number < 20; number++) await lab.ip(lab.client, `addr add 192.168.1.${number}/24 dev eth0`)
  before = await lab.snapshot()
  capture = await lab.capture()
})
afterEach(async () => {
  for (const name of lab.left()) expect((await lab.tsnat('down', '--name', name)).code).toBe(ExitCode.ok)
  expect(await lab.snapshot()).toEqual(before)
  await lab.close()
})

const page = (host: string, options: readonly string[] = []): Promise<string> => fetchPage(lab.client, `http://${SERVER}/`, '--interface', host, ...options)
const seenBy = async (host: string): Promise<string> => (await page(host)).split(' ')[0]!

/** One datagram by nc, one ping; the addresses that the server saw them from. */
const others = async (host: string): Promise<Set<string>> => {
  const { client } = lab
  const word = `from-${host}`
  const echo = await lab.run(client, 'sh', ['-c', `echo ${word} | timeout 3 nc -u -w 1 -s ${host} ${SERVER} 7`])
  expect(echo.stdout).toContain(word)
  expect((await client.run('ping', ['-c', '1', '-W', '2', '-I', host, REMOTE])).stdout).toContain('1 received')
  const flows = (await lab.flows()).filter(({ original, protocol }) => original.src === host && protocol !== 'tcp')
  expect(new Set(flows.map(({ protocol }) => protocol))).toEqual(new Set(['udp', 'icmp']))
  return new Set(flows.map(({ reply }) => reply.dst))
}

describe('a pool beside an owned address', () => {
  it('UDP-2, CGN-2, CGN-3: each inside host has one address of three, for TCP, UDP and ping', async () => {
    await lab.up('--wan-address', `owned:${OWNED}/24`, '--wan-gateway', SERVER, '--nat', `pool=${POOL}`)
    expect((await lab.status()).wans[0]!).toMatchObject({ addressMode: 'owned', pool: POOL })
    const seen = new Map<string, string>()
    for (let number = 2; number < 20; number++) seen.set(`192.168.1.${number}`, await seenBy(`192.168.1.${number}`))
    expect(new Set(seen.values())).toEqual(new Set(ADDRESSES))
    for (const address of ADDRESSES) {
      const [host] = [...seen].find(([, one]) => one === address)!
      expect(await seenBy(host)).toBe(address)
      expect(await others(host)).toEqual(new Set([address]))
      // What the wire says.
      for (const protocol of ['tcp', 'udp', 'icmp']) expect((await capture.packets(`${protocol} and src host ${address}`)).length).toBeGreaterThan(0)
      expect((await lab.server.run('ping', ['-c', '1', '-W', '2', address])).stdout).toContain('1 received')
    }
    expect(await capture.packets('src net 192.168.0.0/16')).toEqual([])
    // The link is told of those that are on it, and of no other.
    expect(await capture.packets('arp[6:2] = 2 and arp src host 203.0.113.51')).not.toEqual([])
    expect(await capture.packets('arp src host 198.18.7.9')).toEqual([])
    expect(await lab.ip(lab.server, 'neigh show 203.0.113.52')).toContain(lab.gateway.mac('eth0'))
    // After a restart as before.
    await lab.tsnat('down')
    await lab.up('--wan-address', `owned:${OWNED}/24`, '--wan-gateway', SERVER, '--nat', `pool=${POOL}`)
    for (const [host, address] of [...seen].slice(0, 5)) expect(await seenBy(host)).toBe(address)
  })

  it('the host\'s kernel does not forward what comes to it', async () => {
    lab.gateway.sysctl('net.ipv4.ip_forward', 1)
    before = await lab.snapshot()
    await lab.up('--wan-address', `owned:${OWNED}/24`, '--wan-gateway', SERVER, '--nat', `pool=${POOL}`)
    expect(await fetchPage(lab.server, 'http://198.18.7.9:8099/', '--max-time', '0.5')).toBe('error 28')
    expect(await capture.packets('src host 198.18.7.9 or icmp')).toEqual([])
  })

  it('an address of the pool that the kernel has is named', async () => {
    await lab.ip(lab.gateway, 'addr add 203.0.113.52/32 dev eth0')
    const { code, stderr } = await lab.tsnat('up', '--wan', 'eth0', '--capture', 'none', '--wan-address', `owned:${OWNED}/24`, '--nat', `pool=${POOL}`)
    expect([code, stderr]).toEqual([ExitCode.config, expect.stringContaining('203.0.113.52 is to be tsnat\'s own address, but the kernel has it on eth0')])
    await lab.ip(lab.gateway, 'addr del 203.0.113.52/32 dev eth0')
  })

  it('CGN-3: as large as it may be', async () => {
    await lab.up('--wan-address', `owned:${OWNED}/24`, '--wan-gateway', SERVER, '--nat', 'pool=198.18.0.0/16')
    await lab.ip(lab.server, `route add 198.18.0.0/16 via ${OWNED}`)
    expect(await seenBy(CLIENT)).toMatch(/^198\.18\./)
    expect(await others(CLIENT)).toEqual(new Set([await seenBy(CLIENT)]))
  })
})

describe('a pool of the kernel\'s addresses', () => {
  it('follows what the WAN has', async () => {
    const { gateway } = lab
    for (const one of ['203.0.113.51', '203.0.113.52']) await lab.ip(gateway, `addr add ${one}/24 dev eth0`)
    const up = await lab.up('--nat', 'pool=203.0.113.51-203.0.113.53')
    expect(up.stderr).toContain('the WAN does not have all addresses of nat.pool')
    const seen = new Set<string>()
    for (let number = 2; number < 20; number++) seen.add(await seenBy(`192.168.1.${number}`))
    expect(seen).toEqual(new Set(['203.0.113.51', '203.0.113.52']))
    await lab.ip(gateway, 'addr del 203.0.113.51/24 dev eth0')
    await lab.untilStatus(({ wans: [wan] }) => !wan!.addresses.includes('203.0.113.51/24'))
    await until(async () => (await seenBy(CLIENT)) === '203.0.113.52')
    await lab.ip(gateway, 'addr del 203.0.113.52/24 dev eth0')
    await lab.untilStatus(({ state, reasons }) => state === 'degraded' && reasons.includes('interface eth0 has none of the addresses of nat.pool'))
    expect(await page(CLIENT)).toBe('error 7')
    expect(await fetchPage(gateway, `http://${SERVER}/`)).toContain(GATEWAY)
  })
})

describe('deterministic NAT', () => {
  it('DET-1, DET-5: real clients are seen from the ports that the command computes', async () => {
    const values = ['--nat', 'deterministic.inside=192.168.1.0/27', '--nat', 'deterministic.dynamic=2', '--nat', 'pool=203.0.113.51-203.0.113.52']
    const up = await lab.up('--wan-address', `owned:${OWNED}/24`, '--wan-gateway', SERVER, ...values, '--log-format', 'json')
    const record = up.stderr.split('\n').filter((line) => line.includes('deterministic NAT')).map((line) => JSON.parse(line) as { deterministic: object })
    expect(record.map(({ deterministic }) => deterministic)).toEqual([
      { time: expect.any(String) as string, I: '192.168.1.0/27', O: '203.0.113.51-203.0.113.52', D: 2, M: 0, A: 0, R: 1024 },
    ])
    const compute = ['deterministic', '--inside', '192.168.1.0/27', '--outside', '203.0.113.51-203.0.113.52', '--dynamic', '2', '--json']
    for (const host of ['192.168.1.2', '192.168.1.18']) {
      const [address, port] = (await page(host)).split(' ') as [string, string]
      const { first, last, outside } = JSON.parse((await lab.tsnat(...compute, host)).stdout) as { first: number; last: number; outside: string }
      expect([address, Number(port) >= first && Number(port) <= last]).toEqual([outside, true])
      expect(await others(host)).toEqual(new Set([outside]))
      const ids = (await lab.flows()).filter(({ original, protocol }) => protocol === 'icmp' && original.src === host).map(({ reply }) => reply.id!)
      for (const id of ids) expect(id >= first && id <= last).toBe(true)
      expect(JSON.parse((await lab.tsnat(...compute, `${address}:${port}`)).stdout)).toMatchObject({ inside: host })
    }
  })
})
