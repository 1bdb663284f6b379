/**
 * Floods of first packets from one host of the LAN, as fast as it can send: another host's connections are opened all the same,
 * and those that are established go on. Much of such a flood is lost in the queue of the TUN, with it what others send
 * at that moment; what they repeat gets through.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LabProcess } from '../../src/testing/lab/index.js'
import { randomFile, sha256 } from '../interop/files.js'
import { startNginx } from '../interop/nginx.js'
import { output } from '../interop/support.js'
import { REMOTE, serveEcho } from './gateway-support.js'
import { askUdp, CAPTURE, ManyHosts, NOISY, QUIET } from './many-hosts.js'

const BYTES = 12 << 20
const PORTS = 4000

let hosts: ManyHosts
let wanted: string
beforeAll(async () => {
  hosts = await ManyHosts.create()
  await serveEcho(hosts.bed.server, REMOTE)
  wanted = randomFile(join(await startNginx(hosts.bed.server, hosts.bed.lab.temporaryDirectory()), 'file'), BYTES)
})
afterAll(async () => {
  await hosts.bed.close()
})

/** From one of the addresses of `quiet`: opens a connection, asks for a few bytes; asks a UDP service. */
const connect = async (from: string): Promise<string> => `${await fetchBytes(from)} ${await askUdp(hosts.quiet, from)}`
const fetchBytes = async (from: string): Promise<string> =>
  await output(hosts.quiet, 'curl', ['-s', '--max-time', '30', '--interface', from, '--range', '0-9', '-o', '/dev/null', '-w', '%{http_code}', `http://${REMOTE}/file`])

const FORGED = '172.24.0.0/13'
const floods = [
  ['udp', FORGED, 'behave', 16_384], ['tcp', FORGED, 'behave', 16_384], ['udp', `${NOISY}/32`, 'behave', 16_384], ['tcp', `${NOISY}/32`, 'behave', 16_384],
  // Ports are shared there: let it be the flow table that is full.
  ['tcp', FORGED, 'linux', 3000], ['tcp', `${NOISY}/32`, 'linux', 3000],
] as const

describe.each(floods)('100 000 packets of %s from %s, profile %s', (protocol, source, profile, room) => {
  let gateway: LabProcess
  beforeAll(async () => {
    gateway = await hosts.bed.up(...CAPTURE, '--ports', `40000-${40_000 + PORTS - 1}`, '--limit', `flows=${room}`, '--profile', profile, '--log-level', 'warn')
  })
  afterAll(async () => {
    gateway.kill('SIGINT')
    expect(await gateway.finish()).toMatchObject({ code: 0, stderr: '' })
  })

  it('leave another host\'s new connections working, whether it was seen before or not, and its download whole', async () => {
    expect(await connect(QUIET)).toBe('206 word')
    const local = join(hosts.bed.lab.temporaryDirectory(), 'file')
    const download = output(hosts.quiet, 'curl', ['-sS', '--fail', '--max-time', '100', '--limit-rate', '3M', '-o', local, `http://${REMOTE}/file`], { timeout: 110_000 })

    // As fast as it goes, then for as long as it takes at a rate that others can be heard beside.
    const burst = await hosts.flood(protocol, source, 100_000, 0)
    expect(await Promise.all([connect(QUIET), connect(await hosts.stranger())])).toEqual(['206 word', '206 word'])
    await burst
    const stream = await hosts.flood(protocol, source, 40_000, 8000)
    for (let round = 0; round < 4; round++) expect([await connect(QUIET), await connect(await hosts.stranger())]).toEqual(['206 word', '206 word'])
    await stream
    expect([await connect(QUIET), await connect(await hosts.stranger())]).toEqual(['206 word', '206 word'])
    await download
    expect(await sha256(local)).toBe(wanted)

    const { flows, limits, drops, wans: [wan] } = await hosts.bed.status()
    expect(wan!.tx.errors).toBe(0)
    expect(flows.count).toBeLessThanOrEqual(room)
    expect(limits).toMatchObject({ flowsPerSource: null, newFlowsPerSource: null, halfOpenPerSource: null, refusal: profile === 'linux' ? 'prohibited' : 'host-unreachable' })
    expect(flows.refused).toBeGreaterThan(0)
    if (source === FORGED) {
      expect(limits.gaveWay).toBeGreaterThan(PORTS)
      expect(limits.sources).toBeGreaterThan(PORTS / 2)
      expect(drops['source-limit'] ?? 0).toBe(0)
    } else {
      expect(limits.gaveWay).toBe(0)
      expect(drops['source-limit']).toBeGreaterThan(1000)
      expect(limits.sources).toBeLessThan(20)
    }
  })
})
