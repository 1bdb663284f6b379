/** A bad network: tsnat loses, reorders, doubles and damages packets on purpose, and TCP arrives whole nevertheless. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { LabNamespace } from '../../src/testing/lab/index.js'
import { randomFile, sha256 } from './files.js'
import { startNginx } from './nginx.js'
import { Bed, output, SERVER } from './support.js'

const BYTES = 5 << 20

let bed: Bed
afterEach(async () => {
  await bed.stop()
  await bed.close()
})

/** A counter of /proc/net/snmp. */
const counter = (where: LabNamespace, protocol: string, name: string): number => {
  const lines = where.inside(() => readFileSync('/proc/thread-self/net/snmp', 'utf8')).split('\n').filter((line) => line.startsWith(`${protocol}:`))
  const [names, values] = lines.map((line) => line.split(' '))
  return Number(values![names!.indexOf(name)])
}

const transfer = async (...flags: string[]): Promise<void> => {
  bed = await Bed.build(['curl', 'nginx', 'nc'])
  const files = await startNginx(bed.server, bed.lab.temporaryDirectory())
  const local = bed.lab.temporaryDirectory()
  await bed.up(...flags)
  const wanted = randomFile(join(files, 'file'), BYTES)
  const curl = (...args: string[]): Promise<string> => output(bed.client, 'curl', ['--silent', '--show-error', '--fail', '--max-time', '50', ...args])
  await curl('--output', join(local, 'file'), `http://${SERVER}/file`)
  expect(await sha256(join(local, 'file'))).toBe(wanted)
  await curl('--upload-file', join(local, 'file'), `http://${SERVER}/back`)
  expect(await sha256(join(files, 'back'))).toBe(wanted)
  // Whatever the network does, the ends' segments belong to their connections. Only a RST may not that answers what came after the end.
  expect((await bed.status()).drops['out-of-window'] ?? 0).toBeLessThan(5)
}

const fault = (...settings: string[]): string[] => settings.flatMap((setting) => ['--fault', setting])
/** Packets of one segment each, as on a real wire: a superpacket that is lost is 40 segments lost at once. */
const single = ['--lan-offload', 'off', '--wan-offload', 'off']

describe('5 MB down and up with', () => {
  it.each([
    ['5 % loss from the WAN', fault('wan.in.loss=0.05')],
    ['5 % loss to the WAN', fault('wan.out.loss=0.05')],
    ['5 % loss from and to the LAN', fault('lan.in.loss=0.05', 'lan.out.loss=0.05')],
    ['5 % loss of single segments each way', [...single, ...fault('wan.in.loss=0.05', 'wan.out.loss=0.05')]],
  ])('%s', async (_, flags) => {
    await transfer(...flags)
    const again = [bed.client, bed.server].map((end) => counter(end, 'Tcp', 'RetransSegs'))
    expect(again[0]! + again[1]!).toBeGreaterThan(5)
  }, 60_000)

  it.each([
    ['10 % reordered each way', fault('wan.in.reorder=0.1', 'wan.out.reorder=0.1')],
    ['10 % of single segments reordered each way', [...single, ...fault('wan.in.reorder=0.1', 'wan.out.reorder=0.1')]],
    ['loss, reordering and doubles at once', fault('wan.in.loss=0.02', 'wan.in.reorder=0.1', 'wan.in.duplicate=0.05', 'lan.in.loss=0.02', 'lan.in.reorder=0.1', 'lan.in.duplicate=0.05')],
  ])('%s', async (_, flags) => {
    await transfer(...flags)
  }, 60_000)

  it('damaged packets, which the ends recognise', async () => {
    await transfer(...single, ...fault('wan.out.corrupt=0.02', 'lan.out.corrupt=0.02'))
    for (const end of [bed.client, bed.server]) expect(counter(end, 'Tcp', 'InCsumErrors')).toBeGreaterThan(0)
  }, 60_000)
})
