/** Where tsnat deliberately does something else than the kernel with the same rules. Data of the test, and of the document. */
import type { RuleCase } from './play.js'
import type { Shot } from './shots.js'

export interface RuleMismatch {
  readonly rules: RuleCase
  readonly shot: Shot
  /** What went into tsnat, as text. */
  readonly sent: string
  /** What came out. */
  readonly kernel: readonly string[]
  readonly tsnat: readonly string[]
  /** Differences met earlier in the case, by id. */
  readonly met: ReadonlySet<string>
}

export interface CounterMismatch {
  /** `table: rule [packets:bytes]` of the kernel, and of tsnat. */
  readonly counter: string
  readonly other: string
  /** Differences met in the case, by id. */
  readonly met: ReadonlySet<string>
}

export interface RuleDifference {
  readonly id: string
  /** What the kernel does, what tsnat does, and why. */
  readonly kernel: string
  readonly tsnat: string
  readonly why: string
  readonly explains?: (mismatch: RuleMismatch) => boolean
  readonly explainsCounter?: (mismatch: CounterMismatch) => boolean
}

export const RULE_DIFFERENCES: readonly RuleDifference[] = []
