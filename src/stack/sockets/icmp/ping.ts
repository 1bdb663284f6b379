/** ICMP echo sockets, as Linux's IPPROTO_ICMP datagram sockets: the identifier is what a port is to UDP. */
import type { Slab } from '../../batch.js'
import type { Packet } from '../../parse.js'
import * as checksum from '../../wire/checksum.js'
import * as icmp4 from '../../wire/icmp4.js'
import * as ipv4 from '../../wire/ipv4.js'
import { DatagramEndpoint } from '../datagram-endpoint.js'
import { DatagramProtocol } from '../datagram-protocol.js'
import type { DatagramHost, DatagramOptions } from '../datagram.js'
import { type Arrival, NO_SOCKET } from '../network.js'
import type { QuotedError } from '../quoted-error.js'
import { socketError } from '../socket-error.js'
import { meaningOf } from './errno.js'
import type { Icmp } from './icmp.js'

const { PROTOCOL_ICMP } = ipv4
const LOOPBACK = 0x7f000001

/** What became of an echo request that is not answered. */
export interface PingFailure {
  /** Whom it was sent to, int32. */
  readonly address: number
  readonly sequence: number
  /** Who says so, int32; 0 for this host. */
  readonly from: number
  /** Of the ICMP error; -1 when there was none. */
  readonly type: number
  readonly code: number
}

export class PingEndpoint extends DatagramEndpoint {
  /** Told of each error about what was sent, whether connected or not. Datagrams read are echo replies, their `port` is the sequence number. */
  onFailure: (error: NodeJS.ErrnoException, failure: PingFailure) => void = () => {}

  constructor(protocol: DatagramProtocol<DatagramEndpoint>, options: DatagramOptions) {
    super(protocol, options)
  }

  /**
   * Sends an echo request, to the remote end when no other is given.
   * @param sequence 0-65535
   * @returns null, or why it was not sent, as UdpEndpoint.send does
   */
  send(data: Uint8Array, sequence: number, address: number = this.remoteAddress): string | null {
    if (address === 0 && !this.isConnected) return 'EDESTADDRREQ'
    const to = address === 0 ? LOOPBACK : address
    const refusal = this.prepare(data.length, to)
    if (refusal !== null) return refusal
    const at = this.begin(to, data.length)
    if (at < 0) return 'EAGAIN'
    this.keep(data, to, 0, sequence)
    const { network } = this.host
    const { bytes, view } = network.slab
    const message = at + ipv4.HEADER_MIN
    const length = icmp4.ERROR_HEADER + data.length
    icmp4.setType(view, message, icmp4.ECHO_REQUEST)
    icmp4.setCode(view, message, 0)
    icmp4.setChecksum(view, message, 0)
    icmp4.setIdentifier(view, message, this.localPort)
    icmp4.setSequence(view, message, sequence)
    bytes.set(data, message + icmp4.ERROR_HEADER)
    icmp4.setChecksum(view, message, checksum.finish(checksum.sum(bytes, message, length, 0)))
    network.send(at, ipv4.HEADER_MIN + length, this.row)
    return null
  }

  override icmpError(error: QuotedError): void {
    super.icmpError(error)
    const { type, code, from, remoteAddress } = error
    const meaning = socketError(meaningOf(type, code).code, 'recvmsg', remoteAddress)
    if (!this.isClosed) this.onFailure(meaning, { address: remoteAddress, sequence: error.sequence & 0xffff, from, type, code })
  }

  protected sendAgain(data: Uint8Array, address: number, _port: number, sequence: number): void {
    this.send(data, sequence, address)
  }
}

export class Ping extends DatagramProtocol<PingEndpoint> {
  readonly counters = { received: 0, noSocket: 0 }

  constructor(host: DatagramHost, icmp: Icmp) {
    super(host, PROTOCOL_ICMP)
    icmp.handleEchoReplies((slab, packet, arrival) => this.#receive(slab, packet, arrival))
    icmp.handleErrors(PROTOCOL_ICMP, (error, iface) => {
      this.at(this.#find(error.remoteAddress, error.localAddress, error.localPort, iface))?.icmpError(error)
    })
  }

  /** A socket that is neither bound nor connected. */
  open(options: DatagramOptions = {}): PingEndpoint {
    return new PingEndpoint(this, options)
  }

  #find(remote: number, local: number, identifier: number, iface: number): number {
    return this.host.table.find(PROTOCOL_ICMP, remote, 0, local, identifier, iface, 0)
  }

  #receive({ bytes, view }: Slab, packet: Packet, arrival: Arrival): void {
    const { at, transport, source, destination, ttl, length, headerLength } = packet
    const row = this.#find(source, destination, icmp4.identifier(view, transport), arrival.interface)
    const endpoint = row === NO_SOCKET ? undefined : this.at(row)
    if (endpoint === undefined) {
      this.counters.noSocket++
      return
    }
    this.counters.received++
    endpoint.push({
      data: bytes.slice(transport + icmp4.ERROR_HEADER, transport + length - headerLength), address: source, port: icmp4.sequence(view, transport),
      localAddress: destination, originalDestination: null, tos: ipv4.tos(view, at), ttl, interface: arrival.interface, mark: arrival.mark,
    })
  }
}
