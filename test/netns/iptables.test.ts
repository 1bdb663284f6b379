import { describe, expect, it } from 'vitest'
import { emptyRuleset, restoreRuleset, runIptables, saveRuleset } from '../../src/policy/iptables/index.js'
import { type Ruleset, TABLE_NAMES } from '../../src/policy/model.js'
import { randomFrom } from '../fuzz/generate.js'
import { randomFile } from '../policy/iptables/generate.js'
import { testNamespace } from './host-support.js'

const ROUNDS = 10

const save = (ruleset: Ruleset): string => TABLE_NAMES.map((table) => saveRuleset(ruleset, { table, counters: true })).join('')
const restore = (text: string): Ruleset => restoreRuleset(emptyRuleset(), text, { counters: true })
/** That release alone lists protocols as numbers. */
const named = (line: string): string => line.replace(/^(\S* *\S* *\S* *[\w-]* *)([ !])(0|1|6|17)( +)(?=[-!][-f] )/, (_, begin: string, not: string, number: string) =>
  `${begin}${not}${({ 0: 'all ', 1: 'icmp', 6: 'tcp ', 17: 'udp ' } as Record<string, string>)[number]!} `)

describe.each(['legacy', 'nft'])('beside iptables-%s', (variant) => {
  const host = testNamespace()
  const kernelSave = (): string => TABLE_NAMES.map((table) => host.run(`iptables-${variant}-save -c -t ${table}`)).join('')

  it('gives files that iptables-restore takes, and takes what iptables-save makes of them', () => {
    for (let seed = 1; seed <= ROUNDS; seed++) {
      const ruleset = restore(randomFile(randomFrom(seed), 25, { sets: false }))
      const text = save(ruleset)
      host.runInput(`iptables-${variant}-restore --test`, text)
      host.runInput(`iptables-${variant}-restore -c`, text)
      expect(save(restore(kernelSave())), `seed ${seed}`).toBe(text)
    }
  })

  it('prints the same as it, to the byte', () => {
    for (let seed = 101; seed <= 100 + ROUNDS; seed++) {
      const ruleset = restore(randomFile(randomFrom(seed), 25, { sets: false }))
      host.runInput(`iptables-${variant}-restore -c`, save(ruleset))
      expect(kernelSave().replace(/^#.*\n/gm, ''), `seed ${seed}`).toBe(save(ruleset))
      for (const table of TABLE_NAMES) {
        for (const options of ['-S', '-S -v', '-L -n -v --line-numbers', '-L -n -v -x']) {
          const theirs = host.run(`iptables-${variant} -t ${table} ${options}`).split('\n')
          const mine = runIptables(ruleset, ['-t', table, ...options.split(' ')]).output.split('\n')
          expect(mine.map(named), `seed ${seed}, table ${table}, ${options}`).toEqual(theirs.map(named))
        }
      }
    }
  })
})
