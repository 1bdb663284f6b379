/** A token bucket for the rule. */
import { join, type MatchExtension } from '../extension.js'
import { value } from '../options.js'
import { parsePeriod, periodText } from '../rate.js'
import { parseNumber } from '../values.js'

const SCALE = 10000
const DEFAULT_PERIOD = (3600 * SCALE) / 3
const DEFAULT_BURST = 5

export const limit: MatchExtension<'limit'> = {
  name: 'limit',
  options: [value('limit'), value('limit-burst')],
  parse: (given) => ({
    module: 'limit',
    period: given.read('limit', (word) => parsePeriod(word, SCALE)) ?? DEFAULT_PERIOD,
    burst: given.read('limit-burst', (word) => parseNumber(word, 1, 10000)) ?? DEFAULT_BURST,
  }),
  save: ({ period, burst }) => join(`--limit ${periodText(period, SCALE)}`, burst !== DEFAULT_BURST && `--limit-burst ${burst}`),
  list: ({ period, burst }) => `limit: avg ${periodText(period, SCALE)} burst ${burst}`,
}
