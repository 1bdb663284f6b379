/**
 * MASQUERADE with a range of ports, for hosts with Docker's addresses (scenario S1).
 *
 *     container 172.18.0.2, .3 ── br0 172.18.0.1  gateway  eth0 10.0.2.15 ── 10.0.2.2 upstream, with the servers 8.8.8.8 and 9.9.9.9
 *
 * Upstream has no route to 172.18.0.0/16: what comes back came back by translation.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../../src/testing/lab/index.js'
import { until } from '../gateway-support.js'
import { type Answer, Asker, Scenario, serveTeller, sourceOf, tableOf, WAYS } from './support.js'

const WAN = '10.0.2.15'
const SERVERS = ['8.8.8.8', '9.9.9.9'] as const
const POLICY = {
  commands: [
    'tsnat iptables -t nat -A POSTROUTING -s 172.18.0.0/16 -p tcp -o eth0 -j MASQUERADE --to-ports 55666-55680',
    'tsnat iptables -t nat -A POSTROUTING -s 172.18.0.0/16 -o eth0 -j MASQUERADE',
  ],
  rules: tableOf('nat', '-A POSTROUTING -s 172.18.0.0/16 -o eth0 -p tcp -j MASQUERADE --to-ports 55666-55680', '-A POSTROUTING -s 172.18.0.0/16 -o eth0 -j MASQUERADE'),
}
const FIRST = 55_666

let bed: Scenario
let client: LabNamespace
let server: LabNamespace
let asker: Asker
beforeEach(async () => {
  bed = await Scenario.create()
  client = await bed.host('container', ['172.18.0.2/16', '172.18.0.3/16'], 'br0', '172.18.0.1/16')
  await client.route('default', '172.18.0.1')
  asker = new Asker(client)
})
afterEach(async () => {
  await bed.close()
})

/** The WAN with its address in the kernel, as the article has it, or with one that only tsnat has. */
const upstream = async (isShared: boolean): Promise<void> => {
  server = await bed.host('upstream', '10.0.2.2/24', 'eth0', isShared ? `${WAN}/24` : undefined)
  if (isShared) await bed.gateway.route('default', '10.0.2.2')
  for (const address of SERVERS) await bed.ip(server, `addr add ${address}/32 dev lo`)
  await serveTeller(server, 80, ...SERVERS)
  await serveTeller(server, 53, ...SERVERS)
}

const flagsOf = (isShared: boolean): string =>
  `--wan eth0 --capture iif=br0 --log-level warn${isShared ? '' : ` --wan-address owned:${WAN}/24 --wan-gateway 10.0.2.2`}`

const tcp = (host: string, keep?: string, local?: number): Promise<Answer> =>
  asker.ask({ protocol: 'tcp', host, port: 80, ...(keep === undefined ? {} : { keep }), ...(local === undefined ? {} : { local }) })
const udp = (host: string, local: number, from?: string): Promise<Answer> => asker.ask({ protocol: 'udp', host, port: 53, local, ...(from === undefined ? {} : { from }) })

describe.each([['an address of the kernel', true], ['an address of its own', false]] as const)('with %s', (_, isShared) => {
  it.each(WAYS)('S1: UDP keeps its port; TCP leaves from 15 ports, which two servers share; the 16th connection to one is refused (%s)', async (way) => {
    await upstream(isShared)
    await bed.upWith(flagsOf(isShared), way, POLICY)
    const capture = await bed.capture(server)

    // DNS from the port that the host chose; of a kernel's address tsnat has the upper ports only.
    const port = isShared ? 50_053 : 3053
    expect((await udp(SERVERS[0], port)).seen).toBe(`${WAN} ${port} ${SERVERS[0]} 53`)

    const used = new Set<number>()
    for (let number = 1; number <= 15; number++) {
      const source = sourceOf(await tcp(SERVERS[0], `first ${number}`))
      expect(source.address).toBe(WAN)
      used.add(source.port)
    }
    expect([...used].sort()).toEqual(Array.from({ length: 15 }, (__, index) => FIRST + index))

    const { drops: before } = await bed.status()
    const last = await tcp(SERVERS[0])
    expect(last.seen).toBeUndefined()
    const { drops, flows } = await bed.status()
    expect(flows.refused).toBeGreaterThan(0)
    expect(Object.values(drops).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(Object.values(before).reduce((sum, count) => sum + count, 0))

    // Another server: the same ports are free there.
    const shared = sourceOf(await tcp(SERVERS[1], 'second'))
    expect(shared.address).toBe(WAN)
    expect(used).toContain(shared.port)

    // Both tuples, as conntrack-tools print them.
    const lines = (await bed.shell('tsnat conntrack -L')).stdout.trim().split('\n')
    const established = lines.filter((line) => line.startsWith('tcp      6 ') && line.includes(' ESTABLISHED '))
    expect(established).toHaveLength(16)
    for (const line of established) {
      const found = /ESTABLISHED src=172\.18\.0\.2 dst=(\S+) sport=(\d+) dport=80 .*src=(\S+) dst=10\.0\.2\.15 sport=80 dport=(\d+) .*\[ASSURED\] mark=0 use=1$/.exec(line)
      expect(found, line).not.toBeNull()
      expect(found![3]).toBe(found![1])
      expect(used).toContain(Number(found![4]))
    }
    expect(lines.filter((line) => new RegExp(`^udp      17 \\d+ src=172\\.18\\.0\\.2 dst=8\\.8\\.8\\.8 sport=${port} dport=53 .*src=8\\.8\\.8\\.8 dst=10\\.0\\.2\\.15 sport=53 dport=${port} `).test(line))).toHaveLength(1)

    // A port that is free again is given out again.
    await asker.close('first 3')
    await until(async () => (await bed.shell('tsnat conntrack -D -p tcp --state TIME_WAIT')).code === 0)
    // In the second of the refusal nobody looks for one again.
    await until(async () => (await tcp(SERVERS[0], 'once more')).seen?.startsWith(`${WAN} `))

    expect(await capture.packets('src net 172.16.0.0/12')).toEqual([])
    const listed = await bed.typed('tsnat iptables -t nat -L POSTROUTING -n -v -x')
    expect(listed).toMatch(/^ +\d+ +\d+ MASQUERADE +tcp +-- +\* +eth0 +172\.18\.0\.0\/16 +0\.0\.0\.0\/0 +masq ports: 55666-55680$/m)
    expect(Number(/^ +(\d+) .* masq ports/m.exec(listed)![1])).toBeGreaterThanOrEqual(16)
  })
})

describe('options of MASQUERADE and SNAT', () => {
  const RANGE = '-t nat -A POSTROUTING -s 172.18.0.0/16 -o eth0'
  const sources = async (hosts: readonly string[], local?: number): Promise<{ address: string; port: number }[]> => {
    const found: { address: string; port: number }[] = []
    for (const host of hosts) found.push(sourceOf(await asker.ask({ protocol: 'udp', host, port: 53, ...(local === undefined ? {} : { local }) })))
    return found
  }

  it('S1: a port within the range stays, with --random and --random-fully it does not', async () => {
    await upstream(false)
    await bed.up(flagsOf(false))
    for (const [options, isKept] of [['', true], [' --random', false], [' --random-fully', false]] as const) {
      await bed.typed('tsnat iptables -t nat -F POSTROUTING')
      await bed.typed(`tsnat iptables ${RANGE} -p udp -j MASQUERADE --to-ports 55000-55999${options}`)
      // Flows of before keep their ports.
      await bed.shell('tsnat conntrack -D -p udp')
      const ports: number[] = []
      for (let number = 0; number < 6; number++) ports.push((await sources([SERVERS[0]], 55_100 + number))[0]!.port)
      expect(ports.every((port) => port >= 55_000 && port <= 55_999), `${options}: ${ports.join()}`).toBe(true)
      expect(ports.every((port, number) => port === 55_100 + number), `${options}: ${ports.join()}`).toBe(isKept)
    }
  })

  it('S1: of a range of addresses a host has one towards all servers with --persistent, and without it one by server', async () => {
    await upstream(false)
    const more = Array.from({ length: 12 }, (_, index) => `198.18.0.${index + 1}`)
    for (const address of more) await bed.ip(server, `addr add ${address}/32 dev lo`)
    await serveTeller(server, 53, ...more)
    await bed.ip(server, 'route add 192.0.2.16/28 via 10.0.2.15')
    await bed.up(flagsOf(false))
    for (const [options, isOne] of [[' --persistent', true], ['', false]] as const) {
      await bed.typed('tsnat iptables -t nat -F POSTROUTING')
      await bed.typed(`tsnat iptables ${RANGE} -j SNAT --to-source 192.0.2.16-192.0.2.23${options}`)
      await bed.shell('tsnat conntrack -D -p udp')
      const addresses = new Set((await sources(more)).map(({ address }) => address))
      for (const address of addresses) expect(address).toMatch(/^192\.0\.2\.(1[6-9]|2[0-3])$/)
      expect(addresses.size === 1, `${options}: ${[...addresses].join()}`).toBe(isOne)
    }
  })
})
