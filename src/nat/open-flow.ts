/**
 * Opens a flow: chooses the external port, writes both keys, makes them findable. All or nothing: a refusal leaves the table
 * as it was, and nothing that lives is ever evicted to make room (RFC 6888 REQ-8).
 */
import { Drop } from '../drop.js'
import type { Packet } from '../stack/parse.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'
import { SHARED } from './behaviour.js'
import { type FlowTable, FLOW_OPENED, FLOW_WORDS, SIDE_DESTINATION, SIDE_PORTS, SIDE_WORDS } from './flow-table.js'
import type { Forwards } from './forwards.js'
import type { Mappings } from './mappings.js'
import type { PortHold } from './port-hold.js'
import { isLowerClass, type PortPool } from './port-pool.js'
import type { RandomSource } from './random.js'
import { firstEvents, KIND_ACK, kindOf, PICKED_UP } from './tcp-state.js'
import { CLASS_ICMP, CLASS_TCP_SYN_SENT, CLASS_TCP_UNACKNOWLEDGED, CLASS_UDP } from './timeouts.js'
import { storeDeltas } from './translate.js'

/** Nobody can be answered at source port 0, which means "none" (RFC 768). */
const hasSourcePort = (packet: Packet): boolean => packet.ports >>> 16 !== 0

const isPlain = (flags: number): boolean => kindOf(flags) === KIND_ACK

const isFirstSyn = (flags: number): boolean => (flags & (tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN)) === tcp.SYN

/**
 * 0, or why no flow may start with this packet, which is not a later fragment.
 * @param pickup a TCP segment may, that is neither SYN, FIN nor RST: its connection is older than its flow
 */
export const openerDrop = (packet: Packet, pickup = false): number => {
  switch (packet.protocol) {
    case ipv4.PROTOCOL_UDP:
      return hasSourcePort(packet) ? 0 : Drop['not-a-flow-opener']
    case ipv4.PROTOCOL_TCP:
      return (isFirstSyn(packet.tcpFlags) || (pickup && isPlain(packet.tcpFlags))) && hasSourcePort(packet) ? 0 : Drop['not-a-flow-opener']
    case ipv4.PROTOCOL_ICMP:
      return icmp4.isRequest(packet.icmpType) ? 0 : packet.ports === 0 ? Drop['icmp-refused'] : Drop['not-a-flow-opener']
    default:
      return Drop['protocol-refused']
  }
}

/** Remotes found without a free port of a class in this second are not searched again: a search of a full class costs too much to be asked for at will. */
const EXHAUSTED_SLOTS = 256

/** What a packet of a new flow becomes, but for its source port. */
export interface Rewrite {
  /** Zone that it leaves by, where its replies arrive. */
  egress: number
  /** Address that replaces its source. */
  source: number
  /** Address and port (ICMP: type) that replace its destination; its own where nothing changes. */
  destination: number
  destinationPort: number
}

export interface FlowOpenerParts {
  readonly table: FlowTable
  readonly mappings: Mappings
  /** External TCP and UDP ports, and ICMP query identifiers. */
  readonly ports: PortPool
  readonly forwards: Forwards
  readonly hold: PortHold
  /**
   * Use an ICMP identifier unchanged where it is free. Not where the host's kernel has the address too: a reply to a ping of
   * the host itself that went through here would reach it twice.
   */
  readonly keepIdentifiers: boolean
  readonly random: RandomSource
}

export class FlowOpener {
  readonly #table: FlowTable
  readonly #mappings: Mappings
  readonly #ports: PortPool
  readonly #keepIdentifiers: boolean
  readonly #forwards: Forwards
  readonly #hold: PortHold
  readonly #random: RandomSource
  readonly #exhaustedKeys = new Int32Array(EXHAUSTED_SLOTS)
  readonly #exhaustedAt = new Int32Array(EXHAUSTED_SLOTS).fill(-1)
  // The flow under construction, for #isFree.
  #packet!: Packet
  #rewrite!: Rewrite
  #behaviour = 0
  #now = 0
  /** An outside port is free for an exclusive mapping when no mapping has it and it does not rest; and always only when the reply key is. */
  readonly #isFree = (port: number): boolean => {
    const { source } = this.#rewrite
    const { protocol, source: inside, ports } = this.#packet
    if (this.#mappings.findOutside(source, port, protocol) >= 0 || this.#forwards.has(protocol, source, port)) return false
    if (this.#behaviour !== SHARED && !this.#hold.isFree(source, protocol, port, inside, ports >>> 16, this.#now)) return false
    return !this.#isTaken(port)
  }

  constructor(parts: FlowOpenerParts) {
    this.#table = parts.table
    this.#mappings = parts.mappings
    this.#ports = parts.ports
    this.#keepIdentifiers = parts.keepIdentifiers
    this.#forwards = parts.forwards
    this.#hold = parts.hold
    this.#random = parts.random
  }

  /**
   * Opens the flow of `packet` from inside, not yet counting it (`track` does), for which `openerDrop` returned 0. The inside
   * endpoint keeps its outside endpoint where the behaviour says so, whatever source address `rewrite` has; otherwise a port is chosen.
   * @param behaviour packed, behaviour.ts; @param now seconds
   * @returns the original side, or -(drop code)
   */
  openFromInside(packet: Packet, zone: number, rewrite: Rewrite, behaviour: number, now: number): number {
    const sibling = behaviour === SHARED
      ? -1
      : this.#mappings.findInside(packet.source, packet.destination, packet.ports, packet.protocol | (zone << 8), behaviour & 3)
    this.#packet = packet
    this.#rewrite = rewrite
    this.#behaviour = behaviour
    this.#now = now
    const flow = this.#table.take()
    if (flow < 0) return -Drop['table-full']
    if (sibling >= 0) rewrite.source = this.#addressOf(sibling)
    const port = sibling < 0 ? this.#choose() : this.#portOf(sibling)
    if (port < 0 || (sibling >= 0 && this.#isTaken(port))) {
      this.#table.giveBack(flow)
      return -Drop['ports-exhausted']
    }
    this.#commit(flow, packet, zone, rewrite, port)
    if (behaviour !== SHARED) this.#mappings.add(flow, sibling, behaviour, false)
    return flow * 2
  }

  /**
   * Opens the flow of `packet` from outside to the inside endpoint in `rewrite`; its source stays as it is. With `sibling`
   * it belongs to that flow's mapping.
   * @returns the original side, or -(drop code)
   */
  openFromOutside(packet: Packet, zone: number, rewrite: Rewrite, sibling: number, now: number): number {
    this.#now = now
    const table = this.#table
    const flow = table.take()
    if (flow < 0) return -Drop['table-full']
    const port = packet.ports >>> 16
    if (table.find(rewrite.destination, rewrite.source, (rewrite.destinationPort << 16) | port, packet.protocol | (rewrite.egress << 8)) >= 0) {
      table.giveBack(flow)
      return -Drop['ports-exhausted']
    }
    this.#commit(flow, packet, zone, rewrite, port)
    if (sibling >= 0) this.#mappings.add(flow, sibling, this.#mappings.behaviourOf(sibling), true)
    return flow * 2
  }

  /** Whether the reply key of the flow under construction is another flow's. */
  #isTaken(port: number): boolean {
    const { source, destination, destinationPort, egress } = this.#rewrite
    return this.#table.find(destination, source, (destinationPort << 16) | port, this.#packet.protocol | (egress << 8)) >= 0
  }

  #addressOf(sibling: number): number {
    const side = this.#mappings.insideSide(sibling) ^ 1
    return this.#table.sides[side * SIDE_WORDS + SIDE_DESTINATION]!
  }

  #portOf(sibling: number): number {
    const side = this.#mappings.insideSide(sibling) ^ 1
    return this.#table.sides[side * SIDE_WORDS + SIDE_PORTS]! & 0xffff
  }

  #commit(flow: number, packet: Packet, zone: number, rewrite: Rewrite, port: number): void {
    const table = this.#table
    const { protocol } = packet
    const { egress, source, destination, destinationPort } = rewrite
    table.setKey(flow * 2, packet.source, packet.destination, packet.ports, protocol | (zone << 8) | (egress << 16))
    table.setKey(flow * 2 + 1, destination, source, (destinationPort << 16) | port, protocol | (egress << 8) | (zone << 16))
    storeDeltas(table, flow, protocol)
    const isTcp = protocol === ipv4.PROTOCOL_TCP
    const isPickedUp = isTcp && isPlain(packet.tcpFlags)
    table.open(flow, isPickedUp ? CLASS_TCP_UNACKNOWLEDGED : openingClass(protocol), this.#now)
    if (isTcp) table.setEvents(flow, isPickedUp ? PICKED_UP : firstEvents(0))
    else table.flows[flow * FLOW_WORDS + FLOW_OPENED] = this.#now
  }

  #choose(): number {
    const { protocol, ports } = this.#packet
    // The port or identifier to keep if that can be; 0 for none.
    const inside = protocol === ipv4.PROTOCOL_ICMP && !this.#keepIdentifiers ? 0 : ports >>> 16
    const { destination, destinationPort, source } = this.#rewrite
    // An exclusive port is taken towards every remote; a shared one only towards this.
    const remote = this.#behaviour === SHARED ? Math.imul(destination, 0x9e3779b1) ^ Math.imul(destinationPort << 16, 0x85ebca6b) : 1
    const key = remote ^ Math.imul(protocol ^ (isLowerClass(inside) ? 0x8000 : 0), 0x85ebca6b) ^ source
    const slot = (Math.imul(key, 0x9e3779b1) >>> 24) % EXHAUSTED_SLOTS
    const known = this.#exhaustedAt[slot] === this.#now && this.#exhaustedKeys[slot] === key
    if (known) return this.#ports.has(inside) && this.#isFree(inside) ? inside : -1
    const port = this.#ports.choose(inside, this.#random, this.#isFree)
    if (port < 0) {
      this.#exhaustedKeys[slot] = key
      this.#exhaustedAt[slot] = this.#now
    }
    return port
  }
}

const openingClass = (protocol: number): number =>
  protocol === ipv4.PROTOCOL_ICMP ? CLASS_ICMP : protocol === ipv4.PROTOCOL_TCP ? CLASS_TCP_SYN_SENT : CLASS_UDP
