/** One test of a rule, compiled. */
import type { RangeTest } from '../model.js'
import type { Environment } from './environment.js'
import type { MatchState, StateKind } from './match-states.js'
import type { Outcome } from './outcome.js'
import type { PacketMeta } from './packet-meta.js'

export interface Test {
  /** Bits of DEPENDS_*: what its result depends on besides the flow, its side and its state. */
  readonly depends: number
  /** Index of the match in the rule. */
  readonly match: number
  /** May set `hotDrop` in the outcome. Allocates and throws nothing. */
  holds(packet: PacketMeta, outcome: Outcome): boolean
}

/** Where a match stands. */
export interface MatchPlace {
  readonly environment: Environment
  /** Index of the match in the rule. */
  readonly index: number
  /** The state of this match. @param name null: its own, else shared by all matches that give this name */
  keep<State extends MatchState>(name: string | null, kind: StateKind<State>): State
}

export type Holds = Test['holds']

/** All that are given must hold. */
export const every = (all: readonly Holds[]): Holds => {
  const [first, second] = all
  if (first === undefined) return () => true
  if (second === undefined) return first
  return (packet, outcome) => {
    for (const holds of all) if (!holds(packet, outcome)) return false
    return true
  }
}

export const inRange = ({ first, last, not }: RangeTest, value: number): boolean => (value >= first && value <= last) !== not
