/**
 * Opens a flow: chooses the external port, writes both keys, makes them findable. All or nothing: a refusal leaves the table
 * as it was, and nothing that lives is ever evicted to make room (RFC 6888 REQ-8).
 */
import { Drop } from '../drop.js'
import type { Packet } from '../stack/parse.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'
import type { FlowTable } from './flow-table.js'
import { isLowerClass, type PortPool } from './port-pool.js'
import type { RandomSource } from './random.js'
import { advance } from './tcp-state.js'
import { CLASS_ICMP, CLASS_TCP_OPENING, CLASS_UDP_UNREPLIED } from './timeouts.js'
import { storeDeltas } from './translate.js'

/** Nobody can be answered at source port 0, which means "none" (RFC 768). */
const hasSourcePort = (packet: Packet): boolean => packet.ports >>> 16 !== 0

const isFirstSyn = (flags: number): boolean => (flags & (tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN)) === tcp.SYN

/** 0, or why no flow may start with this packet, which is not a later fragment. */
export const openerDrop = (packet: Packet): number => {
  switch (packet.protocol) {
    case ipv4.PROTOCOL_UDP:
      return hasSourcePort(packet) ? 0 : Drop['not-a-flow-opener']
    case ipv4.PROTOCOL_TCP:
      return isFirstSyn(packet.tcpFlags) && hasSourcePort(packet) ? 0 : Drop['not-a-flow-opener']
    case ipv4.PROTOCOL_ICMP:
      return icmp4.isRequest(packet.icmpType) ? 0 : packet.ports === 0 ? Drop['icmp-refused'] : Drop['not-a-flow-opener']
    default:
      return Drop['protocol-refused']
  }
}

/** Remotes found without a free port of a class in this second are not searched again: a search of a full class costs too much to be asked for at will. */
const EXHAUSTED_SLOTS = 256

export class FlowOpener {
  readonly #table: FlowTable
  readonly #ports: PortPool
  readonly #keepIdentifiers: boolean
  readonly #random: RandomSource
  readonly #exhaustedKeys = new Int32Array(EXHAUSTED_SLOTS)
  readonly #exhaustedAt = new Int32Array(EXHAUSTED_SLOTS).fill(-1)
  // The reply key under construction, for #isFree.
  #remote = 0
  #external = 0
  #remotePort = 0
  #meta = 0
  #isFree = (port: number): boolean =>
    this.#table.find(this.#remote, this.#external, (this.#remotePort << 16) | port, this.#meta) < 0

  /**
   * @param ports external TCP and UDP ports, and ICMP query identifiers
   * @param keepIdentifiers use an identifier unchanged where it is free. Not where the host's kernel has the address too: a
   *   reply to a ping of the host itself that went through here would reach it twice
   */
  constructor(table: FlowTable, ports: PortPool, keepIdentifiers: boolean, random: RandomSource) {
    this.#table = table
    this.#ports = ports
    this.#keepIdentifiers = keepIdentifiers
    this.#random = random
  }

  /**
   * Opens the flow of `packet`, not yet counting it (`track` does), for which `openerDrop` returned 0, with source translation to `external`.
   * @param zone where the packet came from; @param egress the zone it leaves by, where replies arrive
   * @param now seconds
   * @returns the original side, or -(drop code)
   */
  open(packet: Packet, zone: number, egress: number, external: number, now: number): number {
    const table = this.#table
    const { protocol } = packet
    const isIcmp = protocol === ipv4.PROTOCOL_ICMP
    const inside = packet.ports >>> 16
    this.#remote = packet.destination
    this.#external = external
    this.#remotePort = packet.ports & 0xffff
    this.#meta = protocol | (egress << 8)

    const flow = table.take()
    if (flow < 0) return -Drop['table-full']
    const port = this.#choose(isIcmp && !this.#keepIdentifiers ? 0 : inside, now)
    if (port < 0) {
      table.giveBack(flow)
      return -Drop['ports-exhausted']
    }
    table.setKey(flow * 2, packet.source, packet.destination, packet.ports, protocol | (zone << 8) | (egress << 16))
    table.setKey(flow * 2 + 1, packet.destination, external, (this.#remotePort << 16) | port, this.#meta | (zone << 16))
    storeDeltas(table, flow, protocol)
    table.open(flow, isIcmp ? CLASS_ICMP : protocol === ipv4.PROTOCOL_TCP ? CLASS_TCP_OPENING : CLASS_UDP_UNREPLIED, now)
    if (protocol === ipv4.PROTOCOL_TCP) table.setEvents(flow, advance(0, packet.tcpFlags, 0))
    return flow * 2
  }

  /** @param inside the port or identifier to keep if that can be; 0 for none */
  #choose(inside: number, now: number): number {
    const kind = (this.#remotePort << 16) ^ this.#meta ^ (isLowerClass(inside) ? 0x8000 : 0)
    const remote = Math.imul(this.#remote, 0x9e3779b1) ^ Math.imul(kind, 0x85ebca6b) ^ this.#external
    const slot = (remote >>> 24) % EXHAUSTED_SLOTS
    const known = this.#exhaustedAt[slot] === now && this.#exhaustedKeys[slot] === remote
    if (known) return this.#ports.has(inside) && this.#isFree(inside) ? inside : -1
    const port = this.#ports.choose(inside, this.#random, this.#isFree)
    if (port < 0) {
      this.#exhaustedKeys[slot] = remote
      this.#exhaustedAt[slot] = now
    }
    return port
  }
}
