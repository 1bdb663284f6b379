/**
 * What matches remember from packet to packet. A state goes by a key that names the rule and the match, or the table of a hashlimit; a
 * rule that stays in the next rule set finds its state there again, and goes on with it.
 */
import type { ConnectionCounts } from './connection-counts.js'
import type { HashlimitTable } from './hashlimit-table.js'
import type { LimitBucket } from './limit-bucket.js'
import type { NthCounter } from './nth-counter.js'

export type MatchState = ConnectionCounts | HashlimitTable | LimitBucket | NthCounter

/** How a match gets its state. */
export interface StateKind<State extends MatchState> {
  readonly type: abstract new (...args: never[]) => State
  make(): State
  /** Whether a state of the rule set before will do. */
  fits?(state: State): boolean
}

export class MatchStates {
  readonly #states = new Map<string, MatchState>()
  #previous: ReadonlyMap<string, MatchState>

  constructor(previous: MatchStates | null) {
    this.#previous = previous === null ? new Map() : previous.#states
  }

  /** The state that goes by `key`: of this rule set, of the one before, or a new one. */
  keep<State extends MatchState>(key: string, { type, make, fits }: StateKind<State>): State {
    const own = this.#states.get(key)
    if (own instanceof type) return own
    const before = this.#previous.get(key)
    const state = before instanceof type && (fits === undefined || fits(before)) ? before : make()
    this.#states.set(key, state)
    return state
  }

  values(): Iterable<MatchState> {
    return this.#states.values()
  }

  /** No match is to come: what was before is forgotten. */
  finish(): void {
    this.#previous = new Map()
  }
}
