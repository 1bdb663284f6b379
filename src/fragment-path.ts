/** The path of a fragment: the first decides for its datagram, the others follow it or wait for it (stack/fragments.ts). */
import type { Attachment } from './attachment.js'
import type { Clock } from './clock.js'
import { Drop } from './drop.js'
import type { FlowTable } from './nat/flow-table.js'
import { type Identifications, OWN_IDENTIFICATION } from './nat/identification.js'
import { isStranded } from './nat/translate.js'
import type { LocalPath } from './local-path.js'
import type { OwnHost } from './own-host.js'
import type { Reports } from './reports.js'
import type { Slab } from './stack/batch.js'
import { DROPPED_OWNER, ECHO_OWNER, type FragmentTable, HOST_OWNER, QUOTE_BYTES, UNKNOWN_OWNER } from './stack/fragments.js'
import { type HeldPackets, NO_BLOCK } from './stack/held.js'
import { LATER_FRAGMENT, Packet, parse } from './stack/parse.js'
import type { Scratch } from './stack/scratch.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import * as vnet from './stack/wire/vnet.js'
import { STAT_DROPS } from './stats.js'
import type { Tracing } from './trace/tracing.js'

/** What happens to packets, whole or not. Both return 0 or a drop code. */
export interface PacketPath {
  /** A packet with a transport header. */
  whole(packet: Packet, from: Attachment): number
  /** A packet of a known flow. */
  forward(packet: Packet, side: number, from: Attachment): number
  /** Sends what is queued. */
  flush(): void
}

export interface FragmentPathParts {
  readonly slab: Slab
  readonly scratch: Scratch
  readonly table: FlowTable
  readonly fragments: FragmentTable
  /** Where `fragments` keeps its packets. */
  readonly held: HeldPackets
  readonly identifications: Identifications
  readonly ownHost: OwnHost
  readonly local: LocalPath
  readonly reports: Reports
  readonly clock: Clock
  readonly attachments: readonly Attachment[]
  readonly tracing: Tracing
  /** stats.ts */
  readonly stats: Float64Array
}

export class FragmentPath {
  readonly #parts: FragmentPathParts
  readonly #path: PacketPath
  readonly #quoted = new Packet()

  constructor(parts: FragmentPathParts, path: PacketPath) {
    this.#parts = parts
    this.#path = path
    parts.fragments.onLost = (drop) => parts.stats[STAT_DROPS + drop]!++
  }

  /** Returns 0 or a drop code. */
  receive(packet: Packet, from: Attachment): number {
    const { fragments, slab, clock } = this.#parts
    const entry = fragments.enter(slab.view, packet, from.zone, clock.second)
    if (entry < 0) return -entry
    const drop = packet.fragment === LATER_FRAGMENT ? this.#later(packet, entry, from) : this.#first(packet, entry, from)
    fragments.endIfComplete(entry)
    return drop
  }

  /** Ends datagrams whose fragments did not all come in time, and tells senders whose first one did (RFC 792, type 11 code 1). */
  expire(): void {
    const { fragments, clock } = this.#parts
    let entry = fragments.overdue(clock.second)
    if (entry < 0) return
    for (; entry >= 0; entry = fragments.overdue(clock.second)) {
      this.#reportIncomplete(entry)
      fragments.end(entry, Drop['fragment-expired'])
    }
    this.#path.flush()
  }

  #first(packet: Packet, entry: number, from: Attachment): number {
    const { fragments, identifications, local, table } = this.#parts
    const { delivered } = local
    // What is delivered may have other ends afterwards.
    const { source, destination, ports } = packet
    const drop = packet.protocol === ipv4.PROTOCOL_SCTP ? this.#sctp(packet, from) : this.#path.whole(packet, from)
    fragments.setIdentification(entry, identifications.decided)
    identifications.decided = OWN_IDENTIFICATION
    const side = table.find(source, destination, ports, packet.protocol | (from.zone << 8))
    if (side < 0 && local.delivered !== delivered) fragments.setOwner(entry, HOST_OWNER, local.lastSocket)
    else if (drop !== 0 || side < 0) fragments.setOwner(entry, drop === 0 && packet.icmpType === icmp4.ECHO_REQUEST ? ECHO_OWNER : DROPPED_OWNER, 0)
    else fragments.setOwner(entry, side, table.generationOf(side >> 1))
    this.#letHeldFollow(packet, entry, from)
    return drop
  }

  #letHeldFollow(packet: Packet, entry: number, from: Attachment): void {
    const { fragments, held, slab, stats, tracing } = this.#parts
    // What is traced is the first fragment.
    const recorder = tracing.stop()
    for (let block = fragments.takeHeld(entry); block !== NO_BLOCK; block = fragments.takeHeld(entry)) {
      parse(slab.view, held.packetAt(block), held.lengthOf(block), packet)
      const lost = this.#later(packet, entry, from)
      if (lost !== 0) stats[STAT_DROPS + lost]!++
      this.#path.flush()
      held.release(block)
    }
    tracing.start(recorder)
  }

  /** Of an SCTP packet: INIT is never in pieces, and the ports of others must not change. */
  #sctp(packet: Packet, from: Attachment): number {
    const side = this.#sideOf(packet, from)
    return side >= 0 && isStranded(packet, this.#parts.table, side) ? Drop['sctp-fragment'] : this.#path.whole(packet, from)
  }

  #later(packet: Packet, entry: number, from: Attachment): number {
    const { fragments, identifications, table } = this.#parts
    const owner = fragments.owner(entry)
    if (owner === UNKNOWN_OWNER) {
      if (!fragments.hold(entry, packet)) return Drop['fragment-limit']
      this.#parts.tracing.recorder?.fragmentHeld()
      return 0
    }
    if (owner === DROPPED_OWNER) return Drop['fragment-orphan']
    if (owner === ECHO_OWNER) return this.#parts.ownHost.receiveRest(packet, from)
    if (owner === HOST_OWNER) return this.#parts.local.deliverRest(packet, from, fragments.generation(entry))
    if (table.generationOf(owner >> 1) !== fragments.generation(entry)) return Drop['fragment-orphan']
    identifications.decided = fragments.identification(entry)
    const drop = this.#path.forward(packet, owner, from)
    identifications.decided = OWN_IDENTIFICATION
    return drop
  }

  #sideOf(packet: Packet, from: Attachment): number {
    return this.#parts.table.find(packet.source, packet.destination, packet.ports, packet.protocol | (from.zone << 8))
  }

  #reportIncomplete(entry: number): void {
    const { fragments, scratch, attachments, reports } = this.#parts
    const { view } = this.#parts.slab
    const at = scratch.take(QUOTE_BYTES)
    if (at < 0) return
    const quoted = fragments.writeQuote(view, at, entry)
    if (quoted === 0) return
    const packet = this.#quoted
    vnet.clear(view, at - vnet.LENGTH)
    parse(view, at, ipv4.totalLength(view, at), packet)
    packet.length = quoted
    reports.send(packet, attachments[fragments.zone(entry)]!, icmp4.TIME_EXCEEDED, icmp4.CODE_REASSEMBLY)
  }
}
