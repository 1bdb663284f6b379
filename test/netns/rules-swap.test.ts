/**
 * Two rule sets of 10 000 rules each take turns under load: nothing is lost, and each packet meets one set or the other.
 *
 * The load, its receivers and the gateway go before whatever else runs on the machine: a test of what is lost must not count what somebody
 * lost who had to wait for a processor. What exchanges the rules waits like everybody; the load is such that there is time left for it,
 * and that queues hold what comes in a tenth of a second.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LabNamespace, LabProcess } from '../../src/testing/lab/index.js'
import { GatewayLab, SERVER } from './gateway-support.js'

/** Seconds for which a load lasts. */
const SECONDS = 4
const PROBE_PORT = 7000
const UP = 5201
const DOWN = 5202
const TCP = 5203
/** Bits a second of the TCP stream. */
const TCP_RATE = 30e6
const RULES = 10_000
/** What each set makes of the probe: its type of service by the first of all rules, its TTL by the last of another chain. */
const SETS = [{ tos: 0x10, ttl: 40 }, { tos: 0x08, ttl: 41 }] as const
/** Real-time priorities. Receivers go first, lest their buffers overflow. */
const [GATEWAY_PRIORITY, LOAD_PRIORITY] = [1, 2]

let bed: GatewayLab
let files: string[]
let probes: LabProcess
/** Times that rules were exchanged, the first time included. */
let swaps = 0

/** Rules that no packet here meets, of three shapes. */
const fillers = (chain: string, count: number, network: number): string[] => Array.from({ length: count }, (_, n) =>
  `-A ${chain} -s ${network}.${n >>> 8}.${n & 255}.0/24 ${['-p tcp -m multiport --dports 80,443', `-p udp --dport ${1000 + n}`, ''][n % 3]!} -j DROP`)

/** What the load needs stands in the midst, at another place in each set. */
const ruleset = ({ tos, ttl }: (typeof SETS)[number], index: number): string => {
  const third = Math.floor(RULES / 3)
  const before = [`-A PREROUTING -p udp --dport ${PROBE_PORT} -j TOS --set-tos ${tos}/0xff`, ...fillers('PREROUTING', third, 10 + index)]
  const after = [...fillers('POSTROUTING', third, 20 + index), `-A POSTROUTING -p udp --dport ${PROBE_PORT} -j TTL --ttl-set ${ttl}`]
  const filter = fillers('FORWARD', RULES - before.length - after.length - 3, 30 + index)
  filter.splice(1000 + 500 * index, 0, `-A FORWARD -p udp -m multiport --dports ${UP},${DOWN},${PROBE_PORT} -j ACCEPT`)
  filter.splice(2000 + 500 * index, 0, `-A FORWARD -p tcp --dport ${UP}:${TCP} -j ACCEPT`)
  filter.push('-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT')
  return ['*mangle', ...before, ...after, 'COMMIT', '*filter', ':FORWARD DROP [0:0]', ...filter, 'COMMIT', ''].join('\n')
}

const withPriority = (priority: number, command: string, ...args: readonly string[]): [string, string[]] => ['chrt', ['--rr', String(priority), command, ...args]]

/** The other rule set takes the place of this one. */
const swap = async (): Promise<void> => {
  expect(await bed.tsnat('iptables-restore', files[swaps++ % 2]!)).toMatchObject({ code: 0, stdout: '', stderr: '' })
}

/** Sends a datagram every 2 ms, until killed. */
const PROBER = `
  import { createSocket } from 'node:dgram'
  const socket = createSocket('udp4')
  socket.on('error', () => {})
  socket.connect(${PROBE_PORT}, '${SERVER}', () => setInterval(() => socket.send('probe', () => {}), 2))`

beforeAll(async () => {
  bed = await GatewayLab.create()
  const folder = bed.lab.temporaryDirectory()
  files = SETS.map((set, index) => {
    const text = ruleset(set, index)
    expect(text.match(/^-A/gm)).toHaveLength(RULES)
    const path = join(folder, `rules${index}.v4`)
    writeFileSync(path, text)
    return path
  })
  const gateway = bed.gateway.spawn(...withPriority(GATEWAY_PRIORITY, process.execPath, ...bed.upCommand('--log-level', 'warn')), { env: bed.environment })
  await gateway.waitFor(/^ready$/m, 20_000)
  await swap()
  for (const port of [UP, DOWN, TCP]) {
    const server = bed.server.spawn(...withPriority(LOAD_PRIORITY, 'iperf3', '--server', '--port', String(port), '--forceflush'))
    await server.waitFor(/listening/)
  }
  probes = bed.server.spawn('tcpdump', ['-Z', 'root', '-v', '-n', '-l', '--immediate-mode', '-i', 'eth0', `udp dst port ${PROBE_PORT}`])
  await probes.waitFor(/listening/)
  bed.client.node(PROBER)
})
afterAll(async () => {
  await bed.close()
})

interface Report {
  readonly sum: { readonly packets: number; readonly lost_packets: number }
  readonly sum_received: { readonly bytes: number }
}

const iperf = async (from: LabNamespace, port: number, ...args: string[]): Promise<Report> => {
  const command = withPriority(LOAD_PRIORITY, 'iperf3', '--client', SERVER, '--port', String(port), '--json', '--time', String(SECONDS), ...args)
  const { stdout } = await from.run(...command, { check: true, timeout: 40_000 })
  return (JSON.parse(stdout) as { end: Report }).end
}

const kernelDrops = async (): Promise<number[]> => {
  const { lan, wans } = await bed.status()
  return [lan.kernelDrops, wans[0]!.kernelDrops]
}

describe.each([
  ['1786 datagrams of 1400 bytes a second', 1400, 20e6],
  ['4000 datagrams of 64 bytes a second', 64, 2.048e6],
])('%s each way beside a TCP stream, while rules are exchanged again and again', (_, length, rate) => {
  it('loses no packet', async () => {
    // The greatest receive buffer that needs no sysctl.
    const udp = ['--udp', '--length', String(length), '--bitrate', String(rate), '--window', '208K']
    const { client } = bed
    const load = Promise.all([iperf(client, UP, ...udp), iperf(client, DOWN, ...udp, '--reverse'), iperf(client, TCP, '--bitrate', String(TCP_RATE))])
    let isOver = false
    const ended = load.finally(() => { isOver = true })
    ended.catch(() => {})
    const before = swaps
    while (!isOver) await swap()
    const [up, down, stream] = await ended
    expect(swaps - before).toBeGreaterThan(1)
    expect({ up: up.sum.lost_packets, down: down.sum.lost_packets, drops: (await bed.status()).drops, kernel: await kernelDrops() })
      .toEqual({ up: 0, down: 0, drops: {}, kernel: [0, 0] })
    const offered = (rate / 8 / length) * SECONDS
    expect(Math.min(up.sum.packets, down.sum.packets)).toBeGreaterThan(0.9 * offered)
    expect(stream.sum_received.bytes).toBeGreaterThan(0.9 * (TCP_RATE / 8) * SECONDS)
  })
})

it('each packet met one set or the other, and each exchange took effect once', async () => {
  const either = SETS.map(({ tos, ttl }) => `${tos} ${ttl}`)
  const seen = (): string[] => [...probes.stdout.matchAll(/\(tos (0x\w+), ttl (\d+),/g)].map(([, tos, ttl]) => `${Number(tos)} ${ttl!}`)
  const turns = (): string[] => seen().filter((pair, index, pairs) => pair !== pairs[index - 1])
  // The last probes may be on their way yet.
  await expect.poll(turns).toEqual(Array.from({ length: swaps }, (_, turn) => either[turn % 2]))
  expect(seen().filter((pair) => !either.includes(pair))).toEqual([])
})
