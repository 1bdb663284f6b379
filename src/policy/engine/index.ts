/** Rules in the data plane: compiled, and evaluated on packets. */
export { compileRuleset, RulesetCompiler } from './compile.js'
export { type BaseChain, type CompiledChain, CompiledRuleset } from './compiled-ruleset.js'
export type { Environment, InterfaceNumbers, SetLookup } from './environment.js'
export { AFTER_TRACKING, ALL_TABLES, BEFORE_TRACKING, Evaluator, PART_FILTER, PART_MANGLE, PART_NAT, PART_RAW, TABLES_OF_HOOK } from './evaluator.js'
export { type NatAction, netmapAddress } from './nat-action.js'
export {
  ACCEPT, DEPENDS_CONNMARK, DEPENDS_FLAGS, DEPENDS_MARK, DEPENDS_PACKET, DEPENDS_ROUTES, DEPENDS_SETS, DEPENDS_STATUS, DROP, NO_SOCKET, Outcome, REJECT, SYNPROXY, TPROXY,
} from './outcome.js'
export { ORIGINAL, PacketMeta, REPLY } from './packet-meta.js'
export type { TraceRecorder } from './trace.js'
