/**
 * Relays intercepted TCP connections, each through a connection of its own to the upstream.
 *
 * Theory of operation. A client's connection is established before its relay knows whether the server can be reached; its bytes wait
 * unread until the upstream has agreed. Then bytes go both ways, each direction at the pace of its receiver, and its end (FIN) is passed
 * on alone, so half-closed connections work. Whatever else ends one side (RST, error, timeout, refusal) ends the other with RST. Silent
 * peers are found by keepalive, and by the idle time.
 *
 * Always: every connection in `#open` has a client's socket that is not closed yet, and every socket of the upstream has such a client
 * or is being destroyed. So nothing is left when the clients are gone.
 */
import type { RedirectCounters } from './counters.js'
import type { RedirectLimits } from './limits.js'
import type { Endpoint, StreamSocket } from './sockets.js'
import type { Session, Upstream } from './upstream.js'

export interface TcpRelayOptions {
  readonly upstream: Upstream
  readonly limits: RedirectLimits
  readonly counters: RedirectCounters['tcp']
  /** Told why the upstream could not be used. */
  readonly onFailure: (error: Error) => void
}

const ignore = (): void => {}

const hasEnded = (socket: StreamSocket): boolean => socket.readableEnded && socket.writableFinished

/** With RST, if there is anybody who could get it. */
const reset = (socket: StreamSocket): void => {
  if (socket.destroyed) return
  if (socket.connecting) socket.destroy()
  else socket.resetAndDestroy()
}

/** Bytes from one to the other, no faster than it takes them, then the end. */
const pump = (from: StreamSocket, to: StreamSocket, count: (bytes: number) => void): void => {
  from.on('data', (bytes: Buffer) => {
    count(bytes.length)
    if (!to.write(bytes)) from.pause()
  })
  to.on('drain', () => from.resume())
  if (from.readableEnded) to.end()
  else from.on('end', () => to.end())
  from.resume()
}

export class TcpRelay {
  readonly #options: TcpRelayOptions
  /** Sockets of clients. */
  readonly #open = new Set<StreamSocket>()

  constructor(options: TcpRelayOptions) {
    this.#options = options
  }

  /** @param destination null: nobody is to be connected to */
  accept(client: StreamSocket, destination: Endpoint | null): void {
    const { counters, limits } = this.#options
    client.on('error', ignore)
    if (destination === null || this.#open.size >= limits.connections) {
      counters.refused++
      reset(client)
      return
    }
    this.#open.add(client)
    counters.active++
    let upstream: StreamSocket | undefined
    client.once('close', () => {
      this.#open.delete(client)
      counters.active--
      if (upstream !== undefined && !hasEnded(client)) reset(upstream)
    })
    this.#options.upstream.dial('connect', destination, (socket) => (upstream = socket)).then(
      (session) => this.#relay(client, session),
      (error: Error) => {
        // A client that left meanwhile has failed nobody.
        if (client.destroyed) return
        counters.failed++
        this.#options.onFailure(error)
        reset(client)
      },
    )
  }

  #relay(client: StreamSocket, { socket: upstream, head }: Session): void {
    const { counters, limits } = this.#options
    if (client.destroyed) {
      reset(upstream)
      return
    }
    counters.opened++
    counters.received += head.length
    if (head.length > 0) client.write(head)
    pump(upstream, client, (bytes) => { counters.received += bytes })
    pump(client, upstream, (bytes) => { counters.sent += bytes })
    let isBroken = false
    const abort = (): void => {
      if (!isBroken) counters.broken++
      isBroken = true
      reset(client)
      reset(upstream)
    }
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true).setKeepAlive(true, limits.keepAlive).setTimeout(limits.tcpIdle)
      socket.on('timeout', abort).on('error', abort)
    }
    upstream.once('close', () => {
      if (!hasEnded(upstream)) abort()
    })
    // It may have ended before somebody listened.
    if (upstream.destroyed) abort()
  }

  /** Ends all connections with RST. */
  close(): void {
    for (const client of this.#open) reset(client)
  }
}
