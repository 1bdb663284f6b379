/**
 * Datagrams for the gateway's own sockets, with the destination that they were sent to: TPROXY (scenario S5), a relay with two transparent
 * sockets (S6), REDIRECT (S4).
 *
 *     client 192.168.0.10 ── eth0 192.168.0.20  proxy  eth1 192.168.1.10 ── 192.168.1.20 server, 198.51.100.53
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace, LabProcess } from '../../../src/testing/lab/index.js'
import { until } from '../gateway-support.js'
import { Scenario } from './support.js'
import { SocketsProgram } from './sockets-program.js'

const CLIENT = '192.168.0.10'
const PROXY = '192.168.1.10'
const SERVER = '192.168.1.20'
const DNS = '198.51.100.53'
const TPROXY = [
  'tsnat iptables -t mangle -A PREROUTING -p udp -j TPROXY --tproxy-mark 0x2333/0x2333 --on-ip 127.0.0.1 --on-port 1080',
  'tsnat ip rule add fwmark 0x2333/0x2333 pref 100 table 100',
  'tsnat ip route add local default dev lo table 100',
]

let bed: Scenario
let client: LabNamespace
let server: LabNamespace
let program: SocketsProgram
beforeEach(async () => {
  bed = await Scenario.create()
  client = await bed.host('client', `${CLIENT}/24`, 'eth0', '192.168.0.20/24')
  await client.route('default', '192.168.0.20')
  server = await bed.host('server', `${SERVER}/24`, 'eth1', `${PROXY}/24`)
  await bed.gateway.route('default', SERVER)
  await bed.ip(server, `addr add ${DNS}/32 dev lo`)
  program = await SocketsProgram.start(bed, { wan: 'eth1', capture: { iif: ['eth0'] } })
})
afterEach(async () => {
  await bed.close()
})

const serveNames = async (): Promise<void> => {
  const options = ['--no-daemon', '--no-resolv', '--no-hosts', '--pid-file', '--conf-file=/dev/null', '--log-queries', '--log-facility=-', '--bind-interfaces', `--listen-address=${DNS}`]
  const dnsmasq = server.spawn('dnsmasq', [...options, '--address=/example.test/192.0.2.77'])
  await until(() => `${dnsmasq.stdout}${dnsmasq.stderr}`.includes('started'), () => dnsmasq.stderr)
}
const dig = async (...options: string[]): Promise<string> =>
  (await client.run('dig', ['+short', '+tries=1', '+time=2', `@${DNS}`, 'www.example.test', ...options], { timeout: 20_000 })).stdout.trim()

/** What nc is answered to a line. */
const say = async (host: string, port: number): Promise<string> =>
  (await client.run('sh', ['-c', `echo hello | nc -u -w 1 ${host} ${port}`], { timeout: 20_000 })).stdout.trim()

describe('S5: TPROXY', () => {
  it('a datagram comes with its original destination, is not altered, and is answered from there', async () => {
    await program.ask({ do: 'serve udp', port: 1080, host: '127.0.0.1', transparent: true, as: 'tell' })
    for (const line of TPROXY) await bed.typed(line)
    const capture = await bed.capture(client)
    for (const [host, port] of [[SERVER, 4000], [DNS, 53], ['203.0.113.200', 9]] as const) {
      expect(await say(host, port)).toMatch(new RegExp(`^${CLIENT}:\\d+ ${host}:${port}$`))
      await until(async () => (await capture.packets(`udp and src host ${host} and src port ${port}`)).length === 1)
    }
    expect(await bed.flows()).toEqual([])
  })

  it('dig asks a name server through a relay', async () => {
    await serveNames()
    await program.ask({ do: 'serve udp', port: 1080, host: '127.0.0.1', transparent: true, as: 'relay' })
    for (const line of TPROXY) await bed.typed(line)
    expect(await dig()).toBe('192.0.2.77')
    expect(await bed.flows()).toEqual([])
  })

  it('TPX-6: without the rule and the local route it is forwarded instead', async () => {
    await serveNames()
    await program.ask({ do: 'serve udp', port: 1080, host: '127.0.0.1', transparent: true, as: 'relay' })
    await bed.typed(TPROXY[0]!)
    expect(await dig()).toBe('192.0.2.77')
    expect(await bed.flows()).toMatchObject([{ protocol: 'udp', original: { src: CLIENT, dst: DNS }, reply: { dst: PROXY } }])
  })

  it('TPX-4: without a usable socket it is dropped and counted', async () => {
    await serveNames()
    await program.ask({ do: 'serve udp', port: 1080, host: '127.0.0.1', as: 'tell' })
    for (const line of TPROXY) await bed.typed(line)
    expect(await dig()).not.toContain('192.0.2.77')
    expect((await bed.status()).drops['no-socket']).toBe(1)
  })
})

describe('S6: a relay with two transparent sockets', () => {
  it('nc -u talks to nc -u -l through it, both ways, and the client sees the server\'s address', async () => {
    await program.ask({ do: 'serve udp', port: 8000, host: '0.0.0.0', transparent: true, as: 'relay' })
    await bed.typed('tsnat iptables -t mangle -A PREROUTING -p udp --dport 80 -j TPROXY --tproxy-mark 0x1/0x1 --on-port 8000')
    await bed.typed('tsnat ip rule add fwmark 1 lookup 100')
    await bed.typed('tsnat ip route add local 0.0.0.0/0 dev eth1 table 100')
    const capture = await bed.capture(client)
    const listening: LabProcess = server.spawn('nc', ['-u', '-l', '80'], { interactive: true })
    await until(async () => (await server.run('ss', ['-Hlun', 'sport = :80'])).stdout !== '')
    const asking: LabProcess = client.spawn('nc', ['-u', SERVER, '80'], { interactive: true })
    asking.write('from the client\n')
    await until(() => listening.stdout === 'from the client\n', () => `${listening.stdout}${program.process.stderr}`)
    listening.write('from the server\n')
    await until(() => asking.stdout === 'from the server\n', () => asking.stdout)
    asking.write('and again\n')
    await until(() => listening.stdout.endsWith('and again\n'))
    await until(async () => (await capture.packets(`udp and src host ${SERVER} and src port 80 and dst host ${CLIENT}`)).length === 1)
    expect(await bed.flows()).toEqual([])
    for (const nc of [listening, asking]) nc.kill()
  })
})

describe('S4: REDIRECT', () => {
  it('the listener learns the original destination of each datagram, which the kernel does not tell; answers come from there', async () => {
    await program.ask({ do: 'serve udp', port: 1080, as: 'tell' })
    await bed.typed('tsnat iptables -t nat -A PREROUTING -p udp -j REDIRECT --to-ports 1080')
    for (const [host, port] of [[SERVER, 4000], [DNS, 53]] as const) expect(await say(host, port)).toMatch(new RegExp(`^${CLIENT}:\\d+ ${host}:${port}$`))
    expect((await bed.flows()).map(({ reply }) => `${reply.src}:${reply.sport}`)).toEqual(['10.77.0.1:1080', '10.77.0.1:1080'])
  })

  it('in OUTPUT it leads to 127.0.0.1', async () => {
    await program.ask({ do: 'serve udp', port: 1080, as: 'tell' })
    await bed.typed('tsnat iptables -t nat -A OUTPUT -p udp -j REDIRECT --to-ports 1080')
    const answer = await program.ask({ do: 'udp', host: DNS, port: 53 })
    expect(answer.seen).toMatch(new RegExp(`^${PROXY}:\\d+ ${DNS}:53\n$`))
    expect(answer.from).toBe(`${DNS}:53`)
  })
})
