/**
 * Outside ports are shared by flows and by the gateway's own sockets: what the one has, the other does not get.
 *
 * A port that a socket is bound to, or listens on, is no flow's. A port of a connected socket is no flow's towards the same remote; that
 * of a flow is no socket's, neither towards the same remote nor, where it has a mapping or a forward, at all.
 */
import type { FlowTable } from './nat/flow-table.js'
import type { Forwards } from './nat/forwards.js'
import type { Mappings } from './nat/mappings.js'
import type { PortPool } from './nat/port-pool.js'
import { hasPorts, type Packet } from './stack/parse.js'
import type { PortRange } from './stack/port-range.js'
import type { SocketTable } from './stack/sockets/socket-table.js'
import * as ipv4 from './stack/wire/ipv4.js'

export interface OutsidePortsParts {
  readonly sockets: SocketTable
  readonly table: FlowTable
  readonly mappings: Mappings
  readonly forwards: Forwards
  /** Those that flows may have: on a shared address, all that no program of the host has. */
  readonly ports: PortPool
  /** From which sockets choose. Others they have because their programs said so. */
  readonly chosen: PortRange
}

export class OutsidePorts {
  readonly #parts: OutsidePortsParts

  constructor(parts: OutsidePortsParts) {
    this.#parts = parts
  }

  /** Whether a socket has the port, so that no flow to this remote can have it. Of ICMP, ports are identifiers. */
  isSockets(protocol: number, address: number, port: number, remote: number, remotePort: number): boolean {
    const { sockets } = this.#parts
    return sockets.count > 0 && sockets.find(protocol, remote, protocol === ipv4.PROTOCOL_ICMP ? 0 : remotePort, address, port, 0, 0) >= 0
  }

  /** Whether a flow, a mapping or a program of the host has the port that a socket's packet would leave with. @param zone that it leaves by */
  isFlows({ protocol, source, destination, ports }: Packet, zone: number): boolean {
    const { table, mappings, forwards, ports: usable, chosen: [first, last] } = this.#parts
    if (!hasPorts(protocol)) return false
    const port = ports >>> 16
    if (port >= first && port <= last && !usable.has(port)) return true
    const reply = (ports << 16) | port
    return mappings.findOutside(source, port, protocol) >= 0 || forwards.has(protocol, source, port) ||
      table.find(destination, source, reply, protocol | (zone << 8)) >= 0
  }
}
