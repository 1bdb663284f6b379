// What is measured. Each measure runs on a rig (see variants.mjs) and returns named numbers.
import { readdirSync, readFileSync } from 'node:fs'
import { SERVER } from './variants.mjs'
import { tool } from './tools.mjs'

const echoPort = 7000
const floodPort = 7001
const connectPort = 7100
const connectPorts = 64
const ticksPerSecond = 100

/** Starts the peers of all measures in the server's namespace. */
export const startServers = async ({ server }) => {
  const servers = [
    server.spawn('iperf3', ['--server', '--forceflush']),
    server.spawn(tool('echo'), ['server', String(echoPort)]),
    server.spawn(tool('flood'), ['sink', String(floodPort)]),
    server.spawn(tool('connect'), ['server', String(connectPort), String(connectPorts)]),
  ]
  await Promise.all(servers.map((each, index) => each.waitFor(index === 0 ? /listening/ : /ready/)))
}

/** CPU seconds (user and system) used so far by the process group of the gateway; null when the kernel is the gateway. */
export const cpuSeconds = ({ process }) => {
  if (process === null) return null
  let ticks = 0
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const fields = readFileSync(`/proc/${entry}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')
      if (Number(fields[2]) === process.pid) ticks += Number(fields[11]) + Number(fields[12])
    } catch {
      // The process ended between the two calls.
    }
  }
  return ticks / ticksPerSecond
}

/** Collections so far, by V8 isolate (address): `node --trace-gc` prints a line for each. null without that flag. */
export const collections = ({ process }) => {
  if (process === null) return null
  const counts = {}
  for (const [, isolate] of process.stdout.matchAll(/^\[\d+:(0x[0-9a-f]+)[^\]]*\]\s+\d+ ms: (?:Scavenge|Mark-Compact|Minor)/gm)) {
    counts[isolate] = (counts[isolate] ?? 0) + 1
  }
  return counts
}

const total = (counts) => Object.values(counts ?? {}).reduce((sum, each) => sum + each, 0)

export const iperf = (flows, reverse, omit) => async (rig, seconds) => {
  const args = ['--client', SERVER, '--json', '--time', String(seconds), '--parallel', String(flows), ...(reverse ? ['--reverse'] : []), '--omit', String(omit)]
  const cpu = cpuSeconds(rig)
  const { stdout } = await rig.client.run('iperf3', args, { timeout: (seconds + omit) * 1000 + 20_000 })
  const used = cpu === null ? null : cpuSeconds(rig) - cpu
  const { end, error } = JSON.parse(stdout)
  if (error !== undefined) throw new Error(`iperf3: ${error}`)
  const { bytes, bits_per_second: rate } = end.sum_received
  // CPU time is counted over the omitted seconds too, so the bytes are scaled to the same span.
  const carried = bytes * (seconds + omit) / seconds
  return { gbit: rate / 1e9, retransmits: end.sum_sent.retransmits ?? null, cpuPerGigabyte: used === null ? null : used / (carried / 1e9) }
}

const echo = (outstanding) => async (rig, seconds) => {
  const cpu = cpuSeconds(rig)
  const before = collections(rig)
  const args = ['client', SERVER, String(echoPort), '22', String(outstanding), String(seconds)]
  const { stdout } = await rig.client.run(tool('echo'), args, { check: true })
  const answer = JSON.parse(stdout)
  const millions = answer.trips * 2 / 1e6
  return {
    perSecond: answer.perSecond,
    p50: answer.p50,
    p99: answer.p99,
    lost: answer.lost,
    cpuPerMillion: cpu === null ? null : (cpuSeconds(rig) - cpu) / millions,
    collections: before === null ? null : total(collections(rig)) - total(before),
    packets: answer.trips * 2,
  }
}

/** 18 bytes of payload make a frame of 64 bytes, check sequence included. */
const flood = async (rig, seconds) => {
  const args = ['search', SERVER, String(floodPort), '18', String(Math.min(1, seconds / 3))]
  return JSON.parse((await rig.client.run(tool('flood'), args, { check: true })).stdout)
}

const connections = async (rig, seconds) => {
  const count = String(Math.round(seconds * 4000))
  const args = ['client', SERVER, String(connectPort), String(connectPorts), count, '64']
  return JSON.parse((await rig.client.run(tool('connect'), args, { check: true })).stdout)
}

/**
 * `fields` tells how a number is shown: title, unit, digits, and which way is better.
 */
export const measures = [
  { name: 'up1', title: 'TCP up, 1 flow', run: iperf(1, false, 0.5), main: 'gbit', unit: 'Gbit/s', digits: 2 },
  { name: 'down1', title: 'TCP down, 1 flow', run: iperf(1, true, 0.5), main: 'gbit', unit: 'Gbit/s', digits: 2 },
  { name: 'up8', title: 'TCP up, 8 flows', run: iperf(8, false, 0.5), main: 'gbit', unit: 'Gbit/s', digits: 2 },
  { name: 'down8', title: 'TCP down, 8 flows', run: iperf(8, true, 0.5), main: 'gbit', unit: 'Gbit/s', digits: 2 },
  { name: 'echo64', title: 'UDP echo, 64 outstanding', run: echo(64), main: 'perSecond', unit: 'round trips/s', digits: 0 },
  { name: 'echo1', title: 'UDP echo, 1 outstanding, p50', run: echo(1), main: 'p50', unit: 'µs', digits: 1, lower: true },
  { name: 'flood', title: 'UDP 64 bytes without loss', run: flood, main: 'perSecond', unit: 'packets/s', digits: 0 },
  { name: 'connect', title: 'new TCP connections', run: connections, main: 'perSecond', unit: '1/s', digits: 0 },
]
