// The tables for the terminal, and their part of docs/performance.md.
import { describe, replacePart } from '../gateway/report.mjs'
import { markdownTable, show, spread, textTable } from '../gateway/summary.mjs'
import { measures } from './measures.mjs'

const taken = ({ results }) => measures.filter((each) => Object.values(results).some((byMeasure) => (byMeasure[each.name]?.length ?? 0) > 0))

const mainRows = (document, cell, label) => {
  const columns = taken(document)
  return [
    ['connections end in', ...columns.map((each) => `${each.title}, ${each.unit}`), 'CPU s/GB up', 'CPU s/GB down', 'heap of an idle connection, bytes'],
    ...document.variants.map((variant) => {
      const of = (measure, field, digits) => cell(document.summary[variant.name]?.[measure]?.[field] ?? null, digits)
      return [variant[label], ...columns.map((each) => of(each.name, each.main, each.digits)), of('up1', 'cpuPerGigabyte', 3), of('down1', 'cpuPerGigabyte', 3), of('idle', 'heap', 0)]
    }),
  ]
}

const lossRows = ({ loss }, cell) => {
  const names = Object.keys(loss[0].rounds[0])
  return [
    ['the client\'s side', 'loss each way', 'RTT, ms', ...names.map((name) => `${name}, Mbit/s a flow`)],
    ...loss.map(({ up, loss: rate, delay, rounds }) =>
      [up ? 'sends' : 'receives', `${rate * 100} %`, String(2 * delay), ...names.map((name) => cell(spread(rounds.map((round) => round[name])), 2))]),
  ]
}

const goalRows = ({ goals }) => [
  ['measure', 'against', 'ratio', 'goal', ''],
  ...goals.map(({ measure, peer, ratio, goal, reached }) => [measure, peer, ratio.toFixed(2), `≥ ${goal.toFixed(2)}`, reached ? 'reached' : 'missed']),
]

const median = (value, digits) => show(value?.median, digits)
const withSpread = (value, digits) => value === null ? '–' : value.min === value.max ? show(value.median, digits) : `**${show(value.median, digits)}** (${show(value.min, digits)}–${show(value.max, digits)})`
const transposed = (rows) => textTable(rows[0].map((_, column) => rows.map((row) => row[column])))

/** Everything, as text. */
export const terminal = (document) => {
  const parts = [describe(document), '', 'Medians', transposed(mainRows(document, median, 'name'))]
  if (document.loss.length > 0) parts.push('', textTable(lossRows(document, median)))
  if (document.goals.length > 0) parts.push('', textTable(goalRows(document)))
  if (document.failures.length > 0) parts.push('', 'Failed:', ...document.failures)
  return `${parts.join('\n')}\n`
}

/** Rewrites its part of docs/performance.md. Returns the path. */
export const report = (document) => {
  const parts = [describe(document), '', 'Median (minimum–maximum) of the rounds.', '', markdownTable(mainRows(document, withSpread, 'title')), '']
  if (document.loss.length > 0) parts.push(markdownTable(lossRows(document, withSpread)), '')
  if (document.goals.length > 0) parts.push('Against the goals:', '', markdownTable(goalRows(document)), '')
  return replacePart('bench/sockets/run.mjs', parts)
}
