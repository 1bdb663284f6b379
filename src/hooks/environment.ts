/**
 * Answers what rules ask beyond the fields of a packet: of addresses, of flows, of TCP options. The packet that is asked about must be
 * named by `look` before its rules are evaluated.
 */
import type { FlowTable } from '../nat/flow-table.js'
import { CLOSE, stateOf, TIME_WAIT } from '../nat/tcp-state.js'
import type { Environment } from '../policy/engine/environment.js'
import type { OwnSockets } from '../own-sockets.js'
import type { PacketMeta } from '../policy/engine/index.js'
import type { PlaneParts } from '../policy-plane.js'
import { LATER_FRAGMENT, type Packet } from '../stack/parse.js'
import { NO_SOCKET } from '../stack/sockets/network.js'
import { PROTOCOL_ICMP, PROTOCOL_TCP } from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'

export interface HookEnvironmentOptions {
  readonly parts: PlaneParts
  readonly view: DataView
  readonly table: FlowTable
  readonly clock: { readonly now: number }
  readonly random: { next(): number }
  /** Zones that packets come from: 0 … zones - 1. */
  readonly zones: number
  /** The gateway's own; null: it has none. */
  readonly sockets: OwnSockets | null
}

const MSS_OPTION_LENGTH = 4

/** The ports of a flow's key (`Packet.ports`) from conntrack's, which of an ICMP query are its identifier, and its type and code. */
const keyPorts = (ports: number, protocol: number): number =>
  protocol === PROTOCOL_ICMP ? (ports & ~0xffff) | ((ports >>> 8) & 0xff) : ports

export class HookEnvironment implements Environment {
  readonly clock
  readonly random
  readonly sets
  readonly interfaces
  readonly setNumber
  wallOffset = 0
  zoneSeconds = 0
  readonly #router
  readonly #view: DataView
  readonly #table: FlowTable
  readonly #zones: number
  readonly #sockets: OwnSockets | null
  #packet: Packet | null = null

  constructor({ parts, view, table, clock, random, zones, sockets }: HookEnvironmentOptions) {
    this.clock = clock
    this.random = random
    this.sets = parts.sets
    this.interfaces = parts.sets.interfaces
    this.setNumber = parts.setNumber
    this.#router = parts.router
    this.#view = view
    this.#table = table
    this.#zones = zones
    this.#sockets = sockets
  }

  /** The packet that questions are about from now on; it is not copied. */
  look(packet: Packet): void {
    this.#packet = packet
  }

  addressType(address: number, interfaceNumber: number): number {
    return this.#router.addressType(address, interfaceNumber)
  }

  isConnected(source: number, destination: number, ports: number, protocol: number): boolean {
    const table = this.#table
    const key = keyPorts(ports, protocol)
    for (let zone = 0; zone < this.#zones; zone++) {
      const side = table.find(source, destination, key, protocol | (zone << 8))
      if (side < 0 || (side & 1) !== 0) continue
      if (protocol !== PROTOCOL_TCP) return true
      const state = stateOf(table.eventsOf(side >> 1))
      return state !== TIME_WAIT && state !== CLOSE
    }
    return false
  }

  findSocket(meta: PacketMeta, assigned: number, transparent: boolean, noWildcard: boolean): number {
    const packet = this.#packet
    return this.#sockets === null || packet === null ? NO_SOCKET : this.#sockets.match(packet, meta, assigned, transparent, noWildcard)
  }

  markOfSocket(row: number): number {
    return this.#sockets === null ? -1 : this.#sockets.markOf(row)
  }

  findProxy(meta: PacketMeta, address: number, port: number): number {
    return this.#sockets === null ? NO_SOCKET : this.#sockets.findProxy(meta, address, port)
  }

  hasTcpOption(_: unknown, option: number): boolean {
    return this.#findOption(option) >= 0
  }

  tcpMss(): number {
    const at = this.#findOption(tcp.OPTION_MSS)
    return at < 0 || tcp.optionLength(this.#view, at) !== MSS_OPTION_LENGTH ? -1 : this.#view.getUint16(at + 2)
  }

  /** The address of a TCP option of the packet, -1 when it has none. */
  #findOption(option: number): number {
    const packet = this.#packet
    if (packet === null || packet.protocol !== PROTOCOL_TCP || packet.fragment === LATER_FRAGMENT) return -1
    const bytes = tcp.headerLength(this.#view, packet.transport)
    if (packet.transport + bytes > packet.at + packet.length) return -1
    return tcp.findOption(this.#view, packet.transport, bytes, option)
  }
}
