/**
 * Relays intercepted datagrams: one association for each client's endpoint, whatever its destinations, so that the client keeps one
 * endpoint at the proxy towards all of them (RFC 4787 REQ-1).
 *
 * Answers come from the address that was asked. Under TPROXY, and from those that were not asked, by transparent sockets
 * (foreign-sockets.ts). Under REDIRECT the listener itself answers, and the flow by which the client's datagram came gives the answer
 * its source.
 */
import { LRUCache } from 'lru-cache'
import { Association } from './association.js'
import type { RedirectCounters } from './counters.js'
import { ForeignSockets } from './foreign-sockets.js'
import type { RedirectLimits } from './limits.js'
import type { DatagramSocket, Endpoint, ReceivedFrom, SocketApi } from './sockets.js'
import type { Upstream } from './upstream.js'

export interface UdpRelayOptions {
  readonly sockets: SocketApi
  readonly upstream: Upstream
  readonly limits: RedirectLimits
  readonly counters: RedirectCounters['udp']
  readonly by: 'tproxy' | 'redirect'
  /** Where datagrams come in, and which answers under REDIRECT. */
  readonly listener: DatagramSocket
  /** A destination that is the redirector itself. */
  readonly isOwn: (destination: Endpoint) => boolean
  readonly onFailure: (error: Error) => void
}

interface Client {
  readonly association: Association
  /** The destination of the flow that REDIRECT made for this endpoint. */
  readonly asked: Endpoint
}

/** Milliseconds between looks at what is idle, at most. */
const LOOK = 10_000

export class UdpRelay {
  readonly #options: UdpRelayOptions
  readonly #clients: LRUCache<string, Client>
  readonly #foreign: ForeignSockets
  readonly #look: NodeJS.Timeout

  constructor(options: UdpRelayOptions) {
    const { sockets, limits, counters, listener } = options
    this.#options = options
    const receive = (data: Buffer, from: ReceivedFrom): void => this.#receive(data, from)
    this.#clients = new LRUCache({
      max: limits.associations, ttl: limits.udpIdle, updateAgeOnGet: true,
      dispose: ({ association }, _key, reason) => {
        if (reason === 'evict') counters.displaced++
        counters.active--
        association.close()
      },
    })
    this.#foreign = new ForeignSockets({
      dialer: sockets, max: limits.foreignSockets, idle: limits.udpIdle, onMessage: receive, onDropped: () => { counters.dropped++ },
    })
    listener.on('message', receive)
    this.#look = setInterval(() => this.#purge(), Math.min(LOOK, limits.udpIdle / 4))
    this.#look.unref()
  }

  /** Sockets that answer from foreign addresses now. */
  get foreignSockets(): number {
    return this.#foreign.size
  }

  close(): void {
    clearInterval(this.#look)
    this.#clients.clear()
    this.#foreign.close()
  }

  #purge(): void {
    this.#clients.purgeStale()
    this.#foreign.purge()
  }

  #receive(data: Buffer, { address, port, originalDestination }: ReceivedFrom): void {
    const { counters, isOwn } = this.#options
    if (originalDestination === null || originalDestination === undefined || isOwn(originalDestination)) {
      counters.dropped++
      return
    }
    const key = `${address}:${port}`
    const client = this.#clients.get(key) ?? this.#open(key, { address, port }, originalDestination)
    client.association.send(originalDestination, data)
  }

  #open(key: string, endpoint: Endpoint, asked: Endpoint): Client {
    const { upstream, counters, onFailure } = this.#options
    const association = new Association({
      upstream, counters,
      onDatagram: (source, data) => this.#answer(key, endpoint, source, data),
      onEnd: (error) => {
        if (this.#clients.peek(key)?.association === association) this.#clients.delete(key)
        if (error === null) return
        counters.failed++
        onFailure(error)
      },
    })
    const client = { association, asked }
    counters.active++
    this.#clients.set(key, client)
    return client
  }

  #answer(key: string, endpoint: Endpoint, source: Endpoint, data: Uint8Array): void {
    const { by, counters, listener } = this.#options
    // What is answered is in use.
    const asked = this.#clients.get(key)?.asked
    counters.received++
    if (by === 'redirect' && asked?.address === source.address && asked.port === source.port) {
      listener.send(data, endpoint.port, endpoint.address, (error) => {
        if (error !== null && error !== undefined) counters.dropped++
      })
    } else this.#foreign.send(source, data, endpoint)
  }
}
