/**
 * What the mangle table changes, and sets (scenario S10), seen on the wire.
 *
 *     hosts 192.168.1.2, .3 ── eth1  gateway  eth0 203.0.113.1 ── 203.0.113.9 upstream, with the servers 198.51.100.1 and .2
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../../src/testing/lab/index.js'
import type { Capture } from '../gateway-support.js'
import { until } from '../gateway-support.js'
import { Asker, type Policy, Scenario, serveTeller, sourceOf, tableOf, WAYS } from './support.js'

const FLAGS = '--wan eth0 --wan-address owned:203.0.113.1/24 --wan-gateway 203.0.113.9 --capture iif=eth1 --log-level warn'
const HOSTS = ['192.168.1.2', '192.168.1.3'] as const
const SERVERS = ['198.51.100.1', '198.51.100.2'] as const

let bed: Scenario
let client: LabNamespace
let server: LabNamespace
let asker: Asker
let capture: Capture
beforeEach(async () => {
  bed = await Scenario.create()
  client = await bed.host('client', HOSTS.map((address) => `${address}/24`), 'eth1', '192.168.1.1/24')
  await client.route('default', '192.168.1.1')
  server = await bed.host('upstream', '203.0.113.9/24', 'eth0')
  for (const address of SERVERS) await bed.ip(server, `addr add ${address}/32 dev lo`)
  await serveTeller(server, 80, ...SERVERS)
  asker = new Asker(client)
  capture = await bed.capture(server)
})
afterEach(async () => {
  await bed.close()
})

const policyOf = (sets: readonly string[], rules: Readonly<Record<string, readonly string[]>>): Policy => ({
  commands: [...sets.map((line) => `tsnat ipset ${line}`), ...Object.entries(rules).flatMap(([table, lines]) => lines.map((line) => `tsnat iptables -t ${table} ${line}`))],
  rules: Object.entries(rules).map(([table, lines]) => tableOf(table, ...lines)).join(''),
  ...(sets.length > 0 ? { sets: `${sets.join('\n')}\n` } : {}),
})

/** The own port, with which packets of one conversation are found in the capture. */
const ask = async (protocol: 'tcp' | 'udp', host: string, from: string = HOSTS[0]): Promise<{ seen: string; filter: string }> => {
  const answer = await asker.ask({ protocol, host, port: 80, from, wait: 1500 })
  return { seen: answer.error ?? sourceOf(answer).address, filter: `${protocol} and src host 203.0.113.1 and dst host ${host}` }
}

/** All packets that a filter finds have what the second asks for; there are some. */
const allHave = async (filter: string, what: string): Promise<void> => {
  await until(async () => (await capture.packets(filter)).length > 0)
  expect(await capture.packets(`(${filter}) and not (${what})`), what).toEqual([])
}

describe.each(WAYS)('%s', (way) => {
  it('S10: TTL, TOS, DSCP and TCPMSS change what leaves', async () => {
    await bed.upWith(FLAGS, way, policyOf([], {
      mangle: [
        '-A PREROUTING -i tun0 -p udp -j TTL --ttl-set 43',
        '-A POSTROUTING -o eth0 -d 198.51.100.2 -j TTL --ttl-inc 10',
        '-A POSTROUTING -o eth0 -p udp -j TOS --set-tos 0x10',
        '-A POSTROUTING -o eth0 -p tcp -j DSCP --set-dscp-class EF',
        '-A FORWARD -o eth0 -p tcp -d 198.51.100.1 --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1000',
        '-A FORWARD -p tcp -d 198.51.100.2 --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu',
      ],
      nat: ['-A POSTROUTING -o eth0 -j MASQUERADE'],
    }))
    const udp = await ask('udp', SERVERS[0])
    expect(udp.seen).toBe('203.0.113.1')
    await allHave(udp.filter, 'ip[8] = 42 and ip[1] = 0x10')
    await allHave((await ask('udp', SERVERS[1])).filter, 'ip[8] = 52 and ip[1] = 0x10')
    const tcp = await ask('tcp', SERVERS[0])
    expect(tcp.seen).toBe('203.0.113.1')
    // Through the host's kernel and tsnat.
    await allHave(tcp.filter, 'ip[8] = 62 and ip[1] & 0xfc = 0xb8')
    await allHave(`${tcp.filter} and tcp[13] = 2`, 'tcp[20:4] = 0x020403e8')
    await allHave(`${(await ask('tcp', SERVERS[1])).filter} and tcp[13] = 2`, 'tcp[20:4] = 0x020405b4')
  })

  it('S10: MARK tells later tables what to do, CONNMARK keeps it with the flow', async () => {
    await bed.upWith(FLAGS, way, policyOf([], {
      mangle: [
        '-A PREROUTING -j CONNMARK --restore-mark',
        '-A PREROUTING -m mark ! --mark 0 -j ACCEPT',
        '-A PREROUTING -s 192.168.1.3 -p udp -j MARK --set-mark 0x66',
        '-A PREROUTING -s 192.168.1.2 -d 198.51.100.2 -j MARK --set-mark 7',
        '-A PREROUTING -j CONNMARK --save-mark',
      ],
      nat: ['-A POSTROUTING -o eth0 -p tcp -m mark --mark 7 -j SNAT --to-source 203.0.113.1:7000-7999', '-A POSTROUTING -o eth0 -j MASQUERADE'],
      filter: ['-A FORWARD -m mark --mark 0x66 -j DROP'],
    }))
    expect((await ask('udp', SERVERS[0])).seen).toBe('203.0.113.1')
    expect((await ask('udp', SERVERS[0], HOSTS[1])).seen).toBe('silence')
    expect((await ask('tcp', SERVERS[0], HOSTS[1])).seen).toBe('203.0.113.1')
    const answer = await asker.ask({ protocol: 'tcp', host: SERVERS[1], port: 80, from: HOSTS[0], keep: 'seven' })
    expect(sourceOf(answer).port).toBeGreaterThanOrEqual(7000)
    expect(sourceOf(answer).port).toBeLessThanOrEqual(7999)
    const lines = (await bed.shell('tsnat conntrack -L -m 7')).stdout.trim().split('\n')
    expect(lines).toEqual([expect.stringMatching(/^tcp .* dst=198\.51\.100\.2 .* \[ASSURED\] mark=7 use=1$/)])
    // Later packets were marked by the flow's mark, and met the second rule.
    expect(Number(/^ *(\d+) .*mark match ! 0x0/m.exec(await bed.typed('tsnat iptables -t mangle -L PREROUTING -n -v -x'))![1])).toBeGreaterThan(1)
  })

  it('S10: -m set asks sets, and SET fills them', async () => {
    await bed.upWith(FLAGS, way, policyOf(
      ['create blocked hash:ip', 'add blocked 198.51.100.2', 'create services hash:ip,port', 'add services 198.51.100.1,tcp:80', 'create seen hash:ip timeout 600'],
      {
        filter: [
          '-A FORWARD -m set --match-set blocked dst -j REJECT --reject-with icmp-host-prohibited',
          '-A FORWARD -m set --match-set services dst,dst -j SET --add-set seen src',
          '-A FORWARD -i tun0 -p udp -m set --match-set seen src -j DROP',
        ],
        nat: ['-A POSTROUTING -o eth0 -j MASQUERADE'],
      },
    ))
    expect((await ask('tcp', SERVERS[1])).seen).toBe('EHOSTUNREACH')
    expect((await ask('udp', SERVERS[0])).seen).toBe('203.0.113.1')
    expect((await ask('tcp', SERVERS[0])).seen).toBe('203.0.113.1')
    expect(await bed.typed('tsnat ipset list seen')).toMatch(/^192\.168\.1\.2 timeout \d+$/m)
    expect((await ask('udp', SERVERS[0])).seen).toBe('silence')
    expect((await ask('udp', SERVERS[0], HOSTS[1])).seen).toBe('203.0.113.1')
    await bed.typed('tsnat ipset del blocked 198.51.100.2')
    expect((await ask('tcp', SERVERS[1])).seen).toBe('203.0.113.1')
  })
})
