/** A rule as iptables-save prints it: the part behind `-A CHAIN`. */
import type { InterfaceTest, Match, RuleSpec, Target } from '../model.js'
import { bang, join } from './extension.js'
import { extensionOf as matchExtensionOf } from './matches/index.js'
import { protocolName } from './names.js'
import { extensionOf as targetExtensionOf } from './targets/index.js'
import { networkText } from './values.js'

export const interfaceText = ({ name, wildcard }: InterfaceTest): string => `${name}${wildcard ? '+' : ''}`

const interfaceWords = (test: InterfaceTest | null, letter: string): string | null =>
  test === null ? null : `${bang(test.not)}-${letter} ${interfaceText(test)}`

const named = (name: string, text: string): string => (text === '' ? name : `${name} ${text}`)

const targetWords = (target: Target): string => {
  if (target.kind === 'jump') return `-j ${target.chain}`
  if (target.kind === 'goto') return `-g ${target.chain}`
  const extension = targetExtensionOf(target)!
  return named(`-j ${extension.name}`, extension.save(target))
}

/** The tests that are no matches, in the order in which they are printed; null: not made. */
const TESTS = {
  'source': ({ source }: RuleSpec) => source && `${bang(source.not)}-s ${networkText(source.address, source.mask)}`,
  'destination': ({ destination }: RuleSpec) => destination && `${bang(destination.not)}-d ${networkText(destination.address, destination.mask)}`,
  'in-interface': ({ inInterface }: RuleSpec) => interfaceWords(inInterface, 'i'),
  'out-interface': ({ outInterface }: RuleSpec) => interfaceWords(outInterface, 'o'),
  'protocol': ({ protocol }: RuleSpec) => protocol && `${bang(protocol.not)}-p ${protocolName(protocol.number)}`,
  'fragment': ({ fragment }: RuleSpec) => fragment && `${bang(fragment.not)}-f`,
} as const

const matchText = (match: Match): string => {
  const extension = matchExtensionOf(match)
  return named(`-m ${extension.name}`, extension.save(match))
}

/** One test of a rule as iptables-save prints it; '' when the rule does not make it. @param test by its name, or the index of a match */
export const testText = (spec: RuleSpec, test: keyof typeof TESTS | number): string => {
  if (typeof test === 'string') return TESTS[test](spec) ?? ''
  const match = spec.matches[test]
  return match === undefined ? '' : matchText(match)
}

const texts = new WeakMap<RuleSpec, { readonly tests: string; readonly target: string }>()

const textsOf = (spec: RuleSpec): { readonly tests: string; readonly target: string } => {
  const known = texts.get(spec)
  if (known !== undefined) return known
  const { matches, target } = spec
  const made = {
    tests: join(...Object.values(TESTS).map((text) => text(spec)), ...matches.map(matchText)),
    target: target === null ? '' : targetWords(target),
  }
  texts.set(spec, made)
  return made
}

/**
 * Two rules that print the same are the same.
 * @param counters `-c PACKETS BYTES`, printed before the target
 */
export const ruleText = (spec: RuleSpec, counters = ''): string => {
  const { tests, target } = textsOf(spec)
  return [tests, counters, target].filter((part) => part !== '').join(' ')
}

export const sameRule = (a: RuleSpec, b: RuleSpec): boolean => a === b || ruleText(a) === ruleText(b)
