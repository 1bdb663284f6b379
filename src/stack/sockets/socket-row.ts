/** What a row of the socket table says. */

/** Bits of a row's flags. */
export const SOCKET_FLAG = {
  /** IP_TRANSPARENT: may be bound to foreign addresses; TPROXY gives packets to such sockets only. */
  transparent: 1,
  /** A TCP listener. */
  listening: 2,
  /** It has a remote end: all of TCP but listeners, connected UDP and ICMP. */
  connected: 4,
  /** TIME_WAIT; together with `connected`. */
  timeWait: 8,
  /** bind() named a local address: the source stays, whatever routes say. */
  boundAddress: 16,
  reusePort: 32,
  reuseAddress: 64,
  /** May send to broadcast addresses. */
  broadcast: 128,
  /** The handshake that a listener answers is not done yet; together with `connected`. */
  synReceived: 256,
  /** A listener that has answered SYNs with cookies of late: a connection of its may begin with the ACK of one. */
  cookies: 512,
} as const

export interface SocketRow {
  /** Protocol number: 1 (the ports are then: local the identifier, remote 0), 6, 17. */
  readonly protocol: number
  /** SOCKET_FLAG. */
  readonly flags: number
  /** int32; 0 for any, or as long as routes have not chosen one. */
  readonly localAddress: number
  readonly localPort: number
  /** int32; 0 when not connected. */
  readonly remoteAddress: number
  readonly remotePort: number
  /** Number of the interface that it is bound to (SO_BINDTODEVICE), 0 for none. */
  readonly interface: number
  /** SO_MARK, uint32. */
  readonly mark: number
  /** IP_TOS of packets that it sends, 0-255. */
  readonly tos: number
}
