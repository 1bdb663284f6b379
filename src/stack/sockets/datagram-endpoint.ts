/**
 * What a UDP socket and an ICMP echo socket have in common: local and remote end, options, what was received and not read.
 *
 * A socket without an address sends with source 0, and the network chooses one. A connected socket then has that address, and is found by
 * it; an unconnected one stays at 0.0.0.0, and may send from another address next time. Until the network has said something
 * of the path, what was sent first is kept: it may have to be sent again from another port (`portTaken`).
 */
import {
  type Datagram, type DatagramEvents, type DatagramHost, type DatagramOptions, NO_DATAGRAM_EVENTS, PAYLOAD_MAX, RECEIVE_BUFFER,
} from './datagram.js'
import { canBindAt } from './bind.js'
import type { DatagramProtocol } from './datagram-protocol.js'
import { DatagramQueue } from './datagram-queue.js'
import { meaningOf } from './icmp/errno.js'
import { NO_SOCKET } from './network.js'
import { PathMtu } from './path-mtu.js'
import type { QuotedError } from './quoted-error.js'
import { errnoCode, type SocketError, socketError } from './socket-error.js'
import { SOCKET_FLAG, type SocketRow } from './socket-row.js'
import * as icmp4 from '../wire/icmp4.js'
import * as ipv4 from '../wire/ipv4.js'

const LOOPBACK = 0x7f000001
const DEFAULT_TTL = 64
/** Ports that are tried one after another when others have them. */
const PORT_TRIES = 16
/** Datagrams that are kept until there is a path, and how long they are worth to be sent again, in milliseconds. */
const KEPT = 4
const KEPT_TIME = 1000

const isMulticast = (address: number): boolean => address >>> 28 === 14

const flagsOf = ({ transparent, reusePort, reuseAddress, broadcast }: DatagramOptions): number =>
  (transparent === true ? SOCKET_FLAG.transparent : 0) |
  (reusePort === true ? SOCKET_FLAG.reusePort : 0) |
  (reuseAddress === true ? SOCKET_FLAG.reuseAddress : 0) |
  (broadcast === true ? SOCKET_FLAG.broadcast : 0)

interface Kept { readonly data: Uint8Array; readonly address: number; readonly port: number; readonly sequence: number; readonly at: number }

export abstract class DatagramEndpoint {
  /** Set by the user before anything can happen. */
  events: DatagramEvents = NO_DATAGRAM_EVENTS
  /** Told when routes have chosen another local address for a connected socket. */
  onPath: () => void = () => {}
  protected readonly host: DatagramHost
  protected state: SocketRow
  protected row = NO_SOCKET
  protected ttl: number
  readonly #protocol: DatagramProtocol<DatagramEndpoint>
  readonly #received: DatagramQueue
  #isClosed = false
  /** The port was named by the user. */
  #isPortNamed = false
  readonly #mtu = new PathMtu()
  #kept: Kept[] = []
  #triesLeft = PORT_TRIES
  /** What is still to be told of packets with the port before: it is known already. */
  #takenBefore = 0

  constructor(protocol: DatagramProtocol<DatagramEndpoint>, options: DatagramOptions) {
    this.#protocol = protocol
    this.host = protocol.host
    this.#received = new DatagramQueue(options.receiveBuffer ?? RECEIVE_BUFFER)
    this.ttl = options.ttl ?? DEFAULT_TTL
    this.state = {
      protocol: protocol.protocol, flags: flagsOf(options), localAddress: 0, localPort: 0, remoteAddress: 0, remotePort: 0,
      interface: options.interface ?? 0, mark: options.mark ?? 0, tos: options.tos ?? 0,
    }
  }

  /** int32; 0 for any, or as long as routes have not chosen one. */
  get localAddress(): number {
    return this.state.localAddress
  }

  /** The port, or the identifier of echo requests; 0 before it is bound. */
  get localPort(): number {
    return this.row === NO_SOCKET ? 0 : this.state.localPort
  }

  get remoteAddress(): number {
    return this.state.remoteAddress
  }

  get remotePort(): number {
    return this.state.remotePort
  }

  get isConnected(): boolean {
    return (this.state.flags & SOCKET_FLAG.connected) !== 0
  }

  get isTransparent(): boolean {
    return (this.state.flags & SOCKET_FLAG.transparent) !== 0
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Bytes that wait to be read. */
  get readable(): number {
    return this.#received.readable
  }

  /** Datagrams that found the receive buffer full. */
  get dropped(): number {
    return this.#received.dropped
  }

  setBroadcast(on: boolean): void {
    this.#setFlag(SOCKET_FLAG.broadcast, on)
  }

  /** @param ttl 1-255 */
  setTtl(ttl: number): void {
    this.ttl = ttl
  }

  setMark(mark: number): void {
    this.#change({ mark: mark >>> 0 })
  }

  setTos(tos: number): void {
    this.#change({ tos: tos & 0xff })
  }

  /**
   * @param address int32, 0 for any
   * @param port 0 for a free one
   * @throws SocketError EINVAL (it is bound), EADDRNOTAVAIL, EADDRINUSE, ENOBUFS
   */
  bind(address: number, port: number): void {
    const { network, table } = this.host
    if (this.row !== NO_SOCKET) throw socketError('EINVAL', 'bind', address, port)
    if (!network.isLocal(address) && !network.isBroadcast(address) && !isMulticast(address) && !this.isTransparent) {
      throw socketError('EADDRNOTAVAIL', 'bind', address, port)
    }
    const flags = this.state.flags | (address === 0 ? 0 : SOCKET_FLAG.boundAddress)
    const row: SocketRow = { ...this.state, flags, localAddress: address, localPort: port }
    if (port === 0) this.#enter(row, 'bind')
    else if (canBindAt(network, table, row)) this.#enter(row, 'bind')
    else throw socketError('EADDRINUSE', 'bind', address, port)
    this.#isPortNamed = port !== 0
  }

  /**
   * From now on it sends to this end, and receives from it alone.
   * @throws SocketError EACCES (a broadcast address), EADDRINUSE, ENOBUFS
   */
  connect(address: number, port: number): void {
    const remote = address === 0 ? LOOPBACK : address
    if (!this.#maySendTo(remote)) throw socketError('EACCES', 'connect', remote, port)
    if (this.row === NO_SOCKET) this.#enter(this.state, 'connect')
    const { flags } = this.state
    const isBound = (flags & SOCKET_FLAG.boundAddress) !== 0
    this.#forgetPath()
    this.#change({
      flags: flags | SOCKET_FLAG.connected, remoteAddress: remote, remotePort: port, localAddress: isBound ? this.state.localAddress : 0,
    })
  }

  /** It receives from all again. */
  disconnect(): void {
    const { flags, localAddress } = this.state
    this.#forgetPath()
    this.#change({
      flags: flags & ~SOCKET_FLAG.connected, remoteAddress: 0, remotePort: 0,
      localAddress: (flags & SOCKET_FLAG.boundAddress) === 0 ? 0 : localAddress,
    })
  }

  /** The oldest datagram that was received, or null. */
  read(): Datagram | null {
    return this.#received.shift()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#received.clear()
    this.#kept = []
    if (this.row === NO_SOCKET) return
    this.host.table.remove(this.row)
    this.#protocol.leave(this.row, this)
    this.row = NO_SOCKET
  }

  /** The following are called by the protocol: it has received a datagram. */
  push(datagram: Datagram): void {
    if (this.#received.push(datagram)) this.#protocol.noteReadable(this)
  }

  announce(): void {
    if (!this.#isClosed) this.events.onReadable()
  }

  pathChosen(source: number, mtu: number): void {
    const isBound = (this.state.flags & SOCKET_FLAG.boundAddress) !== 0
    this.#mtu.set(mtu)
    this.#kept = []
    this.#triesLeft = PORT_TRIES
    this.#takenBefore = 0
    if (!this.isConnected || isBound || this.state.localAddress === source) return
    this.#change({ localAddress: source })
    this.onPath()
  }

  /** Others have its port at the address that routes gave it. */
  portTaken(): void {
    if (this.#takenBefore > 0) {
      this.#takenBefore--
      return
    }
    const kept = this.#kept
    this.#kept = []
    const port = this.#isPortNamed || this.#triesLeft-- === 0 ? -1 : this.host.ports.draw(this.state.protocol)
    if (port < 0) {
      this.events.onError(socketError('EADDRINUSE', 'send'))
      return
    }
    this.#change({ localPort: port })
    this.#takenBefore = Math.max(0, kept.length - 1)
    const oldest = this.host.timers.now - KEPT_TIME
    for (const { data, address, port: remotePort, sequence, at } of kept) {
      if (at >= oldest) this.sendAgain(data, address, remotePort, sequence)
    }
  }

  refused(errno: number): void {
    this.events.onError(this.#failure(errnoCode(errno), 'send'))
  }

  /** An ICMP error about something that it has sent. */
  icmpError(error: QuotedError): void {
    if (error.type === icmp4.UNREACHABLE && error.code === icmp4.CODE_FRAGMENTATION_NEEDED && this.isConnected) {
      this.#mtu.lower(error.mtu, error.length, this.host.timers.now)
    }
    const { code, isHard } = meaningOf(error.type, error.code)
    if (isHard && this.isConnected) this.events.onError(this.#failure(code, 'recvmsg'))
  }

  protected abstract sendAgain(data: Uint8Array, address: number, port: number, sequence: number): void

  /**
   * Whether a payload of this length can be sent to this address: null, or the code of the error. Gives the socket a port if it has none.
   */
  protected prepare(length: number, address: number): string | null {
    if (this.#isClosed) return 'EBADF'
    if (length > PAYLOAD_MAX) return 'EMSGSIZE'
    if (!this.#maySendTo(address)) return 'EACCES'
    if (this.row !== NO_SOCKET) return null
    try {
      this.#enter(this.state, 'send')
    } catch (error) {
      return (error as SocketError).code ?? 'ENOBUFS'
    }
    return null
  }

  /** Room for a packet with this payload, its IPv4 header written; -1 when there is none now. */
  protected begin(address: number, payload: number): number {
    const { network } = this.host
    const length = ipv4.HEADER_MIN + icmp4.ERROR_HEADER + payload
    const at = network.reserve(length)
    if (at < 0) {
      this.#protocol.noteWaiting(this)
      return at
    }
    const { localAddress, protocol, tos } = this.state
    // Whether it is to be fragmented is known for connected sockets only: others have another path with each datagram.
    const flags = this.isConnected && length <= this.#mtu.at(this.host.timers.now) ? ipv4.FLAG_DONT_FRAGMENT : 0
    const id = this.#protocol.identification(localAddress, address)
    ipv4.writeHeader(network.slab.view, at, tos, length, id, flags, isMulticast(address) ? 1 : this.ttl, protocol, localAddress, address)
    return at
  }

  /** Keeps what is about to be sent as long as the port may turn out to be another's. */
  protected keep(data: Uint8Array, address: number, port: number, sequence: number): void {
    if (this.#mtu.isKnown || (this.state.flags & SOCKET_FLAG.boundAddress) !== 0 || this.#kept.length === KEPT) return
    this.#kept.push({ data: data.slice(), address, port, sequence, at: this.host.timers.now })
  }

  #failure(code: string, syscall: string): SocketError {
    const { remoteAddress, remotePort } = this.state
    return this.isConnected && remotePort !== 0 ? socketError(code, syscall, remoteAddress, remotePort) : socketError(code, syscall)
  }

  #maySendTo(address: number): boolean {
    return (this.state.flags & SOCKET_FLAG.broadcast) !== 0 || !this.host.network.isBroadcast(address)
  }

  #forgetPath(): void {
    this.#mtu.forget()
    this.#kept = []
    this.#triesLeft = PORT_TRIES
    this.#takenBefore = 0
  }

  #enter(row: SocketRow, syscall: string): void {
    const { ports, table } = this.host
    const localPort = row.localPort === 0 ? ports.draw(row.protocol) : row.localPort
    if (localPort < 0) throw socketError('EADDRINUSE', syscall, row.localAddress)
    const index = table.add({ ...row, localPort })
    if (index < 0) throw socketError('ENOBUFS', syscall, row.localAddress, localPort)
    this.state = { ...row, localPort }
    this.row = index
    this.#protocol.enter(index, this)
  }

  #setFlag(flag: number, on: boolean): void {
    const { flags } = this.state
    this.#change({ flags: on ? flags | flag : flags & ~flag })
  }

  #change(change: Partial<SocketRow>): void {
    this.state = { ...this.state, ...change }
    if (this.row !== NO_SOCKET) this.host.table.update(this.row, change)
  }
}
