/** A UDP socket as its user sees it, without Node's shape: that is put on top of it (node/udp-socket.ts). */
import * as checksum from '../../wire/checksum.js'
import * as ipv4 from '../../wire/ipv4.js'
import * as udp from '../../wire/udp.js'
import * as vnet from '../../wire/vnet.js'
import { DatagramEndpoint } from '../datagram-endpoint.js'
import type { DatagramProtocol } from '../datagram-protocol.js'
import type { DatagramOptions } from '../datagram.js'

const LOOPBACK = 0x7f000001

export class UdpEndpoint extends DatagramEndpoint {
  constructor(protocol: DatagramProtocol<DatagramEndpoint>, options: DatagramOptions) {
    super(protocol, options)
  }

  /**
   * Sends a datagram, to the remote end when no other is given.
   * @returns null, or why it was not sent: EMSGSIZE, EACCES (a broadcast address), EDESTADDRREQ, EINVAL (port 0), EADDRINUSE or ENOBUFS (there is
   * no port for the socket), EBADF (closed), EAGAIN (the queue is full; `onDrain` follows)
   */
  send(data: Uint8Array, address: number = this.remoteAddress, port: number = this.remotePort): string | null {
    if (port === 0) return this.isConnected || address !== 0 ? 'EINVAL' : 'EDESTADDRREQ'
    const to = address === 0 ? LOOPBACK : address
    const refusal = this.prepare(data.length, to)
    if (refusal !== null) return refusal
    const at = this.begin(to, data.length)
    if (at < 0) return 'EAGAIN'
    this.keep(data, to, port, 0)
    const { network } = this.host
    const { bytes, view } = network.slab
    const transport = at + ipv4.HEADER_MIN
    const length = udp.HEADER + data.length
    udp.setSourcePort(view, transport, this.localPort)
    udp.setDestinationPort(view, transport, port)
    udp.setLength(view, transport, length)
    udp.setChecksum(view, transport, checksum.pseudoHeader(this.localAddress, to, ipv4.PROTOCOL_UDP, length))
    bytes.set(data, transport + udp.HEADER)
    const header = at - vnet.LENGTH
    vnet.setFlags(view, header, vnet.F_NEEDS_CSUM)
    vnet.setChecksumStart(view, header, ipv4.HEADER_MIN)
    vnet.setChecksumOffset(view, header, udp.CHECKSUM_OFFSET)
    network.send(at, ipv4.HEADER_MIN + length, this.row)
    return null
  }

  protected sendAgain(data: Uint8Array, address: number, port: number): void {
    this.send(data, address, port)
  }
}
