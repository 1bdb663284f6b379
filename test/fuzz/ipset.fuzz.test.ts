/** Any words, any file: sets or a TsnatError, never another error; and what was saved is restored to the same. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TsnatError } from '../../src/errors.js'
import { NO_SETS, runIpset } from '../../src/policy/ipset/index.js'

const context = { now: 5000, random: () => 9, referencesOf: () => 0 }

const WORDS = [
  'create', 'add', 'del', 'test', 'list', 'save', 'flush', 'destroy', 'rename', 'swap', '-exist', '-o', 'a', 'b', 'c', 'hash:ip', 'hash:net', 'hash:ip,port',
  'hash:net,iface', 'list:set', 'timeout', 'counters', 'comment', 'nomatch', 'wildcard', 'maxelem', 'netmask', 'before', '5', '0x', '24', '10.0.0.1', '10.0.0.0/8',
  '10.0.0.1-10.0.0.9', '10.0.0.1,80', '10.0.0.1,udp:5-', '10.0.0.0/8,eth0', ',', '/', '-', '[', ']', '"', '#', '\\', '::1', 'family', 'inet',
]
const line = fc.array(fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...WORDS) }, { weight: 1, arbitrary: fc.string({ unit: 'binary' }) }), { maxLength: 8 })
const file = fc.array(line.map((words) => words.join(' ')), { maxLength: 12 }).map((lines) => lines.join('\n'))

const SENSIBLE = [
  'create a hash:ip -exist', 'create b hash:net timeout 9 counters comment -exist', 'create c hash:ip,port -exist', 'create l list:set -exist',
  'add a 10.0.0.1 -exist', 'add a 10.0.0.0/28 -exist', 'del a 10.0.0.7 -exist', 'add b 10.0.0.0/8 nomatch comment "x y" -exist', 'add b 1.2.3.4 packets 9 -exist',
  'add c 1.2.3.4,udp:5-9 -exist', 'add c 1.2.3.4,icmp:3/4 -exist', 'add l a -exist', 'add l c -exist', 'swap a a', 'flush b',
]

const attempt = (argv: readonly string[], text?: string): void => {
  try {
    runIpset(NO_SETS, argv, context, text === undefined ? undefined : { text, name: 'x' })
  } catch (error) {
    if (!(error instanceof TsnatError)) throw error
    expect(error.code).toMatch(/^POLICY_(SYNTAX|REFUSED|INVALID)$/)
  }
}

describe('words of ipset', () => {
  it('that make no sense are errors with a code', () => {
    fc.assert(fc.property(line, (words) => attempt(words)), { numRuns: 2000 })
  })

  it('in a file are read, or refused as a whole', () => {
    fc.assert(fc.property(fc.tuple(fc.constantFrom('', `${SENSIBLE.slice(0, 4).join('\n')}\n`), file), ([before, text]) => attempt(['restore'], before + text)), { numRuns: 1000 })
  })

  it('that were saved are restored to the same', () => {
    fc.assert(fc.property(fc.array(fc.constantFrom(...SENSIBLE.slice(4)), { maxLength: 30 }), (lines) => {
      const text = [...SENSIBLE.slice(0, 4), ...lines].join('\n')
      const saved = runIpset(runIpset(NO_SETS, ['restore'], context, { text, name: 'x' }).state, ['save'], context).output
      const again = runIpset(runIpset(NO_SETS, ['restore'], context, { text: saved, name: 'x' }).state, ['save'], context).output
      expect(again).toBe(saved)
    }), { numRuns: 300 })
  })
})
