import { describe, expect, it } from 'vitest'
import { parseRestoreArguments, parseSaveArguments } from '../../../src/policy/iptables/index.js'
import { errorOf } from './support.js'

const restored = (...argv: string[]) => parseRestoreArguments(argv)

describe('iptables-save and iptables-restore', () => {
  it('take their options short, long, together and shortened', () => {
    expect(parseSaveArguments([])).toEqual({ counters: false, path: null })
    expect(parseSaveArguments(['-ct', 'nat', '-f', 'out'])).toEqual({ counters: true, table: 'nat', path: 'out' })
    expect(parseSaveArguments(['--count', '--table=raw', '-M', '/sbin/modprobe'])).toEqual({ counters: true, table: 'raw', path: null })
    expect(restored()).toEqual({ counters: false, noFlush: false, test: false, path: null })
    expect(restored('-cn', '-T', 'filter', 'rules.v4')).toEqual({ counters: true, noFlush: true, test: false, table: 'filter', path: 'rules.v4', file: 'rules.v4' })
    expect(restored('--test', '-w', '5', '--noflush', '-v')).toEqual({ counters: false, noFlush: true, test: true, path: null })
  })

  it.each([
    [() => parseSaveArguments(['--conters']), 'unknown option "--conters"', 'did you mean "--counters"?'],
    [() => parseSaveArguments(['-x']), 'unknown option "-x"', 'known are -c -M -h -V -t -f'],
    [() => parseSaveArguments(['-t']), '"-t" needs a value', 'see "tsnat iptables --help"'],
    [() => parseSaveArguments(['-t', 'nta']), 'unknown table "nta"', 'did you mean "nat"?'],
    [() => parseSaveArguments(['-c=1']), 'unknown option "-="', 'known are -c -M -h -V -t -f'],
    [() => parseSaveArguments(['--counters=1']), '"--counters=1" takes no value', 'see "tsnat iptables --help"'],
    [() => parseSaveArguments(['nat']), '"nat" stands where an option is expected', 'see "tsnat iptables --help"'],
    [() => restored('a', 'b'), '"b" is one file too many', 'one file, or standard input'],
  ])('refuse what they do not know: %#', (run, message, hint) => {
    expect(errorOf(run)).toMatchObject({ code: 'POLICY_SYNTAX', message, hint })
  })
})
