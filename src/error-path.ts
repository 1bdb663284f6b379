/** The path of an ICMP error: to whoever sent the packet that it quotes, quote and all translated back (nat/icmp-error.ts). */
import type { Admission } from './admission.js'
import { type Attachment, numberOfZone } from './attachment.js'
import { Drop } from './drop.js'
import type { Hooks } from './hooks/hooks.js'
import type { LocalFlows } from './local-flows.js'
import type { LocalPath } from './local-path.js'
import { type FlowTable, SIDE_SOURCE, SIDE_WORDS, ZONE_SELF } from './nat/flow-table.js'
import { checkError, findQuoted, translateError } from './nat/icmp-error.js'
import { type Identifications, OWN_IDENTIFICATION, setIdentification } from './nat/identification.js'
import type { NextHopQueue } from './next-hop-queue.js'
import { STATE } from './policy/model.js'
import { isInvalidSource } from './stack/address-class.js'
import type { Slab } from './stack/batch.js'
import type { Packet } from './stack/parse.js'
import { NO_SOCKET } from './stack/sockets/network.js'
import * as ipv4 from './stack/wire/ipv4.js'
import type { Tracing } from './trace/tracing.js'

export interface ErrorPathParts {
  readonly slab: Slab
  readonly table: FlowTable
  /** By zone. */
  readonly attachments: readonly Attachment[]
  readonly hooks: Hooks
  readonly identifications: Identifications
  readonly queue: NextHopQueue
  readonly tracing: Tracing
  readonly admission: Admission
  readonly local: LocalPath
  readonly localFlows: LocalFlows
}

export class ErrorPath {
  readonly #slab: Slab
  readonly #table: FlowTable
  readonly #attachments: readonly Attachment[]
  readonly #hooks: Hooks
  readonly #identifications: Identifications
  readonly #queue: NextHopQueue
  readonly #tracing: Tracing
  readonly #admission: Admission
  readonly #local: LocalPath
  readonly #localFlows: LocalFlows

  constructor(parts: ErrorPathParts) {
    this.#slab = parts.slab
    this.#table = parts.table
    this.#attachments = parts.attachments
    this.#hooks = parts.hooks
    this.#identifications = parts.identifications
    this.#queue = parts.queue
    this.#tracing = parts.tracing
    this.#admission = parts.admission
    this.#local = parts.local
    this.#localFlows = parts.localFlows
  }

  /** Returns 0 or a drop code. The error neither refreshes nor ends the flow. */
  receive(packet: Packet, from: Attachment): number {
    const bad = checkError(this.#slab, packet)
    if (bad !== 0) return bad
    const side = findQuoted(this.#slab.view, packet, this.#table, from.zone)
    if (side < 0) return this.#receiveOwn(packet, from)
    this.#tracing.recorder?.flow(side, false)
    if (this.#table.egressOf(side) === ZONE_SELF) return this.#receiveLocal(packet, side, from)
    if (packet.ttl <= 1 && this.#hooks.isIdle) return Drop['ttl-expired']
    if (isInvalidSource(packet.source)) return Drop['invalid-source']
    const to = this.#attachments[this.#table.egressOf(side)]!
    const link = to.linkTo(this.#table.sides[(side ^ 1) * SIDE_WORDS + SIDE_SOURCE]!)
    if (link < 0) return Drop['no-route']
    if (!this.#hooks.isIdle) {
      const stopped = this.#askRelated(packet, side, from, to)
      if (stopped !== 0) return stopped
    }
    if (packet.length > to.mtu && ipv4.dontFragment(this.#slab.view, packet.at)) return Drop['too-big']
    if (link !== 0 && !to.neighbours!.isReachable(link)) return this.#queue.add(packet, link, ~from.zone, 0, OWN_IDENTIFICATION, from, to)
    if (!ipv4.isAtomic(this.#slab.view, packet.at)) {
      const identification = this.#identifications.choose(this.#table, side, ipv4.PROTOCOL_ICMP, 1)
      if (identification !== OWN_IDENTIFICATION) setIdentification(this.#slab.view, packet.at, identification)
    }
    translateError(this.#slab, packet, this.#table, side)
    this.#tracing.sent(packet.at, packet.length, to, link)
    return to.egress.pushWithin(packet.at, packet.length, to.mtu, link)
  }

  /** An error about a packet that a socket sent in a flow. Returns 0 or a drop code. */
  #receiveLocal(packet: Packet, side: number, from: Attachment): number {
    const hooks = this.#hooks
    if (isInvalidSource(packet.source)) return Drop['invalid-source']
    if (!hooks.isIdle) {
      hooks.meetRelated(packet, side)
      const stopped = hooks.arrive(packet, from) || hooks.local(packet, from)
      if (stopped !== 0) return stopped
    }
    this.#localFlows.translateError(packet, side)
    return this.#local.deliver(packet, from, NO_SOCKET)
  }

  /** An error about no flow: perhaps about a packet that a socket sent as it is. Returns 0 or a drop code. */
  #receiveOwn(packet: Packet, from: Attachment): number {
    const { sockets, isOpen } = this.#local
    if (!isOpen || sockets!.findQuoted(packet, numberOfZone(from.zone)) < 0) return Drop['no-flow']
    const hooks = this.#hooks
    if (isInvalidSource(packet.source)) return Drop['invalid-source']
    if (!hooks.isIdle) {
      hooks.meetNew(packet, STATE.RELATED)
      const stopped = hooks.arrive(packet, from)
      if (stopped !== 0) return stopped
    }
    const isHere = this.#admission.addresses.has(packet.destination) || this.#local.isRoutedHere(packet, from, packet.destination, 0)
    if (!isHere) return Drop['no-flow']
    const held = hooks.isIdle ? 0 : hooks.local(packet, from)
    return held !== 0 ? held : this.#local.deliver(packet, from, NO_SOCKET)
  }

  /** The hooks of an ICMP error about a flow. Returns 0 or a drop code. */
  #askRelated(packet: Packet, side: number, from: Attachment, to: Attachment): number {
    const hooks = this.#hooks
    hooks.meetRelated(packet, side)
    const stopped = hooks.arrive(packet, from)
    if (stopped !== 0) return stopped
    if (packet.ttl <= 1) return Drop['ttl-expired']
    const refused = hooks.pass(packet, side, from, to)
    return refused !== 0 ? refused : hooks.leave(packet, from, to)
  }
}
