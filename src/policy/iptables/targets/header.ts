/** Targets of table mangle that change headers: TOS, DSCP, TTL; and TCPMSS. */
import type { DscpTarget, TcpmssTarget, TosTarget, TtlTarget } from '../../model.js'
import { DSCP_CLASSES } from '../dscp-classes.js'
import { firstOf, onlyFor, onlyFrom, onlyIn, type TargetExtension, type Where } from '../extension.js'
import { flag, type GivenOption, value } from '../options.js'
import { parseTos, tosName } from '../tos-names.js'
import { hex2, parseChoice, parseNumber } from '../values.js'

const parseTosSetter = ({ spec, args }: GivenOption): { value: number; mask: number } => {
  const word = args[0]!
  if (spec.name === 'set-tos') return parseTos(word)
  const bits = parseNumber(word, 0, 255)
  switch (spec.name) {
    case 'and-tos': return { value: 0, mask: ~bits & 0xff }
    case 'or-tos': return { value: bits, mask: bits }
    default: return { value: bits, mask: 0 }
  }
}

const tosText = (bits: number, mask: number): string => {
  const name = tosName(bits, mask)
  if (name !== undefined) return ` TOS set${name}`
  if (bits === 0) return mask === 0xff ? 'TOS set 0x00/0xff' : `TOS and ${hex2(~mask & 0xff)}`
  if (bits === mask) return mask === 0xff ? 'TOS set 0xff/0xff' : `TOS or ${hex2(bits)}`
  return mask === 0 ? `TOS xor ${hex2(bits)}` : `TOS set ${hex2(bits)}/${hex2(mask)}`
}

export const tos: TargetExtension<TosTarget> = {
  name: 'TOS',
  options: ['set-tos', 'and-tos', 'or-tos', 'xor-tos'].map((name) => value(name)),
  parse: (given) => ({ kind: 'TOS', ...parseTosSetter(given.one(['set-tos', 'and-tos', 'or-tos', 'xor-tos'])) }),
  save: (target) => `--set-tos ${hex2(target.value)}/${hex2(target.mask)}`,
  list: (target, numeric) => numeric ? `TOS set ${hex2(target.value)}/${hex2(target.mask)}` : tosText(target.value, target.mask),
  check: (_, where) => onlyIn('TOS', where, 'mangle'),
}

export const dscp: TargetExtension<DscpTarget> = {
  name: 'DSCP',
  options: [value('set-dscp'), value('set-dscp-class')],
  parse: (given) => {
    const { spec, args } = given.one(['set-dscp', 'set-dscp-class'])
    const word = args[0]!
    const point = spec.name === 'set-dscp' ? parseNumber(word, 0, 63) : DSCP_CLASSES[parseChoice(word, 'DSCP class', Object.keys(DSCP_CLASSES))]!
    return { kind: 'DSCP', value: point }
  },
  save: (target) => `--set-dscp ${hex2(target.value)}`,
  list: (target) => `DSCP set ${hex2(target.value)}`,
  check: (_, where) => onlyIn('DSCP', where, 'mangle'),
}

const TTL_WORDS = { set: 'set to', inc: 'increment by', dec: 'decrement by' } as const
const TTL_OPERATIONS = ['set', 'inc', 'dec'] as const

export const ttl: TargetExtension<TtlTarget> = {
  name: 'TTL',
  options: TTL_OPERATIONS.map((operation) => value(`ttl-${operation}`)),
  parse: (given) => {
    const names = TTL_OPERATIONS.map((operation) => `ttl-${operation}`)
    const { spec, args } = given.one(names)
    const operation = TTL_OPERATIONS[names.indexOf(spec.name)]!
    return { kind: 'TTL', operation, value: parseNumber(args[0]!, operation === 'set' ? 0 : 1, 255) }
  },
  save: (target) => `--ttl-${target.operation} ${target.value}`,
  list: (target) => `TTL ${TTL_WORDS[target.operation]} ${target.value}`,
  check: (_, where) => onlyIn('TTL', where, 'mangle'),
}

/** Whether the rule takes SYNs only, as far as the kernel looks. */
const seesSyns = (where: Where): boolean => where.spec.matches.some((match) =>
  match.module === 'tcp' && match.flags !== null && !match.flags.not && (match.flags.value & 2) !== 0)

export const tcpmss: TargetExtension<TcpmssTarget> = {
  name: 'TCPMSS',
  options: [value('set-mss'), flag('clamp-mss-to-pmtu')],
  parse: (given) => {
    const { spec, args } = given.one(['set-mss', 'clamp-mss-to-pmtu'])
    return { kind: 'TCPMSS', size: spec.name === 'set-mss' ? parseNumber(args[0]!, 1, 65495) : null }
  },
  save: ({ size }) => (size === null ? '--clamp-mss-to-pmtu' : `--set-mss ${size}`),
  list: ({ size }) => `TCPMSS ${size === null ? 'clamp to PMTU' : `set ${size}`}`,
  check: ({ size }, where) => firstOf(
    onlyFor('TCPMSS', where, { tcp: 6 }),
    seesSyns(where) ? null : 'TCPMSS works on SYNs only: the rule needs --syn, or --tcp-flags SYN,RST SYN',
    size === null ? onlyFrom('--clamp-mss-to-pmtu', where, ['FORWARD', 'OUTPUT', 'POSTROUTING']) : null,
  ),
}
