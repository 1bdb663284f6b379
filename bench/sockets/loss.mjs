// Goodput over a bad line: the stack's TCP and the kernel's, over the same line at the same time, each with several flows. The line
// has no bottleneck, so that one flow does not take from another; losses are drawn for each packet alone.
//
//   client (kernel, and behind it the stack) ── path.mjs ── server (kernel)
import { Lab } from '../../dist/testing.js'
import { Host, program } from './programs.mjs'

const CLIENT = '10.50.0.1'
const SERVER_END = '10.50.0.2'
/** Seconds until flows have left slow start behind. */
const RAMP = 3
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000))

/** Ends beside the kernel's reno. */
export const kinds = ['cubic', 'new-reno'].map((congestion, index) => ({
  name: congestion,
  address: `10.51.${index}.2`,
  /** Behind the client's kernel, which cuts its superpackets. */
  start: async (client, services) => {
    const device = `own${index}`
    const host = new Host(client, { ...services, stack: { namespace: client.path, device, addresses: [`10.51.${index}.2/24`], congestion } })
    await host.ready
    await client.address(device, `10.51.${index}.1/24`)
    await client.up(device)
    return host
  },
}))

/** Starts the line. `ends` are those at the client's side, in the order of their ports. */
const bed = async (lab, loss, delay, seed) => {
  const [client, server] = [await lab.namespace('client'), await lab.namespace('server')]
  for (const each of [client, server]) each.sysctl('net.ipv4.tcp_congestion_control', 'reno')
  const path = client.spawn(globalThis.process.execPath, [program('path'), client.path, 'bad0', server.path, 'bad0', String(loss), String(delay), String(seed)])
  await path.waitFor(/ready/)
  for (const [namespace, address] of [[client, CLIENT], [server, SERVER_END]]) {
    await namespace.address('bad0', `${address}/24`)
    await namespace.up('bad0')
  }
  client.sysctl('net.ipv4.ip_forward', 1)
  await server.route('10.51.0.0/16', CLIENT)
  return { client, server, path }
}

const total = (counts) => counts.reduce((sum, each) => sum + each, 0)

/** Mbit/s a flow, by end, from bytes counted at the receivers before and after. */
const rates = (before, after, flows, seconds) => after.map((bytes, index) => (bytes - before[index]) * 8 / flows / seconds / 1e6)

/**
 * @param up the ends of the client's side send; else they receive
 * @returns Mbit/s a flow by name of the end; `reno` is the kernel's
 */
const goodput = async ({ loss, delay, flows, seconds, seed, up }) => {
  const lab = await Lab.create('loss')
  try {
    const { client, server, path } = await bed(lab, loss, delay, seed)
    const names = ['reno', ...kinds.map(({ name }) => name)]
    const listening = names.map((_, index) => 8001 + index)
    const far = new Host(server, up ? { sink: listening } : {})
    const near = [new Host(client, up ? {} : { sink: [8001] })]
    for (const [index, kind] of kinds.entries()) near.push(await kind.start(client, up ? {} : { sink: [8002 + index] }))
    await Promise.all([far.ready, ...near.map((each) => each.ready)])
    for (const [index, host] of near.entries()) {
      if (up) await host.ask(`pour ${SERVER_END} ${8001 + index} ${flows}`)
      else await far.ask(`pour ${index === 0 ? CLIENT : kinds[index - 1].address} ${8001 + index} ${flows}`)
    }
    const count = async () => await Promise.all(names.map(async (_, index) => {
      const answer = await (up ? far : near[index]).ask('received')
      return total(answer[8001 + index] ?? [])
    }))
    await pause(RAMP)
    const start = performance.now()
    const before = await count()
    await pause(seconds)
    const after = await count()
    const found = rates(before, after, flows, (performance.now() - start) / 1000)
    path.kill('SIGTERM')
    const { stdout } = await path.done
    const { full } = JSON.parse(stdout.trim().split('\n').at(-1))
    if (total(full) > 0) throw new Error(`the line had no room for ${total(full)} packets`)
    return Object.fromEntries(names.map((name, index) => [name, found[index]]))
  } finally {
    await lab.close()
  }
}

/** One row a loss and direction: { loss, delay, up, rounds: [{ reno, cubic, … }] }. */
export const measureLoss = async ({ rounds, seconds, flows, say }) => {
  const rows = []
  for (const loss of [0.01, 0.05]) {
    for (const up of [true, false]) {
      const row = { loss, delay: 25, up, flows, seconds, rounds: [] }
      for (let round = 0; round < rounds; round++) {
        const answer = await goodput({ loss, delay: row.delay, flows, seconds, seed: 1000 * (round + 1) + loss * 100, up })
        say(`  loss ${loss * 100} %, ${up ? 'client sends' : 'client receives'}: ${Object.entries(answer).map(([name, rate]) => `${name} ${rate.toFixed(2)}`).join(', ')} Mbit/s a flow`)
        row.rounds.push(answer)
      }
      rows.push(row)
    }
  }
  return rows
}
