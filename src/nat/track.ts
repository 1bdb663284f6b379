/**
 * What a packet does to its flow: counters, last-seen time, state, timeout class.
 *
 * Both directions refresh (RFC 4787 REQ-6 demands outbound, allows inbound). ICMP errors about a flow never come here, so
 * they neither refresh nor end it (RFC 4787 REQ-12, RFC 5382 REQ-10, RFC 5508 REQ-6).
 */
import type { Packet } from '../stack/parse.js'
import { PROTOCOL_TCP } from '../stack/wire/ipv4.js'
import { type FlowTable, FLOW_PACKETS, FLOW_WORDS, SIDE_BYTES } from './flow-table.js'
import { advance, isSteady, timeoutClassOf, UNSTEADY_FLAGS } from './tcp-state.js'
import { CLASS_UDP, CLASS_UDP_UNREPLIED } from './timeouts.js'

/** Event of UDP and ICMP flows: a packet came back. */
export const EVENT_REPLIED = 1

/** Counts `packet` on `side` and refreshes the flow at `now` (s). */
export const track = (table: FlowTable, side: number, packet: Packet, now: number): void => {
  const flow = side >> 1
  const direction = side & 1
  table.bytes[side * 4 + SIDE_BYTES]! += packet.length
  table.flows[flow * FLOW_WORDS + FLOW_PACKETS + direction]!++
  if (packet.protocol === PROTOCOL_TCP) trackTcp(table, flow, direction, packet.tcpFlags, now)
  else trackReply(table, flow, direction, now)
}

/** Whether a packet of the flow has been let through. */
export const hasPassed = (table: FlowTable, flow: number): boolean => {
  const at = flow * FLOW_WORDS + FLOW_PACKETS
  return table.flows[at] !== 0 || table.flows[at + 1] !== 0
}

const trackTcp = (table: FlowTable, flow: number, direction: number, flags: number, now: number): void => {
  const events = table.eventsOf(flow)
  if (!isSteady(events) || (flags & UNSTEADY_FLAGS) !== 0) {
    const after = advance(events, flags, direction)
    if (after !== events) {
      table.setEvents(flow, after)
      const timeoutClass = timeoutClassOf(after)
      if (timeoutClass !== table.classOf(flow)) {
        table.setClass(flow, timeoutClass, now)
        return
      }
    }
  }
  table.touch(flow, now)
}

const trackReply = (table: FlowTable, flow: number, direction: number, now: number): void => {
  if (direction === 1 && table.eventsOf(flow) === 0) {
    table.setEvents(flow, EVENT_REPLIED)
    if (table.classOf(flow) === CLASS_UDP_UNREPLIED) {
      table.setClass(flow, CLASS_UDP, now)
      return
    }
  }
  table.touch(flow, now)
}
