/**
 * UDP of a stack (RFC 768, RFC 1122 4.1): finds the socket of each datagram, and tells who sends to none.
 *
 * Superpackets are taken apart into the datagrams that they were made of. A datagram to a broadcast address goes to all sockets that
 * would take it.
 */
import type { Slab } from '../../batch.js'
import type { Packet } from '../../parse.js'
import { segmentType } from '../../segment.js'
import * as ipv4 from '../../wire/ipv4.js'
import * as udp from '../../wire/udp.js'
import * as vnet from '../../wire/vnet.js'
import { DatagramProtocol } from '../datagram-protocol.js'
import type { DatagramHost, DatagramOptions } from '../datagram.js'
import type { Icmp } from '../icmp/icmp.js'
import { type Arrival, NO_SOCKET } from '../network.js'
import type { QuotedError } from '../quoted-error.js'
import { UdpEndpoint } from './endpoint.js'

const { PROTOCOL_UDP } = ipv4
/** Sockets that one broadcast is given to, at most. */
const FAN_OUT = 64

const isMulticast = (address: number): boolean => address >>> 28 === 14
/** Nobody sends from there. */
const isNoSource = (address: number): boolean => address >>> 29 === 7

export class Udp extends DatagramProtocol<UdpEndpoint> {
  readonly #icmp: Icmp
  readonly #rows = new Int32Array(FAN_OUT)
  readonly counters = { received: 0, noSocket: 0 }

  constructor(host: DatagramHost, icmp: Icmp) {
    super(host, PROTOCOL_UDP)
    this.#icmp = icmp
    icmp.handleErrors(PROTOCOL_UDP, (error, iface) => this.#receiveError(error, iface))
  }

  /** A socket that is neither bound nor connected. */
  open(options: DatagramOptions = {}): UdpEndpoint {
    return new UdpEndpoint(this, options)
  }

  /** A UDP packet, as `parse` has accepted it, no fragment; its checksum is right. */
  receive(slab: Slab, packet: Packet, arrival: Arrival): void {
    if (isNoSource(packet.source)) return
    const { network, table } = this.host
    const { source, destination, ports } = packet
    if (isMulticast(destination) || network.isBroadcast(destination)) {
      const count = table.findAll(PROTOCOL_UDP, source, ports >>> 16, destination, ports & 0xffff, arrival.interface, this.#rows)
      for (let index = 0; index < count; index++) this.#deliver(this.#rows[index]!, slab, packet, arrival)
      return
    }
    const row = this.has(arrival.socket) ? arrival.socket : this.#find(source, ports >>> 16, destination, ports & 0xffff, arrival.interface)
    if (row === NO_SOCKET) {
      this.counters.noSocket++
      this.#icmp.portUnreachable(slab, packet)
    } else this.#deliver(row, slab, packet, arrival)
  }

  #find(remote: number, remotePort: number, local: number, localPort: number, iface: number): number {
    const { table } = this.host
    return table.find(PROTOCOL_UDP, remote, remotePort, local, localPort, iface, table.flowHash(remote, remotePort, local, localPort))
  }

  #deliver(row: number, { bytes, view }: Slab, packet: Packet, arrival: Arrival): void {
    const endpoint = this.at(row)
    if (endpoint === undefined) return
    const { at, transport, source, destination, ports, ttl } = packet
    const end = transport + udp.length(view, transport)
    const start = transport + udp.HEADER
    // parse has made sure that a superpacket has a size.
    const size = segmentType(view, at) === vnet.GSO_UDP_L4 ? vnet.gsoSize(view, at - vnet.LENGTH) : end - start
    const originalDestination =
      arrival.originalPort >= 0 ? { address: arrival.originalAddress, port: arrival.originalPort }
      : endpoint.isTransparent ? { address: destination, port: ports & 0xffff }
      : null
    let from = start
    do {
      const to = Math.min(from + size, end)
      this.counters.received++
      endpoint.push({
        data: bytes.slice(from, to), address: source, port: ports >>> 16, localAddress: destination, originalDestination,
        tos: ipv4.tos(view, at), ttl, interface: arrival.interface, mark: arrival.mark,
      })
      from = to
    } while (from < end)
  }

  #receiveError(error: QuotedError, iface: number): void {
    const row = this.#find(error.remoteAddress, error.remotePort, error.localAddress, error.localPort, iface)
    this.at(row)?.icmpError(error)
  }
}
