/** Rules added, deleted, selected, with the kernel's meaning of each. */
import type { Rule } from '../../route/rules.js'
import { maskOf } from '../../stack/wire/address.js'
import { refused } from './error.js'
import type { RuleWords } from './rule-words.js'
import { completeRule } from './rule-words.js'
import type { Draft } from './state.js'

const samePorts = (a: Rule['sourcePorts'], b: Rule['sourcePorts']): boolean => a?.[0] === b?.[0] && a?.[1] === b?.[1]

/** What is not written in prefixes, TOS and ports does not matter to the kernel when it compares rules. */
const sameSelectors = (rule: Rule, words: RuleWords): boolean => {
  const { source = 0, sourceLength = 0, destination = 0, destinationLength = 0, tos = 0, sourcePorts = null, destinationPorts = null } = words
  return (sourceLength === 0 || (rule.sourceLength === sourceLength && rule.source === source))
    && (destinationLength === 0 || (rule.destinationLength === destinationLength && rule.destination === destination))
    && (tos === 0 || rule.tos === tos)
    && (sourcePorts === null || samePorts(rule.sourcePorts, sourcePorts))
    && (destinationPorts === null || samePorts(rule.destinationPorts, destinationPorts))
}

const exists = (rule: Rule, added: Rule): boolean =>
  rule.origin === added.origin && rule.action === added.action && rule.table === added.table && rule.preference === added.preference && rule.input === added.input && rule.output === added.output
  && rule.mark === added.mark && rule.markMask === added.markMask && rule.suppressLength === added.suppressLength && rule.protocol === added.protocol
  && samePorts(rule.sourcePorts, added.sourcePorts) && samePorts(rule.destinationPorts, added.destinationPorts) && sameSelectors(rule, added)

/** A rule without a preference goes before all but the first. */
const defaultPreference = (rules: readonly Rule[]): number => Math.max(0, (rules[1]?.preference ?? 0) - 1)

/** @throws IpError POLICY_REFUSED */
export const addRule = (words: RuleWords, draft: Draft): void => {
  const { rules } = draft
  const added = completeRule(words, words.preference ?? defaultPreference(rules))
  if (rules.some((rule) => exists(rule, added))) throw refused('RTNETLINK answers: File exists', `there is such a rule with the preference ${added.preference}`)
  const behind = rules.findIndex(({ preference }) => preference > added.preference)
  draft.setRules(rules.toSpliced(behind < 0 ? rules.length : behind, 0, added))
}

const isMeant = (rule: Rule, words: RuleWords): boolean => {
  const { action, table, preference, input = '', output = '', mark = 0, markMask, suppressLength, protocol = 0 } = words
  const mask = markMask ?? (mark === 0 ? 0 : -1)
  return (action === undefined || rule.action === action) && (table === undefined || rule.table === table) && (preference === undefined || rule.preference === preference)
    && (input === '' || rule.input === input) && (output === '' || rule.output === output) && (mark === 0 || rule.mark === mark)
    && (mask === 0 || rule.markMask === mask) && (suppressLength === undefined || rule.suppressLength === suppressLength)
    && (protocol === 0 || rule.protocol === protocol) && sameSelectors(rule, words)
}

/** Deletes the first rule that fits what is written. @throws IpError POLICY_REFUSED when there is none */
export const deleteRule = (words: RuleWords, draft: Draft): void => {
  const place = draft.rules.findIndex((rule) => isMeant(rule, words))
  if (place < 0) throw refused('RTNETLINK answers: No such file or directory', 'no rule is like this')
  draft.setRules(draft.rules.toSpliced(place, 1))
}

const liesIn = (address: number, length: number, outer = 0, outerLength = 0): boolean =>
  length >= outerLength && ((address ^ outer) & maskOf(outerLength)) === 0

/** Whether a listing with these selectors shows the rule. */
export const isSelected = (rule: Rule, words: RuleWords): boolean =>
  liesIn(rule.source, rule.sourceLength, words.source, words.sourceLength)
  && liesIn(rule.destination, rule.destinationLength, words.destination, words.destinationLength)
  && (words.not === undefined || rule.not) && (words.preference === undefined || rule.preference === words.preference)
  && (words.tos === undefined || rule.tos === words.tos) && (words.mark === undefined || rule.mark === words.mark)
  && (words.markMask === undefined || rule.markMask === words.markMask) && (words.input === undefined || rule.input === words.input)
  && (words.output === undefined || rule.output === words.output) && (words.protocol === undefined || rule.protocol === words.protocol)
  && (words.sourcePorts === undefined || samePorts(rule.sourcePorts, words.sourcePorts))
  && (words.destinationPorts === undefined || samePorts(rule.destinationPorts, words.destinationPorts))
  && (words.table === undefined || rule.table === words.table) && (words.origin === undefined || rule.origin === words.origin)

/** Deletes all that are selected, but none of preference 0. */
export const flushRules = (words: RuleWords, draft: Draft): void => {
  const kept = draft.rules.filter((rule) => rule.preference === 0 || !isSelected(rule, words))
  if (kept.length < draft.rules.length) draft.setRules(kept)
}
