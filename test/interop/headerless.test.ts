/** A WAN without Ethernet headers: a TUN towards the server, as tunnels and PPP have them. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { randomFile, sha256 } from './files.js'
import { startNginx } from './nginx.js'
import { Bed, output, requests, SERVER } from './support.js'

let bed: Bed
let files: string
let local: string

describe.each([['with', []], ['without', ['--lan-offload', 'off', '--wan-offload', 'off']]])('%s offloads', (_, flags) => {
  beforeAll(async () => {
    bed = await Bed.build(['curl', 'nginx', 'nc', 'ping'], { headerless: true, wanMtu: 1400 })
    files = await startNginx(bed.server, bed.lab.temporaryDirectory())
    local = bed.lab.temporaryDirectory()
    await bed.up(...flags)
  })
  afterAll(async () => {
    await bed.stop()
    await bed.close()
  })

  it('ping, also in fragments', async () => {
    for (const size of [56, 1372, 1373, 8000]) {
      expect(await output(bed.client, 'ping', [...requests(3), '-M', 'dont', '-s', String(size), SERVER])).toContain('3 received')
    }
  })

  it('curl up and down', async () => {
    const wanted = randomFile(join(files, 'file'), 20 << 20)
    const curl = (...args: string[]): Promise<string> => output(bed.client, 'curl', ['--silent', '--show-error', '--fail', '--max-time', '30', ...args])
    await curl('--output', join(local, 'file'), `http://${SERVER}/file`)
    expect(await sha256(join(local, 'file'))).toBe(wanted)
    await curl('--upload-file', join(local, 'file'), `http://${SERVER}/back`)
    expect(await sha256(join(files, 'back'))).toBe(wanted)
  })

  it('is seen as what it is, and nothing was dropped', async () => {
    const { wans, drops } = await bed.status()
    expect([wans[0]!.neighbour, wans[0]!.nextHop, drops]).toEqual([null, null, {}])
  })
})
