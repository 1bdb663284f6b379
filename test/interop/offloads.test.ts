/** Checksum and segmentation offloads, on and off at every place where they can be: TCP both ways, and UDP in superpackets. */
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { randomFile, sha256 } from './files.js'
import { startNginx } from './nginx.js'
import type { BedOptions } from './support.js'
import { Bed, compile, output, SERVER } from './support.js'

const BYTES = 50 << 20
const ROUNDS = 50
/** Datagrams each way: 40 a superpacket. */
const DATAGRAMS = ROUNDS * 40

let bed: Bed
let gso: string

const begin = async (flags: readonly string[], options: BedOptions = {}): Promise<void> => {
  bed = await Bed.build(['cc', 'curl', 'ethtool', 'nginx', 'nc', 'ping'], options)
  gso = compile('udp-gso.c', bed.lab.temporaryDirectory())
  await bed.server.spawn(gso, ['serve', '7000']).waitFor(/up/)
  await bed.up(...flags)
  // Only so many packets may wait for the server's Ethernet address, fewer than two superpackets in pieces.
  await output(bed.client, 'ping', ['-c1', '-W2', SERVER])
}
afterEach(async () => {
  await bed.stop()
  await bed.close()
})

const transfer = async (): Promise<void> => {
  const files = await startNginx(bed.server, bed.lab.temporaryDirectory())
  const local = bed.lab.temporaryDirectory()
  const wanted = randomFile(join(files, 'file'), BYTES)
  const curl = (...args: string[]): Promise<string> => output(bed.client, 'curl', ['--silent', '--show-error', '--fail', '--max-time', '40', ...args])
  await curl('--output', join(local, 'file'), `http://${SERVER}/file`)
  expect(await sha256(join(local, 'file'))).toBe(wanted)
  await curl('--upload-file', join(local, 'file'), `http://${SERVER}/back`)
  expect(await sha256(join(files, 'back'))).toBe(wanted)
}

/** Sends UDP in superpackets both ways; tells how many packets tsnat received for that from LAN and WAN. */
const exchange = async (size = 1400): Promise<[lan: number, wan: number]> => {
  const before = await bed.status()
  expect(await output(bed.client, gso, ['exchange', SERVER, '7000', String(size), String(ROUNDS)])).toBe(`${DATAGRAMS} datagrams each way\n`)
  const after = await bed.status()
  expect(after.drops).toEqual(before.drops)
  return [after.lan.rx.packets - before.lan.rx.packets, after.wans[0]!.rx.packets - before.wans[0]!.rx.packets]
}

const features = async (where: LabNamespace, device: string): Promise<void> => {
  await output(where, 'ethtool', ['-K', device, 'tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off'])
}

const off = { lan: ['--lan-offload', 'off'], wan: ['--wan-offload', 'off'] }

describe.each([
  ['all on', []],
  ['off on the LAN', off.lan],
  ['off on the WAN', off.wan],
  ['off on both sides', [...off.lan, ...off.wan]],
])('offloads %s', (_, flags) => {
  it.each(['router', 'inside'] as const)('%s: TCP and UDP superpackets cross, both ways', async (lan) => {
    await begin(flags, { lan })
    const [fromLan, fromWan] = await exchange()
    // Whole superpackets, one by one, where the TUN takes them; the packet socket has them whole in any case.
    if (flags.includes('--lan-offload')) expect(fromLan).toBeGreaterThanOrEqual(DATAGRAMS)
    else expect(fromLan).toBeLessThan(DATAGRAMS / 10)
    expect(fromWan).toBeLessThan(DATAGRAMS / 10)
    await transfer()
    const { drops, lan: { offloads: ofLan, tx: toLan }, wans } = await bed.status()
    const { offloads: ofWan, tx: toWan } = wans[0]!
    expect(drops).toEqual({})
    expect([toLan.errors, toWan.errors]).toEqual([0, 0])
    for (const [offloads, isOff] of [[ofLan, flags.includes('--lan-offload')], [ofWan, flags.includes('--wan-offload')]] as const) {
      expect([offloads.checksum, offloads.tcpSegmentation, offloads.udpSegmentation]).toEqual(Array(3).fill(!isOff))
    }
  })
})

describe('interfaces of the gateway that offload nothing', () => {
  it.each([['on', []], ['off', [...off.lan, ...off.wan]]])('tsnat having its offloads %s', async (_, flags) => {
    await begin(flags)
    for (const device of ['eth0', 'eth1']) await features(bed.gateway, device)
    await exchange()
    await transfer()
    expect((await bed.status()).drops).toEqual({})
  })

  it('nor do those of client and server: nothing but whole packets on every wire', async () => {
    await begin([])
    for (const [where, device] of [[bed.gateway, 'eth0'], [bed.gateway, 'eth1'], [bed.client, 'eth0'], [bed.server, 'eth0']] as const) await features(where, device)
    await transfer()
    expect((await bed.status()).drops).toEqual({})
  })
})

describe('where the WAN is narrower than the networks of client and server', () => {
  it.each([['on', []], ['off', [...off.lan, ...off.wan]]])('the datagrams of a superpacket are each cut into fragments, offloads %s', async (_, flags) => {
    await begin(['--lan-mtu', '1500', ...flags], { lan: 'inside', wanMtu: 1000 })
    const far = await bed.lab.namespace('far')
    await bed.lab.link(bed.server, { name: 'eth1', address: '192.0.2.1/24' }, far, { name: 'eth0', address: '192.0.2.2/24' })
    await far.route('default', '192.0.2.1')
    bed.server.sysctl('net.ipv4.ip_forward', 1)
    await far.spawn(gso, ['serve', '7000']).waitFor(/up/)
    // Linux sets DF on datagrams that fit its interface, unless told not to.
    for (const end of [bed.client, far]) end.sysctl('net.ipv4.ip_no_pmtu_disc', 1)
    const before = await bed.status()
    expect(await output(bed.client, gso, ['exchange', '192.0.2.2', '7000', '1400', '10'])).toBe('400 datagrams each way\n')
    const { drops, wans: [wan] } = await bed.status()
    expect(drops).toEqual({})
    expect(wan!.rx.packets - before.wans[0]!.rx.packets).toBe(800)
  })
})
