// What is measured. Each measure runs on a rig (see variants.mjs) and returns named numbers, or null where it cannot be taken.
import { readFileSync, readdirSync } from 'node:fs'
import { iperf } from '../gateway/measures.mjs'
import { tool } from '../gateway/tools.mjs'
import { SERVER } from '../gateway/variants.mjs'
import { Host } from './programs.mjs'
import { ports } from './variants.mjs'

const AT_ONCE = 64
const perSecond = 2500
const pageBytes = 4096
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Starts the peers of all measures. */
export const startPeers = async (rig) => {
  const greeters = [rig.server, rig.client].map((each) => each.spawn(tool('connect'), ['server', String(ports.greet.first), String(ports.greet.count)]))
  const iperfServer = rig.server.spawn('iperf3', ['--server', '--forceflush'])
  const server = new Host(rig.server, { hold: [ports.hold] })
  const client = new Host(rig.client, {})
  await Promise.all([iperfServer.waitFor(/listening/), ...greeters.map((each) => each.waitFor(/ready/)), server.ready, client.ready])
  return { ...rig, peers: { server, client } }
}

const connections = (first) => async (rig, seconds) => {
  const args = ['client', SERVER, String(first), String(ports.greet.count), String(Math.round(seconds * perSecond)), String(AT_ONCE)]
  return JSON.parse((await rig.client.run(tool('connect'), args, { check: true })).stdout)
}

const accept = async (rig, seconds) => rig.own ? await connections(ports.own.greet.first)(rig, seconds) : null

const dial = async ({ host, dial: address }, seconds) =>
  address === null ? null : await host.ask(`dial ${address} ${ports.greet.first} ${ports.greet.count} ${Math.round(seconds * perSecond)} ${AT_ONCE}`)

/** Resident memory of the process group of the gateway, in bytes. */
const resident = ({ process }) => {
  let pages = 0
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const fields = readFileSync(`/proc/${entry}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')
      if (Number(fields[2]) === process.pid) pages += Number(fields[21])
    } catch {
      // The process ended between the two calls.
    }
  }
  return pages * pageBytes
}

const footprint = async (rig) => {
  const heap = rig.host === undefined ? null : (await rig.host.ask('memory')).heap
  return { resident: resident(rig), heap }
}

/** Asks until `host` holds that many. */
const holds = async (host, count) => {
  for (let tries = 0; tries < 300; tries++) {
    const { held } = await host.ask('held')
    if (held === count) return
    await pause(100)
  }
  throw new Error(`there are not ${count} connections after 30 s`)
}

/** Relayed connections take two descriptors each of a process on the kernel's sockets; some are in use anyway. */
const relayable = () => {
  const [, hard] = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return hard === undefined ? Infinity : Math.floor((Number(hard) - 1000) / 2)
}

/** Bytes a connection of the client's, idle: what the gateway has grown by. @param own the gateway's own service, else relayed */
const idle = (own) => async (rig, _seconds, wanted) => {
  const count = own ? wanted : Math.min(wanted, relayable(), rig.idleMost ?? wanted)
  if (own && !rig.own) return null
  const { server, client } = rig.peers
  const before = await footprint(rig)
  const start = performance.now()
  const { open, failed } = await client.ask(`open ${SERVER} ${own ? ports.own.hold : ports.hold} ${count} ${AT_ONCE}`)
  if (failed > 0) throw new Error(`${failed} of ${count} connections failed`)
  await holds(own ? rig.host : server, count)
  const took = (performance.now() - start) / 1000
  await pause(1000)
  const after = await footprint(rig)
  await client.ask('release')
  await holds(client, 0)
  await holds(own ? rig.host : server, 0)
  return {
    bytes: (after.resident - before.resident) / open,
    heap: after.heap === null ? null : (after.heap - before.heap) / open,
    seconds: took,
  }
}

export const measures = [
  { name: 'idle', title: 'memory of an idle connection', run: idle(true), main: 'bytes', unit: 'bytes', digits: 0, lower: true, once: true },
  { name: 'idleRelayed', title: 'memory of an idle relayed connection', run: idle(false), main: 'bytes', unit: 'bytes', digits: 0, lower: true, once: true },
  { name: 'up1', title: 'TCP up, 1 flow', run: iperf(1, false, 0.5), main: 'gbit', unit: 'Gbit/s', digits: 2 },
  { name: 'down1', title: 'TCP down, 1 flow', run: iperf(1, true, 0.5), main: 'gbit', unit: 'Gbit/s', digits: 2 },
  { name: 'connect', title: 'connections relayed', run: connections(ports.greet.first), main: 'perSecond', unit: '1/s', digits: 0 },
  { name: 'accept', title: 'connections accepted and closed', run: accept, main: 'perSecond', unit: '1/s', digits: 0 },
  { name: 'dial', title: 'connections made and closed', run: dial, main: 'perSecond', unit: '1/s', digits: 0 },
]
