/**
 * Every packet as it is on the wire at the client and at the server, verified byte by byte: with the checksum offload of all
 * interfaces off, what the kernels send is complete, and what tsnat left to be completed was completed from what tsnat wrote.
 */
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { checkPacket } from '../../src/testing/check-packet.js'
import type { LabNamespace, LabProcess } from '../../src/testing/lab/index.js'
import { randomFile, sha256 } from './files.js'
import { startNginx } from './nginx.js'
import { readPackets } from './pcap.js'
import { Bed, GATEWAY, output, requests, SERVER } from './support.js'

let bed: Bed
afterEach(async () => {
  await bed.stop()
  await bed.close()
})

const record = async (where: LabNamespace, file: string): Promise<LabProcess> => {
  const dump = where.spawn('tcpdump', ['-n', '-U', '--immediate-mode', '-B', '65536', '-i', 'eth0', '-w', file, 'ip'])
  await dump.waitFor(/listening on/)
  return dump
}

const finish = async (dump: LabProcess): Promise<void> => {
  dump.kill('SIGINT')
  expect((await dump.finish({ timeout: 5000 })).stderr).toMatch(/^0 packets dropped by kernel$/m)
}

/** TCP both ways, pings whole and in fragments, UDP, and ICMP errors about UDP in both directions. */
const traffic = async (): Promise<void> => {
  const files = await startNginx(bed.server, bed.lab.temporaryDirectory())
  const local = join(bed.lab.temporaryDirectory(), 'file')
  const wanted = randomFile(join(files, 'file'), 1 << 20)
  const curl = (...args: string[]): Promise<string> => output(bed.client, 'curl', ['--silent', '--show-error', '--fail', '--max-time', '20', ...args])
  await curl('--output', local, `http://${SERVER}/file`)
  await curl('--upload-file', local, `http://${SERVER}/back`)
  expect(await sha256(join(files, 'back'))).toBe(wanted)
  for (const size of [0, 1, 56, 1472, 1473, 8000]) {
    expect(await output(bed.client, 'ping', [...requests(2), '-s', String(size), SERVER])).toContain('2 received')
  }
  // A closed port at the server, and then one at the client.
  await bed.server.node(`
    import { createSocket } from 'node:dgram'
    const socket = createSocket('udp4', (data, { address, port }) => {
      socket.send(data, port, address)
      if (String(data) === 'leave') setTimeout(() => socket.send('late', port, address), 200)
    })
    socket.bind(7000, () => console.log('up'))`).waitFor(/up/)
  await bed.client.node(`
    import { createSocket } from 'node:dgram'
    const closed = createSocket('udp4')
    closed.on('error', () => closed.close())
    closed.connect(7001, '${SERVER}', () => closed.send('x'.repeat(99)))
    const sizes = [0, 1, 2, 99, 1472, 3000, 20000]
    const socket = createSocket('udp4', (data) => {
      if (String(data) === 'leave') socket.close()
      else if (sizes.length > 0) socket.send('y'.repeat(sizes.shift()), 7000, '${SERVER}')
      else socket.send('leave', 7000, '${SERVER}')
    })
    socket.send('hello', 7000, '${SERVER}')`).finish({ timeout: 10_000, check: true })
}

const address = (packet: Uint8Array, at: number): string => packet.subarray(at, at + 4).join('.')

/** What a capture holds: `tcp`, `udp`, `icmp 8` and so on, with an arrow for the direction as the client sees it; `…` in fragments. */
const kinds = (packets: readonly Uint8Array[], server: string): string[] =>
  [...new Set(packets.map((packet) => {
    const isFragment = ((packet[6]! << 8) | packet[7]!) & 0x3fff
    const protocol = { 1: 'icmp', 6: 'tcp', 17: 'udp' }[packet[9]!]
    const type = protocol === 'icmp' && isFragment === 0 ? ` ${packet[(packet[0]! & 15) * 4]}` : ''
    return `${address(packet, 16) === server ? '→' : '←'} ${protocol}${type}${isFragment === 0 ? '' : '…'}`
  }))].sort()

const off = { lan: ['--lan-offload', 'off'], wan: ['--wan-offload', 'off'] }

describe.each([
  ['on', []],
  ['off on the LAN', off.lan],
  ['off on the WAN', off.wan],
  ['off on both sides', [...off.lan, ...off.wan]],
])('offloads of tsnat %s', (_, flags) => {
  it('every packet at the client and at the server is right', async () => {
    bed = await Bed.build(['curl', 'ethtool', 'nginx', 'nc', 'ping', 'tcpdump'])
    for (const [where, device] of [[bed.client, 'eth0'], [bed.gateway, 'eth1'], [bed.gateway, 'eth0'], [bed.server, 'eth0']] as const) {
      await output(where, 'ethtool', ['-K', device, 'tx', 'off', 'rx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off'])
    }
    await bed.up(...flags)
    const directory = bed.lab.temporaryDirectory()
    const ends = [
      { where: bed.client, file: join(directory, 'client.pcap'), inside: bed.address },
      { where: bed.server, file: join(directory, 'server.pcap'), inside: GATEWAY },
    ]
    const dumps = [await record(ends[0]!.where, ends[0]!.file), await record(ends[1]!.where, ends[1]!.file)]
    await traffic()
    await expect.poll(() => kinds(readPackets(ends[1]!.file), SERVER)).toContain('→ icmp 3')
    for (const dump of dumps) await finish(dump)
    for (const { file, inside } of ends) {
      const packets = readPackets(file)
      expect(packets.length).toBeGreaterThan(1500)
      expect(packets.flatMap((packet) => checkPacket(packet))).toEqual([])
      // On either wire nothing but the two that speak to each other there: the client's own address never reaches the server.
      expect(new Set(packets.flatMap((packet) => [address(packet, 12), address(packet, 16)]))).toEqual(new Set([inside, SERVER]))
      expect(kinds(packets, SERVER)).toEqual([
        '→ icmp 3', '→ icmp 8', '→ icmp…', '→ tcp', '→ udp', '→ udp…', '← icmp 0', '← icmp 3', '← icmp…', '← tcp', '← udp', '← udp…',
      ].sort())
    }
  })
})
