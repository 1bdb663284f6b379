/** What Node's shapes of sockets need of the stack below them. */
import type { TcpEndpoint } from '../tcp/endpoint.js'

/** How a TCP connection is opened. */
export interface TcpConnectOptions {
  /** int32. */
  address: number
  port: number
  /** The source, int32. Default: what routes say. */
  localAddress?: number
  localPort?: number
  /** `localAddress` may be another host's. */
  transparent?: boolean
  /** The firewall mark of the packets, uint32. */
  mark?: number
  /** The TOS byte of the packets. */
  tos?: number
  interface?: number
}

/** How a TCP listener is opened. */
export interface TcpListenOptions {
  /** int32; 0 for all. */
  address?: number
  /** 0 for a free one. */
  port: number
  transparent?: boolean
  reusePort?: boolean
  mark?: number
  interface?: number
  backlog?: number
}

export interface TcpListener {
  onConnection: (endpoint: TcpEndpoint) => void
  /** int32. */
  readonly address: number
  readonly port: number
  close(): void
}

/** A deadline on the clock of the stack. */
export interface Deadline {
  /** @param at milliseconds of the stack's clock; replaces what was set before */
  set(at: number): void
  clear(): void
}

export interface SocketHost {
  /** @throws NodeJS.ErrnoException EADDRINUSE, EADDRNOTAVAIL */
  connectTcp(options: TcpConnectOptions): TcpEndpoint
  /** @throws NodeJS.ErrnoException EADDRINUSE, EADDRNOTAVAIL */
  listenTcp(options: TcpListenOptions): TcpListener
  /** Milliseconds of the stack's clock. */
  readonly now: number
  deadline(fire: () => void): Deadline
  /** To be called before a socket is used from outside of the stack's own calls: the clock is looked at, and what is sent goes out soon. */
  attend(): void
  /** Keeps the process alive until `release` has been called as often. */
  hold(): void
  release(): void
}
