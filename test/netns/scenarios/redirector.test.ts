/**
 * A transparent redirector (scenario S12), with real programs at all ends: curl and dig at the client, dante as the upstream, nginx and
 * dnsmasq as the servers behind it.
 *
 *     client 192.168.1.2 ── eth1  gateway  eth0 203.0.113.1 ── eth0 203.0.113.9 upstream, with the servers 198.51.100.1 and .2
 *
 * Who comes by the proxy comes from 203.0.113.9, who comes by NAT from 203.0.113.1.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { RedirectLine } from '../../../src/api/types.js'
import type { LabNamespace, LabProcess } from '../../../src/testing/lab/index.js'
import { startNginx } from '../../interop/nginx.js'
import { type Capture, until } from '../gateway-support.js'
import { Asker, Scenario, serveTeller, sourceOf } from './support.js'

const FLAGS = '--wan eth0 --wan-address owned:203.0.113.1/24 --wan-gateway 203.0.113.9 --capture iif=eth1 --log-level error'
const CLIENT = '192.168.1.2'
const GATEWAY = '203.0.113.1'
const PROXY = '203.0.113.9'
const SERVERS = ['198.51.100.1', '198.51.100.2'] as const
const TELLER_PORT = 8080

let bed: Scenario
let client: LabNamespace
let upstream: LabNamespace
let asker: Asker
let proxy: LabProcess
let files: string
let running: LabProcess

/** Rules, routing rules and routes of the gateway. */
const policy = async (): Promise<string[]> => [
  // Without its comments, which tell the time, and counters.
  (await bed.typed('tsnat iptables-save')).replaceAll(/^#.*\n|\[\d+:\d+\]/gm, ''), await bed.typed('tsnat ip rule'), await bed.typed('tsnat ip route show table all'),
]

const startProxy = async (): Promise<void> => {
  const directory = bed.lab.temporaryDirectory()
  writeFileSync(join(directory, 'danted.conf'), [
    'logoutput: stderr', `internal: ${PROXY} port = 1080`, `external: ${PROXY}`, 'clientmethod: none', 'socksmethod: none',
    'user.privileged: root', 'user.unprivileged: nobody', 'client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }', 'socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }', '',
  ].join('\n'))
  proxy = upstream.spawn('danted', ['-f', join(directory, 'danted.conf'), '-p', join(directory, 'pid')])
  await upstream.run('sh', ['-c', `until nc -z ${PROXY} 1080; do sleep 0.02; done`], { timeout: 10_000, check: true })
}

const killProxy = async (): Promise<void> => {
  proxy.kill('SIGKILL')
  await proxy.done
}

beforeEach(async () => {
  bed = await Scenario.create()
  client = await bed.host('client', `${CLIENT}/24`, 'eth1', '192.168.1.1/24')
  await client.route('default', '192.168.1.1')
  upstream = await bed.host('upstream', `${PROXY}/24`, 'eth0')
  for (const address of SERVERS) await bed.ip(upstream, `addr add ${address}/32 dev lo`)
  await serveTeller(upstream, TELLER_PORT, ...SERVERS)
  files = await startNginx(upstream, bed.lab.temporaryDirectory())
  const dns = upstream.spawn('dnsmasq', [
    '--keep-in-foreground', '--log-facility=-', '--no-resolv', '--no-hosts', '--user=root', `--pid-file=${join(bed.lab.temporaryDirectory(), 'pid')}`,
    ...SERVERS.map((address) => `--listen-address=${address}`), '--bind-interfaces', '--address=/www.example.test/192.0.2.80',
  ])
  await dns.waitFor(/started/)
  await startProxy()
  asker = new Asker(client)
})
afterEach(async () => {
  await bed.close()
})

const up = async (words = FLAGS): Promise<void> => {
  running = await bed.up(words)
}
/** The gateway ends as it should. */
const down = async (): Promise<void> => {
  running.kill('SIGINT')
  expect(await running.finish({ timeout: 15_000 })).toMatchObject({ code: 0, stderr: '' })
}

/** `tsnat redirect` in the background, once it redirects. */
const redirect = async (words: string): Promise<LabProcess> => {
  const started = bed.gateway.spawn('sh', ['-c', `exec tsnat redirect --json --interval 1 ${words}`], { env: bed.environment })
  await started.waitFor(/"started"/, 20_000)
  return started
}
const linesOf = ({ stdout }: LabProcess): RedirectLine[] => stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as RedirectLine)
const stop = async (process: LabProcess): Promise<RedirectLine> => {
  process.kill('SIGINT')
  expect(await process.finish({ timeout: 15_000 })).toMatchObject({ code: 0, stderr: '' })
  const last = linesOf(process).at(-1)!
  expect(last.type).toBe('ended')
  return last
}

const curl = async (...words: string[]): Promise<string> => {
  const { code, stdout } = await client.run('curl', ['-sS', '--max-time', '20', ...words], { timeout: 30_000 })
  return code === 0 ? stdout : `error ${code}`
}
const dig = async (...words: string[]): Promise<string> =>
  (await client.run('dig', ['+tries=1', '+time=3', '+short', ...words, 'www.example.test'], { timeout: 20_000 })).stdout.trim()
const seen = async (protocol: 'tcp' | 'udp', host: string = SERVERS[0]): Promise<string> => {
  const answer = await asker.ask({ protocol, host, port: TELLER_PORT, wait: 2000 })
  return answer.error ?? sourceOf(answer).address
}

/** Many connections at once, each of which the teller tells something; resolves with how many of them heard it. */
const CROWD = `
  import { connect } from 'node:net'
  const [, host, port, count] = process.argv
  let heard = 0
  let done = 0
  const finish = () => { if (++done === Number(count)) { console.log('heard ' + heard); process.exit(0) } }
  for (let index = 0; index < Number(count); index++) {
    const socket = connect(Number(port), host)
    socket.once('data', () => { heard++; finish() })
    socket.once('error', finish)
  }`

/** One socket asks several tellers, a while after one another; prints who answered, and whom they saw. */
const ASK_ALL = `
  import { createSocket } from 'node:dgram'
  const [, port, ...hosts] = process.argv
  const socket = createSocket('udp4')
  socket.on('message', (data, { address, port }) => console.log(address + ':' + port + ' saw ' + String(data).split(' ').slice(0, 2).join(':')))
  hosts.forEach((host, index) => setTimeout(() => socket.send('who am I?', Number(port), host), index * 300))
  setTimeout(() => process.exit(0), hosts.length * 300 + 1000)`

/** A connection that stays open; prints `open`, then the code of its error. */
const HOLDER = `
  import { connect } from 'node:net'
  const [, host, port] = process.argv
  connect(Number(port), host).once('data', () => console.log('open')).on('error', ({ code }) => console.log(code))`

describe.each(['tproxy', 'redirect'])('S12: by %s', (by) => {
  const command = `--tcp --udp --by ${by} --to socks5://${PROXY}:1080`

  it('TCP and UDP of clients go through the proxy, and come from whom they asked', async () => {
    await up()
    const before = await policy()
    expect([await seen('tcp'), await seen('udp')]).toEqual([GATEWAY, GATEWAY])
    const redirector = await redirect(command)
    const capture: Capture = await bed.capture(upstream)
    writeFileSync(join(files, 'page'), 'a page\n')
    expect(await curl(`http://${SERVERS[0]}/page`)).toBe('a page\n')
    expect(await curl(`http://${SERVERS[1]}/page`)).toBe('a page\n')
    expect(await dig(`@${SERVERS[0]}`)).toBe('192.0.2.80')
    expect(await dig(`@${SERVERS[1]}`)).toBe('192.0.2.80')
    expect(await dig(`@${SERVERS[0]}`, '+tcp')).toBe('192.0.2.80')
    for (const host of SERVERS) expect([await seen('tcp', host), await seen('udp', host)]).toEqual([PROXY, PROXY])
    // Nothing went there directly.
    expect(await capture.packets(SERVERS.map((address) => `host ${address}`).join(' or '))).toEqual([])
    // What clients send to the proxy itself is left alone.
    expect(await client.run('nc', ['-z', '-w', '3', PROXY, '1080'])).toMatchObject({ code: 0 })
    const last = await stop(redirector)
    expect(last).toMatchObject({ error: null, tcp: { opened: 5, failed: 0, refused: 0 }, udp: { opened: 4, failed: 0, sent: 4, received: 4, dropped: 0 } })
    expect(await policy()).toEqual(before)
    expect([await seen('tcp'), await seen('udp')]).toEqual([GATEWAY, GATEWAY])
    await down()
  })

  it('one socket may ask several servers', async () => {
    await up()
    const redirector = await redirect(command)
    const { stdout } = await client.node(ASK_ALL, [String(TELLER_PORT), ...SERVERS, ...SERVERS]).finish({ timeout: 20_000 })
    const answers = stdout.trimEnd().split('\n')
    expect(answers.map((line) => line.split(' saw ')[0]).sort()).toEqual([...SERVERS, ...SERVERS].sort().map((address) => `${address}:${TELLER_PORT}`))
    // To all of them it is the same; REDIRECT, as in the kernel, gives it another port where two destinations would look alike.
    const endpoints = by === 'tproxy' ? 1 : 2
    expect(new Set(answers.map((line) => line.split(' saw ')[1])).size).toBe(endpoints)
    expect(await stop(redirector)).toMatchObject({ udp: { opened: endpoints, sent: 4, received: 4, dropped: 0 } })
    await down()
  })

  it('large files arrive unchanged, both ways', async () => {
    await up()
    const redirector = await redirect(command)
    const data = randomBytes(16 << 20)
    const hash = createHash('sha256').update(data).digest('hex')
    writeFileSync(join(files, 'large'), data)
    const directory = bed.lab.temporaryDirectory()
    expect(await curl('-o', join(directory, 'copy'), `http://${SERVERS[0]}/large`)).toBe('')
    expect(createHash('sha256').update(readFileSync(join(directory, 'copy'))).digest('hex')).toBe(hash)
    expect(await curl('-T', join(directory, 'copy'), `http://${SERVERS[0]}/uploaded`)).toBe('')
    expect(createHash('sha256').update(readFileSync(join(files, 'uploaded'))).digest('hex')).toBe(hash)
    const last = await stop(redirector)
    expect(last.tcp.sent).toBeGreaterThan(data.length)
    expect(last.tcp.received).toBeGreaterThan(data.length)
    await down()
  })

  it('1000 connections at once are kept', async () => {
    await up()
    const redirector = await redirect(command)
    const { stdout } = await client.node(CROWD, [SERVERS[0], String(TELLER_PORT), '1000']).finish({ timeout: 60_000 })
    expect(stdout).toBe('heard 1000\n')
    await until(() => linesOf(redirector).at(-1)!.tcp.active === 0, () => redirector.stdout.slice(-1000))
    expect(await stop(redirector)).toMatchObject({ tcp: { opened: 1000, failed: 0, refused: 0, active: 0 } })
    await down()
  })

  it('without the proxy clients get a RST, and nothing hangs; with it again all is well', async () => {
    await up()
    const redirector = await redirect(command)
    expect(await asker.ask({ protocol: 'tcp', host: SERVERS[0], port: TELLER_PORT, keep: 'open' })).toMatchObject({ seen: expect.stringContaining(PROXY) as string })
    expect(await seen('udp')).toBe(PROXY)
    await killProxy()
    for (let tries = 0; tries < 10; tries++) expect(await seen('tcp')).toBe('ECONNRESET')
    expect(await seen('udp')).toBe('silence')
    expect((await bed.status()).redirects).toMatchObject([{ error: expect.stringContaining('ECONNREFUSED') as string, tcp: { failed: 10, active: 0 }, udp: { active: 0, dropped: 1 } }])
    await startProxy()
    expect([await seen('tcp'), await seen('udp')]).toEqual([PROXY, PROXY])
    expect(await stop(redirector)).toMatchObject({ error: null })
    await down()
  })

  it('a proxy behind a cable that was pulled is a RST in time, too', async () => {
    await up()
    const redirector = await redirect(command)
    await bed.ip(upstream, 'link set eth0 down')
    expect(await asker.ask({ protocol: 'tcp', host: SERVERS[0], port: TELLER_PORT, wait: 15_000 })).toEqual({ error: 'ECONNRESET' })
    expect(await stop(redirector)).toMatchObject({ tcp: { failed: 1, active: 0 } })
    await down()
  })

  it('Ctrl-C ends connections with RST, and so does the end of the command by force', async () => {
    await up()
    const before = await policy()
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const redirector = await redirect(command)
      const holder = client.node(HOLDER, [SERVERS[0], String(TELLER_PORT)])
      await holder.waitFor(/open/)
      redirector.kill(signal)
      await redirector.done
      await holder.waitFor(/ECONNRESET/)
      await until(async () => (await bed.status()).redirects.length === 0)
      expect(await policy()).toEqual(before)
    }
    expect(await seen('tcp')).toBe(GATEWAY)
    await down()
  })
})

describe('S12: with rules of the user\'s', () => {
  it('as ss-redir has them: TCP by REDIRECT, UDP by TPROXY', async () => {
    await up()
    const before = await policy()
    const redirector = await redirect(`--tcp --udp --no-rules --port 1080 --to socks5://${PROXY}:1080`)
    expect(await policy()).toEqual(before)
    for (const line of [
      'tsnat iptables -t nat -N SHADOWSOCKS',
      `tsnat iptables -t nat -A SHADOWSOCKS -d ${PROXY} -j RETURN`,
      'tsnat iptables -t nat -A SHADOWSOCKS -d 192.168.0.0/16 -j RETURN',
      'tsnat iptables -t nat -A SHADOWSOCKS -p tcp -j REDIRECT --to-ports 1080',
      'tsnat iptables -t nat -A PREROUTING -p tcp -j SHADOWSOCKS',
      'tsnat ip rule add fwmark 0x01/0x01 table 100',
      'tsnat ip route add local 0.0.0.0/0 dev lo table 100',
      'tsnat iptables -t mangle -N SHADOWSOCKS',
      `tsnat iptables -t mangle -A SHADOWSOCKS -d ${PROXY} -j RETURN`,
      'tsnat iptables -t mangle -A SHADOWSOCKS -p udp -i tun0 -j TPROXY --on-port 1080 --tproxy-mark 0x01/0x01',
      'tsnat iptables -t mangle -A PREROUTING -j SHADOWSOCKS',
    ]) await bed.typed(line)
    for (const host of SERVERS) expect([await seen('tcp', host), await seen('udp', host)]).toEqual([PROXY, PROXY])
    expect(await dig(`@${SERVERS[0]}`)).toBe('192.0.2.80')
    expect(await curl(`http://${SERVERS[0]}/`, '-o', '/dev/null', '-w', '%{http_code}')).toMatch(/^(200|403)$/)
    expect(await stop(redirector)).toMatchObject({ error: null, udp: { dropped: 0 } })
    // Their rules lead to nobody now.
    expect(await seen('tcp')).toBe('ECONNREFUSED')
    expect(await seen('udp')).toBe('silence')
    await down()
  })

  it('UDP by REDIRECT', async () => {
    await up()
    const redirector = await redirect(`--udp --no-rules --by redirect --port 1080 --to socks5://${PROXY}:1080`)
    await bed.typed('tsnat iptables -t nat -A PREROUTING -i tun0 -p udp -j REDIRECT --to-ports 1080')
    for (const host of SERVERS) expect(await seen('udp', host)).toBe(PROXY)
    expect(await dig(`@${SERVERS[0]}`)).toBe('192.0.2.80')
    await stop(redirector)
    await down()
  })
})

describe('S12: from the configuration', () => {
  it('it runs with the gateway', async () => {
    bed.file('tsnat.yaml', `redirect:\n  to: socks5://${PROXY}:1080\n  exclude: [${SERVERS[1]}]\n`)
    running = await bed.up(`${FLAGS} --config tsnat.yaml`)
    expect([await seen('tcp'), await seen('udp')]).toEqual([PROXY, PROXY])
    expect([await seen('tcp', SERVERS[1]), await seen('udp', SERVERS[1])]).toEqual([GATEWAY, GATEWAY])
    expect(await bed.typed('tsnat status')).toContain(`tcp, udp by tproxy at 127.0.0.1:1080 to socks5://${PROXY}:1080`)
    await down()
  })

  it('it works beside the kernel on a shared address, which keeps its ports', async () => {
    await bed.ip(bed.gateway, `addr add ${GATEWAY}/24 dev eth0`)
    await bed.ip(bed.gateway, `route add default via ${PROXY}`)
    bed.file('tsnat.yaml', `redirect:\n  to: socks5://${PROXY}:1080\n`)
    running = await bed.up('--wan eth0 --capture iif=eth1 --log-level error --config tsnat.yaml')
    expect([await seen('tcp'), await seen('udp')]).toEqual([PROXY, PROXY])
    expect(await dig(`@${SERVERS[0]}`)).toBe('192.0.2.80')
    // A server of the host's own on a port that answers to clients came from.
    const own = await serveTeller(bed.gateway, 53, GATEWAY)
    const outside = new Asker(upstream)
    expect(sourceOf(await outside.ask({ protocol: 'udp', host: GATEWAY, port: 53, from: PROXY })).address).toBe(PROXY)
    own.kill()
    await down()
  })
})
