/**
 * Transparent sockets that answer from foreign addresses: one for each foreign endpoint, whoever the clients are, kept as long as it is
 * used, a bounded number.
 */
import { LRUCache } from 'lru-cache'
import type { DatagramSocket, Dialer, Endpoint, ReceivedFrom } from './sockets.js'

export interface ForeignSocketsOptions {
  readonly dialer: Dialer
  readonly max: number
  /** Milliseconds without a datagram after which a socket is closed. */
  readonly idle: number
  /** A client's datagram that came to such a socket: a rule of the user's gave it what it had been sent. */
  readonly onMessage: (data: Buffer, from: ReceivedFrom) => void
  readonly onDropped: () => void
}

/** Datagrams that wait until a socket is bound. */
const WAITING_MAX = 32

interface Foreign {
  readonly socket: DatagramSocket
  /** null: it is bound. */
  waiting: (() => void)[] | null
}

const close = ({ socket }: Foreign): void => {
  socket.close()
}

export class ForeignSockets {
  readonly #options: ForeignSocketsOptions
  readonly #cache: LRUCache<string, Foreign>

  constructor(options: ForeignSocketsOptions) {
    this.#options = options
    this.#cache = new LRUCache({ max: options.max, ttl: options.idle, updateAgeOnGet: true, dispose: close })
  }

  get size(): number {
    return this.#cache.size
  }

  /** Sends to a client, from a foreign endpoint. */
  send(source: Endpoint, data: Uint8Array, { address, port }: Endpoint): void {
    const { onDropped } = this.#options
    const key = `${source.address}:${source.port}`
    const foreign = this.#cache.get(key) ?? this.#open(key, source)
    const send = (): void => {
      foreign.socket.send(data, port, address, (error) => {
        if (error !== null && error !== undefined) onDropped()
      })
    }
    if (foreign.waiting === null) send()
    else if (foreign.waiting.length < WAITING_MAX) foreign.waiting.push(send)
    else onDropped()
  }

  #open(key: string, source: Endpoint): Foreign {
    const socket = this.#options.dialer.createDatagramSocket({ type: 'udp4', transparent: true })
    const foreign: Foreign = { socket, waiting: [] }
    this.#cache.set(key, foreign)
    socket.on('message', (data: Buffer, from: ReceivedFrom) => this.#options.onMessage(data, { ...from, originalDestination: source }))
    socket.on('error', () => {
      for (let lost = foreign.waiting?.length ?? 0; lost > 0; lost--) this.#options.onDropped()
      foreign.waiting = []
      if (this.#cache.peek(key) === foreign) this.#cache.delete(key)
    })
    socket.bind(source.port, source.address, () => {
      const waiting = foreign.waiting ?? []
      foreign.waiting = null
      for (const send of waiting) send()
    })
    return foreign
  }

  /** Closes those that nobody has used for long. */
  purge(): void {
    this.#cache.purgeStale()
  }

  close(): void {
    this.#cache.clear()
  }
}
