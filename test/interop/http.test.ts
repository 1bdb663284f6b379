/** curl and nginx: a gigabyte each way over one connection, and over many at once. */
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { randomFile, sha256 } from './files.js'
import { startNginx } from './nginx.js'
import { Bed, GATEWAY, output, SERVER } from './support.js'

const GIGABYTE = 1 << 30

let bed: Bed
let files: string
let local: string

beforeAll(async () => {
  bed = await Bed.build(['curl', 'nginx', 'nc', 'sha256sum'])
  files = await startNginx(bed.server, bed.lab.temporaryDirectory())
  local = bed.lab.temporaryDirectory()
  await bed.up()
})
afterAll(async () => {
  await bed.stop()
  await bed.close()
})

const url = (name: string): string => `http://${SERVER}/${name}`
const curl = (args: readonly string[], config = ''): Promise<string> =>
  output(bed.client, 'curl', ['--silent', '--show-error', '--fail', '--max-time', '55', ...args, '--config', '-'], { input: config })

const connections = async (): Promise<number> => (await bed.flows('-p', 'tcp', '--dport', '80')).length

describe('one connection', () => {
  it('carries a gigabyte down and the same gigabyte up', async () => {
    const wanted = randomFile(join(files, 'big'), GIGABYTE)
    await curl(['--output', join(local, 'big'), url('big')])
    expect(await sha256(join(local, 'big'))).toBe(wanted)
    await curl(['--upload-file', join(local, 'big'), url('back')])
    expect(await sha256(join(files, 'back'))).toBe(wanted)

    const flows = await bed.flows('-p', 'tcp', '--dport', '80')
    expect(flows.map(({ original, reply }) => [original.src, reply.dst])).toEqual(Array(2).fill([bed.address, GATEWAY]))
    const bytes = (each: 'original' | 'reply'): number[] => flows.map((flow) => flow[each].bytes).toSorted((a, b) => b - a)
    for (const [much, little] of [bytes('original'), bytes('reply')]) {
      // Headers and requests on top; acknowledgements in the other direction.
      expect(much).toBeGreaterThan(GIGABYTE)
      expect(much).toBeLessThan(1.07 * GIGABYTE)
      expect(little).toBeLessThan(0.07 * GIGABYTE)
    }
  }, 60_000)
})

describe.each([1, 20, 200])('%i connections at once', (count) => {
  it('each carry a file down and up', async () => {
    const names = Array.from({ length: count }, (_, index) => `${count}-${index}`)
    const wanted = randomFile(join(files, `of-${count}`), Math.floor(GIGABYTE / 6 / count))
    const down = join(local, `down-${count}`)
    mkdirSync(down)
    const before = await connections()
    const parallel = ['--parallel', '--parallel-immediate', '--parallel-max', String(count), '--header', 'Connection: close']
    await curl(parallel, names.map((name) => `url = "${url(`of-${count}`)}"\noutput = "${join(down, name)}"\n`).join(''))
    await curl(parallel, names.map((name) => `url = "${url(name)}"\nupload-file = "${join(down, name)}"\n`).join(''))

    const sums = await output(bed.client, 'sha256sum', [...names.map((name) => join(down, name)), ...names.map((name) => join(files, name))])
    expect(readdirSync(down)).toHaveLength(count)
    expect(sums.trimEnd().split('\n').map((line) => line.split(' ')[0])).toEqual(Array(2 * count).fill(wanted))
    // Not always twice as many: the client's kernel may take a source port again that is free.
    expect(await connections() - before).toBeGreaterThanOrEqual(count)
  }, 60_000)
})

it('nothing was dropped', async () => {
  const { drops, flows, lan, wans: [wan] } = await bed.status()
  expect({ drops, refused: flows.refused, errors: [lan.tx.errors, wan!.tx.errors] }).toEqual({ drops: {}, refused: 0, errors: [0, 0] })
})
