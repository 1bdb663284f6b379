/**
 * One client's endpoint at a SOCKS5 proxy (UDP ASSOCIATE, RFC 1928 4 and 7): a TCP connection that lives as long as the association, and
 * a UDP socket that exchanges datagrams with the proxy's relay. Datagrams that come before it is there wait, a bounded number.
 */
import { isIPv4 } from 'node:net'
import type { RedirectCounters } from './counters.js'
import type { DatagramSocket, Endpoint, StreamSocket } from './sockets.js'
import { senderOf, UDP_HEADER, wrapDatagram } from './udp-header.js'
import type { Session, Upstream } from './upstream.js'

export interface AssociationOptions {
  readonly upstream: Upstream
  readonly counters: RedirectCounters['udp']
  /** A datagram for the client. */
  readonly onDatagram: (source: Endpoint, data: Uint8Array) => void
  /** It is over by itself; `error` says why it never began, null when it had. Not called after `close`. */
  readonly onEnd: (error: Error | null) => void
}

/** Datagrams that wait for the association. */
const WAITING_MAX = 32
/** "I do not know yet where I shall send from." (RFC 1928 4) */
const ANYWHERE: Endpoint = { address: '0.0.0.0', port: 0 }

const ignore = (): void => {}

export class Association {
  readonly #options: AssociationOptions
  #control: StreamSocket | undefined
  #socket: DatagramSocket | undefined
  #isReady = false
  #isClosed = false
  #waiting: Buffer[] = []

  constructor(options: AssociationOptions) {
    this.#options = options
    options.upstream.dial('associate', ANYWHERE, (socket) => (this.#control = socket)).then(
      (session) => this.#bind(session),
      (error: Error) => this.#end(error),
    )
  }

  send(destination: Endpoint, data: Uint8Array): void {
    const { counters } = this.#options
    const wrapped = wrapDatagram(destination, data)
    if (this.#isReady) this.#send(wrapped)
    else if (!this.#isClosed && this.#waiting.length < WAITING_MAX) this.#waiting.push(wrapped)
    else counters.dropped++
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#isReady = false
    this.#options.counters.dropped += this.#waiting.length
    this.#waiting = []
    this.#control?.destroy()
    this.#socket?.close()
  }

  #end(error: Error | null): void {
    if (this.#isClosed) return
    this.close()
    this.#options.onEnd(error)
  }

  #send(wrapped: Buffer): void {
    const { counters } = this.#options
    this.#socket!.send(wrapped, (error) => {
      if (error === null || error === undefined) counters.sent++
      else counters.dropped++
    })
  }

  #bind({ socket: control, relay }: Session): void {
    if (this.#isClosed) {
      control.destroy()
      return
    }
    // The proxy says nothing more; its end, or its error, is that of the association.
    control.on('data', ignore).on('end', () => this.#end(null)).on('close', () => this.#end(null)).resume()
    control.setKeepAlive(true, 60_000)
    if (control.destroyed || control.readableEnded || !isIPv4(relay.address) || relay.port === 0) {
      this.#end(new Error(`the upstream relays datagrams at ${relay.address}:${relay.port}, which cannot be used`))
      return
    }
    const socket = this.#options.upstream.dialer.createDatagramSocket({ type: 'udp4' })
    this.#socket = socket
    socket.on('message', (wrapped: Buffer) => this.#receive(wrapped))
    socket.on('error', () => this.#end(null))
    // Proxies take datagrams from the address only that asked for the association.
    socket.bind(0, control.localAddress ?? '0.0.0.0', () => {
      if (this.#isClosed) return
      socket.connect(relay.port, relay.address, () => this.#begin())
    })
  }

  #begin(): void {
    if (this.#isClosed) return
    this.#options.counters.opened++
    this.#isReady = true
    const waiting = this.#waiting
    this.#waiting = []
    for (const wrapped of waiting) this.#send(wrapped)
  }

  #receive(wrapped: Buffer): void {
    const source = senderOf(wrapped)
    if (source === null) this.#options.counters.dropped++
    else this.#options.onDatagram(source, wrapped.subarray(UDP_HEADER))
  }
}
