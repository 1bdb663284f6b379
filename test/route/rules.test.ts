import { describe, expect, it } from 'vitest'
import type { Rule } from '../../src/route/rules.js'
import { applies, defaultRules, readyRules } from '../../src/route/rules.js'
import { ip, keyOf, ruleOf } from './support.js'

const numbers: Record<string, number> = { lo: 1, eth0: 2, eth1: 3 }
const doesApply = (rule: Partial<Rule>, key: Parameters<typeof keyOf>[0]): boolean => applies(readyRules([ruleOf(rule)], (name) => numbers[name] ?? 0)[0]!, keyOf(key))

describe('applies', () => {
  it.each<[string, Partial<Rule>, Parameters<typeof keyOf>[0], boolean]>([
    ['everything', {}, {}, true],
    ['not everything', { not: true }, {}, false],
    ['a source', { source: ip('10.0.0.0'), sourceLength: 8 }, { source: '10.9.9.9' }, true],
    ['another source', { source: ip('10.0.0.0'), sourceLength: 8 }, { source: '11.0.0.0' }, false],
    ['a source whose bits beyond the prefix are set', { source: ip('10.1.2.3'), sourceLength: 8 }, { source: '10.9.9.9' }, true],
    ['not a source', { not: true, source: ip('10.0.0.0'), sourceLength: 8 }, { source: '11.0.0.0' }, true],
    ['a destination', { destination: ip('1.1.1.1'), destinationLength: 32 }, { destination: '1.1.1.1' }, true],
    ['another destination', { destination: ip('1.1.1.1'), destinationLength: 32 }, { destination: '1.1.1.2' }, false],
    ['an incoming interface', { input: 'eth0' }, { input: 2 }, true],
    ['another incoming interface', { input: 'eth0' }, { input: 3 }, false],
    ['what the host itself sends', { input: 'lo' }, {}, true],
    ['an interface that is not there', { input: 'eth7' }, { input: 3 }, false],
    ['not an interface that is not there', { not: true, input: 'eth7' }, { input: 3 }, true],
    ['an interface asked for', { output: 'eth1' }, { output: 3 }, true],
    ['no interface asked for', { output: 'eth1' }, {}, false],
    ['a mark', { mark: 1, markMask: -1 }, { mark: 1 }, true],
    ['another mark', { mark: 1, markMask: -1 }, { mark: 0x101 }, false],
    ['a mark by mask', { mark: 1, markMask: 0xff }, { mark: 0x101 }, true],
    ['a bit of the mark that is not set', { mark: 0, markMask: 4 }, { mark: 3 }, true],
    ['the highest bit of a mark', { mark: 0x80000000 | 0, markMask: 0x80000000 | 0 }, { mark: -1 }, true],
    ['a TOS', { tos: 0x10 }, { tos: 0x10 }, true],
    ['a TOS with bits that do not count', { tos: 0x10 }, { tos: 0xf3 }, true],
    ['another TOS', { tos: 0x10 }, { tos: 0x18 }, false],
    ['a protocol', { protocol: 6 }, { protocol: 6 }, true],
    ['another protocol', { protocol: 6 }, { protocol: 17 }, false],
    ['ports in range', { sourcePorts: [1000, 2000], destinationPorts: [80, 80] }, { sourcePort: 2000, destinationPort: 80 }, true],
    ['a source port out of range', { sourcePorts: [1000, 2000] }, { sourcePort: 2001 }, false],
    ['no ports', { destinationPorts: [1, 65535] }, {}, false],
  ])('matches %s', (_, rule, key, expected) => {
    expect(doesApply(rule, key)).toBe(expected)
  })
})

it('goes on behind a target that is not there', () => {
  const rules = readyRules([ruleOf({ preference: 1, action: 'goto', target: 5 }), ruleOf({ preference: 2, action: 'goto', target: 3 }), ruleOf({ preference: 3 }), ruleOf({ preference: 3 })], () => 0)
  expect(rules.map(({ jump }) => jump)).toEqual([1, 2, 3, 4])
})

it('begins with the rules of every host', () => {
  expect(defaultRules().map(({ preference, table }) => [preference, table])).toEqual([[0, 255], [32766, 254], [32767, 253]])
})
