/**
 * What a packet does to its flow: counters, last-seen time, state, timeout class.
 *
 * Both directions refresh a flow that was opened from inside (RFC 4787 REQ-6 demands outbound, allows inbound). One that was
 * opened from outside is refreshed by what the inside sends: nobody outside can keep a mapping alive by himself, not by
 * leading an unanswered TCP flow from one timeout class to another either. ICMP errors about a flow never come here, so they
 * neither refresh nor end it (RFC 4787 REQ-12, RFC 5382 REQ-10, RFC 5508 REQ-6).
 */
import { LATER_FRAGMENT, type Packet } from '../stack/parse.js'
import { PROTOCOL_SCTP, PROTOCOL_TCP } from '../stack/wire/ipv4.js'
import { type FlowTable, FLOW_PACKETS, FLOW_WORDS, SIDE_BYTES, SIDE_META, SIDE_WORDS, ZONE_INSIDE } from './flow-table.js'
import { advanceSctp, sctpClassOf } from './sctp-state.js'
import { advance, hasReplied, isSteady, timeoutClassOf, UNSTEADY_FLAGS } from './tcp-state.js'
import { CLASS_GRE, CLASS_GRE_STREAM, CLASS_UDP, CLASS_UDP_STREAM } from './timeouts.js'

/** Event of all flows but TCP: a packet came back. */
export const EVENT_REPLIED = 1

/** Counts `packet` on `side` and refreshes the flow at `now` (s). */
export const track = (table: FlowTable, side: number, packet: Packet, now: number): void => {
  const flow = side >> 1
  const direction = side & 1
  table.bytes[side * 4 + SIDE_BYTES]! += packet.length
  table.flows[flow * FLOW_WORDS + FLOW_PACKETS + direction]!++
  const isKept = direction === 1 || table.zoneOf(side) === ZONE_INSIDE
  if (packet.protocol === PROTOCOL_TCP) trackTcp(table, flow, direction, packet.tcpFlags, isKept, now)
  else if (packet.protocol === PROTOCOL_SCTP) trackSctp(table, flow, direction, packet, isKept, now)
  else trackReply(table, flow, direction, isKept, now)
}

/** Whether a packet of the flow has been let through. */
export const hasPassed = (table: FlowTable, flow: number): boolean => {
  const at = flow * FLOW_WORDS + FLOW_PACKETS
  return table.flows[at] !== 0 || table.flows[at + 1] !== 0
}

/** Whether a flow's opener has been answered. A RST is no answer (RFC 7857 6.2 does not let it prolong anything). */
export const isAnswered = (table: FlowTable, flow: number): boolean => {
  const events = table.eventsOf(flow)
  const isTcp = (table.sides[flow * 2 * SIDE_WORDS + SIDE_META]! & 0xff) === PROTOCOL_TCP
  return isTcp ? hasReplied(events) : (events & EVENT_REPLIED) !== 0
}

const trackTcp = (table: FlowTable, flow: number, direction: number, flags: number, isKept: boolean, now: number): void => {
  const events = table.eventsOf(flow)
  if (!isSteady(events) || (flags & UNSTEADY_FLAGS) !== 0) {
    const after = advance(events, flags, direction)
    if (after !== events) {
      const before = table.statusOf(flow)
      table.setEvents(flow, after)
      const timeoutClass = timeoutClassOf(after)
      const isMoved = timeoutClass !== table.classOf(flow) && (isKept || hasReplied(after))
      if (isMoved) table.setClass(flow, timeoutClass, now)
      table.onChange(flow, before)
      if (isMoved) return
    }
  }
  if (isKept) table.touch(flow, now)
}

const trackReply = (table: FlowTable, flow: number, direction: number, isKept: boolean, now: number): void => {
  if (direction === 1 && table.eventsOf(flow) === 0) {
    const before = table.statusOf(flow)
    table.setEvents(flow, EVENT_REPLIED)
    const timeoutClass = table.classOf(flow)
    const isStream = timeoutClass === CLASS_UDP || timeoutClass === CLASS_GRE
    if (isStream) table.setClass(flow, timeoutClass === CLASS_UDP ? CLASS_UDP_STREAM : CLASS_GRE_STREAM, now)
    table.onChange(flow, before)
    if (isStream) return
  }
  if (isKept) table.touch(flow, now)
}

const trackSctp = (table: FlowTable, flow: number, direction: number, packet: Packet, isKept: boolean, now: number): void => {
  if (packet.fragment !== LATER_FRAGMENT) {
    const before = table.statusOf(flow)
    const events = advanceSctp(table.eventsOf(flow), packet.chunkType, direction)
    const timeoutClass = sctpClassOf(events)
    const isOther = timeoutClass !== table.classOf(flow)
    table.setEvents(flow, events)
    if (isOther) table.setClass(flow, timeoutClass, now)
    if (table.statusOf(flow) !== before) table.onChange(flow, before)
    if (isOther) return
  }
  if (isKept) table.touch(flow, now)
}
