/** What can be set of TCP. Times are milliseconds, sizes bytes. */

export interface TcpSettings {
  /** Who waits for how long after the other's FIN (2 MSL). RFC 9293 says 240 s, most systems have 60 s. */
  readonly timeWait: number
  /** Connections in TIME_WAIT at most; then the oldest is forgotten. */
  readonly timeWaitMax: number
  /** A RST does not end TIME_WAIT (RFC 1337). */
  readonly ignoreTimeWaitResets: boolean
  readonly congestion: 'cubic' | 'new-reno'
  /** Retransmission timeout before anything is known of the path, and the least there is. */
  readonly initialRto: number
  readonly minRto: number
  /** How long a SYN is repeated (R2 of RFC 9293 3.8.3, at least 180 s there). */
  readonly connectTimeout: number
  /** How long data is repeated without an answer (R2, at least 100 s there); per connection `setUserTimeout`. */
  readonly retryTimeout: number
  /** How long an acknowledgment may wait for company; below 500. */
  readonly delayedAck: number
  /** How many segments are acknowledged at once when a connection is new. */
  readonly quickAcks: number
  /** The window begins with the first and grows to the second as long as the reader keeps up. */
  readonly receiveBuffer: number
  readonly receiveBufferMax: number
  /** Unacknowledged bytes from which on `write` says that there is no room; grows with the congestion window up to the second. */
  readonly sendBuffer: number
  readonly sendBufferMax: number
  readonly keepAliveIdle: number
  readonly keepAliveInterval: number
  readonly keepAliveProbes: number
  /** How long a closed connection waits for the other's FIN. */
  readonly finWait: number
  /** Handshakes that a listener has at a time, and connections that wait for a user; per listener `backlog`. */
  readonly backlog: number
}

export const DEFAULT_SETTINGS: TcpSettings = {
  timeWait: 60_000,
  timeWaitMax: 16_384,
  ignoreTimeWaitResets: true,
  congestion: 'cubic',
  initialRto: 1000,
  minRto: 200,
  connectTimeout: 180_000,
  retryTimeout: 900_000,
  delayedAck: 40,
  quickAcks: 16,
  receiveBuffer: 256 << 10,
  receiveBufferMax: 6 << 20,
  sendBuffer: 1 << 20,
  sendBufferMax: 8 << 20,
  keepAliveIdle: 7_200_000,
  keepAliveInterval: 75_000,
  keepAliveProbes: 9,
  finWait: 60_000,
  backlog: 511,
}
