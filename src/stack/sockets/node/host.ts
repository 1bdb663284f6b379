/** What Node's shapes of sockets need of the stack below them. */
import type { DatagramOptions } from '../datagram.js'
import type { PingEndpoint } from '../icmp/ping.js'
import type { TcpEndpoint } from '../tcp/endpoint.js'
import type { UdpEndpoint } from '../udp/endpoint.js'
import type { TcpConnectOptions, TcpListener, TcpListenOptions } from '../tcp/tcp.js'

/** A deadline on the clock of the stack. */
export interface Deadline {
  /** @param at milliseconds of the stack's clock; replaces what was set before */
  set(at: number): void
  clear(): void
}

export type { TcpConnectOptions, TcpListener, TcpListenOptions }

export interface SocketHost {
  /** @throws NodeJS.ErrnoException EADDRINUSE, EADDRNOTAVAIL */
  connectTcp(options: TcpConnectOptions): TcpEndpoint
  /** @throws NodeJS.ErrnoException EADDRINUSE, EADDRNOTAVAIL */
  listenTcp(options: TcpListenOptions): TcpListener
  /** A UDP socket that is neither bound nor connected. */
  openUdp(options: DatagramOptions): UdpEndpoint
  /** The same for ICMP echo. */
  openPing(options: DatagramOptions): PingEndpoint
  /** Milliseconds of the stack's clock. */
  readonly now: number
  deadline(fire: () => void): Deadline
  /** To be called before a socket is used from outside of the stack's own calls: the clock is looked at, and what is sent goes out soon. */
  attend(): void
  /** Calls, soon and not at once, when what was bound until now can be reached from the network. */
  onceReachable(then: () => void): void
  /** Keeps the process alive until `release` has been called as often. */
  hold(): void
  release(): void
}
