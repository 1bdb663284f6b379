export type { IpsetContext } from './draft.js'
export { ipsetInput, type IpsetInput, type IpsetResult, restoreSets, runIpset } from './ipset.js'
export { type ElementSet, type ListSet, type NamedSet, NO_SETS, type SetsState } from './state.js'
export { editsOf, takeElements, takeMembers } from './sync.js'
