/** Words of `ip rule`. */
import type { Rule, RuleAction } from '../../route/rules.js'
import { anyRule } from '../../route/rules.js'
import type { Word } from './error.js'
import { refused, syntaxError } from './error.js'
import type { Names } from './names.js'
import { dsfield, interfaceName, numberIn, origin, prefix, protocol, table, uint32 } from './values.js'
import type { Cursor } from './words.js'
import type { GrammarEntry } from './words.js'
import { exactly, orShort, readWords, refusedWords } from './words.js'

/** A rule as far as it was written: for `add` the rest is as in {@link anyRule}, for the others it does not matter. */
export type RuleWords = { -readonly [Field in keyof Rule]?: Rule[Field] }

const actions: ReadonlyMap<string, RuleAction> = new Map([
  ['blackhole', 'blackhole'], ['unreachable', 'unreachable'], ['prohibit', 'prohibit'], ['unicast', 'lookup'],
])

const refusedInRules = refusedWords({
  suppress_ifgroup: 'interfaces of the gateway have no groups', sup_group: 'interfaces of the gateway have no groups',
  uidrange: 'packets that are forwarded have no user', l3mdev: 'there are no VRFs; use "iif" or "oif"', tun_id: 'packets have no tunnel\'s number here',
  realms: 'nothing reads realms; use marks', nat: 'use -j SNAT or -j NETMAP', 'map-to': 'use -j SNAT or -j NETMAP',
})

/** `80` or `80-90`. */
const portsIn = (word: Word, what: string): readonly [number, number] => {
  const [first = '', last = first, ...more] = word.text.split('-')
  const range = [first, last].map((text) => numberIn({ ...word, text }, what, 1, 65535)) as [number, number]
  if (more.length > 0 || range[0] > range[1]) throw syntaxError(`"${word.text}" is not a range of ports`, word, 'write e.g. 1000-2000')
  return range
}

/** `1`, or `0x1/0xff`. */
const readMark = (word: Word, rule: RuleWords): void => {
  const [value = '', mask, ...more] = word.text.split('/')
  if (more.length > 0) throw syntaxError(`"${word.text}" is not a mark`, word, 'write e.g. 1 or 0x1/0xff')
  rule.mark = uint32({ ...word, text: value }, 'fwmark') | 0
  if (mask !== undefined) rule.markMask = uint32({ ...word, text: mask }, 'fwmark mask') | 0
}

/** Words that say which packets a rule is for, and its table. */
const selectors = (rule: RuleWords, names: Names): GrammarEntry[] => {
  const preference = (at: Cursor): void => { rule.preference = uint32(at.take(), 'preference') }
  return [
    exactly('not', () => { rule.not = true }),
    exactly('from', (at) => { ({ address: rule.source, length: rule.sourceLength } = prefix(at.take())) }),
    exactly('to', (at) => { ({ address: rule.destination, length: rule.destinationLength } = prefix(at.take())) }),
    orShort('preference', preference),
    orShort('order', preference),
    orShort('priority', preference),
    exactly('tos', (at) => { rule.tos = dsfield(at.take(), names) }),
    orShort('dsfield', (at) => { rule.tos = dsfield(at.take(), names) }),
    exactly('fwmark', (at) => { readMark(at.take(), rule) }),
    orShort('protocol', (at) => { rule.origin = origin(at.take(), names) }),
    orShort('table', (at) => { rule.table = table(at.take(), names) }),
    exactly('lookup', (at) => { rule.table = table(at.take(), names) }),
    exactly('iif', (at) => { rule.input = interfaceName(at.take()) }),
    exactly('dev', (at) => { rule.input = interfaceName(at.take()) }),
    exactly('oif', (at) => { rule.output = interfaceName(at.take()) }),
    exactly('ipproto', (at) => { rule.protocol = protocol(at.take()) }),
    exactly('sport', (at) => { rule.sourcePorts = portsIn(at.take(), 'sport') }),
    exactly('dport', (at) => { rule.destinationPorts = portsIn(at.take(), 'dport') }),
    ...refusedInRules,
  ]
}

/** Words that say what a rule does. */
const actionWords = (rule: RuleWords): GrammarEntry[] => {
  const suppress = (at: Cursor): void => { rule.suppressLength = numberIn(at.take(), 'suppress_prefixlength', 0, 32) }
  return [
    exactly('suppress_prefixlength', suppress),
    exactly('sup_pl', suppress),
    exactly('goto', (at) => {
      rule.action = 'goto'
      rule.target = uint32(at.take(), 'goto')
    }),
    exactly('nop', () => { rule.action = 'nop' }),
    ...[...actions].map(([word, action]) => exactly(word, () => { rule.action = action })),
    exactly('type', (at) => {
      const word = at.take()
      const action = actions.get(word.text)
      if (action === undefined) throw syntaxError(`"${word.text}" is not an action`, word, `known are: ${[...actions.keys()].join(', ')}`)
      rule.action = action
    }),
  ]
}

/** Reads a rule. @param where names the command in errors */
export const readRule = (cursor: Cursor, where: string, names: Names): RuleWords => {
  const rule: RuleWords = {}
  readWords(cursor, where, [...selectors(rule, names), ...actionWords(rule)], () => false)
  return rule
}

/** Reads which rules are meant. @param where names the command in errors */
export const readRuleSelection = (cursor: Cursor, where: string, names: Names): RuleWords => {
  const rule: RuleWords = {}
  readWords(cursor, where, selectors(rule, names), () => false)
  return rule
}

const TOS_OF_RULES = 0x1c
const ECN = 3

/** A whole rule of what was written. @throws IpError POLICY_REFUSED for what the kernel refuses */
export const completeRule = (words: RuleWords, preference: number): Rule => {
  const { tos = 0, action = 'lookup', mark = 0 } = words
  if ((tos & ECN) !== 0) throw refused('Error: Invalid dsfield (tos): ECN bits must be 0.')
  if ((tos & ~TOS_OF_RULES) !== 0) throw refused('Error: Invalid tos.', 'rules look at the bits 0x1c of the TOS only')
  const rule: Rule = {
    ...anyRule, ...words, preference, markMask: words.markMask ?? (mark === 0 ? 0 : -1), table: words.table ?? (action === 'lookup' ? anyRule.table : 0),
  }
  if (action === 'goto' && rule.target <= preference) throw refused('Error: Backward goto not supported.', `the rule has the preference ${preference}`)
  if (action !== 'lookup' && rule.suppressLength >= 0) throw syntaxError('"suppress_prefixlength" goes with a table that is looked up', null)
  return rule
}
