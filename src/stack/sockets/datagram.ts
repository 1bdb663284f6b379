/** What datagram sockets of all kinds are given and give. */
import type { Network } from './network.js'
import type { EphemeralPorts } from './ports.js'
import type { SocketTable } from './socket-table.js'

/** What datagram sockets stand on. */
export interface DatagramHost {
  readonly network: Network
  readonly table: SocketTable
  readonly ports: EphemeralPorts
  /** `now`: milliseconds of the stack's clock. */
  readonly timers: { readonly now: number }
}

export interface DatagramOptions {
  /** Bind to addresses of others, and get datagrams for them that rules lead here (IP_TRANSPARENT). */
  transparent?: boolean
  reusePort?: boolean
  reuseAddress?: boolean
  /** Sending to broadcast addresses is allowed (SO_BROADCAST). */
  broadcast?: boolean
  /** The firewall mark of what is sent, uint32. */
  mark?: number
  /** The TOS byte of what is sent. */
  tos?: number
  /** 1-255, default 64. */
  ttl?: number
  /** Number of the interface to be bound to (SO_BINDTODEVICE). */
  interface?: number
  /** Bytes of datagrams that may wait to be read, each counted with DATAGRAM_COST; default RECEIVE_BUFFER. */
  receiveBuffer?: number
}

/** A datagram that was received. */
export interface Datagram {
  readonly data: Uint8Array
  /** Where it came from, int32. */
  readonly address: number
  readonly port: number
  /** Where it was sent to, int32. */
  readonly localAddress: number
  /** Where it was sent to before rules led it here; null when that was this socket. */
  readonly originalDestination: { readonly address: number; readonly port: number } | null
  readonly tos: number
  readonly ttl: number
  /** Number of the interface that it came in by, 0 when that is not known. */
  readonly interface: number
  /** The firewall mark that rules gave it, uint32. */
  readonly mark: number
}

export interface DatagramEvents {
  /** `read` returns something, after it had returned null. */
  onReadable(): void
  /** Something that was sent came to nothing: ECONNREFUSED, EMSGSIZE, EHOSTUNREACH …; the socket can be used on. */
  onError(error: NodeJS.ErrnoException): void
  /** There is room again after `send` had said EAGAIN. */
  onDrain(): void
}

export const NO_DATAGRAM_EVENTS: DatagramEvents = { onReadable: () => {}, onError: () => {}, onDrain: () => {} }

/** What a datagram counts in the receive buffer, beside its bytes. */
export const DATAGRAM_COST = 256
/** Bytes, as Linux's net.core.rmem_default. */
export const RECEIVE_BUFFER = 212_992
/** The longest payload: what a datagram of 65535 bytes has beside the headers of IPv4 (20) and UDP or ICMP (8). */
export const PAYLOAD_MAX = 65_507
