/**
 * The kinds of NAT, each by its rules (scenario S8): TCP, UDP, pings and the errors that quote them, both ways.
 *
 *     hosts 192.168.1.2, .3, .4 ── eth1  gateway  eth0 203.0.113.1 ── 203.0.113.9 upstream, with the servers 198.51.100.1 and .2
 *
 * Upstream leads 192.0.2.0/24 to the gateway, and knows nothing of 192.168.1.0/24.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../../src/testing/lab/index.js'
import { type Answer, Asker, type Policy, Scenario, serverOf, serveTeller, sourceOf, tableOf, WAYS } from './support.js'

const FLAGS = '--wan eth0 --wan-address owned:203.0.113.1/24 --wan-gateway 203.0.113.9 --capture iif=eth1 --log-level warn'
const HOSTS = ['192.168.1.2', '192.168.1.3', '192.168.1.4'] as const
const SERVERS = ['198.51.100.1', '198.51.100.2'] as const
/** Where a teller listens, and where nobody does. */
const PORT = 80
const CLOSED = 81

let bed: Scenario
let client: LabNamespace
let server: LabNamespace
let inside: Asker
let outside: Asker
beforeEach(async () => {
  bed = await Scenario.create()
  client = await bed.host('client', HOSTS.map((address) => `${address}/24`), 'eth1', '192.168.1.1/24')
  await client.route('default', '192.168.1.1')
  server = await bed.host('upstream', '203.0.113.9/24', 'eth0')
  for (const address of SERVERS) await bed.ip(server, `addr add ${address}/32 dev lo`)
  await bed.ip(server, 'route add 192.0.2.0/24 via 203.0.113.1')
  await Promise.all([serveTeller(server, PORT, ...SERVERS), serveTeller(client, PORT, ...HOSTS)])
  inside = new Asker(client)
  outside = new Asker(server)
})
afterEach(async () => {
  await bed.close()
})

const PROTOCOLS = ['tcp', 'udp'] as const

/** A policy of rules of the nat table alone. */
const natPolicy = (...rules: string[]): Policy => ({ commands: rules.map((rule) => `tsnat iptables -t nat ${rule}`), rules: tableOf('nat', ...rules) })

/** What goes out of a host: who the server sees, that pings are answered, and that the error about a closed port comes back. */
const goesOutAs = async (host: string, address: RegExp, keepsPort: boolean): Promise<void> => {
  for (const [index, protocol] of PROTOCOLS.entries()) {
    const local = 20_000 + index
    const answer = await inside.ask({ protocol, host: SERVERS[0], port: PORT, from: host, local })
    expect(sourceOf(answer).address).toMatch(address)
    if (keepsPort) expect(sourceOf(answer).port).toBe(local)
    expect(await inside.ask({ protocol, host: SERVERS[0], port: CLOSED, from: host })).toEqual({ error: 'ECONNREFUSED' })
  }
  expect(await inside.ping(SERVERS[1], '-I', host)).toEqual([expect.stringContaining(`64 bytes from ${SERVERS[1]}`)])
  // A router on the way says that the TTL has run out.
  expect(await inside.ping(SERVERS[1], '-I', host, '-t', '1')).toEqual([expect.stringContaining('Time to live exceeded')])
}

/** What comes in to an outside address: which host answers. */
const comesInTo = async (address: string, port: number, host: RegExp): Promise<Answer[]> => {
  const answers: Answer[] = []
  for (const protocol of PROTOCOLS) {
    for (const from of SERVERS) {
      const answer = await outside.ask({ protocol, host: address, port, from })
      expect(serverOf(answer)).toMatch(host)
      expect(sourceOf(answer).address).toBe(from)
      answers.push(answer)
    }
  }
  return answers
}

describe.each(WAYS)('%s', (way) => {
  it('S8: basic NAT, one address for one host, both ways', async () => {
    await bed.upWith(FLAGS, way, natPolicy(
      '-A POSTROUTING -s 192.168.1.2 -o eth0 -j SNAT --to-source 192.0.2.2',
      '-A PREROUTING -d 192.0.2.2 -i eth0 -j DNAT --to-destination 192.168.1.2',
    ))
    const capture = await bed.capture(server)
    await goesOutAs(HOSTS[0], /^192\.0\.2\.2$/, true)
    await comesInTo('192.0.2.2', PORT, /^192\.168\.1\.2:80$/)
    for (const protocol of PROTOCOLS) expect(await outside.ask({ protocol, host: '192.0.2.2', port: CLOSED, from: SERVERS[0] })).toEqual({ error: 'ECONNREFUSED' })
    expect(await outside.ping('192.0.2.2', '-I', SERVERS[0])).toEqual([expect.stringContaining('64 bytes from 192.0.2.2')])
    expect(await capture.packets('src net 192.168.0.0/16')).toEqual([])
  })

  it('S8: NAPT, one address for all; the second host with a port gets another', async () => {
    await bed.upWith(FLAGS, way, natPolicy('-A POSTROUTING -s 192.168.1.0/24 -o eth0 -j SNAT --to-source 203.0.113.1'))
    const capture = await bed.capture(server)
    await goesOutAs(HOSTS[0], /^203\.0\.113\.1$/, true)
    for (const protocol of PROTOCOLS) {
      const ports = new Set<number>()
      for (const host of HOSTS) {
        const source = sourceOf(await inside.ask({ protocol, host: SERVERS[0], port: PORT, from: host, local: 21_000 }))
        expect(source.address).toBe('203.0.113.1')
        ports.add(source.port)
      }
      expect(ports.size).toBe(HOSTS.length)
      expect(ports).toContain(21_000)
    }
    expect(await capture.packets('src net 192.168.0.0/16')).toEqual([])
  })

  it('S8: SNAT to a range of addresses and ports', async () => {
    await bed.upWith(FLAGS, way, natPolicy(
      '-A POSTROUTING -s 192.168.1.0/24 -o eth0 -p tcp -j SNAT --to-source 192.0.2.16-192.0.2.19:5000-5999',
      '-A POSTROUTING -s 192.168.1.0/24 -o eth0 -j SNAT --to-source 192.0.2.16-192.0.2.19',
    ))
    for (const host of HOSTS) await goesOutAs(host, /^192\.0\.2\.1[6-9]$/, false)
    for (let number = 0; number < 10; number++) {
      const { port } = sourceOf(await inside.ask({ protocol: 'tcp', host: SERVERS[1], port: PORT }))
      expect(port).toBeGreaterThanOrEqual(5000)
      expect(port).toBeLessThanOrEqual(5999)
    }
  })

  it('S8: DNAT to a range of hosts, which share what comes in', async () => {
    await bed.upWith(FLAGS, way, natPolicy(
      '-A PREROUTING -i eth0 -d 203.0.113.1 -p tcp --dport 8080 -j DNAT --to-destination 192.168.1.2-192.168.1.4:80',
      '-A PREROUTING -i eth0 -d 203.0.113.1 -p udp --dport 8080 -j DNAT --to-destination 192.168.1.2-192.168.1.4:80',
      '-A POSTROUTING -o eth0 -j MASQUERADE',
    ))
    await comesInTo('203.0.113.1', 8080, /^192\.168\.1\.[234]:80$/)
    const more = Array.from({ length: 16 }, (_, index) => `198.18.0.${index + 1}`)
    for (const address of more) await bed.ip(server, `addr add ${address}/32 dev lo`)
    const hosts = new Set<string>()
    for (const from of more) hosts.add(serverOf(await outside.ask({ protocol: 'tcp', host: '203.0.113.1', port: 8080, from })))
    expect([...hosts].sort()).toEqual(HOSTS.map((host) => `${host}:80`))
    // What the hosts begin themselves is theirs, as ever.
    await goesOutAs(HOSTS[1], /^203\.0\.113\.1$/, true)
  })

  it('S8: MASQUERADE', async () => {
    await bed.upWith(FLAGS, way, natPolicy('-A POSTROUTING -o eth0 -j MASQUERADE'))
    for (const host of HOSTS) await goesOutAs(host, /^203\.0\.113\.1$/, false)
  })

  it('S8: NETMAP of one /24 to another, both ways', async () => {
    await bed.upWith(FLAGS, way, natPolicy(
      '-A PREROUTING -d 192.0.2.0/24 -j NETMAP --to 192.168.1.0/24',
      '-A POSTROUTING -s 192.168.1.0/24 -j NETMAP --to 192.0.2.0/24',
    ))
    const capture = await bed.capture(server)
    for (const host of HOSTS) {
      const last = host.split('.').at(-1)!
      await goesOutAs(host, new RegExp(`^192\\.0\\.2\\.${last}$`), true)
      await comesInTo(`192.0.2.${last}`, PORT, new RegExp(`^192\\.168\\.1\\.${last}:80$`))
      for (const protocol of PROTOCOLS) expect(await outside.ask({ protocol, host: `192.0.2.${last}`, port: CLOSED, from: SERVERS[0] })).toEqual({ error: 'ECONNREFUSED' })
      expect(await outside.ping(`192.0.2.${last}`, '-I', SERVERS[0])).toEqual([expect.stringContaining(`64 bytes from 192.0.2.${last}`)])
    }
    expect(await capture.packets('src net 192.168.0.0/16')).toEqual([])
  })
})
