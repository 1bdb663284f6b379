/**
 * A transparent redirector: takes intercepted TCP connections and UDP datagrams on sockets of the stack, and relays them through an
 * upstream SOCKS5 proxy. What leads traffic here is none of its business (rules.ts has the rules for it).
 */
import { createCounters, type RedirectCounters } from './counters.js'
import { REDIRECT_LIMITS, type RedirectLimits } from './limits.js'
import type { DatagramSocket, Endpoint, SocketApi, StreamServer, StreamSocket } from './sockets.js'
import { TcpRelay } from './tcp-relay.js'
import { UdpRelay } from './udp-relay.js'
import type { Upstream } from './upstream.js'

export interface RedirectorOptions {
  readonly sockets: SocketApi
  readonly upstream: Upstream
  readonly tcp: boolean
  readonly udp: boolean
  /** How traffic comes here: decides how datagrams are answered. */
  readonly by: 'tproxy' | 'redirect'
  /** Where to listen. */
  readonly address: string
  readonly port: number
  readonly limits?: Partial<RedirectLimits>
  /** Why the upstream could not be used; called for each attempt that failed. */
  readonly onFailure?: (error: Error) => void
}

const BACKLOG = 4096

const listening = (socket: StreamServer | DatagramSocket, listen: () => void): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('listening', () => {
      socket.off('error', reject)
      resolve()
    })
    listen()
  })

export class Redirector {
  readonly counters: RedirectCounters = createCounters()
  readonly #options: RedirectorOptions
  readonly #limits: RedirectLimits
  readonly #tcp: TcpRelay
  #udp: UdpRelay | null = null
  #server: StreamServer | null = null
  #listener: DatagramSocket | null = null

  private constructor(options: RedirectorOptions) {
    this.#options = options
    this.#limits = { ...REDIRECT_LIMITS, ...options.limits }
    const { upstream, onFailure = () => {} } = options
    this.#tcp = new TcpRelay({ upstream, limits: this.#limits, counters: this.counters.tcp, onFailure })
  }

  /** Resolves when it listens. @throws the error of a socket that cannot */
  static async start(options: RedirectorOptions): Promise<Redirector> {
    const made = new Redirector(options)
    try {
      if (options.tcp) await made.#listenTcp()
      if (options.udp) await made.#listenUdp()
    } catch (error) {
      await made.close()
      throw error
    }
    return made
  }

  /** Sockets that answer datagrams from foreign addresses now. */
  get foreignSockets(): number {
    return this.#udp?.foreignSockets ?? 0
  }

  /** Listens no more and ends what is relayed: clients get a RST. */
  async close(): Promise<void> {
    const server = this.#server
    const closed = server === null ? null : new Promise<void>((resolve) => { server.close(resolve) })
    this.#tcp.close()
    this.#listener?.close()
    this.#udp?.close()
    this.#server = null
    this.#listener = null
    this.#udp = null
    await closed
  }

  async #listenTcp(): Promise<void> {
    const { sockets, address, port } = this.#options
    const server = sockets.createServer({ allowHalfOpen: true, transparent: true }, (client) => this.#tcp.accept(client, this.#destinationOf(client)))
    await listening(server, () => server.listen({ port, host: address, backlog: BACKLOG, transparent: true }))
    server.on('error', (error: Error) => this.#options.onFailure?.(error))
    this.#server = server
  }

  async #listenUdp(): Promise<void> {
    const { sockets, upstream, by, address, port, onFailure = () => {} } = this.#options
    const listener = sockets.createDatagramSocket({ type: 'udp4', transparent: true })
    await listening(listener, () => listener.bind(port, address))
    listener.on('error', onFailure)
    this.#listener = listener
    const isOwn = (destination: Endpoint): boolean => this.#isOwn(destination, null)
    this.#udp = new UdpRelay({ sockets, upstream, limits: this.#limits, counters: this.counters.udp, by, listener, isOwn, onFailure })
  }

  /** null when the client came here by itself: relaying that would lead here again. */
  #destinationOf({ originalDestination, localAddress }: StreamSocket): Endpoint | null {
    if (originalDestination === null || originalDestination === undefined) return null
    return this.#isOwn(originalDestination, this.#options.by === 'redirect' ? localAddress : null) ? null : originalDestination
  }

  #isOwn(destination: Endpoint, local: string | null | undefined): boolean {
    const { address, port } = this.#options
    return destination.port === port && (destination.address === address || destination.address === local)
  }
}
