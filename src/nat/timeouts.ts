/**
 * Timeout classes and their idle times. A flow is in one class at a time; the class decides when it expires and is what
 * the expiry lists of the flow table are kept by. Their names are those of the sysctls net.netfilter.nf_conntrack_*_timeout_*.
 */

/** Names by class. */
export const TIMEOUT_NAMES = [
  'udp', 'udpStream', 'icmp',
  'tcpSynSent', 'tcpSynRecv', 'tcpEstablished', 'tcpFinWait', 'tcpCloseWait', 'tcpLastAck', 'tcpTimeWait', 'tcpClose',
  'tcpUnacknowledged', 'tcpMaxRetrans',
  'sctp', 'sctpEstablished', 'gre', 'greStream', 'generic',
] as const
export type TimeoutName = (typeof TIMEOUT_NAMES)[number]

/** UDP that was not answered yet, or has only just been. */
export const CLASS_UDP = 0
/** UDP both ways. */
export const CLASS_UDP_STREAM = 1
export const CLASS_ICMP = 2
/** TCP: SYNs of one end, or of both, and no answer. */
export const CLASS_TCP_SYN_SENT = 3
/** TCP: a SYN was answered (RFC 5382 5: partially open until both ends have sent an acknowledgment). */
export const CLASS_TCP_SYN_RECV = 4
export const CLASS_TCP_ESTABLISHED = 5
/** TCP: a FIN of one end. */
export const CLASS_TCP_FIN_WAIT = 6
/** TCP: a FIN of one end, acknowledged. */
export const CLASS_TCP_CLOSE_WAIT = 7
/** TCP: FINs of both ends. */
export const CLASS_TCP_LAST_ACK = 8
/** TCP: FINs of both ends, the last one acknowledged. */
export const CLASS_TCP_TIME_WAIT = 9
/** TCP: a RST. */
export const CLASS_TCP_CLOSE = 10
/** TCP: data that nobody acknowledges. */
export const CLASS_TCP_UNACKNOWLEDGED = 11
/** TCP: a segment was repeated several times. */
export const CLASS_TCP_MAX_RETRANS = 12
export const CLASS_SCTP = 13
export const CLASS_SCTP_ESTABLISHED = 14
export const CLASS_GRE = 15
export const CLASS_GRE_STREAM = 16
/** What has no ports and no class of its own. */
export const CLASS_GENERIC = 17

/** Idle seconds by class. */
export type Timeouts = Record<TimeoutName, number>

/** The idle times as a column, indexed by class. */
export const timeoutColumn = (timeouts: Readonly<Timeouts>): Int32Array => Int32Array.from(TIMEOUT_NAMES, (name) => timeouts[name])
