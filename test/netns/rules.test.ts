/**
 * Rules between real hosts: mappings of their own, and remotes towards which nothing is translated, by nat.rules and by those of iptables.
 *
 *     client 192.168.1.2 ── eth1 gateway ── server 203.0.113.9, 198.51.100.1, 198.51.100.2
 *     second 192.168.2.2 ── eth2
 *
 * The server has a route to 192.168.1.0/24 by tsnat's address, and the gateway's kernel forwards.
 */
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { randomFile, sha256 } from '../interop/files.js'
import { startNginx } from '../interop/nginx.js'
import { output, requests } from '../interop/support.js'
import { CLIENT, fetchPage, GATEWAY, GatewayLab, pause, REMOTE, SERVER, serveHttp } from './gateway-support.js'

const SECOND = '192.168.2.2'
/** The remote of the rules. */
const KNOWN = '198.51.100.2'
const OWNED = '203.0.113.50'
const BYTES = 8 << 20

let bed: GatewayLab
let second: LabNamespace
beforeEach(async () => {
  bed = await GatewayLab.create()
  const { lab, gateway, server } = bed
  second = await lab.namespace('second')
  await lab.link(second, { name: 'eth0', address: `${SECOND}/24` }, gateway, { name: 'eth2', address: '192.168.2.1/24' })
  await second.route('default', '192.168.2.1')
  await bed.ip(server, `addr add ${KNOWN}/32 dev lo`)
  gateway.sysctl('net.ipv4.ip_forward', 1)
  await server.node(TELLER, [REMOTE, KNOWN]).waitFor(/serving/)
})
afterEach(async () => {
  await bed.close()
})

/** On port 9 of the addresses in its arguments: tells whoever comes, by TCP or UDP, which address and port he has. */
const TELLER = `
  import { createServer } from 'node:net'
  import { createSocket } from 'node:dgram'
  const addresses = process.argv.slice(1)
  let open = 0
  for (const address of addresses) {
    createServer((socket) => {
      socket.on('error', () => {})
      socket.end(socket.remoteAddress + ' ' + socket.remotePort)
    }).listen(9, address, () => {
      const udp = createSocket('udp4')
      udp.on('message', (_, { address, port }) => udp.send(address + ' ' + port, port, address))
      udp.bind(9, address, () => { if (++open === addresses.length) console.log('serving') })
    })
  }`

/** Asks the tellers at the addresses in its arguments, all from one port, by \`process.argv[1]\`; prints the answers in that order. */
const ASKER = `
  import { connect } from 'node:net'
  import { createSocket } from 'node:dgram'
  const [, protocol, port, ...hosts] = process.argv
  const tcp = (host) => new Promise((resolve) => {
    const socket = connect({ host, port: 9, localPort: Number(port) })
    socket.on('data', (data) => resolve(String(data)))
    socket.on('error', ({ code }) => resolve(code))
  })
  const udp = createSocket('udp4')
  const overUdp = (host) => new Promise((resolve) => {
    udp.on('message', (data, { address }) => { if (address === host) resolve(String(data)) })
    udp.send('who am I?', 9, host)
  })
  if (protocol === 'udp') await new Promise((resolve) => udp.bind(Number(port), resolve))
  console.log((await Promise.all(hosts.map(protocol === 'udp' ? overUdp : tcp))).join('\\n'))
  process.exit()`

/** As whom a host appears to REMOTE and to KNOWN. */
const appearance = async (where: LabNamespace, protocol: 'tcp' | 'udp', port: number): Promise<string[]> =>
  (await where.node(ASKER, [protocol, String(port), REMOTE, KNOWN]).finish({ timeout: 10_000, check: true })).stdout.trim().split('\n')

const CAPTURE = ['--capture', 'iif=eth1,eth2', '--log-level', 'warn'] as const

it('UPD-6: a mapping by rule: of one host and one protocol, and from one remote on', async () => {
  const gateway = await bed.up(
    ...CAPTURE,
    '--nat-rule', `from=${CLIENT}/32,protocol=udp,mapping=address-dependent`,
    '--nat-rule', `from=${SECOND}/32,protocol=tcp,to=${KNOWN}/32,ports=9,mapping=address-and-port-dependent`,
  )
  const ports = async (where: LabNamespace, protocol: 'tcp' | 'udp'): Promise<boolean> => {
    const [a, b] = await appearance(where, protocol, 50_123)
    expect([a, b]).toEqual([expect.stringContaining(`${GATEWAY} `), expect.stringContaining(`${GATEWAY} `)])
    return a === b
  }
  expect({ udp: await ports(bed.client, 'udp'), tcp: await ports(bed.client, 'tcp') }).toEqual({ udp: false, tcp: true })
  expect({ udp: await ports(second, 'udp'), tcp: await ports(second, 'tcp') }).toEqual({ udp: true, tcp: false })
  gateway.kill('SIGINT')
  expect(await gateway.finish()).toMatchObject({ code: 0, stderr: '' })
})

describe.each([
  ['shared', GATEWAY, []],
  ['owned', OWNED, ['--wan-address', `owned:${OWNED}/24`]],
] as const)('translate: false, with a WAN address that is %s', (_, address, flags) => {
  const rule = ['--nat-rule', `from=192.168.1.0/24,to=${KNOWN}/32,translate=false`]

  it('CGN-6: that remote sees the client\'s own address and port, others do not; TCP, UDP, ping and errors come back, once', async () => {
    const { client, gateway, server, lab } = bed
    await server.route('192.168.1.0/24', address)
    const files = await startNginx(server, lab.temporaryDirectory())
    const wanted = randomFile(join(files, 'file'), BYTES)
    const before = await bed.snapshot()
    const up = await bed.up(...CAPTURE, ...flags, ...rule)
    expect(await output(gateway, 'nft', ['list', 'ruleset'])).toContain('ip daddr @inside fib daddr type != local drop')
    const atClient = await bed.capture(client)
    const atServer = await bed.capture(server)

    for (const protocol of ['tcp', 'udp'] as const) {
      const [other, known] = await appearance(client, protocol, 2345)
      expect(other).toContain(`${address} `)
      expect(known).toBe(`${CLIENT} 2345`)
      // The rule is of the other network.
      expect((await appearance(second, protocol, 2345)).map((one) => one.split(' ')[0])).toEqual([address, address])
    }
    const ping = await client.run('ping', [...requests(5), '-s', '3000', KNOWN])
    expect(ping.stdout).toContain('5 packets transmitted, 5 received, 0%')
    // A closed port: the error finds its way, too.
    expect((await client.run('curl', ['-s', '--max-time', '5', `http://${KNOWN}:81/`])).code).toBe(7)
    const traceroute = await output(client, 'traceroute', ['-n', '-q', '1', '-w', '2', '-U', '-p', '10', KNOWN])
    expect(traceroute.trimEnd().split('\n').slice(1).map((line) => line.trim().split(/\s+/)[1])).toEqual(['192.168.1.1', '10.77.0.1', KNOWN])
    const local = join(lab.temporaryDirectory(), 'file')
    await output(client, 'curl', ['-sS', '--fail', '--max-time', '30', '-o', local, `http://${KNOWN}/file`])
    expect(await sha256(local)).toBe(wanted)

    for (const each of [atClient, atServer]) await each.stop()
    // Had the kernel forwarded as well, all would have come twice, or with another address.
    const once = async (filter: string): Promise<number> => (await atClient.packets(`host ${KNOWN} and ${filter}`)).length
    expect(await once('icmp[icmptype] == icmp-echoreply and (ip[6:2] & 0x1fff) == 0')).toBe(5)
    expect(await once('udp src port 9')).toBe(1)
    expect(await once('tcp[tcpflags] == (tcp-syn | tcp-ack)')).toBe(2)
    expect(await once('tcp[tcpflags] & tcp-rst != 0')).toBe(1)
    expect(await atServer.packets(`host ${KNOWN} and src net 192.168.0.0/16 and not src ${CLIENT}`)).toEqual([])
    expect(await atServer.packets(`host ${KNOWN} and icmp[icmptype] == icmp-echo and not src ${CLIENT}`)).toEqual([])
    expect(await atServer.packets(`not host ${KNOWN} and net 192.168.0.0/16 and not arp`)).toEqual([])

    up.kill('SIGINT')
    expect(await up.finish()).toMatchObject({ code: 0, stderr: '' })
    expect(await output(gateway, 'nft', ['list', 'ruleset'])).toBe('')
    expect(await bed.snapshot()).toEqual(before)
  })

  it('what nobody inside asked for comes in neither by tsnat nor by the kernel, which forwards', async () => {
    const { client, gateway, server } = bed
    await server.route('192.168.1.0/24', address)
    await client.node(TELLER, [CLIENT]).waitFor(/serving/)
    const up = await bed.up(...CAPTURE, ...flags, ...rule)
    const capture = await bed.capture(client)
    expect(gateway.readSysctl('net.ipv4.ip_forward')).toBe('1')
    expect((await server.run('curl', ['-s', '--max-time', '1', '--interface', KNOWN, `http://${CLIENT}:9/`])).code).toBe(28)
    expect((await server.run('ping', ['-c', '1', '-W', '1', '-I', KNOWN, CLIENT])).stdout).toContain(' 0 received')
    await server.run('traceroute', ['-n', '-q', '1', '-w', '1', '-m', '3', '-s', KNOWN, CLIENT])
    await capture.stop()
    expect(await capture.packets(`net 198.51.100.0/24 or host ${GATEWAY}`)).toEqual([])
    expect((await bed.status()).drops).toEqual({ 'no-flow': expect.any(Number) as unknown })
    up.kill('SIGINT')
    expect(await up.finish()).toMatchObject({ code: 0, stderr: '' })
  })

  it('by rules of nat POSTROUTING: what they do not translate comes back to the client\'s own address, once, as long as they are there', async () => {
    const { client, gateway, server } = bed
    await server.route('192.168.1.0/24', address)
    const iptables = async (words: string): Promise<void> => {
      expect(await bed.tsnat('iptables', '-t', 'nat', ...words.split(' '))).toMatchObject({ code: 0, stderr: '' })
    }
    const up = await bed.up(...CAPTURE, ...flags)
    expect(gateway.readSysctl('net.ipv4.ip_forward')).toBe('1')
    await iptables(`-A POSTROUTING -d ${KNOWN} -j ACCEPT`)
    await iptables('-A POSTROUTING -o eth0 -j MASQUERADE')
    const atClient = await bed.capture(client)
    for (const protocol of ['tcp', 'udp'] as const) {
      expect(await appearance(client, protocol, 2346)).toEqual([expect.stringContaining(`${address} `), `${CLIENT} 2346`])
    }
    expect((await client.run('ping', [...requests(3), KNOWN])).stdout).toContain('3 received, 0%')
    await atClient.stop()
    expect(await atClient.packets(`src host ${KNOWN} and icmp`)).toHaveLength(3)
    // With the last rule tsnat's own masquerade is back, and nobody hears what is for inside hosts.
    await iptables('-F POSTROUTING')
    expect((await appearance(client, 'udp', 2347)).map((one) => one.split(' ')[0])).toEqual([address, address])
    expect(await output(gateway, 'nft', ['list', 'set', 'netdev', 'tsnat-default', 'inside'])).not.toContain('192.168')
    up.kill('SIGINT')
    expect(await up.finish()).toMatchObject({ code: 0, stderr: '' })
  })

  it('the host itself goes on as ever, though its addresses be in the rule\'s network', async () => {
    const { client, gateway, server } = bed
    await server.route('192.168.0.0/16', GATEWAY)
    await serveHttp(gateway, 8080)
    const up = await bed.up(...CAPTURE, ...flags, '--nat-rule', `from=0.0.0.0/0,to=${KNOWN}/32,translate=false`)
    const capture = await bed.capture(server)
    for (const own of [GATEWAY, '192.168.1.1']) {
      expect(await fetchPage(server, `http://${own}:8080/`)).toContain(`${SERVER} `)
      expect((await gateway.run('ping', ['-c', '1', '-W', '2', '-I', own, SERVER])).stdout).toContain('1 received')
    }
    expect((await appearance(client, 'udp', 2345))[0]).toContain(`${address} `)
    // As long as tsnat holds SYNs that nobody waits for.
    await pause(7000)
    await capture.stop()
    expect(await capture.packets('icmp[icmptype] == icmp-unreach')).toEqual([])
    up.kill('SIGINT')
    expect(await up.finish()).toMatchObject({ code: 0, stderr: '' })
  })
})
