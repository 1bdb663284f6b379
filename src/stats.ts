/**
 * Counters that the data plane writes and the control plane reads, in shared memory. Float64, so that they never wrap.
 */
import { DROP_NAMES } from './drop.js'
import { RULES_MAX } from './nat/settings.js'

/** WANs of an instance at most. */
export const WANS_MAX = 8
/** Words of each attachment, by zone: those of the LAN come first. */
export const SIDE_STATS = 8
/** Offsets in an attachment's words, `zone * SIDE_STATS` on. */
export const STAT_RX_PACKETS = 0
export const STAT_RX_BYTES = 1
export const STAT_TX_PACKETS = 2
export const STAT_TX_BYTES = 3
export const STAT_TX_ERRORS = 4
export const STAT_LAST_ERRNO = 5
export const STAT_KERNEL_DROPS = 6
/** Turns of the worker's loop, to see that it lives. */
export const STAT_TURNS = SIDE_STATS * (WANS_MAX + 1)
/** New flows that were refused, by whatever reason. */
export const STAT_REFUSED = STAT_TURNS + 1
/** Inside addresses that have flows. */
export const STAT_SOURCES = STAT_TURNS + 2
/** Flows that gave way in a flood. */
export const STAT_GAVE_WAY = STAT_TURNS + 3
/** ICMP errors that were not sent, because of their limit. */
export const STAT_ERRORS_WITHHELD = STAT_TURNS + 4
/** Bytes of fragments that wait. */
export const STAT_FRAGMENT_BYTES = STAT_TURNS + 5
/** Drops by code follow from here. */
export const STAT_DROPS = STAT_TURNS + 16

/** Flows by rule of `nat.rules` follow from here. */
export const STAT_RULES = STAT_DROPS + DROP_NAMES.length
const STAT_COUNT = STAT_RULES + RULES_MAX

export const allocateStats = (): Float64Array => new Float64Array(new SharedArrayBuffer(STAT_COUNT * 8))

/** Drop counts by name, those that happened. */
export const dropsByName = (stats: Float64Array): Record<string, number> =>
  Object.fromEntries(DROP_NAMES.map((name, code) => [name, stats[STAT_DROPS + code]!] as const).filter(([, count]) => count > 0))
