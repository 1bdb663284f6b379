/**
 * The gateway's own sockets, as packets ask for them: by their own ends, by those of the packet that an ICMP error quotes, as TPROXY and
 * `-m socket` do it. The table is another thread's and changes meanwhile; what is found here is an opinion, and the stack looks again.
 */
import type { Clock } from './clock.js'
import type { FlowTable } from './nat/flow-table.js'
import { ZONE_SELF } from './nat/flow-table.js'
import { REPLY, type PacketMeta } from './policy/engine/index.js'
import { STATE } from './policy/model.js'
import type { RecentPeers } from './recent-peers.js'
import { hasPorts, LATER_FRAGMENT, type Packet, portsOf } from './stack/parse.js'
import { NO_SOCKET } from './stack/sockets/network.js'
import { SOCKET_FLAG, type SocketTable } from './stack/sockets/socket-table.js'
import * as icmp4 from './stack/wire/icmp4.js'
import * as ipv4 from './stack/wire/ipv4.js'
import * as tcp from './stack/wire/tcp.js'
import type { SocketWords } from './trace/steps.js'

/** Bytes of a quoted transport header that tell whose it is. */
const QUOTED_TRANSPORT = 8
const OPENING = tcp.SYN | tcp.RST | tcp.ACK | tcp.FIN

const turned = (ports: number): number => (ports << 16) | (ports >>> 16)
const isPureSyn = (flags: number): boolean => (flags & OPENING) === tcp.SYN

export interface OwnSocketsParts {
  readonly table: SocketTable
  readonly view: DataView
  readonly flows: FlowTable
  readonly peers: RecentPeers
  readonly clock: Clock
  /** The first address of an interface, by its number; 0 for none. */
  readonly firstAddress: (iface: number) => number
}

export class OwnSockets {
  readonly table: SocketTable
  readonly #view: DataView
  readonly #flows: FlowTable
  readonly #peers: RecentPeers
  readonly #clock: Clock
  readonly #firstAddress: (iface: number) => number

  constructor({ table, view, flows, peers, clock, firstAddress }: OwnSocketsParts) {
    this.table = table
    this.#view = view
    this.#flows = flows
    this.#peers = peers
    this.#clock = clock
    this.#firstAddress = firstAddress
  }

  /** The socket that is connected with the packet's ends. @param iface number of the interface that it came by */
  connected(packet: Packet, iface: number): number {
    const { protocol, source, destination, ports } = packet
    if (packet.fragment === LATER_FRAGMENT || (!hasPorts(protocol) && !this.#isEchoReply(packet))) return NO_SOCKET
    const port = protocol === ipv4.PROTOCOL_ICMP ? 0 : ports >>> 16
    const row = this.table.findConnected(protocol, source, port, destination, ports & 0xffff, iface)
    return row >= 0 ? row : this.#findMoving(protocol, source, port, destination, ports & 0xffff, iface)
  }

  /** Whether the packet belongs to a connection of a socket, or answers its datagrams, as conntrack would say it: established. */
  isEstablished(packet: Packet, iface: number): boolean {
    const row = this.connected(packet, iface)
    if (row >= 0) return !(this.#isOver(row) && isPureSyn(packet.tcpFlags))
    const { protocol, source, destination, ports } = packet
    if (protocol === ipv4.PROTOCOL_TCP) return (packet.tcpFlags & OPENING) === tcp.ACK && this.#bringsCookie(packet, iface)
    return ports !== 0 && this.#peers.isAnswer(destination, source, turned(ports), protocol, this.#clock.second)
  }

  /** Whether a listener waits for such ACKs: it has answered SYNs with cookies, and keeps nothing else of them. */
  #bringsCookie(packet: Packet, iface: number): boolean {
    const row = this.find(packet, packet.destination, packet.ports & 0xffff, iface)
    return row >= 0 && (this.table.flagsOf(row) & SOCKET_FLAG.cookies) !== 0
  }

  /** A packet of no flow goes to a socket: what that sends back is an answer. */
  received({ protocol, source, destination, ports }: Packet): void {
    if (protocol !== ipv4.PROTOCOL_TCP && ports !== 0) this.#peers.received(destination, source, turned(ports), protocol, this.#clock.second)
  }

  /** The socket that takes the packet when it comes to this address and port. */
  find(packet: Packet, address: number, port: number, iface: number): number {
    const { protocol, source } = packet
    if (packet.fragment === LATER_FRAGMENT) return NO_SOCKET
    if (this.#isEchoReply(packet)) return this.table.find(protocol, source, 0, address, port, iface, 0)
    return hasPorts(protocol) ? this.#find(protocol, source, packet.ports >>> 16, address, port, iface) : NO_SOCKET
  }

  /** Whether a socket is connected with these ends already, so that another connection, which `packet` opens, would be taken for it. */
  isTaken(packet: Packet, remote: number, remotePort: number, own: number, ownPort: number): boolean {
    if (!isPureSyn(packet.tcpFlags)) return false
    const row = this.table.findConnected(packet.protocol, remote, remotePort, own, ownPort, 0)
    return row >= 0 && !this.#isOver(row)
  }

  /** Whether packets of a socket with these ends turned round would be taken for those of a flow. */
  isFlows({ source, destination, ports, protocol }: Packet): boolean {
    return this.#flows.find(destination, source, turned(ports), protocol | (ZONE_SELF << 8)) >= 0
  }

  /**
   * The socket that sent the packet which an ICMP error quotes.
   * @param address, @param port what the quoted source was before NAT; by default nothing else
   */
  findQuoted(packet: Packet, iface: number, address?: number, port?: number): number {
    const view = this.#view
    const quote = packet.transport + icmp4.ERROR_HEADER
    const end = packet.at + packet.length
    if (!icmp4.isError(packet.icmpType) || end < quote + ipv4.HEADER_MIN || ipv4.version(view, quote) !== 4) return NO_SOCKET
    const transport = quote + ipv4.headerLength(view, quote)
    if (transport < quote + ipv4.HEADER_MIN || end < transport + QUOTED_TRANSPORT || ipv4.fragmentOffset(view, quote) !== 0) return NO_SOCKET
    const protocol = ipv4.protocol(view, quote)
    const ports = portsOf(view, transport, protocol)
    const own = address ?? ipv4.source(view, quote)
    const other = ipv4.destination(view, quote)
    const ownPort = port ?? ports >>> 16
    if (protocol === ipv4.PROTOCOL_ICMP) return (ports & 0xffff) === icmp4.ECHO_REQUEST ? this.table.find(protocol, other, 0, own, ownPort, iface, 0) : NO_SOCKET
    return hasPorts(protocol) ? this.#find(protocol, other, ports & 0xffff, own, ownPort, iface) : NO_SOCKET
  }

  /**
   * What `-m socket` finds: see Environment. Packets that go back along a flow whose source was translated are looked up as they will be
   * then.
   */
  match(packet: Packet, meta: PacketMeta, assigned: number, transparent: boolean, noWildcard: boolean): number {
    const row = assigned >= 0 ? assigned : this.#lookUp(packet, meta)
    if (row < 0) return NO_SOCKET
    const flags = this.table.flagsOf(row)
    // It begins another connection, which the rules after this one may have a listener for.
    if (assigned < 0 && this.#isOver(row) && isPureSyn(packet.tcpFlags)) return NO_SOCKET
    const isWildcard = (flags & SOCKET_FLAG.timeWait) === 0 && this.table.localAddressOf(row) === 0
    return (isWildcard && !noWildcard) || (transparent && (flags & SOCKET_FLAG.transparent) === 0) ? NO_SOCKET : row
  }

  #lookUp(packet: Packet, meta: PacketMeta): number {
    const isError = icmp4.isError(packet.icmpType)
    const isBack = meta.direction === REPLY && (meta.state & STATE.SNAT) !== 0 && (meta.state & (isError ? STATE.RELATED : STATE.ESTABLISHED)) !== 0
    const { protocol, source, inInterface } = meta
    if (isError) return isBack ? this.findQuoted(packet, inInterface, meta.originalSource, meta.originalSourcePort) : this.findQuoted(packet, inInterface)
    if (protocol !== ipv4.PROTOCOL_TCP && protocol !== ipv4.PROTOCOL_UDP) return NO_SOCKET
    const address = isBack ? meta.originalSource : meta.destination
    return this.#find(protocol, source, meta.sourcePort, address, isBack ? meta.originalSourcePort : meta.destinationPort, inInterface)
  }

  /** uint32; -1 for a connection that is over. */
  markOf(row: number): number {
    return this.#isOver(row) ? -1 : this.table.markOf(row)
  }

  /** What TPROXY finds: see Environment. */
  findProxy(meta: PacketMeta, onAddress: number, onPort: number): number {
    const { table } = this
    const { protocol, source, sourcePort, destination, destinationPort, inInterface } = meta
    const isTcp = protocol === ipv4.PROTOCOL_TCP
    let row = table.findConnected(protocol, source, sourcePort, destination, destinationPort, inInterface)
    const isReopened = row >= 0 && this.#isOver(row) && isPureSyn(meta.tcpFlags)
    if (row < 0 || isReopened) {
      const address = onAddress !== 0 ? onAddress : this.#firstAddress(inInterface) || destination
      const hash = table.flowHash(source, sourcePort, destination, destinationPort)
      const bound = isTcp || protocol === ipv4.PROTOCOL_UDP ? table.findBound(protocol, address, onPort || destinationPort, inInterface, hash) : NO_SOCKET
      if (bound >= 0 || !isReopened) row = bound
    }
    return row >= 0 && (table.flagsOf(row) & SOCKET_FLAG.transparent) !== 0 ? row : NO_SOCKET
  }

  /** For traces. Null for none. */
  describe(row: number): SocketWords | null {
    if (row < 0) return null
    const { flags, localAddress, localPort, remoteAddress, remotePort } = this.table.rowOf(row)
    const isConnected = (flags & SOCKET_FLAG.connected) !== 0
    return { row, localAddress, localPort, remoteAddress, remotePort, isConnected, isTransparent: (flags & SOCKET_FLAG.transparent) !== 0 }
  }

  #find(protocol: number, source: number, sourcePort: number, destination: number, destinationPort: number, iface: number): number {
    const { table } = this
    const row = table.find(protocol, source, sourcePort, destination, destinationPort, iface, table.flowHash(source, sourcePort, destination, destinationPort))
    return row >= 0 ? row : this.#findMoving(protocol, source, sourcePort, destination, destinationPort, iface)
  }

  /**
   * A socket that has been told its address, but is in a thread that has not noted it yet: the answer to its first packet may be faster. It
   * will have noted it before it sees the answer, which comes after that by the same way. If it notes it right now, it is found by it.
   */
  #findMoving(protocol: number, source: number, sourcePort: number, destination: number, destinationPort: number, iface: number): number {
    const row = this.table.findConnected(protocol, source, sourcePort, 0, destinationPort, iface)
    return row >= 0 ? row : this.table.findConnected(protocol, source, sourcePort, destination, destinationPort, iface)
  }

  #isOver(row: number): boolean {
    return (this.table.flagsOf(row) & SOCKET_FLAG.timeWait) !== 0
  }

  #isEchoReply(packet: Packet): boolean {
    return packet.protocol === ipv4.PROTOCOL_ICMP && packet.icmpType === icmp4.ECHO_REPLY
  }
}
