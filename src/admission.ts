/**
 * Packets that belong to no flow: what becomes of them, and may they open one?
 *
 * In steps, so that nothing is committed for a packet that cannot travel (RFC 1812 5.2.1), and rules are asked in the kernel's order:
 * `plan` finds where it would go and as what, the pipeline looks at TTL and MTU of that way and asks the rules of FORWARD and
 * POSTROUTING, `leaveAs` takes what they say of its source, `commit` opens the flow.
 *
 *     to where a rule says (DNAT …)                        there: from the LAN by route, from the WAN into the LAN
 *     from the LAN, to one of the WAN's own addresses      hairpin: back into the LAN, to the owner of that port (RFC 4787 REQ-9),
 *                                                          whatever the filtering: two inside hosts that wait for each other's
 *                                                          first packet, as in hole punching, would wait for ever
 *     from the LAN, to anywhere else                       by policy routing (routing.ts)
 *     from the WAN, to a forwarded port                    in, to the host it is forwarded to; protocols without ports and
 *                                                          pings can be forwarded as a whole
 *     from the WAN, to the outside endpoint of a mapping   in, if the mapping's filtering admits the sender (RFC 4787 5)
 *     from the WAN, to an inside network                   in, as it is, where only what rules say is translated
 *
 * As long as no rule of nat POSTROUTING says what is translated, all that leaves by a WAN is: masqueraded as the settings say.
 *
 * Limits are looked at last: of the rule that fits, of the inside address, in total. What comes from outside may not use up
 * the last of the table.
 */
import type { Attachment } from './attachment.js'
import { ZONE_LAN, ZONE_SELF, ZONE_WAN } from './attachment.js'
import { Drop } from './drop.js'
import { isShared, SHARED, UNTRANSLATED } from './nat/behaviour.js'
import type { AddressPool } from './nat/address-pool.js'
import type { EndpointChooser } from './nat/choose-endpoint.js'
import type { FlowTable } from './nat/flow-table.js'
import { SIDE_DESTINATION, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS } from './nat/flow-table.js'
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
import type { Hooks } from './hooks/hooks.js'
import { ANY_ZONE, type Routing } from './routing.js'
import { isInvalidDestination, isInvalidSource } from './stack/address-class.js'
import { isByAddress, type Packet } from './stack/parse.js'
import * as ipv4 from './stack/wire/ipv4.js'

export interface AdmissionParts {
  /** By zone. */
  readonly attachments: readonly Attachment[]
  readonly hooks: Hooks
  readonly routing: Routing
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

/** In place of a port: one is chosen when the flow opens. */
export const ANY_PORT = 0x10000

export class Admission {
  readonly #attachments: readonly Attachment[]
  readonly #hooks: Hooks
  readonly #routing: Routing
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
  /** The flow is opened as rules say: its source stays or changes by `#hooks.source`. Else as the settings say. */
  #byRules = false
  /** Addresses that are the WANs' own. */
  addresses: ReadonlySet<number> = new Set()

  constructor(parts: AdmissionParts) {
    this.#attachments = parts.attachments
    this.#hooks = parts.hooks
    this.#routing = parts.routing
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

  /** Where it would go. */
  get rewrite(): Readonly<Rewrite> {
    return this.#rewrite
  }

  /** Decides where a packet would go and as what. Returns 0 or a drop code. @param isMoved see canOpen */
  plan(packet: Packet, from: Attachment, isMoved: boolean): number {
    const destination = this.#hooks.addressOf(packet)
    const port = this.#hooks.portOf(packet)
    this.#byRules = false
    this.#rule = -1
    if (isInvalidSource(packet.source)) return Drop['invalid-source']
    if (from.zone !== ZONE_LAN) return this.#planInward(packet, from, destination, port)
    if (isInvalidDestination(destination)) return Drop['invalid-destination']
    const refused = openerDrop(packet, this.#passOthers, this.#pickup || isMoved)
    if (refused !== 0 && !(refused === Drop['protocol-refused'] && this.#isForwardedAnyway(packet))) return refused
    this.#rule = this.#rules.find(packet)
    return this.addresses.has(destination) ? this.#planHairpin(packet, destination, port) : this.#planOutward(packet, from, destination, port)
  }

  /** Plans the flow of a packet that goes to the gateway itself, at this address and port. Returns 0 or a drop code. @param isMoved see canOpen */
  planLocal(packet: Packet, address: number, port: number, isMoved: boolean): number {
    this.#byRules = true
    this.#rule = this.#sibling = -1
    const refused = openerDrop(packet, false, this.#pickup || isMoved)
    return refused !== 0 ? refused : this.#set(ZONE_SELF, packet.source, address, port)
  }

  /** Whether a packet that belongs to no flow is one that may open one. @param isMoved it had a flow, which goes another way now */
  canOpen(packet: Packet, isMoved: boolean): boolean {
    return openerDrop(packet, this.#passOthers, this.#pickup || isMoved) === 0
  }

  /** Takes over what rules said of the source of the packet that was planned. Returns 0 or a drop code. */
  leaveAs(): number {
    const { source: asked, rulesTranslate } = this.#hooks
    if (asked.isNone) {
      this.#byRules ||= rulesTranslate
      return 0
    }
    this.#byRules = true
    const { destination } = this.#rewrite
    const source = asked.address !== 0 ? asked.address : this.egress.sourceFor(this.egress === this.#routing.to ? this.#routing.nextHop : destination)
    if (source === 0) return Drop['no-address']
    this.#rewrite.source = source
    return 0
  }

  /**
   * What `commit` would open, as far as it is known before: the port outside, ANY_PORT where one is chosen then, or -(drop code).
   * Afterwards `rewrite` has the source address. Limits are not asked. @param now milliseconds
   */
  foresee(packet: Packet, from: Attachment, now: number): number {
    const { source: asked } = this.#hooks
    const rewrite = this.#rewrite
    const own = packet.ports >>> 16
    if (this.#byRules && !asked.isNone) {
      const port = this.#chooser.chooseAsked(packet, rewrite, asked, Math.floor(now / 1000))
      return port < 0 || port === own || (asked.first === asked.last && asked.first > 0) ? port : ANY_PORT
    }
    if (this.#byRules || from.zone !== ZONE_LAN) return this.#chooser.isTaken(packet, rewrite, own) ? ANY_PORT : own
    const behaviour = this.#rule < 0 ? this.#behaviours[packet.protocol]! : this.#rules.behaviour(this.#rule, packet.protocol)
    if (behaviour === UNTRANSLATED) return own
    if (behaviour >= SHARED) return ANY_PORT
    const sibling = this.#mappings.findInside(packet.source, packet.destination, packet.ports, packet.protocol | (from.zone << 8), behaviour & 3)
    if (sibling < 0) return ANY_PORT
    const outside = (this.#mappings.insideSide(sibling) ^ 1) * SIDE_WORDS
    rewrite.source = this.#table.sides[outside + SIDE_DESTINATION]!
    return this.#table.sides[outside + SIDE_PORTS]! & 0xffff
  }

  /** Opens the flow that was planned. Returns its original side, or -(drop code). @param now milliseconds */
  commit(packet: Packet, from: Attachment, now: number): number {
    return from.zone === ZONE_LAN ? this.#openFromInside(packet, from.zone, now) : this.#openFromOutside(packet, from.zone, now)
  }

  #openFromInside(packet: Packet, zone: number, now: number): number {
    const rule = this.#rule
    const behaviour = this.#byRules ? SHARED : rule < 0 ? this.#behaviours[packet.protocol]! : this.#rules.behaviour(rule, packet.protocol)
    const refused = this.#checkLimits(packet, behaviour, now)
    if (refused !== 0) return -refused
    const second = Math.floor(now / 1000)
    let side = this.#openAs(packet, zone, behaviour, second)
    if (side < 0 && this.#limits.makeRoom && this.#makeRoom(packet, -side, behaviour)) side = this.#openAs(packet, zone, behaviour, second)
    if (side < 0) return side
    this.#sources.opened(side >> 1)
    this.#hairpins.opened(side >> 1)
    if (rule >= 0) this.#rules.opened(side >> 1, rule)
    return side
  }

  #openAs(packet: Packet, zone: number, behaviour: number, second: number): number {
    if (!this.#byRules) return this.#opener.openFromInside(packet, zone, this.#rewrite, behaviour, second)
    return this.#opener.openByRules(packet, zone, this.#rewrite, this.#hooks.source.isNone ? null : this.#hooks.source, second)
  }

  #openFromOutside(packet: Packet, zone: number, now: number): number {
    const { free, columns } = this.#table
    if (free * INSIDE_SHARE < columns.capacity) return -Drop['table-full']
    if (this.#byRules && this.#sibling < 0) return this.#openAs(packet, zone, SHARED, Math.floor(now / 1000))
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

  /** Whether a packet is addressed to what is forwarded. @param address, @param port that it goes to by now */
  isForwarded(packet: Packet, address = packet.destination, port = packet.ports & 0xffff): boolean {
    return this.#forwards.find(packet.protocol, address, port, packet.source) && this.addresses.has(address)
  }

  /** Whether a forward of its protocol is from or to the packet's sender. */
  #isForwardedAnyway(packet: Packet): boolean {
    return this.#forwards.findInside(packet.protocol, packet.source, 0, null, packet.destination) || this.isForwarded(packet)
  }

  #planOutward(packet: Packet, from: Attachment, destination: number, port: number): number {
    const routing = this.#routing
    const refused = routing.find(packet, from, destination, port, this.#hooks.mark, ANY_ZONE)
    if (refused !== 0) return refused === Drop['no-route'] && this.#isOutsideDown() ? Drop['wan-down'] : refused
    const { to } = routing
    if (to.zone === ZONE_LAN || this.#hooks.rulesTranslate) {
      this.#byRules = true
      return this.#set(to.zone, packet.source, destination, port)
    }
    const isKept = this.#rule >= 0 && this.#rules.behaviour(this.#rule, packet.protocol) === UNTRANSLATED
    const source = isKept ? packet.source : this.#pool.isEmpty ? to.sourceFor(routing.nextHop) : this.#pool.choose(packet.source, destination, 0, to.zone)
    return source === 0 ? Drop['no-address'] : this.#set(to.zone, source, destination, port)
  }

  #isOutsideDown(): boolean {
    for (let zone = ZONE_WAN; zone < this.#attachments.length; zone++) if (this.#attachments[zone]!.up) return false
    return true
  }

  #planHairpin(packet: Packet, destination: number, port: number): number {
    // A host without a mapping appears with its address of the pool, where there is none with the address that it asks; one
    // that has a mapping, with that one's (FlowOpener).
    const source = this.#pool.choose(packet.source, destination, 0)
    return this.#planToOwner(packet, source === 0 ? destination : source, destination, port, false)
  }

  #planInward(packet: Packet, from: Attachment, destination: number, port: number): number {
    const { hasDestination, rulesTranslate } = this.#hooks
    if (hasDestination && isInvalidDestination(destination)) return Drop['invalid-destination']
    const isOurs = this.addresses.has(destination)
    const isRouted = hasDestination || (rulesTranslate && !isOurs)
    // Protocols without ports have no mappings: what comes in does so by a forward, or a rule.
    if (openerDrop(packet, true) !== 0 || (packet.protocol === ipv4.PROTOCOL_ICMP && !isRouted && !this.isForwarded(packet))) return Drop['no-flow']
    // Nobody outside has our addresses: inside, he would pass for a host that comes by hairpin.
    if (this.addresses.has(packet.source)) return Drop['invalid-source']
    if (isRouted && !isOurs) return this.#planRoutedInward(packet, from, destination, port)
    // A forward of every outside address is none of other addresses.
    if (!isOurs) return Drop['no-flow']
    return this.#planToOwner(packet, packet.source, destination, port, true)
  }

  /** Into the LAN, if routing has nothing against it; as it is only where routing knows the destination inside. */
  #planRoutedInward(packet: Packet, from: Attachment, destination: number, port: number): number {
    this.#sibling = -1
    this.#byRules = true
    const refused = this.#routing.find(packet, from, destination, port, this.#hooks.mark, ANY_ZONE)
    const isInside = refused === 0 && this.#routing.to.zone === ZONE_LAN
    if (!isInside && !this.#hooks.hasDestination) return Drop['no-flow']
    if (refused !== 0 && refused !== Drop['no-route']) return refused
    return this.#set(ZONE_LAN, packet.source, destination, port)
  }

  /**
   * To whom an outside endpoint belongs.
   * @param source the address that the packet will carry; @param isFiltered only whom the mapping's filtering admits
   */
  #planToOwner(packet: Packet, source: number, destination: number, port: number, isFiltered: boolean): number {
    this.#sibling = -1
    if (this.#forwards.find(packet.protocol, destination, port, packet.source)) {
      return this.#set(ZONE_LAN, source, this.#forwards.address, this.#forwards.port)
    }
    if (packet.protocol === ipv4.PROTOCOL_ICMP) return Drop['to-gateway']
    if (isByAddress(packet.protocol)) return Drop['no-flow']
    const owner = this.#mappings.findOutside(destination, port, packet.protocol)
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
