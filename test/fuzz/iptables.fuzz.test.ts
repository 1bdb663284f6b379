/**
 * Fuzzes the words of iptables: any text gives a rule set or a TsnatError, never another exception, and what was taken prints as text
 * that is taken again and prints the same. TSNAT_FUZZ_SECONDS and TSNAT_FUZZ_SEED as in pipeline.fuzz.test.ts.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { TsnatError } from '../../src/errors.js'
import { emptyRuleset, restoreRuleset, runIptables, saveRuleset } from '../../src/policy/iptables/index.js'
import { type Ruleset, TABLE_NAMES } from '../../src/policy/model.js'
import { randomFile } from '../policy/iptables/generate.js'
import { type Random, randomFrom } from './generate.js'

const SECONDS = Number(process.env.TSNAT_FUZZ_SECONDS ?? 2)
const SEED = Number(process.env.TSNAT_FUZZ_SEED ?? 1)
/** Milliseconds that one text may take. */
const TEXT_MILLISECONDS = 1000

const GOLDEN = ['rules.txt', 'refused.txt'].map((name) => readFileSync(new URL(`../policy/iptables/golden/${name}`, import.meta.url), 'utf8')).join('\n')
const WORDS = [...new Set([
  ...GOLDEN.split(/[\s|]+/), '*filter', '*nat', '*raw', '*mangle', ':INPUT', ':own', '-', '[0:0]', '[1:', 'COMMIT', '-A', '-I', '-D', '-R', '-C', '-L', '-S',
  '-F', '-Z', '-N', '-X', '-E', '-P', '-t', '-c', '-6', '-h', '-V', '--', '!', '"', '\\', '#', '0', '1', '-1', '4294967296', '99999999999999999999', '0x',
  '/', ',', ':', '=', '__proto__', 'constructor', 'toString', '1.2.3.4/', '1e5', ' ', '\u0000', '\ud800', '—',
])]
const NOISE = [...'!-+:/,."\\\'[]*#=0159azAZ \t\n\r\0é\u{1f600}']

const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)]!

/** A few characters of a text changed, taken out, doubled, or put in. */
const harmed = (random: Random, text: string): string => {
  let result = text
  for (let count = random(4); count >= 0; count--) {
    const at = random(result.length + 1)
    const length = random(6)
    const put = pick(random, ['', pick(random, NOISE), ` ${pick(random, WORDS)} `, result.slice(at, at + length).repeat(2)])
    result = result.slice(0, at) + put + result.slice(at + (random(2) === 0 ? 0 : length))
  }
  return result
}

const someWords = (random: Random): string[] => Array.from({ length: 1 + random(12) }, () => pick(random, WORDS))

const randomText = (random: Random): string => {
  const kind = random(3)
  if (kind === 0) return harmed(random, randomFile(random, 4, { sets: true }))
  const lines = Array.from({ length: 1 + random(4) }, () => (kind === 1 ? `-A ${someWords(random).join(' ')}` : someWords(random).join(' ')))
  return `*${pick(random, TABLE_NAMES)}\n:own - [0:0]\n${lines.join('\n')}\nCOMMIT\n`
}

const goldenCommands = GOLDEN.split('\n').filter((line) => /^(> )?(raw|mangle|nat|filter) /.test(line)).map((line) => line.replace(/^> /, ''))

const randomCommand = (random: Random): string[] => {
  if (random(2) === 0) return someWords(random)
  const [table, chain, ...rest] = pick(random, goldenCommands).split(' ')
  return harmed(random, ['-t', table, '-A', chain, ...rest].join(' ')).split(' ')
}

/** What runs, unless it is refused as it should be. */
const orRefused = (run: () => Ruleset): Ruleset | null => {
  try {
    return run()
  } catch (error) {
    if (error instanceof TsnatError && error.message !== '' && error.code.startsWith('POLICY_')) return null
    throw error
  }
}

const save = (ruleset: Ruleset): string => TABLE_NAMES.map((table) => saveRuleset(ruleset, { table, counters: true })).join('')

/** Also tells how often the text was taken. */
const play = (ruleset: Ruleset | null): number => {
  if (ruleset === null) return 0
  const text = save(ruleset)
  expect(save(restoreRuleset(emptyRuleset(), text, { counters: true }))).toBe(text)
  for (const table of TABLE_NAMES) runIptables(ruleset, ['-t', table, '-vL'])
  return 1
}

describe('the words of iptables', () => {
  it('give a rule set or an error of their own, whatever the text', () => {
    const random = randomFrom(SEED)
    const base = runIptables(runIptables(emptyRuleset(), ['-N', 'foo']).ruleset, ['-A', 'INPUT', '-p', 'tcp', '-j', 'foo']).ruleset
    const end = performance.now() + SECONDS * 1000
    let [taken, tried] = [0, 0]
    while (performance.now() < end || tried < 500) {
      const text = randomText(random)
      const argv = randomCommand(random)
      const begin = performance.now()
      try {
        taken += play(orRefused(() => restoreRuleset(base, text, { noFlush: random(2) === 0, counters: random(2) === 0 })))
        taken += play(orRefused(() => runIptables(base, argv).ruleset))
      } catch (error) {
        throw new Error(`seed ${SEED}, after ${tried}: ${JSON.stringify(text)} or ${JSON.stringify(argv)}`, { cause: error })
      }
      expect(performance.now() - begin).toBeLessThan(TEXT_MILLISECONDS)
      tried += 2
    }
    expect(taken).toBeGreaterThan(tried / 50)
    expect(taken).toBeLessThan(tried)
  }, (SECONDS + 60) * 1000)
})
