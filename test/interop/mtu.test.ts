/**
 * The two sides have different MTUs: TCP with and without the MSS clamp, path MTU discovery, and what is cut into fragments.
 *
 * The server is behind a router on a network of 9000 bytes, so that its own MSS says nothing of the narrow WAN before it.
 */
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { LabNamespace, LabProcess } from '../../src/testing/lab/index.js'
import { randomFile, sha256 } from './files.js'
import { startNginx } from './nginx.js'
import { Bed, GATEWAY, output, requests, TSNAT } from './support.js'

const SERVER = '192.0.2.2'
const BYTES = 5 << 20
const PROGRAMS = ['curl', 'nginx', 'nc', 'ping', 'tcpdump']

let bed: Bed
let server: LabNamespace

const begin = async (lanMtu: number, wanMtu: number, lan: 'router' | 'inside', ...flags: string[]): Promise<void> => {
  bed = await Bed.build(PROGRAMS, { lan, lanMtu: Math.max(lanMtu, 1500), wanMtu })
  server = await bed.lab.namespace('far')
  await bed.lab.link(bed.server, { name: 'eth1', address: '192.0.2.1/24', mtu: 9000 }, server, { name: 'eth0', address: `${SERVER}/24`, mtu: 9000 })
  await server.route('default', '192.0.2.1')
  bed.server.sysctl('net.ipv4.ip_forward', 1)
  await bed.up('--lan-mtu', String(lanMtu), ...flags)
}
afterEach(async () => {
  await bed.stop()
  await bed.close()
})

/** What arrives at an interface, one line a packet, as it comes. */
const watch = async (where: LabNamespace, device: string, filter: string): Promise<LabProcess> => {
  const dump = where.spawn('tcpdump', ['-n', '-l', '--immediate-mode', '-i', device, '-Q', 'in', filter])
  await dump.waitFor(/listening on/)
  return dump
}

/** A file down, then up; both must arrive as they left. */
const transfer = async (): Promise<void> => {
  const files = await startNginx(server, bed.lab.temporaryDirectory())
  const local = bed.lab.temporaryDirectory()
  const wanted = randomFile(join(files, 'file'), BYTES)
  const curl = (...args: string[]): Promise<string> => output(bed.client, 'curl', ['--silent', '--show-error', '--fail', '--max-time', '20', ...args])
  await curl('--output', join(local, 'file'), `http://${SERVER}/file`)
  expect(await sha256(join(local, 'file'))).toBe(wanted)
  // What the ends have learned of the path would go into the MSS of their next SYN.
  for (const end of [bed.client, server]) await output(end, 'ip', ['route', 'flush', 'cache'])
  await curl('--upload-file', join(local, 'file'), `http://${SERVER}/back`)
  expect(await sha256(join(files, 'back'))).toBe(wanted)
}

const pathMtu = async (where: LabNamespace, to: string): Promise<number> =>
  Number(/ mtu (\d+)/.exec(await output(where, 'ip', ['route', 'get', to]))?.[1] ?? 0)

describe.each([[1500, 1400], [9000, 1500]])('from a LAN of %i to a WAN of %i bytes', (lanMtu, wanMtu) => {
  it('TCP works both ways, the MSS being clamped, without any ICMP', async () => {
    await begin(lanMtu, wanMtu, 'inside')
    const errors = await watch(bed.client, 'tun0', 'icmp')
    const syns = await watch(server, 'eth0', 'tcp[tcpflags] & tcp-syn != 0')
    const answers = await watch(bed.client, 'tun0', 'tcp[tcpflags] & tcp-syn != 0')
    await transfer()
    for (const seen of [syns, answers]) expect((await seen.waitFor(/mss (\d+)/))[1]).toBe(String(wanMtu - 40))
    expect(errors.stdout).toBe('')
    expect((await bed.status()).drops).toEqual({})
  })

  it('TCP works both ways without the clamp, by ICMP 3/4 from tsnat', async () => {
    await begin(lanMtu, wanMtu, 'inside', '--no-mss-clamp')
    const errors = await watch(bed.client, 'tun0', 'icmp')
    const syns = await watch(server, 'eth0', 'tcp[tcpflags] & tcp-syn != 0')
    expect(await pathMtu(bed.client, SERVER)).toBe(0)
    await transfer()
    expect((await syns.waitFor(/mss (\d+)/))[1]).toBe(String(lanMtu - 40))
    await errors.waitFor(new RegExp(`${TSNAT} > ${bed.address}: ICMP ${SERVER} unreachable - need to frag \\(mtu ${wanMtu}\\)`))
    expect(await pathMtu(bed.client, SERVER)).toBe(wanMtu)
    const { drops } = await bed.status()
    expect(Object.keys(drops)).toEqual(['too-big'])
  })

  it('a ping that must not be cut is refused with the MTU, others are cut', async () => {
    await begin(lanMtu, wanMtu, 'inside')
    const ping = (size: number, how: string): Promise<string> =>
      bed.client.run('ping', [...requests(2), '-M', how, '-s', String(size), SERVER]).then(({ stdout }) => stdout)
    const refused = await ping(lanMtu - 28, 'do')
    expect(refused).toContain(`From ${TSNAT} icmp_seq=1 Frag needed and DF set (mtu = ${wanMtu})`)
    expect(refused).toContain('0 received')
    expect(await ping(wanMtu - 28, 'do')).toContain('2 received')
    for (const size of [wanMtu - 27, lanMtu - 28, 3000, 20_000]) expect(await ping(size, 'dont')).toContain('2 received')
  })

  it('UDP datagrams of any size arrive, those that were cut by the sender and those that tsnat cuts', async () => {
    await begin(lanMtu, wanMtu, 'inside')
    await server.node(`
      import { createSocket } from 'node:dgram'
      const socket = createSocket('udp4', (data, { address, port }) => socket.send(data, port, address))
      socket.bind(7000, () => console.log('up'))`).waitFor(/up/)
    const echo = await bed.client.node(`
      import { createSocket } from 'node:dgram'
      const socket = createSocket('udp4')
      socket.on('error', () => {})
      for (const size of process.argv.slice(1).map(Number)) {
        const data = Buffer.from(Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 255))
        let back
        // The first one may be lost to the discovery of the path MTU, as Linux sets DF where a datagram fits the interface.
        for (let attempt = 1; back === undefined && attempt <= 3; attempt++) {
          back = await new Promise((done) => {
            socket.once('message', done)
            socket.send(data, 7000, '${SERVER}')
            setTimeout(done, 300)
          })
        }
        console.log(size, back !== undefined && data.equals(back))
      }
      socket.close()`, ['100', '1380', '1460', '3000', '9500', '40000']).finish({ timeout: 20_000, check: true })
    expect(echo.stdout.trimEnd().split('\n')).toEqual([100, 1380, 1460, 3000, 9500, 40000].map((size) => `${size} true`))
  })
})

describe('from a LAN of 1400 to a WAN of 1500 bytes, hosts on the LAN having 1500', () => {
  it('TCP works both ways with the clamp', async () => {
    await begin(1400, 1500, 'router')
    const errors = await watch(server, 'eth0', 'icmp')
    await transfer()
    expect(errors.stdout).toBe('')
  })

  it('TCP works both ways without it: tsnat tells the server', async () => {
    await begin(1400, 1500, 'router', '--no-mss-clamp')
    const errors = await watch(server, 'eth0', 'icmp')
    await transfer()
    await errors.waitFor(new RegExp(`${GATEWAY} > ${SERVER}: ICMP ${GATEWAY} unreachable - need to frag \\(mtu 1400\\)`))
    expect(await pathMtu(bed.client, SERVER)).toBe(1400)
  })
})
