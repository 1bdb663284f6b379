// The hot path, piece by piece: nanoseconds of each, and garbage made by packets.
//
//   node bench/hot/run.mjs [--only table,routes,rules,opens,steps,checksum,sets,packets,garbage,memory]
//
// The best of a case's samples is what the code costs on an undisturbed machine; the median tells how disturbed this one was.
import { PerformanceObserver } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { measure } from 'mitata'
import { machine } from '../gateway/machine.mjs'
import { cases } from './bundle.mjs'
import { measureFlowTable } from './flow-table.mjs'

const { values: flags } = parseArgs({ options: { only: { type: 'string', default: '' } } })
const hot = await cases()
/** As in src/worker.ts. */
const BULK_SUM_BYTES = 192
const say = (text = '') => process.stdout.write(`${text}\n`)
const ROUNDS = 5
const ns = (value) => (value < 100 ? value.toFixed(1) : value.toFixed(0)).padStart(9)

/** Nanoseconds of one of what the case counts: best and median of the samples. */
const time = async ({ run, count }) => {
  const { min, p50 } = await measure(run, { gc: false })
  return { best: min / count, median: p50 / count }
}

/** @param makers functions that make a case: making some takes long, so it is done one at a time */
const table = async (title, makers) => {
  say(`\n${title.padEnd(64)}${'best'.padStart(9)}${'median'.padStart(9)}  ns`)
  for (const make of makers) {
    const each = make()
    const { best, median } = await time(each)
    say(`  ${each.name.padEnd(62)}${ns(best)}${ns(median)}`)
  }
}

/** Sizes from which C is faster than JavaScript, measured both ways at each. */
const checksums = async () => {
  say(`\n${'Checksum, by bytes'.padEnd(64)}${'JS'.padStart(9)}${'C'.padStart(9)}  ns`)
  let crossing = null
  for (const size of [20, 40, 64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 512, 1024, 1460, 4096, 65535]) {
    hot.useNativeSums(Infinity)
    const script = (await time(hot.checksum(size))).best
    hot.useNativeSums(0)
    const c = (await time(hot.checksum(size))).best
    if (c >= script) crossing = null
    else crossing ??= size
    say(`  ${String(size).padEnd(62)}${ns(script)}${ns(c)}`)
  }
  say(`  C is faster from ${crossing} bytes on (BULK_SUM_BYTES in src/worker.ts)`)
}

/** Nanoseconds of one evaluation by the length of the chain: by index, and rule by rule. */
const ruleCurve = async () => {
  const lengths = [10, 100, 1000, 10_000]
  say(`\nRules: one packet of a new flow through filter FORWARD, best, ns`)
  say(`  ${'rules'.padEnd(62)}${lengths.map((length) => String(length).padStart(10)).join('')}`)
  for (const linear of [false, true]) {
    for (const shape of hot.RULE_SHAPES) {
      const row = []
      for (const length of lengths) row.push((await time(hot.evaluateRules(shape, length, linear))).best)
      say(`  ${`${shape}${linear ? ', without the index' : ''}`.padEnd(62)}${row.map((value) => value.toFixed(0).padStart(10)).join('')}`)
    }
  }
  await table('Compiling rules', hot.RULE_SHAPES.map((shape) => () => hot.compileRules(shape, 10_000)))
}

/** Nanoseconds to open and close a flow by the length of FORWARD, several rounds in turn; and packets of known flows. */
const opens = async () => {
  const counts = [0, 10, 100, 1000, 10_000]
  say(`\nFlows that open and close, through the whole data plane, by rules in FORWARD: median of ${ROUNDS} rounds' bests, ns`)
  say(`  ${'each rule names'.padEnd(62)}${counts.map((count) => String(count).padStart(10)).join('')}`)
  for (const shape of hot.OPEN_SHAPES) {
    const row = await inTurn(counts.map((count) => hot.openWithRules(shape, count)))
    say(`  ${shape.padEnd(62)}${row.map((value) => value.toFixed(0).padStart(10)).join('')}`)
  }
  say(`\nPackets of known flows: median of ${ROUNDS} rounds' bests, ns`)
  const row = await inTurn(hot.RULED_FLOWS.map((kind) => hot.hitWithRules(kind)))
  hot.RULED_FLOWS.forEach((kind, index) => say(`  ${kind.padEnd(62)}${ns(row[index])}`))
}

/** The best of each case, round by round in turn: of these the medians, so that a disturbance of one round does no harm. */
const inTurn = async (made) => {
  const bests = made.map(() => [])
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, each] of made.entries()) bests[index].push((await time(each)).best)
  }
  return bests.map((values) => values.sort((a, b) => a - b)[ROUNDS >> 1])
}

/** Garbage collections while packets pass, and what is left on the heap after. */
const garbage = async ({ name, run, count }) => {
  for (let call = 0; call < 20_000; call++) run()
  const collections = []
  const observer = new PerformanceObserver((entries) => collections.push(...entries.getEntries()))
  observer.observe({ entryTypes: ['gc'] })
  await new Promise((resolve) => setTimeout(resolve, 50))
  collections.length = 0
  const before = process.memoryUsage().heapUsed
  const calls = Math.ceil(20_000_000 / count)
  for (let call = 0; call < calls; call++) run()
  const grown = process.memoryUsage().heapUsed - before
  await new Promise((resolve) => setTimeout(resolve, 50))
  observer.disconnect()
  say(`  ${name}: ${calls * count} packets, ${collections.length} garbage collections, ${grown} bytes more on the heap`)
}

const { cpu, cores, kernel, node, commit } = machine()
say(`${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}, tsnat ${commit}`)

const sections = {
  table: () => table('Flow table', [
    ...[1000, 64_000, 1_000_000].map((flows) => () => hot.lookupHit(flows)),
    ...[true, false].flatMap((isShared) => [0, 64_000, 1_000_000].map((flows) => () => hot.openAndClose(flows, isShared))),
  ]),
  routes: async () => {
    const sizes = ['bgp', 'random'].flatMap((mix) => [1000, 1_000_000].map((routes) => [mix, routes]))
    await table('Routes', [
      ...sizes.flatMap(([mix, routes]) => [() => hot.prefixMatch(mix, routes), () => hot.policyLookup(mix, routes)]),
      ...[24, 16, 8, 1, 0].map((length) => () => hot.routeChange('bgp', 1_000_000, length)),
    ])
    for (const [mix, routes] of sizes) {
      const { buildMilliseconds, bytesPerRoute, wrong, linearNanoseconds, linearSamples } = hot.weighRoutes(mix, routes, 100_000)
      say(`  ${String(routes).padStart(9)} ${mix} routes: built in ${buildMilliseconds.toFixed(0)} ms, ${bytesPerRoute.toFixed(0)} bytes a route; of ${200_000 + linearSamples} lookups ${wrong} were wrong; ` +
        `a look at all routes takes ${linearNanoseconds.toFixed(0)} ns (${linearSamples} times)`)
    }
  },
  rules: ruleCurve,
  opens,
  steps: () => table('Steps', [hot.parseAlone, hot.translateAlone]),
  checksum: checksums,
  sets: async () => {
    await table('Sets of ipset', [
      ...['hash:ip', 'hash:ip,port'].flatMap((kind) => [1000, 100_000].flatMap((elements) => [false, true].map((miss) => () => hot.lookUpSet(kind, elements, { miss })))),
      ...['hash:net', 'hash:net,iface'].flatMap((kind) => [1000, 100_000].map((elements) => () => hot.lookUpSet(kind, elements))),
      ...[4, 24].flatMap((prefixes) => [false, true].map((miss) => () => hot.lookUpSet('hash:net', 100_000, { prefixes, miss }))),
      ...[1000, 100_000].map((elements) => () => hot.lookUpSet('hash:ip', elements, { extensions: true })),
      ...[1000, 100_000].map((elements) => () => hot.changeSet(elements)),
    ])
    say('\nMemory of sets')
    for (const [kind, elements, extensions] of [['hash:ip', 1000, false], ['hash:ip', 100_000, false], ['hash:ip', 100_000, true], ['hash:net', 1_000_000, false]]) {
      const { bytes, nsPerAdd, longest } = hot.weighSet(kind, elements, extensions)
      say(`  ${kind} of ${elements}${extensions ? ', timeout and counters' : ''}: ${bytes.toFixed(1)} bytes an element, ${nsPerAdd.toFixed(0)} ns to add one, ${(longest / 1e6).toFixed(2)} ms the longest`)
    }
  },
  packets: () => {
    hot.useNativeSums(BULK_SUM_BYTES)
    return table('Whole packets through the data plane, sends included', [
      hot.replayAlone,
      ...[1, 1000, 64_000].flatMap((flows) => ['out', 'in'].map((direction) => () => hot.udpPackets(flows, direction))),
      () => hot.udpPackets(1000, 'out', false),
      ...[1, 64_000].flatMap((flows) => ['out', 'in'].map((direction) => () => hot.tcpPackets(flows, direction))),
      () => hot.superpackets(true),
      () => hot.superpackets(false),
    ])
  },
  garbage: async () => {
    say('\nGarbage')
    await garbage(hot.udpPackets(1000, 'out'))
    await garbage(hot.udpPackets(1000, 'out', false))
    await garbage(hot.tcpPackets(1000, 'out'))
    await garbage(hot.superpackets(true))
    await garbage(hot.evaluateRules(hot.RULE_SHAPES[0], 1000))
    await garbage(hot.openWithRules(hot.OPEN_SHAPES[0], 1000))
    await garbage(hot.hitWithRules(hot.RULED_FLOWS.at(-1)))
  },
  memory: async () => {
    say('\nMemory of the flow table')
    for (const { flows, bytesPerFlow, residentPerFlow, nsPerLookup } of await measureFlowTable()) {
      say(`  ${String(flows).padStart(9)} flows: ${bytesPerFlow.toFixed(0)} bytes a flow (resident ${residentPerFlow.toFixed(0)}), ${nsPerLookup.toFixed(0)} ns a lookup`)
    }
  },
}

const chosen = flags.only === '' ? Object.keys(sections) : flags.only.split(',')
const unknown = chosen.find((name) => !(name in sections))
if (unknown !== undefined) throw new Error(`there is no section "${unknown}": ${Object.keys(sections).join(', ')}`)
for (const name of chosen) await sections[name]()
