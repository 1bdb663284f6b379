// Side by side, in one run: tsnat and its peers as gateways between the same two kernels. See docs/performance.md.
//
//   node bench/gateway/run.mjs [--rounds 3] [--seconds 3] [--only tsnat,kernel,…] [--measures up1,echo64,…] [--quick]
//                              [--no-write]
//
// Rounds alternate: each measure is taken on every variant before the next measure, and the order of the variants turns
// by one each round, so that a slow minute of the machine falls on all of them alike.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Lab } from '../../dist/testing.js'
import { machine } from './machine.mjs'
import { measures, startServers } from './measures.mjs'
import { report, terminal } from './report.mjs'
import { startToAnswer } from './startup.mjs'
import { judge, summarise } from './summary.mjs'
import { root, tool } from './tools.mjs'
import { choose, SERVER } from './variants.mjs'

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    measures: { type: 'string', default: '' },
    quick: { type: 'boolean', default: false },
    'no-write': { type: 'boolean', default: false },
  },
})
const rounds = flags.quick ? 1 : Number(flags.rounds)
const seconds = flags.quick ? 1 : Number(flags.seconds)
if (!(rounds >= 1) || !(seconds > 0)) throw new Error('--rounds and --seconds must be positive numbers')
const list = (text) => text.split(',').filter(Boolean)
const chosen = choose(list(flags.only))
const taken = measures.filter((each) => flags.measures === '' || list(flags.measures).includes(each.name))
const say = (text) => process.stderr.write(`${text}\n`)

/** Builds and starts one variant, and sees an answer come back through it. */
const prepare = async (variant) => {
  const lab = await Lab.create(`bench-${variant.name}`)
  const rig = await variant.start(await variant.build(lab))
  await startServers(rig)
  await rig.ready
  for (let tries = 0; ; tries++) {
    const { stdout } = await rig.client.run(tool('echo'), ['client', SERVER, '7000', '22', '1', '0.1'])
    if (stdout !== '' && JSON.parse(stdout).trips > 0) break
    if (tries === 50) throw new Error(`${variant.name}: nothing comes back through it\n${rig.process?.stdout ?? ''}${rig.process?.stderr ?? ''}`)
    if (rig.process?.ended) throw rig.process.failure('ended')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return { variant, lab, rig }
}

const warmUp = async ({ rig }) => {
  for (const name of ['up1', 'down1', 'echo64']) await measures.find((each) => each.name === name).run(rig, 1)
}

const results = Object.fromEntries(chosen.map(({ name }) => [name, Object.fromEntries(taken.map((each) => [each.name, []]))]))
const failures = []
const running = []
try {
  for (const variant of chosen) {
    say(`starting ${variant.name}`)
    const prepared = await prepare(variant)
    running.push(prepared)
    if (taken.length > 0) await warmUp(prepared)
  }
  for (let round = 0; round < rounds; round++) {
    const order = [...running.slice(round % running.length), ...running.slice(0, round % running.length)]
    for (const measure of taken) {
      say(`round ${round + 1} of ${rounds}: ${measure.title}`)
      for (const { variant, rig } of order) {
        try {
          const answer = await measure.run(rig, seconds)
          results[variant.name][measure.name].push(answer)
          say(`  ${variant.name.padEnd(20)}${answer[measure.main].toFixed(measure.digits).padStart(12)} ${measure.unit}`)
        } catch (error) {
          failures.push(`${variant.name}, ${measure.name}: ${error.message.split('\n')[0]}`)
          say(`  ${variant.name.padEnd(20)} failed: ${error.message}`)
        }
      }
    }
  }
} finally {
  for (const { lab } of running) await lab.close()
}

say('start to first answer')
const startup = Object.fromEntries(chosen.filter(({ name }) => name !== 'direct' && name !== 'kernel').map(({ name }) => [name, []]))
for (let round = 0; round < rounds; round++) {
  for (const variant of chosen.filter(({ name }) => name in startup)) startup[variant.name].push(await startToAnswer(variant))
}

// Memory and lookup cost by number of flows come from the hot-path benchmark, where it is present.
const flowTable = join(root, 'bench', 'hot', 'flow-table.mjs')
const flows = existsSync(flowTable) ? await (await import(flowTable)).measureFlowTable() : null

const summary = summarise(results)
const document = {
  date: new Date().toISOString(),
  machine: machine(),
  rounds,
  seconds,
  variants: chosen.map(({ name, title }) => ({ name, title })),
  results,
  startup,
  flows,
  summary,
  goals: judge(summary),
  failures,
}
process.stdout.write(terminal(document))
if (!flags['no-write']) {
  const folder = join(root, 'bench', 'results')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${document.date.slice(0, 10)}-${hostname()}.json`)
  writeFileSync(file, `${JSON.stringify(document, null, 1)}\n`)
  say(`written: ${file}`)
  if (!flags.quick) for (const each of report(document)) say(`written: ${each}`)
}
process.exitCode = failures.length > 0 ? 1 : 0
