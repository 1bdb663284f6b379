import { describe, expect, it } from 'vitest'
import { runIptables, setUses, withCounters } from '../../../src/policy/iptables/index.js'
import { chainOf, outputOf, rulesetOf, words } from './support.js'

describe('what others ask of a rule set', () => {
  it('names every place that uses a set', () => {
    const ruleset = rulesetOf('-A INPUT -j DROP', '-A INPUT -m set --match-set bad src -m set ! --match-set good src,dst -j SET --add-set seen src --del-set gone dst')
    expect(setUses(ruleset)).toEqual([
      { table: 'filter', chain: 'INPUT', number: 2, name: 'bad', directions: ['src'] },
      { table: 'filter', chain: 'INPUT', number: 2, name: 'good', directions: ['src', 'dst'] },
      { table: 'filter', chain: 'INPUT', number: 2, name: 'seen', directions: ['src'] },
      { table: 'filter', chain: 'INPUT', number: 2, name: 'gone', directions: ['dst'] },
    ])
  })

  it('takes what was counted elsewhere, by id, and edits keep it', () => {
    const before = rulesetOf('-A INPUT -j DROP', '-A INPUT -j ACCEPT', '-P INPUT DROP')
    const input = chainOf(before, 'filter', 'INPUT')
    const counted = withCounters(before, (id) => (id === input.rules[0]!.id ? { packets: 3, bytes: 300 } : id === input.id ? { packets: 9, bytes: 900 } : undefined))
    const after = runIptables(counted, words('-P INPUT ACCEPT')).ruleset
    expect(outputOf(after, '-S INPUT -v')).toBe('-P INPUT ACCEPT -c 9 900\n-A INPUT -c 3 300 -j DROP\n-A INPUT -c 0 0 -j ACCEPT\n')
    expect(chainOf(after, 'filter', 'INPUT').id).toBe(input.id)
    expect(chainOf(runIptables(after, ['-Z']).ruleset, 'filter', 'INPUT').id).not.toBe(input.id)
  })
})
