// What the stack is to reach, as ratios of medians of one run.
import { spread } from '../gateway/summary.mjs'

/** Gbit/s of one flow that are enough, whatever the kernel reaches. */
const ENOUGH = 3

const median = (summary, variant, measure, field) => summary[variant]?.[measure]?.[field]?.median ?? null

/** One flow that ends in the stack and goes on by the stack: half of the kernel's relay or 3 Gbit/s, whichever is more; no less than slirp4netns. */
const bulk = (summary) => ['up1', 'down1'].flatMap((measure) => {
  const own = median(summary, 'tsnat', measure, 'gbit')
  if (own === null) return []
  const rows = []
  const kernel = median(summary, 'kernel', measure, 'gbit')
  if (kernel !== null) rows.push({ measure, peer: 'kernel', ratio: own / kernel, goal: Math.max(0.5, ENOUGH / kernel) })
  const peers = ['slirp4netns-1500', 'slirp4netns-65520'].filter((name) => median(summary, name, measure, 'gbit') !== null)
  for (const peer of peers) rows.push({ measure, peer, ratio: own / median(summary, peer, measure, 'gbit'), goal: 1 })
  return rows
})

/** Over a bad line: 0.9 of reno. */
const lossy = (loss) => loss.flatMap(({ loss: rate, up, rounds }) =>
  Object.keys(rounds[0]).filter((name) => name !== 'reno').map((name) => ({
    measure: `${name}, loss ${rate * 100} %, ${up ? 'sending' : 'receiving'}`,
    peer: 'reno',
    ratio: spread(rounds.map((round) => round[name])).median / spread(rounds.map((round) => round.reno)).median,
    goal: 0.9,
  })))

/** The goals that this run can judge: { measure, peer, ratio, goal, reached }. */
export const judge = (summary, loss) => [...bulk(summary), ...lossy(loss)].map((row) => ({ ...row, reached: row.ratio >= row.goal }))
