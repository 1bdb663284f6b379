// Medians, spreads, tables.

export const spread = (values) => {
  const sorted = values.filter((value) => value !== null && Number.isFinite(value)).sort((a, b) => a - b)
  if (sorted.length === 0) return null
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  return { min: sorted[0], median, max: sorted.at(-1) }
}

/** { variant: { measure: [answer per round] } } → { variant: { measure: { field: spread } } } */
export const summarise = (rounds) => Object.fromEntries(Object.entries(rounds).map(([variant, byMeasure]) => [variant,
  Object.fromEntries(Object.entries(byMeasure).map(([measure, answers]) => {
    const fields = [...new Set(answers.flatMap((answer) => Object.keys(answer)))]
    return [measure, Object.fromEntries(fields.map((field) => [field, spread(answers.map((answer) => answer[field] ?? null))]))]
  }))]))

export const show = (value, digits) => value === null || value === undefined ? '–' : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** Text columns padded to one width each; the first is left-aligned. */
export const textTable = (rows) => {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  return rows.map((row) => row.map((cell, column) => column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])).join('  ').trimEnd()).join('\n')
}

export const markdownTable = (rows) => {
  const line = (row) => `| ${row.join(' | ')} |`
  return [line(rows[0]), line(rows[0].map((_, column) => column === 0 ? '---' : '---:')), ...rows.slice(1).map(line)].join('\n')
}

/**
 * What tsnat is to reach, as ratios of medians of one run. `lower`: the ratio may not exceed the goal.
 * `of` lists peers; the best of them counts.
 */
const goals = [
  ...['up1', 'down1'].flatMap((measure) => [
    { measure, field: 'gbit', of: ['kernel'], goal: 0.85 },
    { measure, field: 'gbit', of: ['floor'], goal: 0.95 },
    { measure, field: 'gbit', of: ['pasta-1500', 'pasta-65520'], goal: 1.3 },
    { measure, field: 'gbit', of: ['slirp4netns-1500', 'slirp4netns-65520'], goal: 2.5 },
  ]),
  { measure: 'echo64', field: 'perSecond', of: ['kernel'], goal: 0.65 },
  { measure: 'echo64', field: 'perSecond', of: ['pasta-1500', 'pasta-65520'], goal: 1.25 },
  { measure: 'echo64', field: 'perSecond', of: ['slirp4netns-1500', 'slirp4netns-65520'], goal: 1.4 },
  { measure: 'echo1', field: 'p50', of: ['pasta-1500', 'pasta-65520'], goal: 1, lower: true },
]

/** The goals that this run can judge: { measure, peer, ratio, goal, lower, reached }. */
export const judge = (summary) => goals.flatMap(({ measure, field, of, goal, lower = false }) => {
  const median = (variant) => summary[variant]?.[measure]?.[field]?.median
  const own = median('tsnat')
  const peers = of.filter((name) => median(name) !== undefined && median(name) !== null)
  if (own === undefined || own === null || peers.length === 0) return []
  const best = peers.reduce((a, b) => (lower ? median(b) < median(a) : median(b) > median(a)) ? b : a)
  const ratio = own / median(best)
  return [{ measure, peer: best, ratio, goal, lower, reached: lower ? ratio <= goal : ratio >= goal }]
})
