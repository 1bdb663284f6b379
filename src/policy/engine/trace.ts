/** What a recorder is told of the rules that a packet meets. */
import type { HookName, TableName } from '../model.js'

/** Why a rule did not match: the test that failed first. From FAILED_MATCH on, the index of a match. */
export const MATCHED = 0
export const FAILED_SOURCE = 1
export const FAILED_DESTINATION = 2
export const FAILED_IN_INTERFACE = 3
export const FAILED_OUT_INTERFACE = 4
export const FAILED_PROTOCOL = 5
export const FAILED_FRAGMENT = 6
export const FAILED_MATCH = 16

export interface TraceRecorder {
  /** The rules of a table begin. */
  table(table: TableName, hook: HookName): void
  /** @param rule index in the compiled rule set. @param result MATCHED, or the test that failed */
  rule(rule: number, result: number): void
  /** The policy of the built-in chain applies. @param rule its index in the compiled rule set */
  policy(rule: number): void
}
