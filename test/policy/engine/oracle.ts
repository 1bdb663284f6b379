/** What a rule set says of a packet, read from its words one by one, without any haste: a second opinion for tests. */
import type { PacketMeta } from '../../../src/policy/engine/packet-meta.js'
import { type AddressTest, type Chain, type HookName, type InterfaceTest, type Match, type Range, type RuleSpec, type Ruleset, STATE, type TableName } from '../../../src/policy/model.js'
import { TABLES_OF_HOOK } from '../../../src/policy/engine/evaluator.js'

export interface Opinion {
  readonly verdict: 'ACCEPT' | 'DROP' | 'REJECT'
  /** `table chain number` of what was met; number 0 is the policy. */
  readonly path: string[]
  readonly mark: number
  readonly nat: string | null
}

const LATER_FRAGMENT = 2
const among = (range: Range, value: number): boolean => range.first <= value && value <= range.last
const bits = (value: number): string => (value >>> 0).toString(2).padStart(32, '0')

const address = (test: AddressTest | null, value: number): boolean => {
  if (test === null) return true
  const [want, mask, have] = [bits(test.address), bits(test.mask), bits(value)]
  const fits = [...mask].every((bit, at) => bit === '0' || want[at] === have[at])
  return test.not ? !fits : fits
}

const device = (test: InterfaceTest | null, name: string): boolean => {
  if (test === null) return true
  const fits = test.wildcard ? name.startsWith(test.name) : name === test.name
  return test.not ? !fits : fits
}

const match = (each: Match, packet: PacketMeta, mark: number): boolean => {
  const ports = packet.fragment !== LATER_FRAGMENT
  switch (each.module) {
    case 'tcp':
    case 'udp': {
      if (!ports) return false
      if (each.source !== null && among(each.source, packet.sourcePort) === each.source.not) return false
      if (each.destination !== null && among(each.destination, packet.destinationPort) === each.destination.not) return false
      if (each.module === 'udp' || each.flags === null) return true
      return ((packet.tcpFlags & each.flags.mask) === each.flags.value) !== each.flags.not
    }
    case 'multiport': {
      if (!ports) return false
      const source = each.ports.some((range) => among(range, packet.sourcePort))
      const destination = each.ports.some((range) => among(range, packet.destinationPort))
      const fits = each.direction === 'source' ? source : each.direction === 'destination' ? destination : source || destination
      return each.not ? !fits : fits
    }
    case 'state': return ((packet.state & each.bits) !== 0) !== each.not
    case 'mark': return (BigInt(mark) & BigInt(each.mask)) === BigInt(each.value) ? !each.not : each.not
    case 'length': return among(each, packet.length) !== each.not
    case 'comment': return true
    default: throw new Error(`no opinion on ${each.module}`)
  }
}

const holds = (spec: RuleSpec, packet: PacketMeta, names: readonly string[], mark: number): boolean =>
  address(spec.source, packet.source) && address(spec.destination, packet.destination) &&
  device(spec.inInterface, names[packet.inInterface]!) && device(spec.outInterface, names[packet.outInterface]!) &&
  (spec.protocol === null || (spec.protocol.number === packet.protocol) !== spec.protocol.not) &&
  (spec.fragment === null || (packet.fragment === LATER_FRAGMENT) !== spec.fragment.not) &&
  spec.matches.every((each) => match(each, packet, mark))

/** @param names of interfaces by number */
export const opinionOn = (ruleset: Ruleset, hook: HookName, packet: PacketMeta, names: readonly string[]): Opinion => {
  const path: string[] = []
  let mark = packet.mark
  let nat: string | null = null

  const chainNamed = (table: TableName, name: string): Chain => ruleset.tables[table].chains.find((chain) => chain.name === name)!

  /** Null: the chain came to its end. 'RETURN' leaves it too. */
  const walk = (table: TableName, chain: Chain): 'ACCEPT' | 'DROP' | 'REJECT' | null => {
    for (const [index, { spec }] of chain.rules.entries()) {
      if (!holds(spec, packet, names, mark)) continue
      path.push(`${table} ${chain.name} ${index + 1}`)
      const { target } = spec
      if (target === null) continue
      switch (target.kind) {
        case 'ACCEPT': case 'DROP': case 'REJECT': return target.kind
        case 'RETURN': return null
        case 'goto': return walk(table, chainNamed(table, target.chain))
        case 'jump': {
          const verdict = walk(table, chainNamed(table, target.chain))
          if (verdict !== null) return verdict
          break
        }
        case 'MARK': mark = Number(((BigInt(mark) & ~BigInt(target.mask)) ^ BigInt(target.value)) & 0xffffffffn); break
        case 'SNAT': case 'DNAT': case 'MASQUERADE': nat = target.kind; return 'ACCEPT'
        default: throw new Error(`no opinion on ${target.kind}`)
      }
    }
    return null
  }

  for (const table of TABLES_OF_HOOK[hook]) {
    if (table === 'nat' && (!packet.consultsNat || (packet.state & (STATE.INVALID | STATE.UNTRACKED)) !== 0)) continue
    const base = chainNamed(table, hook)
    let verdict = walk(table, base)
    if (verdict === null) {
      path.push(`${table} ${hook} 0`)
      verdict = base.policy
    }
    if (verdict !== 'ACCEPT') return { verdict: verdict!, path, mark, nat }
  }
  return { verdict: 'ACCEPT', path, mark, nat }
}
