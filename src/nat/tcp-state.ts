/**
 * TCP as the gateway sees it: the set of events that passed, from which phase (timeout class) and conntrack's state word
 * follow. Two events lead back: a new SYN after the end starts anew on the same mapping (RFC 5382 does not forbid it, and a
 * client that binds its port needs it); and any other segment after a RST takes that back, as the RST may have been forged or
 * lost on its way (RFC 7857 2.2).
 *
 * Simultaneous open needs nothing special: SYNs may come from both sides in any order (RFC 5382 REQ-2).
 */
import * as tcp from '../stack/wire/tcp.js'
import {
  CLASS_TCP_CLOSE, CLASS_TCP_CLOSE_WAIT, CLASS_TCP_ESTABLISHED, CLASS_TCP_FIN_WAIT, CLASS_TCP_LAST_ACK, CLASS_TCP_SYN_RECV,
  CLASS_TCP_SYN_SENT, CLASS_TCP_TIME_WAIT,
} from './timeouts.js'

/** Events come in pairs, original side first: `EVENT << (side & 1)`. */
const SYN = 1
const ACK = 4
const FIN = 16
const BOTH_ACK = ACK | (ACK << 1)
const BOTH_FIN = FIN | (FIN << 1)
/** An acknowledgment without FIN after the first FIN, and after both. */
const FIN_ACKED = 64
const BOTH_FIN_ACKED = 128
const RST = 256

/** Established, nothing closing: nearly every segment meets this. */
export const isSteady = (events: number): boolean => (events & (BOTH_ACK | BOTH_FIN | RST)) === BOTH_ACK

/** Flags that change nothing in a steady flow when they are all absent. */
export const UNSTEADY_FLAGS = tcp.SYN | tcp.FIN | tcp.RST

const isOver = (events: number): boolean => (events & RST) !== 0 || (events & BOTH_FIN) === BOTH_FIN

/** Events after a segment with `flags` on `direction` (0 original, 1 reply). */
export const advance = (events: number, flags: number, direction: number): number => {
  if ((flags & tcp.RST) !== 0) return events | RST
  if ((flags & tcp.SYN) !== 0) {
    const before = isOver(events) && (flags & tcp.ACK) === 0 ? 0 : events & ~RST
    return before | (SYN << direction) | ((flags & tcp.ACK) !== 0 ? ACK << direction : 0)
  }
  let after = events & ~RST
  if ((flags & tcp.ACK) !== 0) {
    after |= ACK << direction
    if ((flags & tcp.FIN) === 0 && (events & BOTH_FIN) !== 0) after |= (events & BOTH_FIN) === BOTH_FIN ? BOTH_FIN_ACKED : FIN_ACKED
  }
  if ((flags & tcp.FIN) !== 0) after |= FIN << direction
  return after
}

/** The timeout class that follows from the events (RFC 5382 REQ-5, RFC 7857 2). */
export const timeoutClassOf = (events: number): number => {
  if ((events & RST) !== 0) return CLASS_TCP_CLOSE
  if ((events & BOTH_FIN) === BOTH_FIN) return (events & BOTH_FIN_ACKED) !== 0 ? CLASS_TCP_TIME_WAIT : CLASS_TCP_LAST_ACK
  if ((events & BOTH_FIN) !== 0) return (events & FIN_ACKED) !== 0 ? CLASS_TCP_CLOSE_WAIT : CLASS_TCP_FIN_WAIT
  if ((events & BOTH_ACK) === BOTH_ACK) return CLASS_TCP_ESTABLISHED
  return (events & (ACK << 1)) !== 0 ? CLASS_TCP_SYN_RECV : CLASS_TCP_SYN_SENT
}

/** Whether the reply side has sent anything but RSTs since the flow began anew. */
export const hasReplied = (events: number): boolean => (events & ((SYN | ACK | FIN) << 1)) !== 0

/** The word conntrack would use. */
export const stateName = (events: number): string => {
  if ((events & RST) !== 0) return 'CLOSE'
  if ((events & BOTH_FIN) === BOTH_FIN) return (events & BOTH_FIN_ACKED) !== 0 ? 'TIME_WAIT' : 'LAST_ACK'
  if ((events & BOTH_FIN) !== 0) return (events & FIN_ACKED) !== 0 ? 'CLOSE_WAIT' : 'FIN_WAIT'
  if ((events & BOTH_ACK) === BOTH_ACK) return 'ESTABLISHED'
  if ((events & (SYN << 1)) === 0) return 'SYN_SENT'
  return (events & (ACK << 1)) !== 0 ? 'SYN_RECV' : 'SYN_SENT2'
}

/** Assured as conntrack means it: the handshake is complete. */
export const isAssured = (events: number): boolean => (events & BOTH_ACK) === BOTH_ACK
