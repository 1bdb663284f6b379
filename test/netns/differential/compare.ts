/** What came out of two gateways, step by step, and which of the listed differences explain what is not the same. */
import { DIFFERENCES, type Mismatch } from './differences.js'
import type { Seen } from './observe.js'
import type { Step } from './replay.js'
import type { Sequence } from './sequence.js'

export interface Comparison {
  /** Steps after which the same came out, and packets in them. */
  sameSteps: number
  samePackets: number
  /** Steps that each listed difference had a part in. */
  found: Map<string, number>
  /** What no listed difference explains, as text. */
  unexplained: string[]
}

/** What is in the first list and not in the second, each as often as it is there more. */
const surplus = (first: readonly Seen[], second: readonly Seen[]): Seen[] => {
  const lines = second.map(({ line }) => line)
  return first.filter(({ line }) => {
    const at = lines.indexOf(line)
    if (at >= 0) lines.splice(at, 1)
    return at < 0
  })
}

type Left = Pick<Mismatch, 'kernel' | 'tsnat'>

const difference = ({ kernel, tsnat }: Left): Left => ({ kernel: surplus(kernel, tsnat), tsnat: surplus(tsnat, kernel) })
const isNothing = ({ kernel, tsnat }: Left): boolean => kernel.length + tsnat.length === 0

const renamed = (seen: Seen, renames: readonly (readonly [string, string])[]): Seen => {
  const change = (text: string): string => renames.reduce((changed, [from, to]) => changed.replaceAll(new RegExp(`\\b${from}(?![\\w'])`, 'g'), to), text)
  return renames.length === 0 ? seen : { ...seen, line: change(seen.line), body: change(seen.body) }
}

const indent = (mark: string, lines: readonly string[]): string[] => lines.map((line) => `      ${mark} ${line}`)
const linesOf = (seen: readonly Seen[]): string[] => (seen.length === 0 ? ['nothing'] : seen.map(({ line }) => line))

/** A sequence up to the step that differs, with both outputs, for people. */
const explain = (sequence: Sequence, step: number, kernel: readonly Step[], tsnat: readonly Step[]): string => {
  const lines = [`seed ${sequence.seed}, step ${step + 1} of ${sequence.shots.length}:`]
  for (let i = 0; i <= step; i++) {
    const [k, t] = [kernel[i]!, tsnat[i]!]
    const isSame = isNothing(difference({ kernel: k.seen, tsnat: t.seen }))
    lines.push(`  ${i + 1}. ${sequence.shots[i]!.note}`, ...indent('sent  >', k.sent))
    if (k.sent.join() !== t.sent.join()) lines.push(...indent('to tsnat >', t.sent))
    if (isSame) lines.push(...indent('both  <', linesOf(k.seen)))
    else lines.push(...indent('kernel<', linesOf(k.seen)), ...indent('tsnat <', linesOf(t.seen)))
  }
  return lines.join('\n')
}

export const compare = (sequences: readonly Sequence[], kernel: readonly Step[][], tsnat: readonly Step[][]): Comparison => {
  const result: Comparison = { sameSteps: 0, samePackets: 0, found: new Map(), unexplained: [] }
  for (const [i, sequence] of sequences.entries()) {
    const earlier = new Set<string>()
    const renames: (readonly [string, string])[] = []
    for (const [step, shot] of sequence.shots.entries()) {
      const [k, t] = [kernel[i]![step]!, tsnat[i]![step]!]
      let whole = { kernel: k.seen.map((seen) => renamed(seen, renames)), tsnat: t.seen }
      let left = difference(whole)
      result.samePackets += k.seen.length - left.kernel.length
      if (isNothing(left)) {
        result.sameSteps++
        continue
      }
      const used: string[] = []
      for (const { id, explains } of DIFFERENCES) {
        if (isNothing(left)) break
        const rest = explains({ sequence, shot, sent: t.sent, before: sequence.shots.slice(0, step), earlier, whole, ...left })
        if (rest.rename !== undefined) {
          renames.push(rest.rename)
          whole = { ...whole, kernel: whole.kernel.map((seen) => renamed(seen, [rest.rename!])) }
          left = difference(whole)
        } else if (rest.kernel.length === left.kernel.length && rest.tsnat.length === left.tsnat.length) {
          continue
        } else {
          left = rest
        }
        used.push(id)
      }
      if (!isNothing(left)) {
        result.unexplained.push(explain(sequence, step, kernel[i]!, tsnat[i]!))
        break
      }
      for (const id of used) {
        earlier.add(id)
        result.found.set(id, (result.found.get(id) ?? 0) + 1)
      }
    }
  }
  return result
}
