/** Drops and answers with an ICMP error or a TCP reset. */
import { REJECT_KINDS, type RejectKind, type RejectTarget } from '../../model.js'
import { unknownWord } from '../error.js'
import { firstOf, onlyFor, onlyFrom, onlyIn, type TargetExtension } from '../extension.js'
import { value } from '../options.js'
import type { Word } from '../words.js'

/** Second names. */
const SHORT: Readonly<Record<string, RejectKind>> = {
  'net-unreach': 'icmp-net-unreachable', 'host-unreach': 'icmp-host-unreachable', 'port-unreach': 'icmp-port-unreachable',
  'proto-unreach': 'icmp-proto-unreachable', 'net-prohib': 'icmp-net-prohibited', 'host-prohib': 'icmp-host-prohibited',
  'admin-prohib': 'icmp-admin-prohibited', 'tcp-rst': 'tcp-reset',
}

/** A beginning is enough as long as it fits one kind. */
const parseKind = (word: Word): RejectKind => {
  const text = word.text.toLowerCase()
  const kinds = new Map<string, RejectKind>([...REJECT_KINDS.map((kind) => [kind, kind] as const), ...Object.entries(SHORT)])
  const exact = kinds.get(text)
  if (exact !== undefined) return exact
  const fitting = new Set([...kinds].filter(([name]) => text !== '' && name.startsWith(text)).map(([, kind]) => kind))
  if (fitting.size !== 1) throw unknownWord(word, 'kind of rejection', REJECT_KINDS)
  return [...fitting][0]!
}

export const reject: TargetExtension<RejectTarget> = {
  name: 'REJECT',
  options: [value('reject-with')],
  parse: (given) => ({ kind: 'REJECT', with: given.read('reject-with', parseKind) ?? 'icmp-port-unreachable' }),
  save: (target) => `--reject-with ${target.with}`,
  list: (target) => `reject-with ${target.with}`,
  check: (target, where) => firstOf(
    onlyIn('REJECT', where, 'filter'),
    onlyFrom('REJECT', where, ['INPUT', 'FORWARD', 'OUTPUT']),
    target.with === 'tcp-reset' ? onlyFor('--reject-with tcp-reset', where, { tcp: 6 }) : null,
  ),
}
