// The tables for the terminal, and docs/performance.md with its plot.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { measures } from './measures.mjs'
import { plot } from './plot.mjs'
import { markdownTable, show, spread, textTable } from './summary.mjs'
import { root } from './tools.mjs'

const taken = ({ results }) => measures.filter((each) => Object.values(results).some((byMeasure) => (byMeasure[each.name]?.length ?? 0) > 0))

/** `label` is `title` (in words) or `name` (short). */
const mainRows = (document, cell, label) => {
  const columns = taken(document)
  return [
    ['gateway', ...columns.map((each) => `${each.title}, ${each.unit}`)],
    ...document.variants.map((variant) => [variant[label], ...columns.map((each) => cell(document.summary[variant.name]?.[each.name]?.[each.main] ?? null, each.digits))]),
  ]
}

/** CPU time of the gateway's process, latency, garbage collections, start. */
const costRows = (document, cell, label) => [
  ['gateway', 'CPU s/GB up', 'CPU s/GB down', 'CPU s/million packets', 'echo 64: p50 µs', 'p99 µs', 'echo 1: p99 µs', 'collections in echo 64', 'start to first answer, ms', 'to "ready", ms'],
  ...document.variants.map((variant) => {
    const { name } = variant
    const of = (measure, field, digits) => cell(document.summary[name]?.[measure]?.[field] ?? null, digits)
    const started = document.startup[name] ?? []
    return [variant[label], of('up1', 'cpuPerGigabyte', 3), of('down1', 'cpuPerGigabyte', 3), of('echo64', 'cpuPerMillion', 2), of('echo64', 'p50', 1), of('echo64', 'p99', 1),
      of('echo1', 'p99', 1), name.startsWith('tsnat') ? of('echo64', 'collections', 0) : '–',
      cell(spread(started.map((each) => each.firstAnswer)), 0), cell(spread(started.map((each) => each.ready)), 0)]
  }),
]

const goalRows = (document) => [
  ['tsnat against', 'measure', 'ratio', 'goal', ''],
  ...document.goals.map(({ peer, measure, ratio, goal, lower, reached }) => [peer, measure, ratio.toFixed(2), `${lower ? '≤' : '≥'} ${goal}`, reached ? 'reached' : 'missed']),
]

const flowRows = ({ flows }) => [
  ['flows', 'bytes a flow', 'ns a lookup, at random'],
  ...flows.map((row) => [show(row.flows, 0), show(row.bytesPerFlow, 0), show(row.nsPerLookup, 0)]),
]

const median = (value, digits) => show(value?.median, digits)
const withSpread = (value, digits) => value === null ? '–' : value.min === value.max ? show(value.median, digits) : `**${show(value.median, digits)}** (${show(value.min, digits)}–${show(value.max, digits)})`

/** Machine, versions and rounds, as a sentence. */
export const describe = ({ machine, date, rounds, seconds }) => {
  const versions = [`Linux ${machine.kernel}`, machine.system, `Node ${machine.node}`, machine.iperf3, machine.nft, `passt ${machine.passt}`, machine.slirp4netns, `tsnat ${machine.commit}`]
  return `${machine.cpu}, ${machine.cores} cores (${machine.hypervisor === 'none' ? 'no hypervisor' : `under ${machine.hypervisor}`}), ${machine.memoryGiB} GiB; ` +
    `${versions.filter((each) => each !== null && !each.endsWith('null')).join(', ')}. ${date.slice(0, 10)}, ${rounds} rounds of ${seconds} s.`
}

/** Everything, as text. */
export const terminal = (document) => {
  const parts = [describe(document), '', 'Medians', transposed(mainRows(document, median, 'name')), '', transposed(costRows(document, median, 'name'))]
  if (document.goals.length > 0) parts.push('', textTable(goalRows(document)))
  if (document.flows !== null) parts.push('', textTable(flowRows(document)))
  if (document.failures.length > 0) parts.push('', 'Failed:', ...document.failures)
  return `${parts.join('\n')}\n`
}

/** Variants as columns, by their short names: fits a terminal better than long headings do. */
const transposed = (rows) => textTable(rows[0].map((_, column) => rows.map((row) => row[column])))

const page = join(root, 'docs', 'performance.md')

/** Rewrites the part of docs/performance.md that `writer` writes, between its markers. Returns the path. */
export const replacePart = (writer, lines) => {
  const [begin, end] = [`<!-- begin: written by ${writer} -->`, '<!-- end -->']
  const text = readFileSync(page, 'utf8')
  const from = text.indexOf(begin)
  const to = text.indexOf(end, from)
  if (from < 0 || to < 0) throw new Error(`${page} has lost the markers of ${writer}`)
  writeFileSync(page, text.slice(0, from) + [begin, '', ...lines].join('\n') + '\n' + text.slice(to))
  return page
}

/** Rewrites the gateway's part of docs/performance.md, and the plot. Returns the paths written. */
export const report = (document) => {
  const picture = join(root, 'docs', 'performance.svg')
  const parts = [describe(document), '', '![Bulk throughput and packet rate by gateway](performance.svg)', '',
    'Median (minimum–maximum) of the rounds.', '', markdownTable(mainRows(document, withSpread, 'title')), '', markdownTable(costRows(document, withSpread, 'title')), '']
  if (document.goals.length > 0) parts.push('### Against the goals', '', markdownTable(goalRows(document)), '')
  if (document.flows !== null) parts.push('### Flow table', '', markdownTable(flowRows(document)), '')
  writeFileSync(picture, plot(document))
  return [replacePart('bench/gateway/run.mjs', parts), picture]
}
