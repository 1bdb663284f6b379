/**
 * TPROXY for TCP with the divert shortcut (scenario S7), and REDIRECT of TCP (S4): listeners of the gateway's own sockets.
 *
 *     client 192.168.1.2 ── eth1 192.168.1.1  gateway  eth0 203.0.113.1 ── 203.0.113.9 upstream, with the servers 198.51.100.10 and .20
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../../src/testing/lab/index.js'
import { until } from '../gateway-support.js'
import { Scenario, serveTeller } from './support.js'
import { SocketsProgram } from './sockets-program.js'

const CLIENT = '192.168.1.2'
const WAN = '203.0.113.1'
const SERVER = '198.51.100.10'
const OTHER = '198.51.100.20'
const DIVERT = [
  'tsnat ip rule add fwmark 0x233 table 100',
  'tsnat ip route add local default dev lo table 100',
  'tsnat iptables -t mangle -N tproxy_divert',
  'tsnat iptables -t mangle -A tproxy_divert -j MARK --set-mark 0x233',
  'tsnat iptables -t mangle -A tproxy_divert -j ACCEPT',
  'tsnat iptables -t mangle -A PREROUTING -p tcp -m socket -j tproxy_divert',
  'tsnat iptables -t mangle -A PREROUTING -p tcp -j TPROXY --on-port 10000 --on-ip 127.0.0.1 --tproxy-mark 0x233',
]

let bed: Scenario
let client: LabNamespace
let server: LabNamespace
let program: SocketsProgram
beforeEach(async () => {
  bed = await Scenario.create()
  client = await bed.host('client', `${CLIENT}/24`, 'eth1', '192.168.1.1/24')
  await client.route('default', '192.168.1.1')
  server = await bed.host('upstream', '203.0.113.9/24', 'eth0', `${WAN}/24`)
  await bed.gateway.route('default', '203.0.113.9')
  for (const address of [SERVER, OTHER]) await bed.ip(server, `addr add ${address}/32 dev lo`)
  await serveTeller(server, 80, SERVER, OTHER)
  program = await SocketsProgram.start(bed, { wan: 'eth0', capture: { iif: ['eth1'] } })
})
afterEach(async () => {
  await bed.close()
})

/** What nc hears first. */
const heard = async (host: string, port = 80, ...options: string[]): Promise<string> =>
  (await client.run('nc', ['-w', '3', ...(options.length === 0 ? ['-N'] : options), host, String(port)], { timeout: 20_000 })).stdout.trim()

/** Packets that each rule of a chain has counted. */
const counted = async (chain: string): Promise<number[]> =>
  (await bed.typed(`tsnat iptables -t mangle -nvxL ${chain}`)).split('\n').slice(2).filter(Boolean).map((line) => Number(line.trim().split(/\s+/)[0]))

describe('S7: TPROXY', () => {
  it('TPX-1: the accepted socket has the original destination for its own address, and nobody\'s header was touched', async () => {
    await program.ask({ do: 'serve tcp', port: 10_000, host: '127.0.0.1', transparent: true, as: 'tell' })
    for (const line of DIVERT) await bed.typed(line)
    const capture = await bed.capture(client)
    const told = await heard(SERVER)
    expect(told).toMatch(new RegExp(`^${CLIENT}:\\d+ ${SERVER}:80 ${SERVER}:80$`))
    expect(await heard(OTHER, 8080)).toMatch(new RegExp(`^${CLIENT}:\\d+ ${OTHER}:8080 ${OTHER}:8080$`))
    await until(async () => (await capture.packets(`src host ${SERVER} and src port 80`)).length > 1)
    expect(await bed.flows()).toEqual([])
    expect((await bed.status()).drops).toEqual({})
  })

  it('-m socket diverts the packets of connections before TPROXY runs: that sees their SYNs only', async () => {
    await program.ask({ do: 'serve tcp', port: 10_000, host: '127.0.0.1', transparent: true, as: 'tell' })
    for (const line of DIVERT) await bed.typed(line)
    for (let connection = 0; connection < 3; connection++) expect(await heard(SERVER)).toContain(`${SERVER}:80`)
    const [socket, tproxy] = await counted('PREROUTING')
    expect(tproxy).toBe(3)
    expect(socket).toBeGreaterThanOrEqual(6)
    expect(await counted('tproxy_divert')).toEqual([socket, socket])
  })

  it('TPX-3: a SYN that meets TIME_WAIT goes to the listener', async () => {
    await program.ask({ do: 'serve tcp', port: 10_000, host: '127.0.0.1', transparent: true, as: 'tell' })
    for (const line of DIVERT) await bed.typed(line)
    // The listener closes first, so its connection is the one that waits.
    for (let turn = 0; turn < 3; turn++) {
      expect(await heard(SERVER, 80, '-d', '-p', '40000')).toBe(`${CLIENT}:40000 ${SERVER}:80 ${SERVER}:80`)
      // The client's kernel lends the port again once its own end is closed.
      await until(async () => (await client.run('ss', ['-Htan', 'sport = :40000'])).stdout === '')
    }
  })

  it('the proxy dials the server, as itself or from the client\'s own address', async () => {
    await program.ask({ do: 'serve tcp', port: 10_000, host: '127.0.0.1', transparent: true, as: 'relay' })
    for (const line of DIVERT) await bed.typed(line)
    expect(await heard(SERVER)).toMatch(new RegExp(`^${WAN} \\d+ ${SERVER} 80$`))
    await program.ask({ do: 'serve tcp', port: 10_001, host: '127.0.0.1', transparent: true, as: 'relay', asClient: true })
    await bed.typed('tsnat iptables -t mangle -D PREROUTING 2')
    await bed.typed('tsnat iptables -t mangle -A PREROUTING -p tcp -j TPROXY --on-port 10001 --on-ip 127.0.0.1 --tproxy-mark 0x233')
    await server.route('192.168.1.0/24', WAN)
    expect(await heard(SERVER, 80, '-N', '-p', '40001')).toBe(`${CLIENT} 40001 ${SERVER} 80`)
  })

  it('TPX-6: without the rule and the local route the packet is forwarded instead', async () => {
    await program.ask({ do: 'serve tcp', port: 10_000, host: '127.0.0.1', transparent: true, as: 'tell' })
    for (const line of DIVERT.slice(2)) await bed.typed(line)
    expect(await heard(SERVER)).toMatch(new RegExp(`^${WAN} \\d+ ${SERVER} 80$`))
  })

  it('TPX-4: without a transparent socket the packet is dropped and counted', async () => {
    await program.ask({ do: 'serve tcp', port: 10_000, host: '127.0.0.1', as: 'tell' })
    for (const line of DIVERT) await bed.typed(line)
    expect(await heard(SERVER, 80, '-w', '1')).toBe('')
    expect((await bed.status()).drops['no-socket']).toBeGreaterThan(0)
  })

  it('curl fetches through the proxy, and much goes through whole', async () => {
    await program.ask({ do: 'serve tcp', port: 10_000, host: '127.0.0.1', transparent: true, as: 'relay' })
    for (const line of DIVERT) await bed.typed(line)
    const bytes = 20 << 20
    const web = server.node(`
      (await import('node:http')).createServer((request, response) => response.end(Buffer.alloc(${bytes}, 'tsnat '))).listen(8080, '${SERVER}', () => console.log('serving'))`)
    await web.waitFor(/serving/)
    const fetched = await client.run('sh', ['-c', `curl -s --max-time 30 http://${SERVER}:8080/ | cksum`], { timeout: 40_000 })
    const whole = await client.run('sh', ['-c', `yes 'tsnat tsnat ' | tr -d '\\n' | head -c ${bytes} | cksum`], { timeout: 40_000 })
    expect(fetched.stdout).toBe(whole.stdout)
  })

  it.each([['up', []], ['down', ['--reverse']]] as const)('iperf3 measures through the proxy, %s', async (_, options) => {
    await program.ask({ do: 'serve tcp', port: 10_000, host: '127.0.0.1', transparent: true, as: 'relay' })
    for (const line of DIVERT) await bed.typed(line)
    await server.spawn('iperf3', ['--server', '--forceflush', '--bind', SERVER]).waitFor(/listening/)
    const bytes = 64 << 20
    const { stdout } = await client.run('iperf3', ['--client', SERVER, '--json', '--bytes', String(bytes), ...options], { timeout: 40_000 })
    const { end } = JSON.parse(stdout) as { end: { sum_sent: { bytes: number }; sum_received: { bytes: number } } }
    expect(end.sum_sent.bytes).toBeGreaterThanOrEqual(bytes)
    expect(end.sum_received.bytes).toBeGreaterThan(0.9 * bytes)
  })
})

describe('S4: REDIRECT', () => {
  const REDIRECT = 'tsnat iptables -t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 1080'

  it('the listener learns the original destination, and the client sees answers from the address it asked', async () => {
    await program.ask({ do: 'serve tcp', port: 1080, as: 'tell' })
    await bed.typed(REDIRECT)
    const told = await heard(SERVER)
    expect(told).toMatch(new RegExp(`^${CLIENT}:\\d+ ${SERVER}:80 10\\.77\\.0\\.1:1080$`))
    expect(await heard(OTHER, 443)).toContain(` ${OTHER}:443 `)
    const [flow] = await bed.flows()
    expect(flow).toMatchObject({ original: { src: CLIENT }, reply: { src: '10.77.0.1', sport: 1080, dst: CLIENT } })
  })

  it('in OUTPUT it leads to 127.0.0.1', async () => {
    await program.ask({ do: 'serve tcp', port: 1080, as: 'tell' })
    await bed.typed('tsnat iptables -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 1080')
    const answer = await program.ask({ do: 'tcp', host: SERVER, port: 80 })
    expect(answer.seen).toBe(`${answer.local} ${SERVER}:80 127.0.0.1:1080\n`)
  })

  it('curl fetches from a web server through it, which a relay dials', async () => {
    await program.ask({ do: 'serve tcp', port: 1080, as: 'relay' })
    await bed.typed(REDIRECT)
    const web = server.node(`
      (await import('node:http')).createServer((request, response) => response.end('for ' + request.socket.remoteAddress)).listen(8080, '${SERVER}', () => console.log('serving'))`)
    await web.waitFor(/serving/)
    expect((await client.run('curl', ['-s', '--max-time', '10', `http://${SERVER}:8080/`])).stdout).toBe(`for ${WAN}`)
    await until(async () => (await bed.status()).flows.count === 1)
  })
})
