/** TCP of a stack: connections and listeners, and who of them a segment is for. */
import type { Packet } from '../../parse.js'
import { WHOLE } from '../../parse.js'
import type { Slab } from '../../batch.js'
import { isSumRight } from '../../verify.js'
import * as ipv4 from '../../wire/ipv4.js'
import { canBindAt } from '../bind.js'
import { type Arrival, NO_SOCKET } from '../network.js'
import type { QuotedError } from '../quoted-error.js'
import { errnoCode, socketError } from '../socket-error.js'
import { SOCKET_FLAG, type SocketRow } from '../socket-table.js'
import { arrive } from './arrive.js'
import { abort, fail } from './close.js'
import { Connection } from './connection.js'
import { Core, type StackHost } from './core.js'
import type { TcpEndpoint } from './endpoint.js'
import { number, sendSyn, succeed } from './handshake.js'
import { Listener, type TcpListener } from './listener.js'
import type { TcpConnectOptions, TcpCounters, TcpListenOptions, TcpRecord } from './options.js'
import { setRouteMtu, takeError } from './path.js'
import { Segment } from './segment.js'
import { SendQueue } from './send-queue.js'
import type { TcpSettings } from './settings.js'
import * as state from './state.js'
import { setTimer } from './timeouts.js'
import { answerReset } from './transmit.js'

export type { StackHost } from './core.js'
export type { TcpListener } from './listener.js'
export type { TcpConnectOptions, TcpCounters, TcpListenOptions, TcpRecord } from './options.js'
export type { TcpSettings } from './settings.js'

const LOOPBACK = 0x7f000001
/** 224.0.0.0/3: multicast, class E, broadcast. */
const isGroup = (address: number): boolean => address >>> 29 === 7

export class Tcp {
  readonly counters: TcpCounters = { received: 0, badChecksums: 0, refused: 0 }
  readonly #core: Core
  readonly #segment = new Segment()

  constructor(host: StackHost, settings: Partial<TcpSettings> = {}) {
    this.#core = new Core(host, settings)
  }

  /**
   * Opens a connection; its SYN has left then, unless there was no room for it.
   * @throws NodeJS.ErrnoException ENETUNREACH for a group or broadcast address, EADDRNOTAVAIL for a local address that is none or when all
   * ports are taken, EADDRINUSE when another has these ends, ENOBUFS when there are too many sockets
   */
  connect(options: TcpConnectOptions): TcpEndpoint {
    const core = this.#core
    const { network, ports, table } = core
    const { port, localAddress = 0, transparent = false, mark = 0, tos = 0, interface: number_ = 0 } = options
    const address = options.address === 0 ? LOOPBACK : options.address
    if (isGroup(address) || network.isBroadcast(address)) throw socketError('ENETUNREACH', 'connect', address, port)
    if (port === 0 || (localAddress !== 0 && !transparent && !network.isLocal(localAddress))) throw socketError('EADDRNOTAVAIL', 'bind', localAddress)
    const localPort = options.localPort || ports.choose(ipv4.PROTOCOL_TCP, localAddress, address, port)
    if (localPort < 0) throw socketError('EADDRNOTAVAIL', 'connect', address, port)
    const row: SocketRow = {
      protocol: ipv4.PROTOCOL_TCP,
      flags: SOCKET_FLAG.connected | (transparent ? SOCKET_FLAG.transparent : 0) | (localAddress === 0 ? 0 : SOCKET_FLAG.boundAddress) |
        (options.reuseAddress === true ? SOCKET_FLAG.reuseAddress : 0),
      localAddress, localPort, remoteAddress: address, remotePort: port, interface: number_, mark, tos,
    }
    let previous: number | null = null
    if (options.localPort) {
      const taken = table.findConnected(ipv4.PROTOCOL_TCP, address, port, localAddress, localPort, 0)
      if (taken >= 0 && core.timeWait.giveWay(taken)) previous = core.timeWait.lastNumber
      else if (taken >= 0 || !canBindAt(network, table, row)) throw socketError('EADDRINUSE', 'bind', localAddress, localPort)
    }
    const connection = new Connection(core)
    connection.row = table.add(row)
    if (connection.row < 0) throw socketError('ENOBUFS', 'connect', address, port)
    core.owners[connection.row] = connection
    connection.localAddress = localAddress
    connection.localPort = localPort
    connection.remoteAddress = address
    connection.remotePort = port
    connection.tos = tos
    connection.state = state.SYN_SENT
    connection.userTimeout = options.userTimeout ?? 0
    number(connection)
    if (previous !== null) succeed(connection, previous)
    const { fastOpenData } = options
    if (fastOpenData !== undefined && fastOpenData.length > 0) {
      connection.sendQueue = new SendQueue((connection.initialSend + 1) | 0)
      connection.sendQueue.append(fastOpenData)
      connection.bytesWritten = fastOpenData.length
      connection.fastOpenLength = fastOpenData.length
    }
    sendSyn(connection)
    setTimer(connection)
    return connection
  }

  /** @throws NodeJS.ErrnoException EADDRNOTAVAIL, EADDRINUSE, ENOBUFS */
  listen(options: TcpListenOptions): TcpListener {
    const core = this.#core
    const { network, ports, table } = core
    const { address = 0, transparent = false, reusePort = false, interface: number_ = 0, mark = 0, tos = 0, backlog = core.settings.backlog } = options
    if (address !== 0 && !transparent && !network.isLocal(address)) throw socketError('EADDRNOTAVAIL', 'listen', address, options.port)
    const port = options.port || ports.draw(ipv4.PROTOCOL_TCP)
    if (port < 0) throw socketError('EADDRINUSE', 'listen', address, options.port)
    const row: SocketRow = {
      protocol: ipv4.PROTOCOL_TCP,
      flags: SOCKET_FLAG.listening | SOCKET_FLAG.reuseAddress | (transparent ? SOCKET_FLAG.transparent : 0) | (reusePort ? SOCKET_FLAG.reusePort : 0) |
        (address === 0 ? 0 : SOCKET_FLAG.boundAddress),
      localAddress: address, localPort: port, remoteAddress: 0, remotePort: 0, interface: number_, mark, tos,
    }
    if (!canBindAt(network, table, row)) throw socketError('EADDRINUSE', 'listen', address, port)
    const index = table.add(row)
    if (index < 0) throw socketError('ENOBUFS', 'listen', address, port)
    const listener = new Listener(core, index, backlog)
    core.owners[index] = listener
    return listener
  }

  /**
   * A TCP datagram for this host.
   * @param packet what `parse` made of it
   */
  receive(slab: Slab, packet: Packet, arrival: Arrival): void {
    if (packet.fragment !== WHOLE) return
    this.counters.received++
    if (!isSumRight(slab, packet)) {
      this.counters.badChecksums++
      return
    }
    const core = this.#core
    const segment = this.#segment
    core.begin()
    segment.read(slab.view, packet)
    const { source, sourcePort, destination, destinationPort } = segment
    const row = core.table.findConnected(ipv4.PROTOCOL_TCP, source, sourcePort, destination, destinationPort, arrival.interface)
    const owner = row < 0 ? undefined : core.owners[row]
    if (owner instanceof Connection) {
      arrive(owner, segment, slab)
      return
    }
    // RFC 9293 MUST-57, MUST-63: neither end can be a group, or any address.
    if (!this.#isEnd(source) || !this.#isEnd(destination)) return
    const listener = this.#listenerFor(segment, arrival)
    const isWaiting = row >= 0 && core.timeWait.has(row)
    if (isWaiting && !core.timeWait.arrive(row, segment, listener !== null)) return
    if (listener !== null) listener.arrive(segment, slab, arrival, isWaiting ? core.timeWait.lastNumber : null)
    else if (!segment.isReset) {
      this.counters.refused++
      answerReset(core, segment, NO_SOCKET)
    }
  }

  /** All segments that were there have been received: now users are told, and segments are answered. */
  settle(): void {
    this.#core.settle()
  }

  /** There is room again in the network. */
  room(): void {
    this.#core.unblock()
  }

  /** The source and the MTU that the network found for a socket's packets. */
  path(row: number, source: number, mtu: number): void {
    const connection = this.#core.owners[row]
    if (!(connection instanceof Connection)) return
    if (connection.state === state.SYN_SENT && source !== connection.localAddress) this.#move(connection, source, connection.localPort)
    setRouteMtu(connection, mtu)
  }

  /** With this source, the connection's port is taken: another is chosen, and the SYN sent again. */
  taken(row: number, source: number): void {
    const core = this.#core
    const connection = core.owners[row]
    if (!(connection instanceof Connection) || connection.state !== state.SYN_SENT) return
    const port = core.ports.choose(ipv4.PROTOCOL_TCP, source, connection.remoteAddress, connection.remotePort)
    if (port < 0) {
      fail(connection, 'EADDRNOTAVAIL')
      return
    }
    this.#move(connection, source, port)
    sendSyn(connection)
    setTimer(connection)
  }

  /** A packet of a socket was not sent. @param errno positive */
  refused(row: number, errno: number): void {
    const connection = this.#core.owners[row]
    if (!(connection instanceof Connection)) return
    const code = errnoCode(errno)
    if (connection.state === state.SYN_SENT) fail(connection, code)
    else connection.softError = code
  }

  /** An ICMP error about one of our segments. */
  icmpError(error: QuotedError): void {
    const { owners, table } = this.#core
    const row = table.findConnected(ipv4.PROTOCOL_TCP, error.remoteAddress, error.remotePort, error.localAddress, error.localPort, 0)
    const connection = row < 0 ? undefined : owners[row]
    if (connection instanceof Connection) takeError(connection, error)
  }

  /** All of them. Connections in TIME_WAIT are rows of the socket table and nothing more. */
  *sockets(): Iterable<TcpRecord> {
    for (const [row, owner] of this.#core.owners.entries()) {
      if (owner instanceof Connection) {
        const { localAddress, localPort, remoteAddress, remotePort } = owner
        yield {
          row, localAddress, localPort, remoteAddress, remotePort, state: state.STATE_NAMES[owner.state]!, receiveQueue: owner.readLength,
          sendQueue: owner.writeLength,
        }
      } else if (owner !== undefined) {
        yield {
          row, localAddress: owner.address, localPort: owner.port, remoteAddress: 0, remotePort: 0, state: 'LISTEN', receiveQueue: owner.waiting,
          sendQueue: owner.halfOpen,
        }
      }
    }
  }

  /** Ends all connections with RST, and all listeners. */
  close(): void {
    const core = this.#core
    for (const owner of [...core.owners]) {
      if (owner instanceof Listener) owner.close()
      else if (owner !== undefined) abort(owner)
    }
    core.timeWait.clear()
  }

  #isEnd(address: number): boolean {
    return address >>> 24 !== 0 && !isGroup(address) && !this.#core.network.isBroadcast(address)
  }

  #move(connection: Connection, source: number, port: number): void {
    connection.localAddress = source
    connection.localPort = port
    this.#core.table.update(connection.row, { localAddress: source, localPort: port })
  }

  /** Whom TPROXY gave the segment to, or who is bound to where it goes. */
  #listenerFor(segment: Segment, arrival: Arrival): Listener | null {
    const { owners, table } = this.#core
    const given = arrival.socket === NO_SOCKET ? undefined : owners[arrival.socket]
    if (given instanceof Listener) return given
    const { source, sourcePort, destination, destinationPort } = segment
    const hash = table.flowHash(source, sourcePort, destination, destinationPort)
    const row = table.findBound(ipv4.PROTOCOL_TCP, destination, destinationPort, arrival.interface, hash)
    const found = row < 0 ? undefined : owners[row]
    return found instanceof Listener ? found : null
  }
}
