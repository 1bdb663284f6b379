/** iperf3: TCP in bulk with one stream and with eight, and UDP at a rate that the machine can carry, of which nothing may be lost. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LabProcess } from '../../src/testing/lab/index.js'
import { until } from '../netns/gateway-support.js'
import { Bed, output, SERVER } from './support.js'

let bed: Bed
/** Prints each RST that the server sends. */
let resets: LabProcess

beforeAll(async () => {
  bed = await Bed.build(['iperf3'])
  await bed.server.spawn('iperf3', ['--server', '--forceflush']).waitFor(/listening/)
  await bed.up()
  resets = bed.server.spawn('tcpdump', ['-l', '-n', '-i', 'any', 'tcp[tcpflags] & tcp-rst != 0'])
  await until(() => resets.stderr.includes('listening on'))
})
afterAll(async () => {
  await bed.stop()
  await bed.close()
})

interface Report {
  end: { sum_sent?: { bytes: number }; sum_received?: { bytes: number; bits_per_second: number }; sum: { packets: number; lost_packets: number } }
}

const iperf = async (...args: string[]): Promise<Report['end']> =>
  (JSON.parse(await output(bed.client, 'iperf3', ['--client', SERVER, '--json', ...args], { timeout: 30_000 })) as Report).end

const directions = [['up', []], ['down', ['--reverse']]] as const

describe.each(directions)('TCP %s', (_, direction) => {
  it.each([1, 8])('%i streams', async (streams) => {
    const bytes = 256 << 20
    const end = await iperf('--bytes', String(bytes), '--parallel', String(streams), ...direction)
    expect(end.sum_sent!.bytes).toBeGreaterThanOrEqual(bytes)
    // What is under way when the sender stops is not counted.
    expect(end.sum_received!.bytes).toBeGreaterThan(0.9 * bytes)
    // Far below what it does, far above what a gateway does that stalls or loses packets.
    expect(end.sum_received!.bits_per_second).toBeGreaterThan(100e6)
  })
})

// One who shares the machine and takes it for a tenth of a second makes the receiver lose some, whatever is between.
describe.each(directions)('UDP %s', { retry: 4 }, (_, direction) => {
  it.each([[64, '1M'], [1400, '20M'], [8000, '20M']])('datagrams of %i bytes at %sbit/s, none lost', async (length, rate) => {
    const before = (await bed.status()).wans[0]!.kernelDrops
    // The greatest receive buffer that needs no sysctl: the receiver shall not lose any either.
    const end = await iperf('--udp', '--length', String(length), '--bitrate', rate, '--time', '1', '--window', '208K', ...direction)
    expect(end.sum.packets).toBeGreaterThan(200)
    expect(end.sum.lost_packets).toBe(0)
    expect((await bed.status()).wans[0]!.kernelDrops).toBe(before)
  })
})

it('tsnat dropped nothing but what was under way to streams that the server had reset', async () => {
  const { drops: { 'out-of-window': late = 0, ...drops }, lan, wans: [wan] } = await bed.status()
  // iperf3 may close a stream with bytes that it has not read, which the kernel does with RST: what comes after that is in no window.
  if (late > 0) expect(resets.stdout).toContain('Flags [R')
  expect({ drops, errors: [lan.tx.errors, wan!.tx.errors] }).toEqual({ drops: {}, errors: [0, 0] })
})
