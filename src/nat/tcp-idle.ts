/**
 * How long a TCP flow may be idle. Its state says so, or, where that is less: data that nobody acknowledges, a window that stays
 * closed, a segment repeated in vain, a connection picked up in its middle that nobody has answered (conntrack's
 * tcp_timeout_unacknowledged and tcp_timeout_max_retrans).
 *
 * Such things come and go with every segment. So that nothing has to be moved between lists for each, a flow that they could
 * concern is on the list of the shorter class first, whatever it is doing; only when it has been idle for as long is it looked at, and
 * goes on to the next list when its time is not over. As all of them come to a list at the same age, lists stay in order.
 */
import { classIn, EVENT_REPLIED, eventsIn, FLOW_STATUS } from './flow-table.js'
import { classOfState, CLOSE_WAIT, ESTABLISHED, FIN_WAIT, FREE_SHIFT, stateOf } from './tcp-state.js'
import { FLOW_ACKED, FLOW_END, FLOW_LIMIT, FLOW_WINDOWS } from './tcp-window.js'
import { CLASS_TCP_CLOSE, CLASS_TCP_MAX_RETRANS, CLASS_TCP_UNACKNOWLEDGED } from './timeouts.js'

/** Events: which end spoke last, and how often in turn it has brought nothing new, 0 to 3. */
const LAST_REPLY = 1 << (FREE_SHIFT + 2)
const REPEATS_SHIFT = FREE_SHIFT + 3
/** conntrack's tcp_max_retrans. */
const REPEATS_MAX = 3
const REPEATS = REPEATS_MAX << REPEATS_SHIFT

/** The states that a connection may stay in for hours. */
const isLasting = (events: number): boolean => {
  const state = stateOf(events)
  return state === ESTABLISHED || state === FIN_WAIT || state === CLOSE_WAIT
}

/** Counts a segment of `direction`. @param isNew it brought anything new */
export const countRepeat = (flows: Int32Array, at: number, direction: number, isNew: boolean): void => {
  const status = flows[at + FLOW_STATUS]!
  const last = direction === 1 ? LAST_REPLY : 0
  const repeats = isNew || (status & LAST_REPLY) !== last ? 0 : Math.min(REPEATS_MAX, ((status & REPEATS) >>> REPEATS_SHIFT) + 1)
  const after = (status & ~(LAST_REPLY | REPEATS)) | last | (repeats << REPEATS_SHIFT)
  if (after !== status) flows[at + FLOW_STATUS] = after
}

/** Data of one end that the other has not acknowledged. */
const isUnacknowledged = (flows: Int32Array, at: number): boolean =>
  ((flows[at + FLOW_END]! - flows[at + FLOW_ACKED + 1]!) | 0) > 0 || ((flows[at + FLOW_END + 1]! - flows[at + FLOW_ACKED]!) | 0) > 0

/** A window that is used up, or closed. */
const isShut = (flows: Int32Array, at: number): boolean =>
  ((flows[at + FLOW_LIMIT]! - flows[at + FLOW_ACKED + 1]!) | 0) <= 1 || ((flows[at + FLOW_LIMIT + 1]! - flows[at + FLOW_ACKED]!) | 0) <= 1

/** The timeout class that ends a TCP flow as it is now. @param at its record in `flows`; @param timeouts idle seconds by class */
export const limitingClass = (flows: Int32Array, at: number, timeouts: Int32Array): number => {
  const status = flows[at + FLOW_STATUS]!
  const events = eventsIn(status)
  const ofState = classOfState(events)
  // A RST that may be no end.
  if (classIn(status) === CLASS_TCP_CLOSE) return CLASS_TCP_CLOSE
  if (!isLasting(events)) return ofState
  const areBothKnown = (flows[at + FLOW_WINDOWS]! & 0xffff) !== 0 && flows[at + FLOW_WINDOWS]! >>> 16 !== 0
  let limiting = ofState
  if ((events & REPEATS) === REPEATS) limiting = CLASS_TCP_MAX_RETRANS
  else if ((events & EVENT_REPLIED) === 0 || (areBothKnown && isUnacknowledged(flows, at))) limiting = CLASS_TCP_UNACKNOWLEDGED
  else if (areBothKnown && isShut(flows, at)) limiting = CLASS_TCP_MAX_RETRANS
  return timeouts[limiting]! < timeouts[ofState]! ? limiting : ofState
}

/** The list that a flow goes to when it is used. */
export const firstClass = (events: number, timeouts: Int32Array): number => {
  const ofState = classOfState(events)
  if (!isLasting(events)) return ofState
  const shorter = timeouts[CLASS_TCP_MAX_RETRANS]! < timeouts[CLASS_TCP_UNACKNOWLEDGED]! ? CLASS_TCP_MAX_RETRANS : CLASS_TCP_UNACKNOWLEDGED
  return timeouts[shorter]! < timeouts[ofState]! ? shorter : ofState
}

/** The list that a flow goes to that has been idle for as long as its list's class allows, or -1 when it is over. */
export const nextClass = (flows: Int32Array, at: number, timeouts: Int32Array): number => {
  const status = flows[at + FLOW_STATUS]!
  const listed = classIn(status)
  if (listed !== CLASS_TCP_MAX_RETRANS && listed !== CLASS_TCP_UNACKNOWLEDGED) return -1
  const limit = timeouts[limitingClass(flows, at, timeouts)]!
  if (limit <= timeouts[listed]!) return -1
  const ofState = classOfState(eventsIn(status))
  const other = listed === CLASS_TCP_MAX_RETRANS ? CLASS_TCP_UNACKNOWLEDGED : CLASS_TCP_MAX_RETRANS
  return timeouts[other]! > timeouts[listed]! && timeouts[other]! < timeouts[ofState]! ? other : ofState
}

/** Whether repeated segments matter to any state: otherwise they need not be counted. */
export const areRepeatsCounted = (timeouts: Int32Array): boolean =>
  [ESTABLISHED, FIN_WAIT, CLOSE_WAIT].some((state) => timeouts[CLASS_TCP_MAX_RETRANS]! < timeouts[classOfState(state)]!)
