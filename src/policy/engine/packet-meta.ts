/** What rules look at in a packet and in the flow that it belongs to. One object, filled anew for each packet. */

/** `fragment` of a packet-meta: as `src/stack/parse.ts` tells them apart. */
export const LATER_FRAGMENT = 2

export const ORIGINAL = 0
export const REPLY = 1

export class PacketMeta {
  /** int32 */
  source = 0
  destination = 0
  protocol = 0
  /** Of ICMP, `type << 8 | code` stands for both ports, as sets want it; of protocols without ports, 0. */
  sourcePort = 0
  destinationPort = 0
  /** False for later fragments and for protocols without ports but ICMP. */
  hasPorts = false
  /** WHOLE 0, FIRST_FRAGMENT 1 or LATER_FRAGMENT 2 */
  fragment = 0
  /** FIN 1 … CWR 128; 0 for other protocols than TCP. */
  tcpFlags = 0
  /** -1 for other protocols than ICMP. */
  icmpType = -1
  icmpCode = 0
  /** Bytes of the IPv4 packet. */
  length = 0
  ttl = 0
  tos = 0
  /** Numbers of `Environment.interfaces`; 0: none. */
  inInterface = 0
  outInterface = 0
  /** uint32 */
  mark = 0

  /**
   * One of NEW, ESTABLISHED, RELATED, INVALID and UNTRACKED of `STATE`, with SNAT and DNAT as far as they have been decided.
   * With INVALID and UNTRACKED there is no flow, and the fields below mean nothing.
   */
  state = 0
  /** uint32 */
  connmark = 0
  /** Bits of `STATUS`. */
  status = 0
  /** ORIGINAL or REPLY */
  direction = ORIGINAL
  flowProtocol = 0
  originalSource = 0
  originalDestination = 0
  replySource = 0
  replyDestination = 0
  /** For ICMP, as conntrack has them: the identifier, and type and code. */
  originalSourcePort = 0
  originalDestinationPort = 0
  replySourcePort = 0
  replyDestinationPort = 0
  /** Seconds until the flow expires. */
  expires = 0
  /** Whether it has not been decided yet what the table nat of this hook does with the flow. */
  consultsNat = false
}
