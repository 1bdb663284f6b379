/** What a redirector may use at most. Times are milliseconds. */

export interface RedirectLimits {
  /** TCP connections at a time, those that are being dialled among them. */
  readonly connections: number
  /** UDP associations at a time; the least recently used one gives way. */
  readonly associations: number
  /** Sockets at a time that answer from foreign addresses; the least recently used one gives way. */
  readonly foreignSockets: number
  /** Until the upstream has connected and agreed. */
  readonly dial: number
  /** A TCP connection without a byte in either direction (RFC 5382 REQ-5 asks a NAT for at least 7440 s). */
  readonly tcpIdle: number
  /** An association without a datagram (RFC 4787 REQ-5: at least 120 s). */
  readonly udpIdle: number
  /** Before a silent end of a TCP connection is asked whether it lives. */
  readonly keepAlive: number
}

export const REDIRECT_LIMITS: RedirectLimits = {
  connections: 16_384, associations: 4096, foreignSockets: 1024, dial: 10_000, tcpIdle: 7_440_000, udpIdle: 120_000, keepAlive: 300_000,
}
