/**
 * Flows that end at the gateway itself: REDIRECT, and DNAT to one of its addresses. They are flows like others, with the gateway in place
 * of a host behind an interface: its zone is ZONE_SELF. The original side is what clients send; packets of the reply side come from
 * sockets. Flows that sockets began, with NAT of their own, have it the other way round.
 */
import type { Clock } from './clock.js'
import { setTtl } from './hooks/changes.js'
import { type FlowTable, SIDE_DESTINATION, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS, ZONE_SELF } from './nat/flow-table.js'
import { findQuoted, translateError } from './nat/icmp-error.js'
import type { Tracker } from './nat/track.js'
import { translate } from './nat/translate.js'
import type { Slab } from './stack/batch.js'
import { hasPorts, LATER_FRAGMENT, type Packet } from './stack/parse.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'

export class LocalFlows {
  readonly #slab: Slab
  readonly #table: FlowTable
  readonly #tracker: Tracker
  readonly #clock: Clock

  constructor(slab: Slab, table: FlowTable, tracker: Tracker, clock: Clock) {
    this.#slab = slab
    this.#table = table
    this.#tracker = tracker
    this.#clock = clock
  }

  /**
   * The side that a packet of a socket belongs to, or -1. It leaves by `table.egressOf(side)`. An odd side's are replies; an ICMP error
   * belongs to the side on which an answer to what it quotes would. The packet's source must have been chosen.
   */
  findOwn(packet: Packet): number {
    if (icmp4.isError(packet.icmpType)) return findQuoted(this.#slab.view, packet, this.#table, ZONE_SELF)
    return this.#table.find(packet.source, packet.destination, packet.ports, packet.protocol | (ZONE_SELF << 8))
  }

  /**
   * Counts a packet on its side, and gives it the ends that the other side knows, in the slab and in `packet`; its TTL stays. To be called when rules have let it pass.
   * Returns 0 or a drop code. The flow may have ended with it.
   */
  pass(packet: Packet, side: number): number {
    if (icmp4.isError(packet.icmpType)) {
      this.translateError(packet, side)
      return 0
    }
    const verdict = this.#tracker.track(this.#slab.view, packet, side, this.#clock.second)
    if (verdict > 0) return verdict
    this.translate(packet, side)
    if (verdict < 0) this.#table.close(side >> 1)
    return 0
  }

  /** Gives an ICMP error about a packet of the other side the ends that are known there, and its quote; its TTL stays. */
  translateError(packet: Packet, side: number): void {
    packet.ttl++
    translateError(this.#slab, packet, this.#table, side)
    packet.ttl--
    packet.source = ipv4.source(this.#slab.view, packet.at)
    packet.destination = ipv4.destination(this.#slab.view, packet.at)
  }

  /** As `pass`, without counting. */
  translate(packet: Packet, side: number): void {
    const { view } = this.#slab
    const { ttl } = packet
    setTtl(view, packet, ttl + 1)
    translate(view, packet, this.#table, side)
    packet.ttl = ttl
    const { sides } = this.#table
    const to = (side ^ 1) * SIDE_WORDS
    packet.source = sides[to + SIDE_DESTINATION]!
    packet.destination = sides[to + SIDE_SOURCE]!
    const ports = sides[to + SIDE_PORTS]!
    if (hasPorts(packet.protocol) && packet.fragment !== LATER_FRAGMENT) packet.ports = (ports << 16) | (ports >>> 16)
  }
}
