/**
 * The rules of a rule set that log, by their ids. What a rule logged may be read after the rule is gone: those of earlier rule sets are
 * remembered for a while.
 */
import type { LogTarget, NflogTarget, Ruleset, TableName } from '../policy/model.js'

/** Milliseconds that a rule is remembered, at least, counted from the change after which it was gone. */
const MEMORY = 10_000

export interface LoggingRule {
  readonly table: TableName
  readonly chain: string
  /** In its chain, from 1. */
  readonly number: number
  readonly target: LogTarget | NflogTarget
}

const loggingRules = ({ tables }: Ruleset): Map<number, LoggingRule> => {
  const found = new Map<number, LoggingRule>()
  for (const table of Object.values(tables)) {
    for (const chain of table.chains) {
      for (const [index, { id, spec: { target } }] of chain.rules.entries()) {
        if (target?.kind === 'LOG' || target?.kind === 'NFLOG') found.set(id, { table: table.name, chain: chain.name, number: index + 1, target })
      }
    }
  }
  return found
}

export class LoggingRules {
  readonly #ruleset: () => Ruleset
  #known: Ruleset | null = null
  #rules = new Map<number, LoggingRule>()
  /** Those that are gone, and those of before. */
  #earlier = new Map<number, LoggingRule>()
  #changedAt = 0

  /** @param ruleset gives the rule set of now */
  constructor(ruleset: () => Ruleset) {
    this.#ruleset = ruleset
  }

  /** Looks whether the rules have changed. Returns whether any may log. @param now milliseconds */
  refresh(now: number): boolean {
    const ruleset = this.#ruleset()
    const isOver = now - this.#changedAt > MEMORY
    if (ruleset !== this.#known) {
      this.#earlier = new Map([...(isOver ? [] : this.#earlier), ...this.#rules])
      this.#rules = loggingRules(ruleset)
      this.#known = ruleset
      this.#changedAt = now
    } else if (isOver && this.#earlier.size > 0) {
      this.#earlier = new Map()
    }
    return this.#rules.size > 0 || this.#earlier.size > 0
  }

  find(id: number): LoggingRule | undefined {
    return this.#rules.get(id) ?? this.#earlier.get(id)
  }
}
