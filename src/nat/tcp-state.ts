/**
 * TCP states, in conntrack's words, and how segments lead from one to the next. Two machines do so: that of the RFCs and
 * netfilter's (settings.ts, TCP_STATES). Both are pure functions of the flow's events.
 *
 * Events of a TCP flow, 27 bits: the state; EVENT_REPLIED and EVENT_ASSURED (flow-table.ts); which end has sent a FIN, or an
 * acknowledgment; and what tcp-window.ts and tcp-tracker.ts keep beside their words. Bits for both ends come in pairs,
 * original side first: `BIT << (side & 1)`.
 *
 * A simultaneous open needs nothing special: SYNs may come from both ends in any order (RFC 5382 REQ-2). A SYN in the middle
 * of a connection changes nothing, since who receives it will tell whether he knows of the connection (RFC 9293 3.10.7.4); but
 * after the end, a new connection begins on the same mapping.
 */
import * as tcp from '../stack/wire/tcp.js'
import { EVENT_ASSURED, EVENT_REPLIED } from './flow-table.js'
import {
  CLASS_TCP_CLOSE, CLASS_TCP_CLOSE_WAIT, CLASS_TCP_ESTABLISHED, CLASS_TCP_FIN_WAIT, CLASS_TCP_LAST_ACK, CLASS_TCP_SYN_RECV,
  CLASS_TCP_SYN_SENT, CLASS_TCP_TIME_WAIT,
} from './timeouts.js'

/** The state's bits of the events. */
const STATE = 15
export const SYN_SENT = 1
export const SYN_RECV = 2
export const ESTABLISHED = 3
/** A FIN. */
export const FIN_WAIT = 4
/** A FIN, acknowledged. */
export const CLOSE_WAIT = 5
/** FINs of both ends. */
export const LAST_ACK = 6
/** FINs of both ends, acknowledged. */
export const TIME_WAIT = 7
/** A RST. */
export const CLOSE = 8
/** SYNs of both ends. */
export const SYN_SENT2 = 9

const NAMES = ['NONE', 'SYN_SENT', 'SYN_RECV', 'ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK', 'TIME_WAIT', 'CLOSE', 'SYN_SENT2']
const CLASSES = Uint8Array.of(
  CLASS_TCP_SYN_SENT, CLASS_TCP_SYN_SENT, CLASS_TCP_SYN_RECV, CLASS_TCP_ESTABLISHED, CLASS_TCP_FIN_WAIT, CLASS_TCP_CLOSE_WAIT,
  CLASS_TCP_LAST_ACK, CLASS_TCP_TIME_WAIT, CLASS_TCP_CLOSE, CLASS_TCP_SYN_SENT,
)

const FIN_SEEN = 1 << 6
const BOTH_FIN = FIN_SEEN | (FIN_SEEN << 1)
/** The end has sent a segment with ACK (RFC 5382 5: until both have, the connection is partially open). */
const ACK_SEEN = 1 << 8
const BOTH_ACK = ACK_SEEN | (ACK_SEEN << 1)
/** The reply side has sent a SYN without ACK. */
const SIMULTANEOUS = 1 << 10
/** What the machines read and write; the rest is the window's. */
const MACHINE = STATE | EVENT_REPLIED | EVENT_ASSURED | BOTH_FIN | BOTH_ACK | SIMULTANEOUS
/** First bit of those that other files keep in the events. */
export const FREE_SHIFT = 11

/** What a segment is to the machines, by its flags. */
export const KIND_NONE = 0
export const KIND_SYN = 1
export const KIND_SYN_ACK = 2
export const KIND_FIN = 3
export const KIND_ACK = 4
export const KIND_RST = 5

/** PSH, URG, ECE and CWR tell nothing here. A segment needs ACK, but for SYN and RST (RFC 9293 3.10.7.4). */
export const kindOf = (flags: number): number => {
  if ((flags & tcp.RST) !== 0) return KIND_RST
  const hasAck = (flags & tcp.ACK) !== 0
  if ((flags & tcp.SYN) !== 0) return hasAck ? KIND_SYN_ACK : KIND_SYN
  if (!hasAck) return KIND_NONE
  return (flags & tcp.FIN) !== 0 ? KIND_FIN : KIND_ACK
}

/** Instead of new events: the segment passes and changes nothing; must not pass; begins a new connection. */
export const IGNORED = -1
export const INVALID = -2
export const RESTART = -3

/** Events after a segment of `kind` on `direction` (0 original, 1 reply), or one of the three above. */
export type Step = (events: number, kind: number, direction: number) => number

export interface Machine {
  readonly step: Step
  /** A RST that comes before any answer ends the flow at once. */
  readonly endsUnanswered: boolean
  /** A SYN that is repeated without answer prolongs the flow. */
  readonly renewsBySyn: boolean
  /** Combinations of flags that no TCP makes are refused. */
  readonly checksFlags: boolean
}

export const stateOf = (events: number): number => events & STATE

const withState = (events: number, state: number): number => (events & ~STATE) | state

const isOver = (state: number): boolean => state === TIME_WAIT || state === CLOSE

/** The events with all of `next` that the machines decide. */
export const withMachineEvents = (events: number, next: number): number => (events & ~MACHINE) | (next & MACHINE)

/** Events of a connection that begins with a SYN of `direction`. */
export const firstEvents = (direction: number): number => (direction === 0 ? SYN_SENT : SYN_SENT2 | SIMULTANEOUS)

/** Events of a connection that was there before its flow, of which the original side speaks. */
export const PICKED_UP = ESTABLISHED | BOTH_ACK

/** Events after a SYN/ACK of `direction` that answers a SYN in the middle of what was another connection. */
export const answeredEvents = (direction: number): number =>
  SYN_RECV | (ACK_SEEN << direction) | (direction === 0 ? SIMULTANEOUS : EVENT_REPLIED)

/** The same connection, ended by a RST. */
export const closedEvents = (events: number): number => withState(events, CLOSE)

/** The state that a RST has ended. */
const stateBefore = (events: number): number => {
  if ((events & BOTH_FIN) === BOTH_FIN) return TIME_WAIT
  if ((events & BOTH_FIN) !== 0) return CLOSE_WAIT
  if ((events & BOTH_ACK) === BOTH_ACK) return ESTABLISHED
  if ((events & BOTH_ACK) !== 0) return SYN_RECV
  return (events & SIMULTANEOUS) !== 0 ? SYN_SENT2 : SYN_SENT
}

/** RFC 5382 5 and RFC 7857 2: established until both ends have sent a FIN; whatever follows a RST takes it back. */
const stepByRfc: Step = (events, kind, direction) => {
  if (kind === KIND_RST) return withState(events, CLOSE)
  if (kind === KIND_NONE) return IGNORED
  const known = stateOf(events)
  if (kind === KIND_SYN) {
    if (isOver(known)) return RESTART
    if (known !== SYN_SENT && known !== SYN_SENT2) return IGNORED
    return direction === 0 ? events : withState(events | SIMULTANEOUS, SYN_SENT2)
  }
  const state = known === CLOSE ? stateBefore(events) : known
  // Nothing but a SYN/ACK answers a SYN; where both have sent one, an acknowledgment does, too.
  if (state === SYN_SENT && (direction === 0 || kind !== KIND_SYN_ACK)) return IGNORED
  if (state === SYN_SENT2 && kind === KIND_FIN) return IGNORED
  const after = events | (ACK_SEEN << direction) | (kind === KIND_FIN ? FIN_SEEN << direction : 0)
  return withState(after, stateAfter(state, after, kind))
}

const stateAfter = (state: number, after: number, kind: number): number => {
  if ((after & BOTH_FIN) === BOTH_FIN) return state === TIME_WAIT || kind === KIND_ACK ? TIME_WAIT : LAST_ACK
  if ((after & BOTH_FIN) !== 0) return state === CLOSE_WAIT || kind === KIND_ACK ? CLOSE_WAIT : FIN_WAIT
  return (after & BOTH_ACK) === BOTH_ACK ? ESTABLISHED : SYN_RECV
}

/** What Linux 6 does. Where it calls a segment invalid and lets it pass untranslated, here it does not pass. */
const stepByNetfilter: Step = (events, kind, direction) => {
  const state = stateOf(events)
  const isOpening = state === SYN_SENT || state === SYN_SENT2
  switch (kind) {
    case KIND_RST:
      return withState(events, CLOSE)
    case KIND_SYN:
      if (direction === 0) return isOpening ? events : isOver(state) ? RESTART : IGNORED
      if (isOpening) return withState(events | SIMULTANEOUS, SYN_SENT2)
      return state === TIME_WAIT ? RESTART : INVALID
    case KIND_SYN_ACK:
      if (direction === 1) return isOpening ? withState(events, SYN_RECV) : IGNORED
      return state === SYN_SENT2 || state === SYN_RECV ? withState(events, SYN_RECV) : INVALID
    case KIND_FIN:
      if (isOpening) return INVALID
      if (isOver(state)) return events
      return withState(events, state === SYN_RECV || state === ESTABLISHED ? FIN_WAIT : LAST_ACK)
    case KIND_ACK:
      if (isOpening) return direction === 0 ? INVALID : IGNORED
      if (state === SYN_RECV) return direction === 0 || (events & SIMULTANEOUS) !== 0 ? withState(events, ESTABLISHED) : events
      if (state === FIN_WAIT) return withState(events, CLOSE_WAIT)
      return state === LAST_ACK ? withState(events, TIME_WAIT) : events
    default:
      return INVALID
  }
}

export const MACHINES: Readonly<Record<'rfc' | 'netfilter', Machine>> = {
  rfc: { step: stepByRfc, endsUnanswered: false, renewsBySyn: true, checksFlags: false },
  netfilter: { step: stepByNetfilter, endsUnanswered: true, renewsBySyn: false, checksFlags: true },
}

/** The events after a step, with what follows for EVENT_REPLIED and EVENT_ASSURED: assured once established and answered. */
export const withAnswers = (before: number, next: number, kind: number, direction: number): number => {
  const isAssured = (before & EVENT_REPLIED) !== 0 && stateOf(next) === ESTABLISHED
  return next | (isAssured ? EVENT_ASSURED : 0) | (direction === 1 && kind !== KIND_RST ? EVENT_REPLIED : 0)
}

/** What every flow beyond its handshake has, and nearly every segment meets: established, answered, assured. */
export const STEADY = ESTABLISHED | EVENT_REPLIED | EVENT_ASSURED
export const STEADY_MASK = STATE | EVENT_REPLIED | EVENT_ASSURED

/** The timeout class of the state. */
export const classOfState = (events: number): number => CLASSES[stateOf(events)]!

/** The word conntrack uses. */
export const stateName = (events: number): string => NAMES[stateOf(events)] ?? NAMES[0]!

const SENSIBLE = new Set([
  tcp.SYN, tcp.SYN | tcp.URG, tcp.SYN | tcp.ACK, tcp.RST, tcp.RST | tcp.ACK, tcp.ACK, tcp.ACK | tcp.URG, tcp.FIN | tcp.ACK,
  tcp.FIN | tcp.ACK | tcp.URG,
])

/** Whether a TCP makes segments with these flags. PSH, ECE and CWR go with all. */
export const isSensible = (flags: number): boolean => SENSIBLE.has(flags & (tcp.SYN | tcp.ACK | tcp.FIN | tcp.RST | tcp.URG))
