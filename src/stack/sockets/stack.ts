/**
 * The sockets of a host: what comes from the network is looked at once and given to TCP, UDP or ICMP, and everything timed goes by one
 * clock that somebody else moves (driver.ts, or the gateway).
 *
 * Theory of operation. A packet is checked as any is (parse.ts), put together when it came in fragments, and its checksum is verified unless
 * the network vouches for it. An ICMP error goes to the protocol of the packet that it quotes. Protocols answer when the network says that
 * it has handed over everything (`settle`), so that a batch of packets gets one answer.
 *
 * No input makes it throw, and none is logged: what is wrong is counted in `drops`.
 */
import { randomFillSync } from 'node:crypto'
import { Drop } from '../../drop.js'
import type { Slab } from '../batch.js'
import { Packet, parse, WHOLE } from '../parse.js'
import type { PortRange } from '../port-range.js'
import type { RandomSource } from '../random.js'
import { isSumRight } from '../verify.js'
import * as ipv4 from '../wire/ipv4.js'
import type { DatagramOptions } from './datagram.js'
import { Icmp } from './icmp/icmp.js'
import { Ping, type PingEndpoint } from './icmp/ping.js'
import type { Arrival, Network, NetworkUser } from './network.js'
import type { Deadline, SocketHost } from './node/host.js'
import { EPHEMERAL_PORTS, EphemeralPorts } from './ports.js'
import { Reassembly } from './reassembly.js'
import { KeyedHash } from './siphash.js'
import { SocketTable } from './socket-table.js'
import type { TcpSettings } from './tcp/settings.js'
import { Tcp, type TcpConnectOptions, type TcpListener, type TcpListenOptions } from './tcp/tcp.js'
import type { TcpEndpoint } from './tcp/endpoint.js'
import { Timer, Timers } from './timers.js'
import type { UdpEndpoint } from './udp/endpoint.js'
import { Udp } from './udp/udp.js'

export interface StackOptions {
  network: Network
  /** Milliseconds of the clock that `advance` will be told. */
  now: number
  /** Numbers that nobody can foretell. */
  random: RandomSource
  /** 16 bytes that nobody else knows: sequence numbers, ports and cookies depend on them. Default: new ones. */
  secret?: Uint8Array
  /** Sockets at most, connections in TIME_WAIT not counted. Default 65536. */
  capacity?: number
  /** The table of sockets, when another thread is to read it; `SocketTable.allocate` makes it. Then `capacity` has no effect. */
  table?: SharedArrayBuffer
  /** From which local ports are chosen. Default 1024-65535. */
  ports?: PortRange
  tcp?: Partial<TcpSettings>
  /** Answer echo requests to own addresses. A gateway's data plane does that itself. */
  answersPings: boolean
}

const CAPACITY = 65536

/** A socket as `ss` shows it. */
export interface SocketRecord {
  /** 6, 17, or 1 for echo, where the local port is the identifier. */
  readonly protocol: number
  readonly state: string
  /** int32. */
  readonly localAddress: number
  readonly localPort: number
  readonly remoteAddress: number
  readonly remotePort: number
  /** Bytes that wait to be read; of a listener, connections that wait. */
  readonly receiveQueue: number
  /** Bytes that are not acknowledged; of a listener, handshakes that are not done. */
  readonly sendQueue: number
}

export class Stack implements NetworkUser, SocketHost {
  readonly network: Network
  readonly table: SocketTable
  readonly ports: EphemeralPorts
  readonly timers: Timers
  readonly tcp: Tcp
  readonly udp: Udp
  readonly ping: Ping
  readonly icmp: Icmp
  readonly reassembly: Reassembly
  /** Packets that were dropped, by the number of their reason (drop.ts). */
  readonly drops = new Map<number, number>()
  /** What a driver does before a socket is used (see SocketHost), and when the first socket keeps the process alive, and none more. */
  attend: () => void = () => {}
  /** A gateway's network hears of new ports only after a while. */
  onceReachable: (then: () => void) => void = (then) => process.nextTick(then)
  onHold: () => void = () => {}
  onRelease: () => void = () => {}
  readonly #packet = new Packet()
  readonly #reassemblyTimer: Timer

  constructor({ network, now, random, secret = randomFillSync(new Uint8Array(16)), capacity = CAPACITY, table, ports = EPHEMERAL_PORTS, tcp = {}, answersPings }: StackOptions) {
    this.network = network
    this.table = new SocketTable(table ?? SocketTable.allocate(capacity))
    this.timers = new Timers(now)
    const hash = new KeyedHash(secret)
    this.ports = new EphemeralPorts(this.table, hash, random, ports)
    const host = { network, table: this.table, ports: this.ports, timers: this.timers, random, secret }
    this.tcp = new Tcp(host, tcp)
    this.icmp = new Icmp(host, hash, answersPings)
    this.icmp.handleErrors(ipv4.PROTOCOL_TCP, (error) => this.tcp.icmpError(error))
    this.udp = new Udp(host, this.icmp)
    this.ping = new Ping(host, this.icmp)
    this.reassembly = new Reassembly(hash)
    this.reassembly.onExpired = this.icmp.reassemblyExpired
    this.#reassemblyTimer = new Timer(this.timers, () => this.#expireFragments())
    network.user = this
  }

  /** Milliseconds. */
  get now(): number {
    return this.timers.now
  }

  /** When `advance` is needed at the latest, milliseconds; Infinity when no timer is set. */
  get next(): number {
    return this.timers.next
  }

  /** Lets fire what is due. @param now milliseconds, never less than before */
  advance(now: number): void {
    this.timers.advance(now)
  }

  receive(slab: Slab, at: number, length: number, arrival: Arrival): void {
    const packet = this.#packet
    const drop = parse(slab.view, at, length, packet)
    if (drop !== 0) this.#drop(drop)
    else if (packet.fragment === WHOLE) this.#deliver(slab, packet, arrival)
    else this.#receiveFragment(slab, packet, arrival)
  }

  settle(): void {
    this.tcp.settle()
    this.udp.settle()
    this.ping.settle()
  }

  path(socket: number, source: number, mtu: number): void {
    this.#ownerOf(socket).path(socket, source, mtu)
  }

  taken(socket: number, source: number): void {
    this.#ownerOf(socket).taken(socket, source)
  }

  refused(socket: number, errno: number): void {
    this.#ownerOf(socket).refused(socket, errno)
  }

  room(): void {
    this.tcp.room()
    this.udp.room()
    this.ping.room()
  }

  connectTcp(options: TcpConnectOptions): TcpEndpoint {
    return this.tcp.connect(options)
  }

  listenTcp(options: TcpListenOptions): TcpListener {
    return this.tcp.listen(options)
  }

  openUdp(options: DatagramOptions): UdpEndpoint {
    return this.udp.open(options)
  }

  openPing(options: DatagramOptions): PingEndpoint {
    return this.ping.open(options)
  }

  deadline(fire: () => void): Deadline {
    return new Timer(this.timers, fire)
  }

  hold(): void {
    this.onHold()
  }

  release(): void {
    this.onRelease()
  }

  /** All sockets; connections in TIME_WAIT are only counted (`table.count`). */
  *sockets(): Iterable<SocketRecord> {
    for (const record of this.tcp.sockets()) yield { ...record, protocol: ipv4.PROTOCOL_TCP }
    for (const { protocol, endpoints } of [this.udp, this.ping]) {
      for (const { localAddress, localPort, remoteAddress, remotePort, isConnected, readable } of endpoints) {
        yield { protocol, state: isConnected ? 'ESTABLISHED' : 'UNCONNECTED', localAddress, localPort, remoteAddress, remotePort, receiveQueue: readable, sendQueue: 0 }
      }
    }
  }

  /** Ends all sockets at once, connections with RST. */
  close(): void {
    this.tcp.close()
    for (const { endpoints } of [this.udp, this.ping]) for (const endpoint of [...endpoints]) endpoint.close()
  }

  #deliver(slab: Slab, packet: Packet, arrival: Arrival): void {
    if (!isSumRight(slab, packet)) {
      this.#drop(Drop['bad-checksum'])
      return
    }
    switch (packet.protocol) {
      case ipv4.PROTOCOL_TCP:
        this.tcp.receive(slab, packet, arrival)
        return
      case ipv4.PROTOCOL_UDP:
        this.udp.receive(slab, packet, arrival)
        return
      case ipv4.PROTOCOL_ICMP:
        this.icmp.receive(slab, packet, arrival)
        return
      default:
        this.icmp.protocolUnreachable(slab, packet)
    }
  }

  #receiveFragment(slab: Slab, packet: Packet, arrival: Arrival): void {
    const { reassembly } = this
    const isFirst = reassembly.count === 0
    const length = reassembly.add(slab, packet, arrival, this.timers.now)
    if (length > 0) this.receive(reassembly.slab, reassembly.at, length, reassembly.arrival)
    else if (isFirst) this.#reassemblyTimer.set(reassembly.next)
  }

  #expireFragments(): void {
    const { reassembly } = this
    reassembly.expire(this.timers.now)
    if (reassembly.count > 0) this.#reassemblyTimer.set(reassembly.next)
  }

  #ownerOf(socket: number): Pick<NetworkUser, 'path' | 'taken' | 'refused'> {
    const protocol = this.table.protocolOf(socket)
    return protocol === ipv4.PROTOCOL_TCP ? this.tcp : protocol === ipv4.PROTOCOL_UDP ? this.udp : this.ping
  }

  #drop(reason: number): void {
    this.drops.set(reason, (this.drops.get(reason) ?? 0) + 1)
  }
}
