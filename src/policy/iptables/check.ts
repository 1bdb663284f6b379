/**
 * What the kernel checks before it takes a table: no chain comes back to itself, jumps lead somewhere, and every match and target may
 * stand in the table and be reached from the hooks that it is reached from. A user chain is reached from all the hooks whose chains
 * jump to it, over however many others; one that nothing jumps to is reached from none, and passes.
 */
import { type Chain, HOOK_NAMES, type HookName, type Rule, type RuleSpec, type TableName } from '../model.js'
import { hookBit, type Where } from './extension.js'
import { extensionOf as matchExtensionOf } from './matches/index.js'
import { extensionOf as targetExtensionOf } from './targets/index.js'

/** 0 for a user chain. */
export const hooksOfChain = (name: string): number => ((HOOK_NAMES as readonly string[]).includes(name) ? hookBit(name as HookName) : 0)

export interface Complaint {
  readonly message: string
  /** Index of the match that it is about; null: the target. */
  readonly match: number | null
}

/** Why a rule cannot stand where it stands. */
export const complaintAbout = (where: Where): Complaint | null => {
  const { matches, target } = where.spec
  for (const [index, match] of matches.entries()) {
    const message = matchExtensionOf(match).check?.(match, where) ?? null
    if (message !== null) return { message, match: index }
  }
  const message = target === null ? null : targetExtensionOf(target)?.check?.(target, where) ?? null
  return message === null ? null : { message, match: null }
}

/** The chain that a rule leads to. */
export const leadsTo = ({ target }: RuleSpec): string | null =>
  target !== null && (target.kind === 'jump' || target.kind === 'goto') ? target.chain : null

export interface Violation {
  readonly chain: string
  /** Null when it is about the chain. */
  readonly rule: Rule | null
  readonly message: string
}

type Chains = ReadonlyMap<string, Pick<Chain, 'name' | 'rules'>>

const targetsOf = (rules: readonly Rule[]): Map<string, Rule> => {
  const targets = new Map<string, Rule>()
  for (const rule of rules) {
    const chain = leadsTo(rule.spec)
    if (chain !== null && !targets.has(chain)) targets.set(chain, rule)
  }
  return targets
}

type Graph = ReadonlyMap<string, ReadonlyMap<string, Rule>>

/** The first rule that closes a circle, or leads nowhere. Its own stack: chains may be nested deeply. */
const findLoop = (graph: Graph): Violation | null => {
  const done = new Set<string>()
  for (const start of graph.keys()) {
    if (done.has(start)) continue
    const open = new Set([start])
    const stack = [{ chain: start, next: graph.get(start)!.entries() }]
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const step = top.next.next()
      if (step.done === true) {
        done.add(top.chain)
        open.delete(top.chain)
        stack.pop()
        continue
      }
      const [to, rule] = step.value
      if (open.has(to)) return { chain: top.chain, rule, message: `chain ${top.chain} leads back to itself by way of ${to}` }
      const next = graph.get(to)
      if (next === undefined) return { chain: top.chain, rule, message: `there is no chain ${to}` }
      if (done.has(to)) continue
      open.add(to)
      stack.push({ chain: to, next: next.entries() })
    }
  }
  return null
}

const reach = (graph: Graph): ReadonlyMap<string, number> => {
  const hooks = new Map<string, number>()
  for (const hook of HOOK_NAMES) {
    if (!graph.has(hook)) continue
    const waiting: string[] = [hook]
    for (let chain = waiting.pop(); chain !== undefined; chain = waiting.pop()) {
      const known = hooks.get(chain) ?? 0
      if ((known & hookBit(hook)) !== 0) continue
      hooks.set(chain, known | hookBit(hook))
      waiting.push(...graph.get(chain)!.keys())
    }
  }
  return hooks
}

/** The first thing that is wrong with a table. Takes time in proportion to its rules. */
export const findViolation = (table: TableName, chains: Chains): Violation | null => {
  const graph = new Map([...chains.values()].map(({ name, rules }) => [name, targetsOf(rules)]))
  const loop = findLoop(graph)
  if (loop !== null) return loop
  const hooks = reach(graph)
  for (const { name, rules } of chains.values()) {
    for (const rule of rules) {
      const complaint = complaintAbout({ table, hooks: hooks.get(name) ?? 0, spec: rule.spec })
      if (complaint !== null) return { chain: name, rule, message: complaint.message }
    }
  }
  return null
}
