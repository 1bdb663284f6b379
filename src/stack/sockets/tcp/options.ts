/** How connections and listeners are opened, and what is told of them. */

export interface TcpConnectOptions {
  /** int32; 0.0.0.0 is this host. */
  readonly address: number
  readonly port: number
  /** int32. Default: what routes say. */
  readonly localAddress?: number
  readonly localPort?: number
  /** The local address may be another host's. */
  readonly transparent?: boolean
  /** uint32. */
  readonly mark?: number
  readonly tos?: number
  readonly interface?: number
  readonly reuseAddress?: boolean
  /** Milliseconds that data, or the SYN, may stay unanswered (RFC 5482, on this side only). Default: that of the settings. */
  readonly userTimeout?: number
  /** Sent with the SYN (RFC 7413), as far as it fits; all of it counts as written. */
  readonly fastOpenData?: Uint8Array
}

export interface TcpListenOptions {
  /** int32. Default 0.0.0.0: all. */
  readonly address?: number
  /** 0 for one that is free. */
  readonly port: number
  /** Takes connections to foreign addresses that TPROXY gives it. */
  readonly transparent?: boolean
  readonly reusePort?: boolean
  readonly interface?: number
  readonly mark?: number
  readonly tos?: number
  /** Handshakes at a time, and connections that wait. Default 511. */
  readonly backlog?: number
}

/** A connection or listener as `ss` shows it. */
export interface TcpRecord {
  /** Of the socket table. */
  readonly row: number
  readonly state: string
  readonly localAddress: number
  readonly localPort: number
  readonly remoteAddress: number
  readonly remotePort: number
  /** Bytes that wait to be read; of a listener, connections that wait. */
  readonly receiveQueue: number
  /** Bytes that are not acknowledged; of a listener, handshakes that are not done. */
  readonly sendQueue: number
}

export interface TcpCounters {
  /** Segments that came, and those with a wrong checksum, which counted for nothing. */
  received: number
  badChecksums: number
  /** Segments that nobody wanted, answered with RST. */
  refused: number
}
