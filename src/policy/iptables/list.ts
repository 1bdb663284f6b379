/** `iptables -L`: rules in columns. */
import type { Chain, Rule, RuleSpec, Table } from '../model.js'
import { references } from './edit.js'
import { extensionOf as matchExtensionOf } from './matches/index.js'
import { protocolName } from './names.js'
import { interfaceText } from './rule-text.js'
import { extensionOf as targetExtensionOf } from './targets/index.js'
import { shortNetworkText } from './values.js'

export interface ListOptions {
  /** Addresses, ports and types as numbers. */
  readonly numeric: boolean
  /** Counters and interfaces too. */
  readonly verbose: boolean
  /** Counters in full, without K, M, G, T. */
  readonly exact: boolean
  readonly lineNumbers: boolean
}

const FULL_TO = 99999
/** ICMP, TCP, UDP, ESP, AH, ICMPv6, SCTP, UDP-Lite. */
const COMMON_PROTOCOLS: readonly number[] = [1, 6, 17, 50, 51, 58, 132, 136]

/** Five digits at most: 100K, 12M, …; each step rounds. */
export const shortCount = (count: number): string => {
  if (count <= FULL_TO) return String(count)
  let left = count
  for (const unit of ['K', 'M', 'G']) {
    left = Math.floor((left + 500) / 1000)
    if (left <= 9999) return `${left}${unit}`
  }
  return `${Math.floor((left + 500) / 1000)}T`
}

const countText = (count: number, { exact }: ListOptions): string => (exact ? String(count).padStart(8) : shortCount(count).padStart(5))

const targetName = ({ target }: RuleSpec): string => {
  if (target === null) return ''
  return target.kind === 'jump' || target.kind === 'goto' ? target.chain : target.kind === 'NOTRACK' ? 'CT' : target.kind
}

/** With numbers wanted, only those that everybody knows keep their names. */
const protocolText = ({ protocol }: RuleSpec, numeric: boolean): string => {
  if (protocol === null) return 'all'
  return numeric && !COMMON_PROTOCOLS.includes(protocol.number) ? String(protocol.number) : protocolName(protocol.number)
}

const addressText = (test: RuleSpec['source'], numeric: boolean): string =>
  test === null || test.mask === 0 ? (numeric ? '0.0.0.0/0' : 'anywhere') : shortNetworkText(test.address, test.mask)

const interfaceColumn = (test: RuleSpec['inInterface'], numeric: boolean): string => {
  const text = test === null ? (numeric ? '*' : 'any') : `${test.not ? '!' : ''}${interfaceText(test)}`
  return text.padEnd(6)
}

const mark = (test: { readonly not: boolean } | null): string => (test?.not === true ? '!' : ' ')

const fragmentColumn = ({ fragment }: RuleSpec): string => (fragment === null ? '--' : fragment.not ? '!f' : '-f')

/** What matches and target say, each with a blank before it. */
const details = (spec: RuleSpec, numeric: boolean): string => {
  const { matches, target } = spec
  const texts = matches.map((match) => matchExtensionOf(match).list(match, numeric, spec))
  if (target !== null) texts.push(targetExtensionOf(target)?.list(target, numeric) ?? '')
  return texts.filter((text) => text !== '').map((text) => ` ${text}`).join('')
}

const ruleLine = (rule: Rule, number: number, options: ListOptions): string => {
  const { spec } = rule
  const { numeric, verbose } = options
  return [
    options.lineNumbers ? `${String(number).padEnd(4)} ` : '',
    verbose ? `${countText(rule.packets, options)} ${countText(rule.bytes, options)} ` : '',
    `${targetName(spec).padEnd(9)} ${mark(spec.protocol)}${protocolText(spec, numeric).padEnd(4)} ${fragmentColumn(spec)} `,
    verbose ? ` ${interfaceColumn(spec.inInterface, numeric)} ${interfaceColumn(spec.outInterface, numeric)}` : '',
    `${verbose ? ' ' : ''}${mark(spec.source)}${addressText(spec.source, numeric).padEnd(19)}`,
    ` ${mark(spec.destination)}${addressText(spec.destination, numeric).padEnd(19)} `,
    spec.target?.kind === 'goto' ? '[goto] ' : '',
    details(spec, numeric),
  ].join('')
}

const headLine = ({ verbose, exact, lineNumbers }: ListOptions): string => [
  lineNumbers ? 'num  ' : '',
  verbose ? (exact ? '    pkts      bytes ' : ' pkts bytes ') : '',
  'target     prot opt ',
  verbose ? 'in     out     ' : '',
  'source               destination         ',
].join('')

const chainLine = (chain: Chain, count: number, options: ListOptions): string => {
  if (chain.policy === null) return `Chain ${chain.name} (${count} references)`
  if (!options.verbose) return `Chain ${chain.name} (policy ${chain.policy})`
  const text = options.exact ? String : shortCount
  return `Chain ${chain.name} (policy ${chain.policy} ${text(chain.packets)} packets, ${text(chain.bytes)} bytes)`
}

const lines = (parts: readonly string[]): string => parts.map((part) => `${part}\n`).join('')

/** All of a table's chains, or some. */
export const listChains = (table: Table, chains: readonly Chain[], options: ListOptions): string => {
  const counts = references(table.chains)
  return chains.map((chain) => lines([
    chainLine(chain, counts.get(chain.name) ?? 0, options),
    headLine(options),
    ...chain.rules.map((rule, index) => ruleLine(rule, index + 1, options)),
  ])).join('\n')
}

/** One rule, without any heading. @param number from 1 */
export const listRule = (rule: Rule, number: number, options: ListOptions): string => lines([ruleLine(rule, number, options)])

/** What `-v` says about a rule that was added or deleted. */
export const describeRule = (spec: RuleSpec): string => {
  const side = (test: RuleSpec['inInterface']): string => (test === null ? '*' : `${test.not ? '!' : ''}${interfaceText(test)}`)
  const { source, destination } = spec
  return lines([[
    `${targetName(spec)} ${mark(spec.protocol)}${protocolText(spec, true)} opt ${fragmentColumn(spec)} in ${side(spec.inInterface)}`,
    ` out ${side(spec.outInterface)} ${mark(source)}${addressText(source, true)} ${mark(destination)}-> ${addressText(destination, true)}  `,
    spec.target?.kind === 'goto' ? '[goto] ' : '',
    details(spec, true),
  ].join('')])
}
