/** What the control socket says of the gateway's own sockets. */

/** One end of a connection. */
export interface SocketEnd {
  readonly address: string
  readonly port: number
}

/** A socket, as ss(8) has it. */
export interface SocketInfo {
  readonly protocol: 'tcp' | 'udp' | 'icmp'
  /** In the words of ss: ESTAB, LISTEN, TIME-WAIT, UNCONN …. */
  readonly state: string
  /** Bytes that nobody has read yet; of a listener, connections that nobody has accepted. */
  readonly receiveQueue: number
  /** Bytes that are not acknowledged; of a listener, handshakes that are not done. */
  readonly sendQueue: number
  /** Of a ping socket the port is the identifier. */
  readonly local: SocketEnd
  /** null: not connected. */
  readonly remote: SocketEnd | null
}

export interface SocketStatus {
  readonly count: number
  readonly limit: number
  /** TIME_WAIT not included. */
  readonly tcp: number
  readonly udp: number
  readonly icmp: number
  readonly timeWait: number
}

/** A socket that is to be opened, and lives as long as the request for it. */
export interface SocketRequest {
  readonly protocol: 'tcp' | 'udp'
  /** Whom to connect to; null: wait for the first who comes. */
  readonly remote: SocketEnd | null
  /** null: what routes choose; when it listens, all addresses. */
  readonly localAddress: string | null
  /** 0: a free one. */
  readonly localPort: number
  /** uint32 */
  readonly mark: number
  readonly tos: number
}

/** What happens to a socket that was opened. After `error` and `stopped` nothing follows. */
export type SocketEvent =
  | { readonly type: 'listening'; readonly local: SocketEnd }
  /** Connected, or accepted; `original`: where the other side wanted to go before rules led it here. */
  | { readonly type: 'open'; readonly local: SocketEnd; readonly remote: SocketEnd; readonly original: SocketEnd | null }
  /** Routes chose the local address; of UDP, since with the first datagram only. */
  | { readonly type: 'moved'; readonly local: SocketEnd }
  /** The other side sends no more; in the other direction: nor does the client. */
  | { readonly type: 'end' }
  /** `code` of errno(3), `syscall` as Node names it. */
  | { readonly type: 'error'; readonly code: string; readonly syscall: string }
  /** The gateway ends. */
  | { readonly type: 'stopped' }

/** What goes over the stream of an open socket: bytes (TCP), datagrams (UDP), and what happens. */
export type SocketFrame = Uint8Array | SocketEvent

export interface PingRequest {
  readonly host: string
  /** 0: until the client goes. */
  readonly count: number
  /** Seconds between two requests. */
  readonly interval: number
  /** Bytes of data in each. */
  readonly size: number
  /** Seconds to wait for an answer after the last one. */
  readonly wait: number
  readonly localAddress: string | null
  readonly mark: number
  readonly tos: number
  readonly ttl: number
}

export type PingLine =
  | { readonly type: 'started'; readonly address: string }
  /** `bytes` with the ICMP header, `time` in milliseconds. */
  | { readonly type: 'reply'; readonly from: string; readonly sequence: number; readonly ttl: number; readonly bytes: number; readonly time: number; readonly duplicate: boolean }
  /** An ICMP error. */
  | { readonly type: 'failure'; readonly from: string; readonly sequence: number; readonly icmpType: number; readonly icmpCode: number }
  /** It could not be sent. */
  | { readonly type: 'error'; readonly sequence: number; readonly code: string; readonly syscall: string }
  | PingSummary

export interface PingSummary {
  readonly type: 'ended'
  readonly transmitted: number
  readonly received: number
  readonly duplicates: number
  readonly errors: number
  /** Milliseconds from the first request on. */
  readonly time: number
  /** Round trips in milliseconds; null when there was no answer. */
  readonly rtt: { readonly min: number; readonly avg: number; readonly max: number; readonly mdev: number } | null
}
