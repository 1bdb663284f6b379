/** Redirectors of a gateway: their rules in a real rule set, their listeners on loopback. */
import { connect } from 'node:net'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import type { PolicyRequest, RedirectLine, RedirectRequest } from '../../src/api/types.js'
import { PolicyService } from '../../src/control/policy-service.js'
import { Redirects } from '../../src/control/redirects.js'
import type { Device } from '../../src/route/connected.js'
import { connectedRoutes } from '../../src/route/connected.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'
import { freePort, KernelSockets } from '../redirect/support.js'

const device = (number: number, name: string, own: string): Device =>
  ({ number, name, up: true, addresses: [{ address: parseIpv4(own)!, prefixLength: 24, primary: true }] })
const DEVICES = [device(1, 'lo', '127.0.0.1'), device(2, 'tun0', '10.77.0.1'), device(3, 'eth0', '203.0.113.1')]

const bed = async () => {
  const logged: Record<string, unknown>[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => logged.push(JSON.parse(line) as Record<string, unknown>) })
  const service = new PolicyService({ log, interfaces: ['lo', 'tun0', 'eth0'], seed: 1, now: () => 0, random: () => 1, date: () => new Date(0) })
  await service.setLinks(DEVICES, connectedRoutes(DEVICES))
  const run = async (words: string): Promise<string> => {
    const [tool, ...argv] = words.split(' ')
    const { output, errors } = await service.run({ tool: tool as PolicyRequest['tool'], argv, input: null })
    return output + errors
  }
  const sockets = new KernelSockets()
  sockets.meant.set('127.0.0.1', { address: '192.0.2.80', port: 80 })
  const redirects = new Redirects({ sockets, policy: (request) => service.run(request), lan: { name: 'tun0', address: '127.0.0.1' }, log })
  return { redirects, sockets, logged, run, everything: async () => [await run('iptables-save'), await run('ip rule'), await run('ip route show table all')] }
}

let opened: Redirects[] = []
afterEach(async () => {
  for (const redirects of opened) await redirects.close()
  opened = []
})

const settings = async (more: Partial<RedirectRequest> = {}): Promise<RedirectRequest> =>
  ({ to: 'socks5://192.0.2.1:1081', protocols: ['tcp', 'udp'], by: 'tproxy', port: await freePort(), exclude: [], rules: true, interval: 1, ...more })

const open = async () => {
  const made = await bed()
  opened.push(made.redirects)
  return made
}

describe('rules of a redirector', () => {
  it('by TPROXY stand in a chain of their own, and go with it', async () => {
    const { redirects, run, everything } = await open()
    await run('iptables -t mangle -A PREROUTING -j MARK --set-mark 7')
    const before = await everything()
    const request = await settings({ exclude: ['10.0.0.0/8'] })
    await redirects.start(request)
    const chain = `TSNAT_REDIRECT_${request.port}`
    const rules = (await run('iptables -t mangle -S')).split('\n').filter((line) => line.startsWith('-A'))
    expect(rules).toEqual([
      '-A PREROUTING -j MARK --set-xmark 0x7/0xffffffff',
      `-A PREROUTING -i tun0 -p tcp -j ${chain}`,
      `-A PREROUTING -i tun0 -p udp -j ${chain}`,
      ...['192.0.2.1/32', '10.0.0.0/8', '0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4'].map((prefix) => `-A ${chain} -d ${prefix} -j RETURN`),
      `-A ${chain} -m addrtype --dst-type LOCAL -j RETURN`,
      ...['tcp', 'udp'].map((protocol) => `-A ${chain} -p ${protocol} -j TPROXY --on-port ${request.port} --on-ip 127.0.0.1 --tproxy-mark 0x40000000/0x40000000`),
    ])
    expect(await run('ip rule')).toContain('fwmark 0x40000000/0x40000000 lookup 10080')
    expect(await run('ip route show table 10080')).toBe('local default dev lo scope host \n')
    expect(redirects.status()).toMatchObject([{ to: 'socks5://192.0.2.1:1081', by: 'tproxy', address: '127.0.0.1', port: request.port, error: null }])
    await redirects.close()
    expect(await everything()).toEqual(before)
    expect(redirects.status()).toEqual([])
  })

  it('by REDIRECT are in table nat, and need no routing', async () => {
    const { redirects, run, everything } = await open()
    const before = await everything()
    const request = await settings({ by: 'redirect', protocols: ['tcp'] })
    await redirects.start(request)
    expect(await run('iptables -t nat -S')).toContain(`-A TSNAT_REDIRECT_${request.port} -p tcp -j REDIRECT --to-ports ${request.port}\n`)
    expect(await run('ip rule')).toBe(before[1])
    await redirects.close()
    expect(await everything()).toEqual(before)
  })

  it('are none when they are the user\'s business', async () => {
    const { redirects, everything } = await open()
    const before = await everything()
    await redirects.start(await settings({ rules: false }))
    expect(redirects.status()).toMatchObject([{ address: '0.0.0.0' }])
    expect(await everything()).toEqual(before)
  })

  it('of several stand side by side; the routing goes with the last', async () => {
    const { redirects, run, everything } = await open()
    const before = await everything()
    const abort = [new AbortController(), new AbortController()]
    const lines = await Promise.all(abort.map(async ({ signal }) => {
      const follow = redirects.follow(await settings(), signal)
      await follow.next()
      return follow
    }))
    const finish = async (which: number): Promise<void> => {
      abort[which]!.abort()
      while ((await lines[which]!.next()).done !== true);
    }
    expect((await run('ip rule')).match(/fwmark/g)).toHaveLength(1)
    await finish(0)
    expect((await run('ip rule')).match(/fwmark/g)).toHaveLength(1)
    await finish(1)
    expect(await everything()).toEqual(before)
  })

  it('that somebody has removed meanwhile are no matter', async () => {
    const { redirects, run } = await open()
    await redirects.start(await settings())
    await run('iptables -t mangle -F')
    await run('iptables -t mangle -X')
    await run('ip rule flush')
    await redirects.close()
    expect(redirects.status()).toEqual([])
  })
})

describe('a redirector', () => {
  it('whose port is taken is refused, and the other one stays', async () => {
    const { redirects, run } = await open()
    const request = await settings()
    await redirects.start(request)
    const before = await run('iptables-save')
    await expect(redirects.start(request)).rejects.toMatchObject({ code: 'REDIRECT_PORT' })
    expect(await run('iptables-save')).toBe(before)
    expect(redirects.status()).toHaveLength(1)
  })

  it('that cannot listen leaves nothing', async () => {
    const { redirects, everything } = await open()
    const other = await open()
    const before = await everything()
    const request = await settings({ protocols: ['tcp'] })
    await other.redirects.start(request)
    await expect(redirects.start(request)).rejects.toMatchObject({ code: 'REDIRECT_PORT', message: expect.stringContaining('EADDRINUSE') })
    expect(await everything()).toEqual(before)
    await other.redirects.close()
    await redirects.start(request)
  })

  it('whose upstream has no address is refused', async () => {
    const { redirects } = await open()
    await expect(redirects.start(await settings({ to: 'socks5://proxy.invalid' }))).rejects.toMatchObject({ code: 'UPSTREAM_NAME' })
  })

  it('whose rules are refused leaves nothing', async () => {
    const { redirects, run, everything } = await open()
    const request = await settings()
    // Somebody has the table that its routing is in.
    await run('ip route add local default dev lo table 10080')
    const before = await everything()
    await expect(redirects.start(request)).rejects.toMatchObject({ code: 'REDIRECT_RULES' })
    expect(redirects.status()).toEqual([])
    expect(await everything()).toEqual(before)
    await run('ip route del local default dev lo table 10080')
    await redirects.start(request)
  })

  it('tells when it began, what has changed, and when it has ended', async () => {
    const { redirects, logged } = await open()
    const abort = new AbortController()
    const port = await freePort()
    const request = await settings({ to: `socks5://127.0.0.1:${port}`, protocols: ['tcp'] })
    const lines: RedirectLine[] = []
    let failed = false
    for await (const batch of redirects.follow(request, abort.signal)) {
      lines.push(...batch)
      if (lines.length === 1) connect(request.port, '127.0.0.1').on('error', () => { failed = true })
      if (lines.at(-1)!.tcp.failed === 1) abort.abort()
    }
    expect(failed).toBe(true)
    expect(lines.map(({ type }) => type)).toEqual(['started', ...lines.slice(1, -1).map(() => 'status'), 'ended'])
    expect(lines.at(-1)).toMatchObject({ tcp: { failed: 1, opened: 0, active: 0 }, error: expect.stringContaining('ECONNREFUSED') })
    expect(logged.filter(({ msg }) => msg === 'the upstream cannot be used')).toHaveLength(1)
    expect(redirects.status()).toEqual([])
  })
})
