/**
 * What the control plane tells the data plane of rules, sets and routes, and what comes back. Messages are taken in their order; what
 * is long comes in parts, so that packets never wait long for one of them.
 */
import type { Chain, Rule, Ruleset, Table, TableName } from './policy/model.js'
import { TABLE_NAMES } from './policy/model.js'
import type { ListMember, SetEdit, SetPage } from './policy/sets/edits.js'
import type { RoutingUpdate } from './route/router.js'
import type { TablesImage } from './route/tables.js'

/** A chain whose rules come by themselves. */
export interface ChainHead extends Omit<Chain, 'rules'> {
  readonly table: TableName
  readonly ruleCount: number
}

/** New counters of a rule or policy. */
export interface CounterEdit { readonly id: number; readonly packets: number; readonly bytes: number }

export type ToPolicy =
  /** A rule set begins; `sets`: names and ids of the sets that its rules name. The one in use stays until all of it is compiled. */
  | { readonly type: 'rules-begin'; readonly id: number; readonly chains: readonly ChainHead[]; readonly sets: readonly (readonly [string, number])[] }
  /** Its next rules, chain by chain. */
  | { readonly type: 'rules-more'; readonly id: number; readonly rules: readonly Rule[] }
  /** All rules are there. Answered by 'rules-taken' once they are in effect. */
  | { readonly type: 'rules-end'; readonly id: number }
  | { readonly type: 'set-counters'; readonly counters: readonly CounterEdit[] }
  | { readonly type: 'sets'; readonly edits: readonly SetEdit[] }
  | { readonly type: 'routing'; readonly update: RoutingUpdate }
  /** All tables anew. */
  | { readonly type: 'tables'; readonly image: TablesImage; readonly update: Pick<RoutingUpdate, 'rules' | 'interfaces'> }
  /** The checks of a link fail, or succeed again. @property device number of the interface */
  | { readonly type: 'device-dead'; readonly device: number; readonly dead: boolean }
  /** Answered by 'synced' when all that came before is in effect. */
  | { readonly type: 'sync'; readonly id: number }
  /** Answered by 'counted'. */
  | { readonly type: 'counters'; readonly id: number }
  /** Elements of a set from record `from` on; answered by 'set-page'. */
  | { readonly type: 'set-page'; readonly id: number; readonly set: number; readonly from: number }
  /** Answered by 'set-members'. */
  | { readonly type: 'set-members'; readonly id: number; readonly set: number }

export type FromPolicy =
  | { readonly type: 'rules-taken'; readonly id: number }
  | { readonly type: 'synced'; readonly id: number }
  /** Ids of rules and policies, and packets and bytes of each. Both lie in shared memory and go on counting. */
  | { readonly type: 'counted'; readonly id: number; readonly ids: Float64Array; readonly counters: Float64Array }
  /** Null: there is no such set, or it is a list. */
  | { readonly type: 'set-page'; readonly id: number; readonly page: SetPage | null }
  | { readonly type: 'set-members'; readonly id: number; readonly members: readonly ListMember[] | null }

/** Rules of a part: what takes about a millisecond to unpack. */
const RULES_PER_PART = 128

/** A rule set as messages. @param id of its own. @param sets names and ids of the sets */
export function* ruleMessages(id: number, { tables }: Ruleset, sets: readonly (readonly [string, number])[]): Generator<ToPolicy> {
  const all = TABLE_NAMES.flatMap((table) => tables[table].chains.map((chain) => ({ table, chain })))
  const chains = all.map(({ table, chain: { rules, ...head } }): ChainHead => ({ ...head, table, ruleCount: rules.length }))
  yield { type: 'rules-begin', id, chains, sets }
  let part: Rule[] = []
  for (const { chain } of all) {
    for (const rule of chain.rules) {
      part.push(rule)
      if (part.length < RULES_PER_PART) continue
      yield { type: 'rules-more', id, rules: part }
      part = []
    }
  }
  if (part.length > 0) yield { type: 'rules-more', id, rules: part }
  yield { type: 'rules-end', id }
}

/** The rule set that the heads and all rules behind each other are. */
export const assembleRuleset = (heads: readonly ChainHead[], rules: readonly Rule[]): Ruleset => {
  let at = 0
  const chains = heads.map(({ ruleCount, table, ...head }) => ({ table, chain: { ...head, rules: rules.slice(at, (at += ruleCount)) } }))
  const tableOf = (name: TableName): Table => ({ name, chains: chains.filter(({ table }) => table === name).map(({ chain }) => chain) })
  return { nextId: 0, tables: { raw: tableOf('raw'), mangle: tableOf('mangle'), nat: tableOf('nat'), filter: tableOf('filter') } }
}
