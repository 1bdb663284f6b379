/** What two gateways made of the same rules and packets, and which of the listed differences explain what is not the same. */
import { RULE_DIFFERENCES } from './differences.js'
import type { Played, RuleCase } from './play.js'

export interface RuleComparison {
  /** Shots of which the same came, and those of them of which anything came. */
  same: number
  passed: number
  /** Counters that are the same, and those of them that counted anything. */
  counters: number
  counted: number
  /** In which cases each listed difference was met, by their seeds. */
  found: Map<string, number[]>
  /** What no listed difference explains, as text. */
  unexplained: string[]
}

const indent = (mark: string, lines: readonly string[]): string[] => (lines.length === 0 ? ['nothing'] : lines).map((line) => `    ${mark} ${line}`)

/** The flow's shots up to this one, with what came of them, for people. */
const explain = ({ seed, shots }: RuleCase, at: number, first: Played, second: Played): string => {
  const lines = [`seed ${seed}, shot ${at}:`]
  for (let i = 0; i <= at; i++) {
    if (shots[i]!.flow !== shots[at]!.flow) continue
    lines.push(`  ${i}. ${shots[i]!.note}`, ...indent('sent  >', [first.sent[i] ?? 'nothing']))
    if (first.sent[i] !== second.sent[i]) lines.push(...indent('to tsnat >', [second.sent[i] ?? 'nothing']))
    if (first.seen[i]!.join() === second.seen[i]!.join()) lines.push(...indent('both  <', first.seen[i]!))
    else lines.push(...indent('kernel<', first.seen[i]!), ...indent('tsnat <', second.seen[i]!))
  }
  return lines.join('\n')
}

const numbers = (counter: string): string => /\[\d+:\d+\]$/.exec(counter)![0]

export const compareCase = (rules: RuleCase, kernel: Played, tsnat: Played, result: RuleComparison): void => {
  const met = new Set<string>()
  const note = (id: string): void => {
    result.found.set(id, [...new Set([...result.found.get(id) ?? [], rules.seed])])
  }
  for (const [at, shot] of rules.shots.entries()) {
    const [k, t] = [kernel.seen[at]!, tsnat.seen[at]!]
    if (k.join() === t.join()) {
      if (kernel.sent[at] !== undefined) result.same++
      if (k.length > 0) result.passed++
      continue
    }
    const reason = RULE_DIFFERENCES.find(({ explains }) => explains?.({ rules, shot, sent: tsnat.sent[at] ?? '', kernel: k, tsnat: t, met }) === true)
    if (reason === undefined) {
      result.unexplained.push(explain(rules, at, kernel, tsnat))
      // What follows may follow from it.
      return
    }
    met.add(reason.id)
    note(reason.id)
  }
  const sent = tsnat.sent.filter((line) => line !== undefined)
  const wrong: string[] = []
  for (const [index, counter] of kernel.counters.entries()) {
    const other = tsnat.counters[index] ?? 'nothing'
    if (other === counter) {
      result.counters++
      if (!counter.endsWith('[0:0]')) result.counted++
      continue
    }
    const reason = RULE_DIFFERENCES.find(({ explainsCounter }) => explainsCounter?.({ counter, other, sent, met }) === true)
    if (reason === undefined) wrong.push(`    ${counter} but tsnat ${other.endsWith(']') ? numbers(other) : other}`)
    else note(reason.id)
  }
  if (wrong.length > 0) result.unexplained.push(`seed ${rules.seed}, after all shots (${[...met].join(', ')}):\n${wrong.join('\n')}`)
}

export const nothingCompared = (): RuleComparison => ({ same: 0, passed: 0, counters: 0, counted: 0, found: new Map(), unexplained: [] })
