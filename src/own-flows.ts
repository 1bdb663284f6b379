/**
 * Flows of packets that the gateway's own sockets send: answers to what NAT has led to a socket (REDIRECT, DNAT to the gateway), whose
 * flows arriving packets have opened; and what rules of OUTPUT or POSTROUTING translate, whose flows are opened here.
 */
import { type Attachment, ZONE_SELF } from './attachment.js'
import type { Clock } from './clock.js'
import type { Hooks } from './hooks/hooks.js'
import type { LocalFlows } from './local-flows.js'
import { type FlowTable, SIDE_DESTINATION, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './nat/flow-table.js'
import type { FlowOpener, Rewrite } from './nat/open-flow.js'
import { hasPorts, type Packet } from './stack/parse.js'

export interface OwnFlowsParts {
  readonly clock: Clock
  readonly attachments: readonly Attachment[]
  readonly hooks: Hooks
  readonly table: FlowTable
  readonly local: LocalFlows
  readonly opener: FlowOpener
}

export class OwnFlows {
  readonly #parts: OwnFlowsParts
  readonly #target = { address: 0, port: 0 }
  readonly #rewrite: Rewrite = { egress: 0, source: 0, destination: 0, destinationPort: 0 }

  constructor(parts: OwnFlowsParts) {
    this.#parts = parts
  }

  /** The side that a packet of a socket belongs to, or -1. */
  find(packet: Packet): number {
    return this.#parts.local.findOwn(packet)
  }

  /** By which interface packets of a side leave; null: not at all, they are for a socket here. */
  egressOf(side: number): Attachment | null {
    const zone = this.#parts.table.egressOf(side)
    return zone === ZONE_SELF ? null : this.#parts.attachments[zone]!
  }

  /** Where packets of a side go. The object is reused. */
  targetOf(side: number): { readonly address: number; readonly port: number } {
    const { sides } = this.#parts.table
    const to = (side ^ 1) * SIDE_WORDS
    this.#target.address = sides[to + SIDE_SOURCE]!
    this.#target.port = sides[to + SIDE_PORTS]! >>> 16
    return this.#target
  }

  /** Whether packets of a side go elsewhere than where they were sent to. */
  isRedirected(side: number): boolean {
    const { sides } = this.#parts.table
    const from = side * SIDE_WORDS
    const to = from ^ SIDE_WORDS
    return (side & 1) === 0 && (sides[from + SIDE_DESTINATION] !== sides[to + SIDE_SOURCE] || (sides[from + SIDE_PORTS]! & 0xffff) !== sides[to + SIDE_PORTS]! >>> 16)
  }

  /** Whether rules that the packet has just met want something of it changed. What masquerade would leave as it is needs no flow. */
  isAsked(packet: Packet): boolean {
    const { hasDestination, source } = this.#parts.hooks
    if (hasDestination) return true
    return !source.isNone && (source.last !== 0 || source.isRandom || (source.address !== 0 && source.address !== packet.source))
  }

  /** Opens a flow as rules say. Returns its original side, or -(drop code). @param to null: it is for a socket here */
  open(packet: Packet, to: Attachment | null): number {
    const { hooks, opener, clock } = this.#parts
    const { source, destination, hasDestination } = hooks
    const rewrite = this.#rewrite
    rewrite.egress = to === null ? ZONE_SELF : to.zone
    rewrite.source = source.isNone || source.address === 0 ? packet.source : source.address
    rewrite.destination = hooks.addressOf(packet)
    rewrite.destinationPort = hasDestination && hasPorts(packet.protocol) ? destination.port : packet.ports & 0xffff
    const side = opener.openByRules(packet, ZONE_SELF, rewrite, source.isNone ? null : source, clock.second)
    if (side >= 0) hooks.opened(side >> 1)
    return side
  }

  /** Counts and translates a packet of a flow. Returns 0 or a drop code. */
  pass(packet: Packet, side: number): number {
    return this.#parts.local.pass(packet, side)
  }
}
