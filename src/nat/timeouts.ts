/**
 * Timeout classes and their idle times. A flow is in one class at a time; the class decides when it expires and is what
 * the expiry lists of the flow table are kept by.
 */

export const CLASS_UDP_UNREPLIED = 0
export const CLASS_UDP = 1
export const CLASS_ICMP = 2
/** TCP before both ends have sent an acknowledgment (RFC 5382 5: partially open). */
export const CLASS_TCP_OPENING = 3
/** TCP after that, also half closed (RFC 5382 5 counts FIN_WAIT and CLOSE_WAIT as established). */
export const CLASS_TCP_ESTABLISHED = 4
/** TCP after a FIN from both ends, or a RST (RFC 7857 2.1, RFC 2663 2.6). */
export const CLASS_TCP_CLOSING = 5

/** Idle seconds by class. */
export interface Timeouts {
  udpUnreplied: number
  udp: number
  icmp: number
  tcpOpening: number
  tcpEstablished: number
  tcpClosing: number
}

/** RFC 4787 REQ-5 (recommended 5 min), RFC 5508 REQ-2 (60 s), RFC 5382 REQ-5 (2 h 4 min; 4 min transitory). */
export const DEFAULT_TIMEOUTS: Timeouts = {
  udpUnreplied: 300,
  udp: 300,
  icmp: 60,
  tcpOpening: 240,
  tcpEstablished: 7440,
  tcpClosing: 240,
}

/** The idle times as a column, indexed by class. */
export const timeoutColumn = (timeouts: Timeouts): Int32Array =>
  Int32Array.of(
    timeouts.udpUnreplied, timeouts.udp, timeouts.icmp, timeouts.tcpOpening, timeouts.tcpEstablished, timeouts.tcpClosing,
  )
