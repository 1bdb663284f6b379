/**
 * Flows that end at the gateway itself: REDIRECT, and DNAT to one of its addresses. They are flows like others, with the gateway in place
 * of a host behind an interface: its zone is ZONE_SELF. The original side is what clients send; packets of the reply side come from
 * sockets.
 */
import { ZONE_SELF } from './attachment.js'
import type { FlowTable } from './nat/flow-table.js'
import type { Packet } from './stack/parse.js'

export class LocalFlows {
  readonly #table: FlowTable

  constructor(table: FlowTable) {
    this.#table = table
  }

  /**
   * The side that a packet of a socket belongs to, or -1. Its source must have been chosen. Flows that the sockets themselves began, and
   * NAT of OUTPUT opened, are found the same way, on side 0.
   */
  findOwn(packet: Packet): number {
    return this.#table.find(packet.source, packet.destination, packet.ports, packet.protocol | (ZONE_SELF << 8))
  }
}
