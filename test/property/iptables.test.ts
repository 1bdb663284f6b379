import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { emptyRuleset, restoreRuleset, runIptables, saveRuleset } from '../../src/policy/iptables/index.js'
import { type Ruleset, TABLE_NAMES } from '../../src/policy/model.js'
import { randomFile } from '../policy/iptables/generate.js'
import { randomFrom } from '../fuzz/generate.js'

const seeds = fc.integer({ min: 1, max: 0x7fffffff })
const fileOf = (seed: number): string => randomFile(randomFrom(seed), 25, { sets: true })
const restore = (text: string, before = emptyRuleset()): Ruleset => restoreRuleset(before, text, { counters: true, file: 'generated' })
const save = (ruleset: Ruleset): string => TABLE_NAMES.map((table) => saveRuleset(ruleset, { table, counters: true })).join('')
/** All but the ids of counters. */
const contents = ({ tables }: Ruleset): unknown => JSON.parse(JSON.stringify(tables), (key, value: unknown) => (key === 'id' ? undefined : value))

describe('generated rule sets', () => {
  it('are the same, text and object, after saving and restoring, over whatever was there', () => {
    fc.assert(fc.property(seeds, seeds, (seed, other) => {
      const ruleset = restore(fileOf(seed))
      const text = save(ruleset)
      const again = restore(text, restore(fileOf(other)))
      expect(save(again)).toBe(text)
      expect(contents(again)).toEqual(contents(ruleset))
    }), { numRuns: 150 })
  })

  it('are plain JSON', () => {
    fc.assert(fc.property(seeds, (seed) => {
      const ruleset = restore(fileOf(seed))
      expect(JSON.parse(JSON.stringify(ruleset))).toEqual(ruleset)
    }), { numRuns: 50 })
  })

  it('are listed in every layout, one line a rule', () => {
    fc.assert(fc.property(seeds, fc.subarray(['-n', '-v', '-x', '--line-numbers']), (seed, options) => {
      const ruleset = restore(fileOf(seed))
      for (const table of TABLE_NAMES) {
        const { chains } = ruleset.tables[table]
        const lines = chains.reduce((sum, { rules }) => sum + rules.length + 3, 0)
        expect(runIptables(ruleset, ['-t', table, '-L', ...options]).output.split('\n')).toHaveLength(lines)
        const commands = chains.reduce((sum, { rules }) => sum + rules.length + 1, 0)
        expect(runIptables(ruleset, ['-t', table, '-S']).output.trimEnd().split('\n')).toHaveLength(commands)
      }
    }), { numRuns: 50 })
  })

  it('lose each rule by the words that print it', () => {
    fc.assert(fc.property(seeds, (seed) => {
      let text = save(restore(fileOf(seed))).replace(/^\[\d+:\d+\] /gm, '')
      let ruleset = restore(text)
      const rules = text.split('\n').filter((line) => line.startsWith('-A'))
      if (rules.length === 0) return
      const table = /\*(\w+)\n(?:(?!\*)[^])*$/.exec(text.slice(0, text.indexOf(rules[0]!)))![1]!
      const before = save(ruleset)
      ruleset = restoreRuleset(ruleset, `*${table}\n${rules[0]!.replace('-A', '-D')}\nCOMMIT\n`, { noFlush: true })
      text = save(ruleset)
      expect(before.split('\n')).toHaveLength(text.split('\n').length + 1)
    }), { numRuns: 50 })
  })
})
