/**
 * SCTP as the gateway sees it: chunks that passed, from which phase (timeout class) and conntrack's state word follow. Only the
 * first chunk of a packet is looked at; those that begin and end an association come first, or alone (RFC 9260 6.10).
 *
 * An ABORT or SHUTDOWN COMPLETE ends nothing for good: whatever else comes after it takes it back, as it may have been forged or
 * lost on its way, and a new INIT starts anew on the same mapping (as for TCP, tcp-state.ts).
 */
import * as sctp from '../stack/wire/sctp.js'
import { EVENT_ASSURED, EVENT_REPLIED } from './flow-table.js'
import { CLASS_SCTP, CLASS_SCTP_ESTABLISHED } from './timeouts.js'

const ECHOED = 1
const ACKNOWLEDGED = 2
/** Of the original side; of the reply side one bit further up. */
const SHUTDOWN = 4
const SHUTDOWN_ACKNOWLEDGED = 64
const ENDED = 128

/** Events after a packet that begins with a chunk of this type, on `direction` (0 original, 1 reply). */
export const advanceSctp = (events: number, chunkType: number, direction: number): number => {
  if (chunkType === sctp.ABORT || chunkType === sctp.SHUTDOWN_COMPLETE) return events | ENDED
  if (chunkType === sctp.INIT && (events & ENDED) !== 0) return direction === 1 ? EVENT_REPLIED : 0
  const after = (events & ~ENDED) | (direction === 1 ? EVENT_REPLIED : 0)
  switch (chunkType) {
    case sctp.COOKIE_ECHO:
      return after | ECHOED
    case sctp.COOKIE_ACK:
      return after | ACKNOWLEDGED | EVENT_ASSURED
    case sctp.SHUTDOWN:
      return after | (SHUTDOWN << direction)
    case sctp.SHUTDOWN_ACK:
      return after | SHUTDOWN_ACKNOWLEDGED
    default:
      return after
  }
}

/** Whether an end was the last that was seen. */
export const hasEnded = (events: number): boolean => (events & ENDED) !== 0

/** The timeout class that follows from the events. */
export const sctpClassOf = (events: number): number => ((events & (EVENT_REPLIED | ENDED)) === EVENT_REPLIED ? CLASS_SCTP_ESTABLISHED : CLASS_SCTP)

/** The word conntrack would use. */
export const sctpStateName = (events: number): string => {
  if ((events & ENDED) !== 0 || (events & EVENT_REPLIED) === 0) return 'CLOSED'
  if ((events & SHUTDOWN_ACKNOWLEDGED) !== 0) return 'SHUTDOWN_ACK_SENT'
  if ((events & SHUTDOWN) !== 0) return 'SHUTDOWN_SENT'
  if ((events & (SHUTDOWN << 1)) !== 0) return 'SHUTDOWN_RECD'
  if ((events & ACKNOWLEDGED) !== 0) return 'ESTABLISHED'
  return (events & ECHOED) !== 0 ? 'COOKIE_ECHOED' : 'COOKIE_WAIT'
}
