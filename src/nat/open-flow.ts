/**
 * Opens a flow: has its outside endpoint chosen, writes both keys, makes them findable. All or nothing: a refusal leaves the table
 * as it was, and nothing that lives is ended for it here (RFC 6888 REQ-8; make-room.ts has the one exception).
 */
import { Drop } from '../drop.js'
import { isByAddress, type Packet, WHOLE } from '../stack/parse.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as sctp from '../stack/wire/sctp.js'
import * as tcp from '../stack/wire/tcp.js'
import { BEHAVIOUR_MASK, SHARED, UNTRANSLATED } from './behaviour.js'
import type { AskedPorts, EndpointChooser } from './choose-endpoint.js'
import { type FlowTable, FLOW_OPENED, FLOW_WORDS, SIDE_DESTINATION, SIDE_PORTS, SIDE_WORDS } from './flow-table.js'
import type { Mappings } from './mappings.js'
import { below, type RandomSource } from '../stack/random.js'
import { firstEvents, KIND_ACK, kindOf, PICKED_UP } from './tcp-state.js'
import { CLASS_GENERIC, CLASS_GRE, CLASS_ICMP, CLASS_SCTP, CLASS_TCP_SYN_SENT, CLASS_TCP_UNACKNOWLEDGED, CLASS_UDP } from './timeouts.js'
import { storeDeltas } from './translate.js'

/** Nobody can be answered at source port 0, which means "none" (RFC 768). */
const hasSourcePort = (packet: Packet): boolean => packet.ports >>> 16 !== 0

const isPlain = (flags: number): boolean => kindOf(flags) === KIND_ACK

const isFirstSyn = (flags: number): boolean => (flags & (tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN)) === tcp.SYN

/** INIT comes alone (RFC 9260 3.3.2), so it is never in pieces. */
const isInit = (packet: Packet): boolean => packet.chunkType === sctp.INIT && packet.fragment === WHOLE

/**
 * 0, or why no flow may start with this packet, which is not a later fragment.
 * @param passOthers protocols that tsnat does not know may pass. AH may not: it authenticates the addresses (RFC 4302 3.3.3.1).
 * @param pickup a TCP segment may, that is neither SYN, FIN nor RST: its connection is older than its flow
 */
export const openerDrop = (packet: Packet, passOthers = false, pickup = false): number => {
  switch (packet.protocol) {
    case ipv4.PROTOCOL_UDP:
    case ipv4.PROTOCOL_UDPLITE:
      return hasSourcePort(packet) ? 0 : Drop['not-a-flow-opener']
    case ipv4.PROTOCOL_TCP:
      return (isFirstSyn(packet.tcpFlags) || (pickup && isPlain(packet.tcpFlags))) && hasSourcePort(packet) ? 0 : Drop['not-a-flow-opener']
    case ipv4.PROTOCOL_ICMP:
      return icmp4.isRequest(packet.icmpType) ? 0 : packet.ports === 0 ? Drop['icmp-refused'] : Drop['not-a-flow-opener']
    case ipv4.PROTOCOL_SCTP:
      return isInit(packet) && hasSourcePort(packet) ? 0 : Drop['not-a-flow-opener']
    case ipv4.PROTOCOL_GRE:
    case ipv4.PROTOCOL_ESP:
      return 0
    case ipv4.PROTOCOL_AH:
      return Drop['protocol-refused']
    default:
      return passOthers ? 0 : Drop['protocol-refused']
  }
}

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
  readonly chooser: EndpointChooser
  readonly random: RandomSource
}

/** Draws of another source port for a flow from outside whose reply key is taken. */
const CLASH_DRAWS = 64

export class FlowOpener {
  readonly #table: FlowTable
  readonly #mappings: Mappings
  readonly #chooser: EndpointChooser
  readonly #random: RandomSource

  constructor(parts: FlowOpenerParts) {
    this.#table = parts.table
    this.#mappings = parts.mappings
    this.#chooser = parts.chooser
    this.#random = parts.random
  }

  /**
   * Opens the flow of `packet` from inside, not yet counting it (`track` does), for which `openerDrop` returned 0. The inside
   * endpoint keeps its outside endpoint where the behaviour says so, whatever source address `rewrite` has; otherwise a port is chosen.
   * @param behaviour packed, behaviour.ts; @param now seconds
   * @returns the original side, or -(drop code)
   */
  openFromInside(packet: Packet, zone: number, rewrite: Rewrite, behaviour: number, now: number): number {
    const isExclusive = behaviour < SHARED
    const sibling = isExclusive
      ? this.#mappings.findInside(packet.source, packet.destination, packet.ports, packet.protocol | (zone << 8), behaviour & 3, rewrite.egress)
      : -1
    const isChosen = sibling < 0 && behaviour !== UNTRANSLATED
    const flow = this.#table.take()
    if (flow < 0) return -Drop['table-full']
    if (sibling >= 0) rewrite.source = this.#addressOf(sibling)
    let port = sibling >= 0 ? this.#portOf(sibling) : isChosen ? this.#chooser.choose(packet, zone, rewrite, behaviour, now) : packet.ports >>> 16
    if (!isChosen && this.#chooser.isTaken(packet, rewrite, port)) port = -Drop['ports-exhausted']
    if (port < 0) {
      this.#table.giveBack(flow)
      return port
    }
    this.#commit(flow, packet, zone, rewrite, port, now)
    if (isChosen) this.#chooser.begin(flow, packet.source, rewrite.source, port)
    if (isExclusive) this.#mappings.add(flow, sibling, behaviour & BEHAVIOUR_MASK, false)
    return flow * 2
  }

  /**
   * Opens the flow of `packet` from outside to the inside endpoint in `rewrite`; its source stays as it is, unless the inside
   * endpoint knows that remote by another way: then it sees another port of its. With `sibling` it belongs to that flow's mapping.
   * @returns the original side, or -(drop code)
   */
  openFromOutside(packet: Packet, zone: number, rewrite: Rewrite, sibling: number, now: number): number {
    const table = this.#table
    const flow = table.take()
    if (flow < 0) return -Drop['table-full']
    const port = this.#remotePort(packet, rewrite)
    if (port < 0) {
      table.giveBack(flow)
      return -Drop['ports-exhausted']
    }
    this.#commit(flow, packet, zone, rewrite, port, now)
    if (sibling >= 0) this.#mappings.add(flow, sibling, this.#mappings.behaviourOf(sibling), true)
    return flow * 2
  }

  /**
   * Opens the flow of `packet` as rules say: to the destination in `rewrite`, from the source there.
   * @param asked ports that it may have; null: its own, if no other flow is known by it
   * @returns the original side, or -(drop code)
   */
  openByRules(packet: Packet, zone: number, rewrite: Rewrite, asked: AskedPorts | null, now: number): number {
    const table = this.#table
    const flow = table.take()
    if (flow < 0) return -Drop['table-full']
    const port = asked === null ? this.#remotePort(packet, rewrite) : this.#chooser.chooseAsked(packet, rewrite, asked, now)
    if (port < 0) {
      table.giveBack(flow)
      return -Drop['ports-exhausted']
    }
    this.#commit(flow, packet, zone, rewrite, port, now)
    return flow * 2
  }

  /** The port of the remote as the inside sees it, or that of a source that stays: its own; when its reply key is taken, another one of its class; or -1. */
  #remotePort(packet: Packet, rewrite: Rewrite): number {
    const own = packet.ports >>> 16
    if (!this.#chooser.isTaken(packet, rewrite, own)) return own
    if (isByAddress(packet.protocol)) return -1
    const [first, size] = own < 1024 ? [1, 1023] : [1024, 64512]
    for (let draw = 0; draw < CLASH_DRAWS; draw++) {
      const port = first + below(this.#random, size)
      if (!this.#chooser.isTaken(packet, rewrite, port)) return port
    }
    return -1
  }

  #addressOf(sibling: number): number {
    const side = this.#mappings.insideSide(sibling) ^ 1
    return this.#table.sides[side * SIDE_WORDS + SIDE_DESTINATION]!
  }

  #portOf(sibling: number): number {
    const side = this.#mappings.insideSide(sibling) ^ 1
    return this.#table.sides[side * SIDE_WORDS + SIDE_PORTS]! & 0xffff
  }

  #commit(flow: number, packet: Packet, zone: number, rewrite: Rewrite, port: number, now: number): void {
    const table = this.#table
    const { protocol } = packet
    const { egress, source, destination, destinationPort } = rewrite
    table.setKey(flow * 2, packet.source, packet.destination, packet.ports, protocol | (zone << 8) | (egress << 16))
    table.setKey(flow * 2 + 1, destination, source, (destinationPort << 16) | port, protocol | (egress << 8) | (zone << 16))
    storeDeltas(table, flow, protocol)
    const isTcp = protocol === ipv4.PROTOCOL_TCP
    const isPickedUp = isTcp && isPlain(packet.tcpFlags)
    table.open(flow, isPickedUp ? CLASS_TCP_UNACKNOWLEDGED : openingClass(protocol), now)
    if (isTcp) table.setEvents(flow, isPickedUp ? PICKED_UP : firstEvents(0))
    else table.flows[flow * FLOW_WORDS + FLOW_OPENED] = now
  }
}

const openingClass = (protocol: number): number => {
  switch (protocol) {
    case ipv4.PROTOCOL_TCP:
      return CLASS_TCP_SYN_SENT
    case ipv4.PROTOCOL_UDP:
    case ipv4.PROTOCOL_UDPLITE:
      return CLASS_UDP
    case ipv4.PROTOCOL_ICMP:
      return CLASS_ICMP
    case ipv4.PROTOCOL_SCTP:
      return CLASS_SCTP
    case ipv4.PROTOCOL_GRE:
      return CLASS_GRE
    default:
      return CLASS_GENERIC
  }
}
