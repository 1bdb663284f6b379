/** A TCP listener as Node knows it: what net.Server is. */
import { EventEmitter } from 'node:events'
import { formatIpv4 } from '../../wire/address.js'
import type { TcpEndpoint } from '../tcp/endpoint.js'
import type { TcpListener } from '../tcp/tcp.js'
import { addressOf, checkPort, type SocketAddress } from './addresses.js'
import { Hold } from './hold.js'
import type { SocketHost } from './host.js'
import type { TcpSocketOptions } from './tcp-options.js'
import { TcpSocket } from './tcp-socket.js'

export interface TcpServerOptions extends Pick<TcpSocketOptions, 'allowHalfOpen' | 'keepsWritten' | 'noDelay' | 'keepAlive' | 'keepAliveInitialDelay'> {
  /** Sockets do not read before somebody calls `resume`. Default false. */
  pauseOnConnect?: boolean
}

export interface TcpServerListenOptions {
  /** 0 or none: a free one. */
  port?: number
  /** Default: all addresses. */
  host?: string
  /** Connections that may wait to be accepted. */
  backlog?: number
  /** Connections to addresses of others are accepted, when rules lead them here; `host` may be such an address. */
  transparent?: boolean
  /** Several listeners may share the port; connections are spread over them. */
  reusePort?: boolean
  /** The firewall mark of the packets of its connections. */
  mark?: number
  /** Number of the interface that connections must come in by. */
  interface?: number
  signal?: AbortSignal
}

/** What `drop` tells of a connection that was refused for `maxConnections`. */
export interface DroppedConnection {
  readonly localAddress: string
  readonly localPort: number
  readonly remoteAddress: string
  readonly remotePort: number
  readonly remoteFamily: 'IPv4'
}

/** Emits `listening`, `connection` (TcpSocket), `drop`, `error`, `close`. */
export class TcpServer extends EventEmitter {
  /** More connections at a time are refused with RST. */
  maxConnections = Infinity
  readonly #host: SocketHost
  readonly #hold: Hold
  readonly #options: TcpServerOptions
  #listener: TcpListener | null = null
  #connections = 0

  constructor(host: SocketHost, options: TcpServerOptions = {}, onConnection?: (socket: TcpSocket) => void) {
    super()
    this.#host = host
    this.#hold = new Hold(host)
    this.#options = options
    if (onConnection !== undefined) this.on('connection', onConnection)
  }

  /** Begins to listen; `listening` follows, or `error`. @throws Error ERR_SERVER_ALREADY_LISTEN, and for values that cannot be */
  listen(options: TcpServerListenOptions, onListening?: () => void): this
  listen(port?: number, host?: string, backlog?: number, onListening?: () => void): this
  listen(port?: number, host?: string, onListening?: () => void): this
  listen(port?: number, onListening?: () => void): this
  listen(onListening?: () => void): this
  listen(...args: readonly unknown[]): this {
    if (this.#listener !== null) throw Object.assign(new Error('Listen method has been called more than once without closing.'), { code: 'ERR_SERVER_ALREADY_LISTEN' })
    const { options, onListening } = listenArguments(args)
    const port = checkPort(options.port ?? 0)
    const address = options.host === undefined ? 0 : addressOf(options.host)
    if (onListening !== undefined) this.once('listening', onListening)
    this.#host.attend()
    const { backlog, transparent, reusePort, mark, interface: number, signal } = options
    try {
      this.#listener = this.#host.listenTcp({
        port, address,
        ...(backlog === undefined ? {} : { backlog }), ...(transparent === undefined ? {} : { transparent }), ...(reusePort === undefined ? {} : { reusePort }),
        ...(mark === undefined ? {} : { mark }), ...(number === undefined ? {} : { interface: number }),
      })
    } catch (error) {
      process.nextTick(() => this.emit('error', error))
      return this
    }
    this.#listener.onConnection = (endpoint) => this.#accept(endpoint)
    this.#hold.open()
    this.#host.onceReachable(() => { if (this.listening) this.emit('listening') })
    signal?.addEventListener('abort', () => { if (this.listening) this.close() }, { once: true })
    return this
  }

  get listening(): boolean {
    return this.#listener !== null
  }

  /** null when it does not listen. */
  address(): SocketAddress | null {
    return this.#listener === null ? null : { address: formatIpv4(this.#listener.address), port: this.#listener.port, family: 'IPv4' }
  }

  /** Ends listening. Connections go on; `close` is emitted when the last of them is over. */
  close(onClose?: (error?: Error) => void): this {
    if (onClose !== undefined) {
      if (this.#listener !== null) this.once('close', () => onClose())
      else this.once('close', () => onClose(Object.assign(new Error('Server is not running.'), { code: 'ERR_SERVER_NOT_RUNNING' })))
    }
    if (this.#listener !== null) {
      this.#host.attend()
      this.#listener.close()
      this.#listener = null
      this.#hold.close()
    }
    this.#closeWhenEmpty()
    return this
  }

  getConnections(done: (error: Error | null, count: number) => void): this {
    const count = this.#connections
    process.nextTick(() => done(null, count))
    return this
  }

  ref(): this {
    this.#hold.ref()
    return this
  }

  unref(): this {
    this.#hold.unref()
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.listening) await new Promise<void>((resolve) => this.close(() => resolve()))
  }

  #accept(endpoint: TcpEndpoint): void {
    if (this.#connections >= this.maxConnections) {
      const { localPort, remotePort } = endpoint
      const dropped: DroppedConnection = {
        localAddress: formatIpv4(endpoint.localAddress), localPort, remoteAddress: formatIpv4(endpoint.remoteAddress), remotePort, remoteFamily: 'IPv4',
      }
      endpoint.abort()
      this.emit('drop', dropped)
      return
    }
    const socket = new TcpSocket(this.#host, this.#options, endpoint)
    if (this.#options.pauseOnConnect === true) socket.pause()
    this.#connections++
    socket.once('close', () => {
      this.#connections--
      this.#closeWhenEmpty()
    })
    this.emit('connection', socket)
  }

  #closeWhenEmpty(): void {
    if (this.#listener !== null || this.#connections > 0) return
    process.nextTick(() => { if (this.#listener === null && this.#connections === 0) this.emit('close') })
  }
}

const listenArguments = (args: readonly unknown[]): { options: TcpServerListenOptions; onListening: (() => void) | undefined } => {
  const onListening = args.find((arg) => typeof arg === 'function') as (() => void) | undefined
  const [first, ...others] = args
  if (typeof first === 'object' && first !== null) return { options: first, onListening }
  const host = others.find((arg) => typeof arg === 'string')
  const backlog = others.find((arg) => typeof arg === 'number')
  return {
    options: {
      ...(first === undefined || typeof first === 'function' ? {} : { port: first as number }),
      ...(host === undefined ? {} : { host }), ...(backlog === undefined ? {} : { backlog }),
    },
    onListening,
  }
}
