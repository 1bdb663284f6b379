import { describe, expect, it } from 'vitest'
import { LoggingRules } from '../../src/control/logging-rules.js'
import { runIptables } from '../../src/policy/iptables/index.js'
import { rulesetOf } from '../policy/engine/support.js'

describe('the rules that log', () => {
  it('are known with their place, and after they are gone for ten seconds', () => {
    let ruleset = rulesetOf(':A - [0:0]\n-A FORWARD -j ACCEPT\n-A FORWARD -j LOG --log-prefix "one "\n-A A -j NFLOG --nflog-group 7')
    const rules = new LoggingRules(() => ruleset)
    expect(rules.refresh(0)).toBe(true)
    const { chains } = ruleset.tables.filter
    const log = chains.find(({ name }) => name === 'FORWARD')!.rules[1]!.id
    const nflog = chains.find(({ name }) => name === 'A')!.rules[0]!.id
    expect(rules.find(log)).toMatchObject({ table: 'filter', chain: 'FORWARD', number: 2, target: { kind: 'LOG', prefix: 'one ' } })
    expect(rules.find(nflog)).toMatchObject({ chain: 'A', number: 1, target: { kind: 'NFLOG', group: 7 } })
    expect(rules.find(chains[1]!.rules[0]!.id)).toBeUndefined()

    for (const [now, command] of [[60_000, '-D FORWARD 1'], [61_000, '-D FORWARD 1'], [62_000, '-F A']] as const) {
      ruleset = runIptables(ruleset, command.split(' ')).ruleset
      expect(rules.refresh(now)).toBe(true)
    }
    expect(rules.find(log)).toMatchObject({ number: 1 })
    expect(rules.find(nflog)).toBeDefined()
    expect(rules.refresh(72_000)).toBe(true)
    expect(rules.refresh(72_001)).toBe(false)
    expect(rules.find(log)).toBeUndefined()
  })
})
