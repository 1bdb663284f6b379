// Side by side, in one run: connections that end in the stack, in the kernel's sockets under Node, and in slirp4netns; then the stack
// and the kernel over a bad line. See docs/performance.md.
//
//   node bench/sockets/run.mjs [--rounds 3] [--seconds 3] [--only tsnat,kernel,…] [--measures up1,idle,…] [--connections 10000]
//                              [--loss-seconds 30] [--flows 8] [--no-loss] [--quick] [--no-write]
//
// Rounds alternate as in bench/gateway. Memory is measured once, in the first round, before anything else.
import { mkdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Lab } from '../../dist/testing.js'
import { machine } from '../gateway/machine.mjs'
import { summarise } from '../gateway/summary.mjs'
import { root, tool } from '../gateway/tools.mjs'
import { SERVER } from '../gateway/variants.mjs'
import { judge } from './goals.mjs'
import { measureLoss } from './loss.mjs'
import { measures, startPeers } from './measures.mjs'
import { buildPrograms } from './programs.mjs'
import { report, terminal } from './report.mjs'
import { choose, ports } from './variants.mjs'

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    measures: { type: 'string', default: '' },
    connections: { type: 'string', default: '10000' },
    'loss-seconds': { type: 'string', default: '30' },
    flows: { type: 'string', default: '8' },
    'no-loss': { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    'no-write': { type: 'boolean', default: false },
  },
})
const { quick } = flags
const rounds = quick ? 1 : Number(flags.rounds)
const seconds = quick ? 1 : Number(flags.seconds)
const connections = quick ? 1000 : Number(flags.connections)
if (!(rounds >= 1) || !(seconds > 0) || !(connections >= 1)) throw new Error('--rounds, --seconds and --connections must be positive numbers')
const list = (text) => text.split(',').filter(Boolean)
const chosen = choose(list(flags.only))
const taken = measures.filter((each) => flags.measures === '' || list(flags.measures).includes(each.name))
const say = (text) => process.stderr.write(`${text}\n`)

/** Builds and starts one variant, and sees a connection relayed by it. */
const prepare = async (variant) => {
  const lab = await Lab.create(`sockets-${variant.name}`)
  try {
    const rig = await startPeers(await variant.start(lab))
    await rig.ready
    for (let tries = 0; ; tries++) {
      const { stdout } = await rig.client.run(tool('connect'), ['client', SERVER, String(ports.greet.first), '1', '1', '1'])
      if (stdout !== '' && JSON.parse(stdout).connections === 1) return { variant, lab, rig }
      if (rig.process.ended) throw rig.process.failure('ended')
      if (tries === 20) throw rig.process.failure('relays nothing')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  } catch (error) {
    await lab.close()
    throw error
  }
}

await buildPrograms()
const results = Object.fromEntries(chosen.map(({ name }) => [name, Object.fromEntries(taken.map((each) => [each.name, []]))]))
const failures = []
const running = []

const take = async (measure, { variant, rig }) => {
  const answer = await measure.run(rig, seconds, connections)
  if (answer === null) return
  results[variant.name][measure.name].push(answer)
  say(`  ${variant.name.padEnd(20)}${answer[measure.main].toFixed(measure.digits).padStart(12)} ${measure.unit}`)
}

const attempt = async (measure, prepared) => {
  try {
    await take(measure, prepared)
  } catch (error) {
    failures.push(`${prepared.variant.name}, ${measure.name}: ${error.message.split('\n')[0]}`)
    say(`  ${prepared.variant.name.padEnd(20)} failed: ${error.message}`)
  }
}

try {
  for (const variant of chosen) {
    if (taken.length === 0) break
    say(`starting ${variant.name}`)
    try {
      running.push(await prepare(variant))
      for (const name of ['up1', 'down1', 'connect']) await measures.find((each) => each.name === name).run(running.at(-1).rig, 1)
    } catch (error) {
      failures.push(`${variant.name}, at its start: ${error.message.split('\n')[0]}`)
      say(`  failed: ${error.message}`)
    }
  }
  for (let round = 0; round < rounds; round++) {
    const order = [...running.slice(round % running.length), ...running.slice(0, round % running.length)]
    for (const measure of taken.filter((each) => !each.once || round === 0)) {
      say(`round ${round + 1} of ${rounds}: ${measure.title}`)
      for (const prepared of order) await attempt(measure, prepared)
    }
  }
} finally {
  for (const { lab } of running) await lab.close()
}

say('over a bad line')
const loss = flags['no-loss'] ? [] : await measureLoss({ rounds, seconds: quick ? 3 : Number(flags['loss-seconds']), flows: Number(flags.flows), say })

const summary = summarise(results)
const document = {
  date: new Date().toISOString(),
  machine: machine(),
  rounds,
  seconds,
  connections,
  variants: chosen.map(({ name, title }) => ({ name, title })),
  results,
  loss,
  summary,
  goals: judge(summary, loss),
  failures,
}
process.stdout.write(terminal(document))
if (!flags['no-write']) {
  const folder = join(root, 'bench', 'results')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${document.date.slice(0, 10)}-${hostname()}-sockets.json`)
  writeFileSync(file, `${JSON.stringify(document, null, 1)}\n`)
  say(`written: ${file}`)
  if (!quick) say(`written: ${report(document)}`)
}
process.exitCode = failures.length > 0 ? 1 : 0
