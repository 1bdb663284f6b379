/** A rule as iptables-save prints it: the part behind `-A CHAIN`. */
import type { InterfaceTest, RuleSpec, Target } from '../model.js'
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

const texts = new WeakMap<RuleSpec, { readonly tests: string; readonly target: string }>()

const textsOf = (spec: RuleSpec): { readonly tests: string; readonly target: string } => {
  const known = texts.get(spec)
  if (known !== undefined) return known
  const { source, destination, inInterface, outInterface, protocol, fragment, matches, target } = spec
  const made = {
    tests: join(
      source !== null && `${bang(source.not)}-s ${networkText(source.address, source.mask)}`,
      destination !== null && `${bang(destination.not)}-d ${networkText(destination.address, destination.mask)}`,
      interfaceWords(inInterface, 'i'),
      interfaceWords(outInterface, 'o'),
      protocol !== null && `${bang(protocol.not)}-p ${protocolName(protocol.number)}`,
      fragment !== null && `${bang(fragment.not)}-f`,
      ...matches.map((match) => {
        const extension = matchExtensionOf(match)
        return named(`-m ${extension.name}`, extension.save(match))
      }),
    ),
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
