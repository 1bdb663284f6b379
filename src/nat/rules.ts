/**
 * Rules: first packets from inside that behave otherwise than the rest. They are asked once a flow; the first that fits
 * counts. A rule may have a limit of its own for the flows that it let in.
 */
import type { Packet } from '../stack/parse.js'
import { parsePrefix } from '../stack/wire/address.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import { type Behaviours, behaviourColumn, UNTRANSLATED } from './behaviour.js'
import type { NatRule, PortSettings } from './settings.js'

const NONE = -1
const PROTOCOLS = { tcp: ipv4.PROTOCOL_TCP, udp: ipv4.PROTOCOL_UDP, icmp: ipv4.PROTOCOL_ICMP } as const

interface Network {
  readonly address: number
  readonly mask: number
}

interface CompiledRule {
  readonly from: Network
  readonly to: Network
  /** IP protocol number, 0 for any. */
  readonly protocol: number
  /** Inclusive ranges of the remote's port; null for any. */
  readonly ports: readonly (readonly [first: number, last: number])[] | null
  /** Packed, by protocol (behaviour.ts). */
  readonly behaviours: Int32Array
  /** Flows at most, 0 for no limit. */
  readonly limit: number
}

const ANYWHERE: Network = { address: 0, mask: 0 }
const network = (text: string | undefined): Network => {
  const prefix = text === undefined ? null : parsePrefix(text)
  return prefix === null ? ANYWHERE : { address: prefix.address & prefix.mask, mask: prefix.mask }
}

const portRanges = (text: string): (readonly [number, number])[] =>
  text.split(',').map((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return [first, last]
  })

/** What holds where a rule says nothing. */
export interface RuleBase extends Behaviours {
  readonly ports: Pick<PortSettings, 'selection'>
}

const compile = (rule: NatRule, { tcp, udp, icmp, ports }: RuleBase): CompiledRule => {
  const { mapping, filtering } = rule
  const own = { ...(mapping === undefined ? {} : { mapping }), ...(filtering === undefined ? {} : { filtering }) }
  const behaviours = behaviourColumn({ tcp: { ...tcp, ...own }, udp: { ...udp, ...own }, icmp: { ...icmp, ...own } }, rule.selection ?? ports.selection)
  return {
    from: network(rule.from),
    to: network(rule.to),
    protocol: rule.protocol === undefined ? 0 : PROTOCOLS[rule.protocol],
    ports: rule.ports === undefined ? null : portRanges(rule.ports),
    behaviours: rule.translate === false ? behaviours.fill(UNTRANSLATED) : behaviours,
    limit: rule.flows ?? 0,
  }
}

const covers = ({ address, mask }: Network, one: number): boolean => ((one ^ address) & mask) === 0

const fits = ({ from, to, protocol, ports }: CompiledRule, packet: Packet): boolean => {
  if (!covers(from, packet.source) || !covers(to, packet.destination) || (protocol !== 0 && protocol !== packet.protocol)) return false
  if (ports === null) return true
  const port = packet.ports & 0xffff
  for (const [first, last] of ports) if (port >= first && port <= last) return true
  return false
}

export class Rules {
  readonly #rules: readonly CompiledRule[]
  /** Live flows by rule. */
  readonly #counts: Int32Array
  /** The rule of each flow, plus one. */
  readonly #ofFlow: Uint8Array

  /** @param capacity of the flow table */
  constructor(rules: readonly NatRule[], base: RuleBase, capacity: number) {
    this.#rules = rules.map((rule) => compile(rule, base))
    this.#counts = new Int32Array(rules.length)
    this.#ofFlow = new Uint8Array(rules.length === 0 ? 0 : capacity)
  }

  /** The first rule that fits, or -1. */
  find(packet: Packet): number {
    for (let rule = 0; rule < this.#rules.length; rule++) if (fits(this.#rules[rule]!, packet)) return rule
    return NONE
  }

  /** The packed behaviour that a rule gives a protocol. */
  behaviour(rule: number, protocol: number): number {
    return this.#rules[rule]!.behaviours[protocol]!
  }

  /** Whether a rule has as many flows as it may have. */
  isFull(rule: number): boolean {
    const { limit } = this.#rules[rule]!
    return limit > 0 && this.#counts[rule]! >= limit
  }

  /** A flow was let in by a rule. */
  opened(flow: number, rule: number): void {
    this.#ofFlow[flow] = rule + 1
    this.#counts[rule]!++
  }

  /** A flow ends. */
  closed(flow: number): void {
    const rule = (this.#ofFlow[flow] ?? 0) - 1
    if (rule < 0) return
    this.#ofFlow[flow] = 0
    this.#counts[rule]!--
  }

  /** Live flows by rule, in the order of the configuration. */
  get counts(): Int32Array {
    return this.#counts
  }
}
