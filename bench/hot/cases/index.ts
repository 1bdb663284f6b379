import { native } from '../../../src/native.js'
import { useBulkSum } from '../../../src/stack/wire/checksum.js'

/** As the worker does it; before that, `sum` is all JavaScript. */
export const useNativeSums = (threshold: number): void => useBulkSum((bytes, at, length, initial) => native().checksum(bytes, at, length, initial), threshold)

export type { Case } from './case.js'
export { parseAlone, replayAlone, superpackets, translateAlone, udpPackets } from './packets.js'
export { sumInC, sumInJavaScript } from './sums.js'
export { lookupHit, openAndClose, weigh } from './table.js'
