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
 *     from the WAN, to a forwarded port                    in, to the host it is forwarded to; protocols without ports and
 *                                                          pings can be forwarded as a whole
 *     from the WAN, to the outside endpoint of a mapping   in, if the mapping's filtering admits the sender (RFC 4787 5)
 *
 * Limits are looked at last: of the rule that fits, of the inside address, in total. What comes from outside may not use up
 * the last of the table.
 */
import type { Attachment } from './attachment.js'
import { ZONE_LAN, ZONE_WAN } from './attachment.js'
import { Drop } from './drop.js'
import { isShared, SHARED, UNTRANSLATED } from './nat/behaviour.js'
import type { AddressPool } from './nat/address-pool.js'
import type { EndpointChooser } from './nat/choose-endpoint.js'
import type { FlowTable } from './nat/flow-table.js'
import { SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './nat/flow-table.js'
import type { Forwards } from './nat/forwards.js'
import type { Hairpins } from './nat/hairpins.js'
import type { Mappings } from './nat/mappings.js'
import { type FlowOpener, openerDrop, type Rewrite } from './nat/open-flow.js'
import type { PortPool } from './nat/port-pool.js'
import type { RoomMaker } from './nat/make-room.js'
import type { Rules } from './nat/rules.js'
import type { LimitSettings } from './nat/settings.js'
import type { Sources } from './nat/sources.js'
import { CLASS_TCP_SYN_RECV, CLASS_TCP_SYN_SENT } from './nat/timeouts.js'
import { isDirectedBroadcast } from './route/table.js'
import { isInvalidDestination, isInvalidSource } from './stack/address-class.js'
import { isByAddress, type Packet } from './stack/parse.js'
import * as ipv4 from './stack/wire/ipv4.js'

export interface AdmissionParts {
  /** By zone. */
  readonly attachments: readonly Attachment[]
  readonly table: FlowTable
  readonly mappings: Mappings
  readonly forwards: Forwards
  readonly opener: FlowOpener
  readonly chooser: EndpointChooser
  readonly pool: AddressPool
  /** Packed behaviours by protocol, behaviour.ts. */
  readonly behaviours: Int32Array
  readonly rules: Rules
  readonly sources: Sources
  readonly hairpins: Hairpins
  readonly room: RoomMaker
  readonly ports: PortPool
  readonly limits: Pick<LimitSettings, 'halfOpen' | 'makeRoom'>
  /** Protocols that tsnat does not know are translated by address. */
  readonly passOthers: boolean
  /** TCP connections from inside that are older than their flows are picked up. */
  readonly pickup: boolean
}

/** Of the flow table, the part that flows from outside leave alone. */
const INSIDE_SHARE = 16

export class Admission {
  readonly #attachments: readonly Attachment[]
  readonly #table: FlowTable
  readonly #mappings: Mappings
  readonly #forwards: Forwards
  readonly #opener: FlowOpener
  readonly #chooser: EndpointChooser
  readonly #pool: AddressPool
  readonly #behaviours: Int32Array
  readonly #rules: Rules
  readonly #sources: Sources
  readonly #hairpins: Hairpins
  readonly #room: RoomMaker
  readonly #ports: PortPool
  readonly #limits: AdmissionParts['limits']
  readonly #passOthers: boolean
  readonly #pickup: boolean
  readonly #rewrite: Rewrite = { egress: 0, source: 0, destination: 0, destinationPort: 0 }
  /** The flow to whose mapping a packet from outside is addressed, or -1. */
  #sibling = -1
  /** The rule that fits the packet, or -1. */
  #rule = -1
  /** Addresses that are the WANs' own. */
  addresses: ReadonlySet<number> = new Set()

  constructor(parts: AdmissionParts) {
    this.#attachments = parts.attachments
    this.#table = parts.table
    this.#mappings = parts.mappings
    this.#forwards = parts.forwards
    this.#opener = parts.opener
    this.#chooser = parts.chooser
    this.#pool = parts.pool
    this.#behaviours = parts.behaviours
    this.#rules = parts.rules
    this.#sources = parts.sources
    this.#hairpins = parts.hairpins
    this.#room = parts.room
    this.#ports = parts.ports
    this.#limits = parts.limits
    this.#passOthers = parts.passOthers
    this.#pickup = parts.pickup
  }

  /** The way out of the packet that was planned last. */
  get egress(): Attachment {
    return this.#attachments[this.#rewrite.egress]!
  }

  /** Decides where a packet would go and as what. Returns 0 or a drop code. */
  plan(packet: Packet, from: Attachment): number {
    if (isInvalidSource(packet.source)) return Drop['invalid-source']
    if (from.zone !== ZONE_LAN) return this.#planInward(packet)
    if (isInvalidDestination(packet.destination)) return Drop['invalid-destination']
    const refused = openerDrop(packet, this.#passOthers, this.#pickup)
    if (refused !== 0 && !(refused === Drop['protocol-refused'] && this.#isForwardedAnyway(packet))) return refused
    this.#rule = this.#rules.find(packet)
    return this.addresses.has(packet.destination) ? this.#planHairpin(packet) : this.#planOutward(packet)
  }

  /** Opens the flow that was planned. Returns its original side, or -(drop code). @param now milliseconds */
  commit(packet: Packet, from: Attachment, now: number): number {
    return from.zone === ZONE_LAN ? this.#openFromInside(packet, from.zone, now) : this.#openFromOutside(packet, from.zone, now)
  }

  #openFromInside(packet: Packet, zone: number, now: number): number {
    const rule = this.#rule
    const behaviour = rule < 0 ? this.#behaviours[packet.protocol]! : this.#rules.behaviour(rule, packet.protocol)
    const refused = this.#checkLimits(packet, behaviour, now)
    if (refused !== 0) return -refused
    const second = Math.floor(now / 1000)
    let side = this.#opener.openFromInside(packet, zone, this.#rewrite, behaviour, second)
    if (side < 0 && this.#limits.makeRoom && this.#makeRoom(packet, -side, behaviour)) {
      side = this.#opener.openFromInside(packet, zone, this.#rewrite, behaviour, second)
    }
    if (side < 0) return side
    this.#sources.opened(side >> 1)
    this.#hairpins.opened(side >> 1)
    if (rule >= 0) this.#rules.opened(side >> 1, rule)
    return side
  }

  #openFromOutside(packet: Packet, zone: number, now: number): number {
    const { free, columns } = this.#table
    if (free * INSIDE_SHARE < columns.capacity) return -Drop['table-full']
    return this.#opener.openFromOutside(packet, zone, this.#rewrite, this.#sibling, Math.floor(now / 1000))
  }

  /** Returns 0, or the drop code of the limit that is reached. @param now milliseconds */
  #checkLimits(packet: Packet, behaviour: number, now: number): number {
    const { protocol } = packet
    if (this.#rule >= 0 && this.#rules.isFull(this.#rule)) return Drop['rule-limit']
    const isTcp = protocol === ipv4.PROTOCOL_TCP
    const { halfOpen } = this.#limits
    const table = this.#table
    if (isTcp && halfOpen > 0 && table.countOf(CLASS_TCP_SYN_SENT) + table.countOf(CLASS_TCP_SYN_RECV) >= halfOpen) return Drop['half-open-limit']
    const ports = behaviour < SHARED ? this.#ports.size * this.#pool.size - this.#mappings.countOf(protocol) : table.free
    return this.#sources.admit(packet.source, isTcp, Math.min(table.free, ports), now)
  }

  /** Whether something gave way for a packet that was refused with this drop code. */
  #makeRoom(packet: Packet, refused: number, behaviour: number): boolean {
    if (refused === Drop['table-full']) return this.#room.makeFlow(packet.source)
    if (refused !== Drop['ports-exhausted'] || behaviour === UNTRANSLATED || !this.#chooser.isUnbound) return false
    // Without ports one host has a remote and another must do without: nothing is exhausted.
    if (isByAddress(packet.protocol)) return false
    const port = this.#room.makePort(packet.source, packet.protocol, this.#rewrite, isShared(behaviour))
    if (port >= 0) this.#chooser.offer(port)
    return port >= 0
  }

  /** Whether a packet is addressed to what is forwarded. */
  isForwarded(packet: Packet): boolean {
    return this.#forwards.find(packet.protocol, packet.destination, packet.ports & 0xffff, packet.source) && this.addresses.has(packet.destination)
  }

  /** Whether a forward of its protocol is from or to the packet's sender. */
  #isForwardedAnyway(packet: Packet): boolean {
    return this.#forwards.findInside(packet.protocol, packet.source, 0, null, packet.destination) || this.isForwarded(packet)
  }

  #planOutward(packet: Packet): number {
    const wan = this.#attachments[ZONE_WAN]!
    const route = wan.routes!.lookup(packet.destination)
    if (!wan.up) return Drop['wan-down']
    if (route === undefined) return Drop['no-route']
    const isKept = this.#rule >= 0 && this.#rules.behaviour(this.#rule, packet.protocol) === UNTRANSLATED
    const source = isKept ? packet.source : this.#pool.isEmpty ? route.source : this.#pool.choose(packet.source, packet.destination, 0)
    if (source === 0) return Drop['no-address']
    if (isDirectedBroadcast(route, packet.destination)) return Drop['invalid-destination']
    return this.#set(wan.zone, source, packet.destination, packet.ports & 0xffff)
  }

  #planHairpin(packet: Packet): number {
    // A host without a mapping appears with its address of the pool, where there is none with the address that it asks; one
    // that has a mapping, with that one's (FlowOpener).
    const source = this.#pool.choose(packet.source, packet.destination, 0)
    return this.#planToOwner(packet, source === 0 ? packet.destination : source, false)
  }

  #planInward(packet: Packet): number {
    // Protocols without ports have no mappings: what comes in does so by a forward.
    if (openerDrop(packet, true) !== 0 || (packet.protocol === ipv4.PROTOCOL_ICMP && !this.isForwarded(packet))) return Drop['no-flow']
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
    if (this.#forwards.find(packet.protocol, packet.destination, port, packet.source)) {
      return this.#set(ZONE_LAN, source, this.#forwards.address, this.#forwards.port)
    }
    if (packet.protocol === ipv4.PROTOCOL_ICMP) return Drop['to-gateway']
    if (isByAddress(packet.protocol)) return Drop['no-flow']
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
