/**
 * `tsnat conntrack -E` beside `conntrack -E` on a kernel gateway: the same programs talk through both, and the same lines come,
 * flow by flow, but for the listed differences.
 */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Lab } from '../../../src/testing/lab/index.js'
import type { LabNamespace, LabProcess } from '../../../src/testing/lab/index.js'
import { pause, until } from '../gateway-support.js'
import { OUTSIDE, OUTSIDE_ROUTER as SERVER, OWN_INSIDE, INSIDE_ROUTER as CLIENT } from './addresses.js'
import { EVENT_DIFFERENCES } from './event-differences.js'

const CLI = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'dist', 'cli.js')

/** Inside ports; the ping's is its identifier. */
const PORT = { web: 40_001, reset: 40_002, refused: 40_003, query: 40_004, stream: 40_005, unreachable: 40_006, deleted: 40_007, ping: 4242 }

/** Seconds, short, so that flows end while the test looks. The others are the kernel's own. */
const TIMEOUTS = { udp: 3, udp_stream: 4, icmp: 2, tcp_time_wait: 3, tcp_close: 3 }

/** An HTTP server that closes a while after its client, one that resets, and one that echoes datagrams. */
const SERVERS = `
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
const web = createServer({ allowHalfOpen: true }, (socket) => {
  socket.once('data', () => socket.write('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok'))
  socket.once('end', () => setTimeout(() => socket.end(), 300))
})
const rude = createServer((socket) => { socket.on('error', () => {}); socket.once('data', () => setTimeout(() => socket.resetAndDestroy(), 100)) })
const echo = createSocket('udp4', (data, { port, address }) => echo.send(data, port, address))
web.listen(80, () => rude.listen(81, () => echo.bind(53, () => console.log('listening'))))
`
/** Sends \`count\` datagrams with pauses, each after the answer to the one before: port, to port, count, milliseconds. */
const DATAGRAMS = `
import { createSocket } from 'node:dgram'
const [from, to, count, pause] = process.argv.slice(1).map(Number)
const socket = createSocket('udp4')
let sent = 0
const send = () => { sent++; socket.send('question', to, '${SERVER}', () => console.log('sent')) }
socket.on('message', () => sent < count ? setTimeout(send, pause) : socket.close())
socket.on('error', () => socket.close())
socket.bind(from, send)
setTimeout(() => process.exit(), 8000).unref()
`
const RESET = `
import { connect } from 'node:net'
const socket = connect({ port: 81, host: '${SERVER}', localPort: ${PORT.reset} }, () => socket.write('hello'))
socket.on('error', () => {})
`

interface Stage {
  client: LabNamespace
  gateway: LabNamespace
  server: LabNamespace
}

/** Everything that is said, by real programs, one after the other. */
const talk = async ({ client, server }: Stage): Promise<void> => {
  const servers = server.node(SERVERS)
  await servers.waitFor(/listening/)
  const curl = (local: number, port: number): string[] => ['-s', '-o', '/dev/null', '--max-time', '5', '--local-port', String(local), `http://${SERVER}:${port}/`]
  await client.run('curl', curl(PORT.web, 80), { check: true })
  await client.node(RESET).done
  await client.run('curl', curl(PORT.refused, 82))
  await client.node(DATAGRAMS, [String(PORT.query), '53', '1', '0']).done
  const unanswered = client.node(DATAGRAMS, [String(PORT.unreachable), '54', '1', '0'])
  await unanswered.waitFor(/sent/)
  unanswered.kill()
  await client.run('ping', ['-c', '2', '-i', '0.3', '-W', '2', '-e', String(PORT.ping), SERVER], { check: true })
  await client.node(DATAGRAMS, [String(PORT.stream), '53', '6', '800']).done
  await client.node(DATAGRAMS, [String(PORT.deleted), '53', '1', '0']).done
}

/** Two hosts with a namespace between them for the gateway, which has their addresses on its sides. */
const stageOf = async (lab: Lab, name: string): Promise<Stage> => ({
  client: await lab.namespace(`${name}-client`),
  gateway: await lab.namespace(`${name}-gateway`),
  server: await lab.namespace(`${name}-server`),
})

const kernelStage = async (lab: Lab): Promise<Stage> => {
  const stage = await stageOf(lab, 'kernel')
  const { client, gateway, server } = stage
  await lab.link(client, { name: 'lan0', address: `${CLIENT}/24` }, gateway, { name: 'lan0', address: `${OWN_INSIDE}/24` })
  await lab.link(server, { name: 'wan0', address: `${SERVER}/24` }, gateway, { name: 'wan0', address: `${OUTSIDE}/24` })
  await client.route('default', OWN_INSIDE)
  gateway.sysctl('net.ipv4.ip_forward', 1)
  await gateway.run('nft', ['table ip nat { chain out { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }; }'], { check: true })
  // tsnat always counts.
  gateway.sysctl('net.netfilter.nf_conntrack_acct', 1)
  for (const [name, seconds] of Object.entries(TIMEOUTS)) {
    const key = name.startsWith('tcp_') ? `tcp_timeout_${name.slice(4)}` : name.startsWith('udp_') ? `udp_timeout_${name.slice(4)}` : `${name}_timeout`
    gateway.sysctl(`net.netfilter.nf_conntrack_${key}`, seconds)
  }
  return stage
}

const tsnatStage = async (lab: Lab, environment: Record<string, string>): Promise<Stage> => {
  const stage = await stageOf(lab, 'tsnat')
  const { client, gateway, server } = stage
  await lab.link(server, { name: 'wan0', address: `${SERVER}/24` }, gateway, { name: 'wan0' })
  const timeouts = Object.entries(TIMEOUTS).flatMap(([name, seconds]) => ['--timeout', `${name.replaceAll('_', '-')}=${seconds}`])
  const flags = [
    '--profile', 'linux', '--wan', 'wan0', '--wan-address', `owned:${OUTSIDE}/24`, '--wan-gateway', SERVER,
    '--lan-address', `${CLIENT}/24`, '--netns', client.path, '--log-level', 'warn', ...timeouts,
  ]
  await gateway.spawn(process.execPath, [CLI, 'up', ...flags], { env: environment }).waitFor(/^ready$/m, 20_000)
  return stage
}

/** Lines by flow, in order. */
const byFlow = (output: string): Map<string, string[]> => {
  const flows = new Map<string, string[]>()
  for (const line of output.split('\n').filter(Boolean)) {
    const port = /(?:sport|code=\d+ id)=(\d+)/.exec(line)?.[1] ?? 'none'
    flows.set(port, [...(flows.get(port) ?? []), line])
  }
  return flows
}

describe('tsnat conntrack -E beside conntrack -E', () => {
  let lab: Lab
  let kernel: Map<string, string[]>
  let tsnat: Map<string, string[]>

  /** The lines of all that is said, up to the end of each flow. */
  const record = async (stage: Stage, events: LabProcess, conntrack: (...words: string[]) => Promise<unknown>): Promise<Map<string, string[]>> => {
    await talk(stage)
    await conntrack('-D', '-p', 'udp', '--orig-port-src', String(PORT.deleted))
    await pause(Math.max(...Object.values(TIMEOUTS)) * 1000 + 500)
    await until(async () => {
      // Looking makes the kernel end what is over.
      await conntrack('-L')
      return (events.stdout.match(/\[DESTROY\]/g) ?? []).length >= Object.keys(PORT).length
    }, () => events.stdout)
    return byFlow(events.stdout)
  }

  beforeAll(async () => {
    lab = await Lab.create(`events${process.pid}`)
    const environment = { TSNAT_RUN_DIR: lab.temporaryDirectory() }
    const onKernel = await kernelStage(lab)
    const onTsnat = await tsnatStage(lab, environment)
    const kernelEvents = onKernel.gateway.spawn('conntrack', ['-E'])
    const tsnatEvents = onTsnat.gateway.spawn(process.execPath, [CLI, 'conntrack', '-E'], { env: environment })
    await pause(1000)
    const results = await Promise.all([
      record(onKernel, kernelEvents, (...words) => onKernel.gateway.run('conntrack', words, { check: true })),
      record(onTsnat, tsnatEvents, (...words) => onTsnat.gateway.run(process.execPath, [CLI, 'conntrack', ...words], { env: environment, check: true })),
    ])
    kernel = results[0]
    tsnat = results[1]
  })
  afterAll(() => lab.close())

  it.each(Object.entries(PORT))('CT-3: prints the same events of a flow as the kernel: %s', (_, port) => {
    const lines = (output: Map<string, string[]>): string[] =>
      (output.get(String(port)) ?? []).map((line) => EVENT_DIFFERENCES.reduce((rest, { part }) => rest.replace(part, ''), line))
    expect(lines(kernel).length).toBeGreaterThan(0)
    expect(lines(tsnat)).toEqual(lines(kernel))
  })

  it('shows every listed difference', () => {
    const lines = [...kernel.values()].flat()
    expect(EVENT_DIFFERENCES.filter(({ part }) => !lines.some((line) => part.test(line))).map(({ id }) => id)).toEqual([])
  })
})
