export type { Case } from './case.js'
export { parseAlone, replayAlone, superpackets, tcpPackets, translateAlone, udpPackets } from './packets.js'
export { checksum, useNativeSums } from './sums.js'
export { lookupHit, openAndClose, weigh } from './table.js'
