/**
 * What a packet does to its flow: counters, last-seen time, state, timeout class.
 *
 * Both directions refresh a flow that was opened from inside (RFC 4787 REQ-6 demands outbound, allows inbound). One that was
 * opened from outside is refreshed by what the inside sends: nobody outside can keep a mapping alive by himself, not by
 * leading an unanswered TCP flow from one timeout class to another either. ICMP errors about a flow never come here, so they
 * neither refresh nor end it (RFC 4787 REQ-12, RFC 5382 REQ-10, RFC 5508 REQ-6).
 *
 * UDP is a stream, and worth keeping longer, when packets still pass two seconds after its first one and one has come back: a
 * question and its answer are none. TCP has a file of its own, tcp-tracker.ts.
 */
import type { Packet } from '../stack/parse.js'
import {
  classIn, EVENT_ASSURED, EVENT_REPLIED, eventsIn, type FlowTable, FLOW_OPENED, FLOW_PACKETS, FLOW_STATUS, FLOW_WORDS, SIDE_BYTES,
  ZONE_INSIDE,
} from './flow-table.js'
import { CLASS_UDP, CLASS_UDP_STREAM } from './timeouts.js'

/** Seconds after which UDP that goes both ways is a stream. */
const STREAM_AGE = 2

/** Whether a packet of `side` may prolong its flow. */
export const mayRefresh = (table: FlowTable, side: number): boolean => (side & 1) === 1 || table.zoneOf(side) === ZONE_INSIDE

/** Counts a packet of `side`. */
export const count = (table: FlowTable, packet: Packet, side: number): void => {
  table.bytes[side * 4 + SIDE_BYTES]! += packet.length
  table.flows[(side >> 1) * FLOW_WORDS + FLOW_PACKETS + (side & 1)]!++
}

/** Whether a packet of the flow has been let through. */
export const hasPassed = (table: FlowTable, flow: number): boolean => {
  const at = flow * FLOW_WORDS + FLOW_PACKETS
  return table.flows[at] !== 0 || table.flows[at + 1] !== 0
}

/** Whether a flow's opener has been answered. A RST is no answer (RFC 7857 6.2 does not let it prolong anything). */
export const isAnswered = (table: FlowTable, flow: number): boolean => (table.eventsOf(flow) & EVENT_REPLIED) !== 0

/** Follows a packet of `side` of a protocol other than TCP. @param now seconds */
export const track = (table: FlowTable, side: number, isKept: boolean, now: number): void => {
  const flow = side >> 1
  const status = table.flows[flow * FLOW_WORDS + FLOW_STATUS]!
  if ((status & EVENT_REPLIED) === 0) {
    if ((side & 1) === 1) table.setEvents(flow, eventsIn(status) | EVENT_REPLIED)
  } else if ((status & EVENT_ASSURED) === 0 && isKept && classIn(status) === CLASS_UDP && isStream(table, flow, now)) {
    table.setEvents(flow, eventsIn(status) | EVENT_ASSURED)
    table.setClass(flow, CLASS_UDP_STREAM, now)
    return
  }
  if (isKept) table.touch(flow, now)
}

const isStream = (table: FlowTable, flow: number, now: number): boolean => now - table.flows[flow * FLOW_WORDS + FLOW_OPENED]! > STREAM_AGE
