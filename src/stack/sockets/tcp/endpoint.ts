/**
 * One end of a TCP connection as its user sees it, without Node's streams: those are put on top of it (tcp-socket.ts).
 */

export interface TcpEvents {
  /** The handshake is done. */
  onConnect(): void
  /** `read` returns something, after it had returned nothing: data or the end of the stream. */
  onReadable(): void
  /** `write` has room again, after it had said that there is none. */
  onDrain(): void
  /** All that was written, and the FIN after it, has been acknowledged. */
  onFinish(): void
  /** The connection is over before its time: `code` is ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH …. `onClose` follows. */
  onError(error: NodeJS.ErrnoException): void
  /** Nothing more will happen: closed both ways (TIME_WAIT may go on without the user), or aborted. */
  onClose(): void
}

export interface TcpEndpoint {
  /** Set by the user before anything can happen. */
  events: TcpEvents
  /** int32. 0 until routes have chosen it. They may choose again until the handshake is done. */
  readonly localAddress: number
  readonly localPort: number
  readonly remoteAddress: number
  readonly remotePort: number
  /** Where the client wanted to go, before REDIRECT or DNAT sent it here, or with TPROXY; null when it wanted to come here. */
  readonly originalDestination: { readonly address: number; readonly port: number } | null
  /** Bytes handed to `write` that are not yet acknowledged. */
  readonly writeLength: number
  readonly bytesRead: number
  readonly bytesWritten: number
  /**
   * Takes bytes to be sent; they must not be changed until they are acknowledged. Returns false when the send buffer is full: the bytes
   * are taken nevertheless, and `onDrain` follows.
   */
  write(bytes: Uint8Array): boolean
  /** The next bytes in order, of which the user becomes the owner; null when there are none now; `'end'` after the other's FIN. */
  read(): Uint8Array | null | 'end'
  /** Ends the sending direction after what was written (FIN). */
  shutdown(): void
  /** Closes both directions. Data that was not read, or comes later, is answered with RST (RFC 9293 SHLD-3; RFC 2525 2.17). */
  close(): void
  /** Ends the connection at once with RST. */
  abort(): void
  setNoDelay(on: boolean): void
  /** @param idle milliseconds without a sign of life before the first probe */
  setKeepAlive(on: boolean, idle?: number): void
  /** How long something may stay unanswered before the connection is given up (RFC 5482, on this side only). @param milliseconds 0 for what the stack has */
  setUserTimeout(milliseconds: number): void
}
