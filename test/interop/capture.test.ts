/** `tsnat capture` beside a running transfer, read by tshark. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LabProcess } from '../../src/testing/lab/index.js'
import { randomFile, sha256 } from './files.js'
import { startNginx } from './nginx.js'
import { Bed, GATEWAY, output, SERVER } from './support.js'

let bed: Bed
let files: string
let local: string
let wanted: string

beforeAll(async () => {
  bed = await Bed.build(['curl', 'nginx', 'nc', 'tshark', 'capinfos'])
  files = await startNginx(bed.server, bed.lab.temporaryDirectory())
  local = bed.lab.temporaryDirectory()
  wanted = randomFile(join(files, 'file'), 5 << 20)
  await bed.up()
})
afterAll(async () => {
  await bed.stop()
  await bed.close()
})

const curl = async (): Promise<void> => {
  await output(bed.client, 'curl', ['--silent', '--show-error', '--fail', '--max-time', '20', '--output', join(local, 'file'), `http://${SERVER}/file`])
  expect(await sha256(join(local, 'file'))).toBe(wanted)
}

/** Fields of every packet that the filter lets through. */
const read = async (file: string, filter: string, ...fields: string[]): Promise<string[][]> => {
  const text = await output(bed.client, 'tshark', ['-n', '-r', file, '-Y', filter, '-T', 'fields', '-E', 'separator=,', '-o', 'tcp.check_checksum:FALSE', ...fields.flatMap((field) => ['-e', field])])
  return text.trimEnd().split('\n').filter((line) => line !== '').map((line) => line.split(','))
}

/** Starts a recording; resolves when it runs, which is when the header is in the file. */
const start = async (file: string, ...flags: string[]): Promise<LabProcess> => {
  const recording = bed.spawnTsnat('capture', '-w', file, ...flags)
  await expect.poll(() => recording.ended || (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0, { timeout: 10_000 }).toBe(true)
  if (recording.ended) throw recording.failure('ended')
  return recording
}

/** Records during one transfer; resolves with the file when everything is in it. */
const capture = async (...flags: string[]): Promise<string> => {
  const file = join(local, `capture${flags.join('')}.pcapng`)
  const recording = await start(file, ...flags)
  await curl()
  recording.kill('SIGINT')
  const { code, stderr } = await recording.finish({ timeout: 10_000 })
  expect(code).toBe(0)
  expect(stderr).toMatch(/^\d+ packets captured, written to /)
  return file
}

const sides = {
  lan: { interface: 'tun0', client: '192.168.1.2' },
  wan: { interface: 'eth0', client: GATEWAY },
} as const

const unique = (rows: string[][]): string[] => [...new Set(rows.map((row) => row.join(' ')))].sort()

describe('tsnat capture', () => {
  it.each(['lan', 'wan'] as const)('-i %s has the addresses of that side, and all of the connection', async (side) => {
    const file = await capture('-i', side)
    const { interface: name, client } = sides[side]
    expect(unique(await read(file, 'tcp', 'frame.interface_name', 'ip.src', 'ip.dst'))).toEqual([`${name} ${SERVER} ${client}`, `${name} ${client} ${SERVER}`].sort())
    const flags = await read(file, 'tcp.flags.syn==1 || tcp.flags.fin==1', 'tcp.flags.syn', 'tcp.flags.fin')
    expect(flags.length).toBeGreaterThanOrEqual(4)
    expect((await read(file, 'http.response.code==200', 'http.content_length'))[0]).toEqual([String(5 << 20)])
    const bytes = (await read(file, `tcp && ip.src==${SERVER}`, 'tcp.len')).reduce((sum, [length]) => sum + Number(length), 0)
    expect(bytes).toBeGreaterThanOrEqual(5 << 20)
  })

  it('without -i has both sides, each packet before and after its translation', async () => {
    const file = await capture()
    expect(unique(await read(file, 'tcp', 'frame.interface_name', 'ip.src', 'ip.dst'))).toEqual(
      Object.values(sides).flatMap(({ interface: name, client }) => [`${name} ${SERVER} ${client}`, `${name} ${client} ${SERVER}`]).sort())
    const count = async (name: string): Promise<number> => (await read(file, `tcp && frame.interface_name==${name}`, 'frame.number')).length
    expect(await count('tun0')).toBe(await count('eth0'))
    expect(await output(bed.client, 'capinfos', ['-t', '-E', file])).toMatch(/pcapng[^]*Raw IP/)
  })

  it('-c ends it by itself, -s keeps the first bytes only, and -w - goes to tshark at once', async () => {
    const recording = await start(join(local, 'ten.pcapng'), '-c', '10', '-s', '64')
    await curl()
    expect((await recording.finish({ timeout: 10_000, check: true })).stderr).toMatch(/^10 packets captured/)
    const lengths = await read(join(local, 'ten.pcapng'), 'ip', 'frame.cap_len', 'frame.len')
    expect(lengths).toHaveLength(10)
    for (const [kept] of lengths) expect(Number(kept)).toBeLessThanOrEqual(64)

    const live = bed.gateway.spawn('sh', ['-c', `${process.execPath} dist/cli.js capture -i wan -c 5 -w - | tshark -n -l -i - -T fields -e ip.src`], bed.environment)
    await live.waitFor(/Capturing on/, 20_000)
    await curl()
    expect((await live.finish({ timeout: 20_000 })).stdout).toContain(GATEWAY)
  })
})
