/** Policy rules: which table is asked for which packet. In the order of their preference, equal ones in the order in which they came. */
import { maskOf } from '../stack/wire/address.js'
import type { RouteKey } from './types.js'
import { Origin, Table, TOS_MASK } from './types.js'

export type RuleAction = 'lookup' | 'goto' | 'nop' | 'blackhole' | 'unreachable' | 'prohibit'

/** A rule as it was written. What is 0, '' or null selects nothing. */
export interface Rule {
  /** uint32. */
  readonly preference: number
  /** Packets that the selectors do not match. */
  readonly not: boolean
  readonly source: number
  readonly sourceLength: number
  readonly destination: number
  readonly destinationLength: number
  /** Names of interfaces, which need not exist. */
  readonly input: string
  readonly output: string
  readonly mark: number
  /** 0 when the mark does not matter. */
  readonly markMask: number
  readonly tos: number
  readonly protocol: number
  /** First and last, 1-65535. */
  readonly sourcePorts: readonly [number, number] | null
  readonly destinationPorts: readonly [number, number] | null
  readonly action: RuleAction
  /** The table of `lookup`. Others may have one, without any meaning. */
  readonly table: number
  /** The preference that `goto` goes on with. */
  readonly target: number
  /** A route found with a prefix of at most so many bits does not count; -1: all count. */
  readonly suppressLength: number
  readonly origin: number
}

export const anyRule: Rule = {
  preference: 0, not: false, source: 0, sourceLength: 0, destination: 0, destinationLength: 0, input: '', output: '', mark: 0, markMask: 0,
  tos: 0, protocol: 0, sourcePorts: null, destinationPorts: null, action: 'lookup', table: Table.main, target: 0, suppressLength: -1,
  origin: Origin.unspecified,
}

/** The rules of a host at which nobody has changed any. */
export const defaultRules = (): readonly Rule[] => [
  { ...anyRule, preference: 0, table: Table.local, origin: Origin.kernel },
  { ...anyRule, preference: 32766, table: Table.main, origin: Origin.kernel },
  { ...anyRule, preference: 32767, table: Table.default, origin: Origin.kernel },
]

/** A rule made ready: names resolved, masks computed. */
export interface ReadyRule {
  readonly rule: Rule
  readonly sourceMask: number
  readonly destinationMask: number
  /** Number of the interface; 0: any; -1: one that does not exist. */
  readonly input: number
  readonly output: number
  readonly firstSourcePort: number
  readonly lastSourcePort: number
  readonly firstDestinationPort: number
  readonly lastDestinationPort: number
  /** Where `goto` goes on; the next rule when there is none of the target's preference. */
  readonly jump: number
}

/** @param numberOf the number of an interface, 0 when there is none of that name */
export const readyRules = (rules: readonly Rule[], numberOf: (name: string) => number): readonly ReadyRule[] => {
  const interfaceOf = (name: string): number => (name === '' ? 0 : numberOf(name) || -1)
  return rules.map((rule, position) => {
    const target = rule.action === 'goto' ? rules.findIndex(({ preference }) => preference === rule.target) : -1
    return {
      rule,
      sourceMask: maskOf(rule.sourceLength),
      destinationMask: maskOf(rule.destinationLength),
      input: interfaceOf(rule.input),
      output: interfaceOf(rule.output),
      firstSourcePort: rule.sourcePorts?.[0] ?? 0,
      lastSourcePort: rule.sourcePorts?.[1] ?? 0xffff,
      firstDestinationPort: rule.destinationPorts?.[0] ?? 0,
      lastDestinationPort: rule.destinationPorts?.[1] ?? 0xffff,
      jump: target > position ? target : position + 1,
    }
  })
}

const selects = (ready: ReadyRule, key: RouteKey): boolean => {
  const { rule } = ready
  return (ready.input === 0 || ready.input === key.input)
    && (ready.output === 0 || ready.output === key.output)
    && ((rule.mark ^ key.mark) & rule.markMask) === 0
    && ((rule.source ^ key.source) & ready.sourceMask) === 0
    && ((rule.destination ^ key.destination) & ready.destinationMask) === 0
    && (rule.tos === 0 || rule.tos === (key.tos & TOS_MASK))
    && (rule.protocol === 0 || rule.protocol === key.protocol)
    && key.sourcePort >= ready.firstSourcePort && key.sourcePort <= ready.lastSourcePort
    && key.destinationPort >= ready.firstDestinationPort && key.destinationPort <= ready.lastDestinationPort
}

/** Whether a rule applies to a packet. */
export const applies = (ready: ReadyRule, key: RouteKey): boolean => selects(ready, key) !== ready.rule.not
