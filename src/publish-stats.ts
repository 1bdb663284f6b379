/** Copies the data plane's counters into shared memory, once a turn that is about to sleep. */
import type { Attachment } from './attachment.js'
import type { Pipeline } from './pipeline.js'
import { SIDE_STATS, STAT_FRAGMENT_BYTES, STAT_GAVE_WAY, STAT_LAST_ERRNO, STAT_RULES, STAT_RX_BYTES, STAT_RX_PACKETS, STAT_SOURCES, STAT_TURNS, STAT_TX_BYTES, STAT_TX_ERRORS, STAT_TX_PACKETS } from './stats.js'

const publishSide = (stats: Float64Array, side: Attachment): void => {
  const base = side.zone * SIDE_STATS
  stats[base + STAT_RX_PACKETS] = side.rxPackets
  stats[base + STAT_RX_BYTES] = side.rxBytes
  stats[base + STAT_TX_PACKETS] = side.egress.packets
  stats[base + STAT_TX_BYTES] = side.egress.bytes
  stats[base + STAT_TX_ERRORS] = side.device.counters.sendErrors
  stats[base + STAT_LAST_ERRNO] = side.device.counters.lastErrno
}

export const publishStats = (stats: Float64Array, pipeline: Pipeline): void => {
  publishSide(stats, pipeline.lan)
  for (let index = 0; index < pipeline.wans.length; index++) publishSide(stats, pipeline.wans[index]!)
  const usage = pipeline.usage
  stats[STAT_SOURCES] = usage.sources.active
  stats[STAT_GAVE_WAY] = usage.room.count
  stats[STAT_FRAGMENT_BYTES] = usage.fragments.used
  stats.set(usage.rules.counts, STAT_RULES)
  stats[STAT_TURNS]!++
}
