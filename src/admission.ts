/**
 * Packets that belong to no flow: what becomes of them, and may they open one?
 *
 * In two steps, so that nothing is committed for a packet that cannot travel (RFC 1812 5.2.1): `plan` finds where it would
 * go and as what, the pipeline looks at TTL and MTU of that way, `commit` opens the flow.
 *
 *     from the LAN, to one of the WAN's own addresses      hairpin: back into the LAN, to the owner of that port (RFC 4787 REQ-9),
 *                                                          whatever the filtering: two inside hosts that wait for each other's
 *                                                          first packet, as in hole punching, would wait for ever
 *     from the LAN, to anywhere else                       out, by the most specific route
 *     from the WAN, to a forwarded port                    in, to the host it is forwarded to
 *     from the WAN, to the outside endpoint of a mapping   in, if the mapping's filtering admits the sender (RFC 4787 5)
 */
import type { Attachment } from './attachment.js'
import { ZONE_LAN } from './attachment.js'
import { Drop } from './drop.js'
import type { FlowTable } from './nat/flow-table.js'
import { SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './nat/flow-table.js'
import type { Forwards } from './nat/forwards.js'
import type { Mappings } from './nat/mappings.js'
import { type FlowOpener, openerDrop, type Rewrite } from './nat/open-flow.js'
import { isDirectedBroadcast } from './route/table.js'
import { isInvalidDestination, isInvalidSource } from './stack/address-class.js'
import type { Packet } from './stack/parse.js'
import * as ipv4 from './stack/wire/ipv4.js'

export interface AdmissionParts {
  readonly lan: Attachment
  readonly wan: Attachment
  readonly table: FlowTable
  readonly mappings: Mappings
  readonly forwards: Forwards
  readonly opener: FlowOpener
  /** Packed behaviours by protocol, behaviour.ts. */
  readonly behaviours: Int32Array
  /** TCP connections from inside that are older than their flows are picked up. */
  readonly pickup: boolean
}

export class Admission {
  readonly #lan: Attachment
  readonly #wan: Attachment
  readonly #table: FlowTable
  readonly #mappings: Mappings
  readonly #forwards: Forwards
  readonly #opener: FlowOpener
  readonly #behaviours: Int32Array
  readonly #pickup: boolean
  readonly #rewrite: Rewrite = { egress: 0, source: 0, destination: 0, destinationPort: 0 }
  /** The flow to whose mapping a packet from outside is addressed, or -1. */
  #sibling = -1
  /** Addresses that are the WAN's own. */
  addresses: ReadonlySet<number> = new Set()

  constructor(parts: AdmissionParts) {
    this.#lan = parts.lan
    this.#wan = parts.wan
    this.#table = parts.table
    this.#mappings = parts.mappings
    this.#forwards = parts.forwards
    this.#opener = parts.opener
    this.#behaviours = parts.behaviours
    this.#pickup = parts.pickup
  }

  /** The way out of the packet that was planned last. */
  get egress(): Attachment {
    return this.#rewrite.egress === ZONE_LAN ? this.#lan : this.#wan
  }

  /** Decides where a packet would go and as what. Returns 0 or a drop code. */
  plan(packet: Packet, from: Attachment): number {
    if (isInvalidSource(packet.source)) return Drop['invalid-source']
    if (from.zone !== ZONE_LAN) return this.#planInward(packet)
    if (isInvalidDestination(packet.destination)) return Drop['invalid-destination']
    const refused = openerDrop(packet, this.#pickup)
    if (refused !== 0) return refused
    return this.addresses.has(packet.destination) ? this.#planHairpin(packet) : this.#planOutward(packet)
  }

  /** Opens the flow that was planned. Returns its original side, or -(drop code). @param now seconds */
  commit(packet: Packet, from: Attachment, now: number): number {
    if (from.zone !== ZONE_LAN) return this.#opener.openFromOutside(packet, from.zone, this.#rewrite, this.#sibling, now)
    return this.#opener.openFromInside(packet, from.zone, this.#rewrite, this.#behaviours[packet.protocol]!, now)
  }

  #planOutward(packet: Packet): number {
    const wan = this.#wan
    const route = wan.routes!.lookup(packet.destination)
    if (!wan.up) return Drop['wan-down']
    if (route === undefined) return Drop['no-route']
    if (route.source === 0) return Drop['no-address']
    if (isDirectedBroadcast(route, packet.destination)) return Drop['invalid-destination']
    return this.#set(wan.zone, route.source, packet.destination, packet.ports & 0xffff)
  }

  #planHairpin(packet: Packet): number {
    // A host without a mapping appears with the address that it asks; one that has a mapping, with that one's (FlowOpener).
    return this.#planToOwner(packet, packet.destination, false)
  }

  #planInward(packet: Packet): number {
    if (openerDrop(packet) !== 0 || packet.protocol === ipv4.PROTOCOL_ICMP) return Drop['no-flow']
    // Nobody outside has our addresses: inside, he would pass for a host that comes by hairpin.
    if (this.addresses.has(packet.source)) return Drop['invalid-source']
    // A forward of every outside address is none of other addresses.
    if (!this.addresses.has(packet.destination)) return Drop['no-flow']
    return this.#planToOwner(packet, packet.source, true)
  }

  /**
   * To whom an outside endpoint belongs.
   * @param source the address that the packet will carry; @param isFiltered only whom the mapping's filtering admits
   */
  #planToOwner(packet: Packet, source: number, isFiltered: boolean): number {
    const port = packet.ports & 0xffff
    this.#sibling = -1
    if (packet.protocol === ipv4.PROTOCOL_ICMP) return Drop['to-gateway']
    if (this.#forwards.find(packet.protocol, packet.destination, port, packet.source)) {
      return this.#set(ZONE_LAN, source, this.#forwards.address, this.#forwards.port)
    }
    const owner = this.#mappings.findOutside(packet.destination, port, packet.protocol)
    if (owner < 0) return Drop['no-flow']
    if (isFiltered && !this.#mappings.admits(owner, packet.source)) return Drop['filtered']
    this.#sibling = owner
    const at = this.#mappings.insideSide(owner) * SIDE_WORDS
    return this.#set(ZONE_LAN, source, this.#table.sides[at + SIDE_SOURCE]!, this.#table.sides[at + SIDE_PORTS]! >>> 16)
  }

  #set(egress: number, source: number, destination: number, destinationPort: number): number {
    this.#rewrite.egress = egress
    this.#rewrite.source = source
    this.#rewrite.destination = destination
    this.#rewrite.destinationPort = destinationPort
    return 0
  }
}
