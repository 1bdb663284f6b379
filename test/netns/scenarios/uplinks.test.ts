/**
 * Two uplinks: who gets how much, and what becomes of flows when one fails.
 *
 *     hosts 192.168.1.2 … ── eth1  gateway  eth0 10.0.0.1 ── 10.0.0.254 ┐
 *                                           eth2 10.1.0.1 ── 10.1.0.254 ┴ upstream, with the servers 198.51.100.1 and .2
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../../src/testing/lab/index.js'
import { fetchPage, serveHttp, until } from '../gateway-support.js'
import { Asker, Scenario, serveTeller, sourceOf, tableOf, WAYS } from './support.js'

const ADDRESS = { eth0: '10.0.0.1', eth2: '10.1.0.1' } as const
const SERVERS = ['198.51.100.1', '198.51.100.2'] as const
const FLOWS = 2000
/** Exit codes of curl: the connection was reset while it sent, or received. */
const CURL_RESET = [55, 56]

let bed: Scenario
let client: LabNamespace
let server: LabNamespace
let asker: Asker
beforeEach(async () => {
  bed = await Scenario.create()
  client = await bed.host('client', ['192.168.1.2/24', '192.168.1.3/24'], 'eth1', '192.168.1.1/24')
  await client.route('default', '192.168.1.1')
  server = await bed.host('upstream', '10.0.0.254/24', 'eth0', `${ADDRESS.eth0}/24`)
  await bed.lab.link(server, { name: 'eth1', address: '10.1.0.254/24' }, bed.gateway, { name: 'eth2', address: `${ADDRESS.eth2}/24` })
  await bed.gateway.route('default', '10.0.0.254', { metric: 10 })
  await bed.gateway.route('default', '10.1.0.254', { metric: 20 })
  for (const address of SERVERS) await bed.ip(server, `addr add ${address}/32 dev lo`)
  await serveTeller(server, 80, ...SERVERS)
  asker = new Asker(client)
})
afterEach(async () => {
  await bed.close()
})

/** Takes whatever is uploaded to it. */
const SINK = `
  import { createServer } from 'node:http'
  createServer((question, answer) => question.resume().on('end', () => answer.end('thanks'))).listen(8080, '0.0.0.0', () => console.log('serving'))`

const FLAGS = '--capture iif=eth1 --log-level warn'
const source = async (protocol: 'tcp' | 'udp' = 'udp', host: string = SERVERS[0]): Promise<string> => sourceOf(await asker.ask({ protocol, host, port: 80, wait: 500 })).address

/** By how much of a hundred flows the share of an address differs from what it should be. */
const excess = (counts: ReadonlyMap<string, number>, address: string, wanted: number): number => {
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0)
  return Math.abs(((counts.get(address) ?? 0) / all - wanted) * 100)
}

const spread = async (): Promise<Map<string, number>> => {
  const counts = new Map<string, number>()
  // A hundred at a time.
  for (let done = 0; done < FLOWS; done += 100) {
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => asker.ask({ protocol: 'udp', host: SERVERS[index % 2]!, port: 80, local: 20_000 + done + index })))
    for (const answer of answers) counts.set(sourceOf(answer).address, (counts.get(sourceOf(answer).address) ?? 0) + 1)
  }
  return counts
}

it.each([[1, 1], [3, 1]])('weights %i and %i: of 2000 flows each link has its share, to within 5 of a hundred', async (first, second) => {
  await bed.up(`--wan eth0,weight=${first} --wan eth2,weight=${second} ${FLAGS}`)
  const counts = await spread()
  expect([...counts.keys()].sort()).toEqual([ADDRESS.eth0, ADDRESS.eth2])
  expect(excess(counts, ADDRESS.eth0, first / (first + second))).toBeLessThan(5)
})

it('a multipath route of one\'s own has its weights', async () => {
  await bed.up(`--wan eth0 --wan eth2 ${FLAGS}`)
  await bed.typed('tsnat ip route replace default nexthop via 10.0.0.254 dev eth0 weight 1 nexthop via 10.1.0.254 dev eth2 weight 4')
  expect(excess(await spread(), ADDRESS.eth0, 0.2)).toBeLessThan(5)
})

describe.each(WAYS)('%s', (way) => {
  it('marks and rules lead flows to one uplink or the other, and replies come back', async () => {
    await bed.upWith(`--wan eth0 --wan eth2 ${FLAGS}`, way, {
      commands: [
        'tsnat iptables -t mangle -A PREROUTING -i tun0 -p udp -j MARK --set-mark 100',
        'tsnat ip rule add fwmark 100 table 100',
        'tsnat ip rule add from 192.168.1.3 lookup 101 pref 50',
        'tsnat ip route add default via 10.1.0.254 dev eth2 table 100',
        'tsnat ip route add 198.51.100.2 via 10.1.0.254 dev eth2 table 101',
      ],
      rules: tableOf('mangle', '-A PREROUTING -i tun0 -p udp -j MARK --set-mark 100'),
      batch: [
        'rule add fwmark 100 table 100', 'rule add from 192.168.1.3 lookup 101 pref 50',
        'route add default via 10.1.0.254 dev eth2 table 100', 'route add 198.51.100.2 via 10.1.0.254 dev eth2 table 101', '',
      ].join('\n'),
    })
    expect(await source('udp')).toBe(ADDRESS.eth2)
    expect(await source('tcp')).toBe(ADDRESS.eth0)
    const third = await asker.ask({ protocol: 'tcp', host: SERVERS[1], port: 80, from: '192.168.1.3' })
    expect(sourceOf(third).address).toBe(ADDRESS.eth2)
    expect(sourceOf(await asker.ask({ protocol: 'tcp', host: SERVERS[0], port: 80, from: '192.168.1.3' })).address).toBe(ADDRESS.eth0)
    expect(await bed.typed('tsnat ip route get 198.51.100.1 from 192.168.1.2 iif tun0 mark 100')).toMatch(/^198\.51\.100\.1 from 192\.168\.1\.2 via 10\.1\.0\.254 dev eth2 table 100/)
  })
})

describe('a link that fails', () => {
  const PINGER = ['-n', '-i', '0.1', '-W', '1', '-O', SERVERS[0]] as const
  const answered = (text: string): number => text.split('\n').filter((line) => line.includes('bytes from')).length

  /** Curl and ping go on while the link to 10.0.0.254 fails and comes back. */
  const survives = async (fail: () => Promise<void>, mend: () => Promise<void>): Promise<void> => {
    await serveHttp(server, 81)
    await server.node(SINK).waitFor(/serving/)
    const page = (): Promise<string> => fetchPage(client, `http://${SERVERS[0]}:81/`, '--connect-timeout', '1')
    const at = (address: string): RegExp => new RegExp(`^${address.replaceAll('.', '\\.')} `)
    expect(await page()).toMatch(at(ADDRESS.eth0))
    const upload = client.spawn('curl', ['-s', '-T', '/dev/zero', '--limit-rate', '200k', `http://${SERVERS[0]}:8080/`])
    await until(async () => (await bed.flows()).some(({ original, assured }) => original.dport === 8080 && assured))
    const ping = client.spawn('ping', PINGER)
    await until(() => answered(ping.stdout) > 3, () => ping.stdout)

    await fail()
    await until(async () => at(ADDRESS.eth2).test(await page()), async () => JSON.stringify(await bed.status()), 15_000)
    // What was on its way knows at once.
    expect(CURL_RESET).toContain((await upload.finish({ timeout: 5000 })).code)
    // From now on each new flow takes the other one.
    for (let number = 0; number < 20; number++) expect(number % 2 === 0 ? await page() : await source('udp')).toContain(ADDRESS.eth2)
    const before = answered(ping.stdout)
    await until(() => answered(ping.stdout) > before + 5, () => ping.stdout)

    await mend()
    await until(async () => at(ADDRESS.eth0).test(await page()), async () => JSON.stringify(await bed.status()), 15_000)
    const back = answered(ping.stdout)
    await until(() => answered(ping.stdout) > back + 5, () => ping.stdout)
    ping.kill('SIGINT')
    await ping.done
  }

  it('a pulled cable: curl and ping go on by the other one, and return', async () => {
    await bed.up(`--wan eth0 --wan eth2 ${FLAGS}`)
    await survives(() => server.down('eth0'), async () => {
      await server.up('eth0')
      await bed.gateway.route('default', '10.0.0.254', { metric: 10 })
    })
  })

  it('a link that is up and carries nothing: its check finds out', async () => {
    await bed.up(`--wan eth0,check=icmp:10.0.0.254,interval=0.3,timeout=0.3,fails=2,passes=2 --wan eth2 ${FLAGS}`)
    await survives(
      async () => { await server.run('nft', ['table netdev cut { chain in { type filter hook ingress device "eth0" priority 0; drop; }; }'], { check: true }) },
      async () => { await server.run('nft', ['delete table netdev cut'], { check: true }) },
    )
  })
})
