// What the stack is to reach, as ratios of medians of one run.
import { spread } from '../gateway/summary.mjs'

/** Gbit/s of one flow that are enough, whatever the kernel reaches. */
const ENOUGH = 3

const median = (summary, variant, measure, field) => summary[variant]?.[measure]?.[field]?.median ?? null

/**
 * One flow: half of what the kernel's relay carries or 3 Gbit/s, whichever is more; no less than slirp4netns. `stack` does what that one
 * does: it ends connections of a TUN and goes on with the kernel's sockets.
 */
const bulk = (summary) => ['up1', 'down1'].flatMap((measure) => ['tsnat', 'stack'].flatMap((name) => {
  const own = median(summary, name, measure, 'gbit')
  if (own === null) return []
  return ['kernel', 'slirp4netns-1500', 'slirp4netns-65520'].flatMap((peer) => {
    const rate = median(summary, peer, measure, 'gbit')
    return rate === null ? [] : [{ measure: `${measure}, ${name}`, peer, ratio: own / rate, goal: peer === 'kernel' ? Math.max(0.5, ENOUGH / rate) : 1 }]
  })
}))

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
