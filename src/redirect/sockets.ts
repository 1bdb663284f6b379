/**
 * What a redirector needs of sockets, in the shapes of node:net and node:dgram. The stack's own sockets have them, and for upstreams on
 * this host the kernel's (kernel-sockets.ts).
 */
import type { EventEmitter } from 'node:events'
import type { Duplex } from 'node:stream'

export interface Endpoint {
  /** `192.0.2.1` */
  readonly address: string
  readonly port: number
}

export interface StreamSocket extends Duplex {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  /** Where the client wanted to go; null or absent when it wanted to come here. */
  readonly originalDestination?: Endpoint | null
  readonly connecting: boolean
  setNoDelay(on?: boolean): this
  /** @param delay milliseconds without a sign of life before the first probe */
  setKeepAlive(on?: boolean, delay?: number): this
  /** @param milliseconds without traffic after which `timeout` is emitted; 0: never */
  setTimeout(milliseconds: number): this
  /** Ends the connection with RST. */
  resetAndDestroy(): unknown
}

export interface StreamServer extends EventEmitter {
  listen(options: { port: number; host: string; backlog?: number; transparent?: boolean }): unknown
  close(done?: () => void): unknown
}

export interface ReceivedFrom extends Endpoint {
  /** Where the datagram was sent to; null or absent when that was this socket. */
  readonly originalDestination?: Endpoint | null
}

/** Emits `message` with Buffer and {@link ReceivedFrom}, `error`, `close`. */
export interface DatagramSocket extends EventEmitter {
  bind(port: number, address: string, bound?: () => void): unknown
  connect(port: number, address: string, connected?: () => void): unknown
  send(data: Uint8Array, done?: (error: Error | null) => void): unknown
  send(data: Uint8Array, port: number, address: string, done?: (error: Error | null) => void): unknown
  address(): Endpoint
  close(): unknown
}

/** Sockets that reach an upstream. */
export interface Dialer {
  connect(options: { host: string; port: number; allowHalfOpen: boolean }): StreamSocket
  createDatagramSocket(options: { type: 'udp4'; transparent?: boolean }): DatagramSocket
}

/** Sockets that take intercepted traffic, too. */
export interface SocketApi extends Dialer {
  createServer(options: { allowHalfOpen: boolean; transparent?: boolean }, onConnection: (socket: StreamSocket) => void): StreamServer
}
