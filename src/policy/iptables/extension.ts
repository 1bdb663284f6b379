/** What a match and a target bring: their options, how they are read, printed and checked. */
import { HOOK_NAMES, type HookName, type MatchName, type MatchOf, type RuleSpec, type TableName, type Target } from '../model.js'
import type { Given, OptionSpec } from './options.js'

/** Where a rule stands, for checks. */
export interface Where {
  readonly table: TableName
  /** Bits by HOOK_NAMES: the hooks that the rule can be reached from. */
  readonly hooks: number
  readonly spec: RuleSpec
}

export interface MatchExtension<Name extends MatchName = MatchName> {
  /** The word after `-m`. */
  readonly name: Name
  readonly options: readonly OptionSpec[]
  parse(given: Given): MatchOf<Name>
  /** Its options as iptables-save prints them; '' when there are none. */
  save(match: MatchOf<Name>): string
  /** As `iptables -L` prints it. @param numeric ports and types as numbers */
  list(match: MatchOf<Name>, numeric: boolean, spec: RuleSpec): string
  /** Why it cannot stand there; null when it can. */
  check?(match: MatchOf<Name>, where: Where): string | null
}

export interface TargetExtension<T extends Target = Target> {
  /** The word after `-j`. */
  readonly name: string
  readonly options: readonly OptionSpec[]
  parse(given: Given): T
  /** Its options, without `-j NAME`. */
  save(target: T): string
  list(target: T, numeric: boolean): string
  check?(target: T, where: Where): string | null
}

export const hookBit = (hook: HookName): number => 1 << HOOK_NAMES.indexOf(hook)

const namesOfHooks = (hooks: number): string => HOOK_NAMES.filter((hook) => (hooks & hookBit(hook)) !== 0).join(', ')

/** Complains about hooks that a rule can be reached from and that are not among those allowed. */
export const onlyFrom = (what: string, where: Where, allowed: readonly HookName[]): string | null => {
  const wrong = allowed.reduce((bits, hook) => bits & ~hookBit(hook), where.hooks)
  return wrong === 0 ? null : `${what} works from ${allowed.join(', ')} only, and this rule is reached from ${namesOfHooks(wrong)}`
}

export const onlyIn = (what: string, where: Where, table: TableName): string | null =>
  where.table === table ? null : `${what} works in table ${table} only, and this is table ${where.table}`

/** Complains when the rule does not say `-p` with one of some protocols. */
export const onlyFor = (what: string, where: Where, protocols: Readonly<Record<string, number>>): string | null => {
  const { protocol } = where.spec
  if (protocol !== null && !protocol.not && Object.values(protocols).includes(protocol.number)) return null
  return `${what} needs -p ${Object.keys(protocols).join(', ')}`.replace(/, (\w+)$/, ' or $1')
}

/** What has ports. */
export const WITH_PORTS = { tcp: 6, udp: 17, sctp: 132, dccp: 33, udplite: 136 } as const

/** The first complaint there is. */
export const firstOf = (...complaints: readonly (string | null)[]): string | null => complaints.find((each) => each !== null) ?? null

/** Joins what is there with blanks. */
export const join = (...parts: readonly (string | null | false)[]): string => parts.filter((part) => part !== null && part !== false).join(' ')

/** `! ` before an inverted test. */
export const bang = (not: boolean): string => (not ? '! ' : '')
