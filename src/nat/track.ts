/**
 * What a packet does to its flow: counters, last-seen time, state, timeout class.
 *
 * Both directions refresh a flow that was opened from inside (RFC 4787 REQ-6 demands outbound, allows inbound). One that was
 * opened from outside is refreshed by what the inside sends: nobody outside can keep a mapping alive by himself, not by
 * leading an unanswered TCP flow from one timeout class to another either. ICMP errors about a flow never come here, so they
 * neither refresh nor end it (RFC 4787 REQ-12, RFC 5382 REQ-10, RFC 5508 REQ-6).
 *
 * UDP is a stream, and worth keeping longer, when packets still pass two seconds after its first one and one has come back: a
 * question and its answer are none. TCP and SCTP have files of their own, tcp-tracker.ts and sctp-tracker.ts.
 */
import type { Packet } from '../stack/parse.js'
import { PROTOCOL_SCTP, PROTOCOL_TCP } from '../stack/wire/ipv4.js'
import {
  CLASS_SHIFT, EVENT_ASSURED, EVENT_REPLIED, type FlowTable, FLOW_OPENED, FLOW_PACKETS, FLOW_STATUS, FLOW_WORDS, SIDE_BYTES,
  ZONE_INSIDE,
} from './flow-table.js'
import { trackSctp } from './sctp-tracker.js'
import type { TcpBehaviour } from './settings.js'
import { FREE_SHIFT } from './tcp-state.js'
import { TcpTracker } from './tcp-tracker.js'
import { CLASS_GRE, CLASS_GRE_STREAM, CLASS_UDP, CLASS_UDP_STREAM } from './timeouts.js'

/** Of the status, what others are told of when it changes: not what TCP notes for itself with each segment. */
const TOLD = ~(((1 << CLASS_SHIFT) - 1) & -(1 << FREE_SHIFT))

/** Seconds after which UDP that goes both ways is a stream. */
const STREAM_AGE = 2

export class Tracker {
  readonly #table: FlowTable
  readonly #tcp: TcpTracker

  /** @param timeouts idle seconds by class */
  constructor(table: FlowTable, tcp: Pick<TcpBehaviour, 'states' | 'window'>, timeouts: Int32Array) {
    this.#table = table
    this.#tcp = new TcpTracker(table, tcp, timeouts)
  }

  /**
   * Counts `packet` on `side` and refreshes the flow at `now` (s), unless it must not pass: then it leaves no trace.
   * @returns 0, a drop code, or LAST_PACKET (negative): the flow ends when the packet has been translated
   */
  track(view: DataView, packet: Packet, side: number, now: number): number {
    const table = this.#table
    const { flows } = table
    const direction = side & 1
    const flow = side >> 1
    const at = flow * FLOW_WORDS
    const before = flows[at + FLOW_STATUS]!
    const isKept = direction === 1 || table.zoneOf(side) === ZONE_INSIDE
    let verdict = 0
    if (packet.protocol === PROTOCOL_TCP) verdict = this.#tcp.track(view, packet, side, isKept, now)
    else if (packet.protocol === PROTOCOL_SCTP) trackSctp(table, view, packet, side, isKept, now)
    else if ((before & EVENT_ASSURED) === 0) trackReply(table, flow, direction, isKept, now)
    else if (isKept) table.touch(flow, now)
    if (verdict > 0) return verdict
    table.bytes[side * 4 + SIDE_BYTES]! += packet.length
    flows[at + FLOW_PACKETS + direction]!++
    // Of a flow that ends with this packet, its end is told.
    if (((flows[at + FLOW_STATUS]! ^ before) & TOLD) !== 0 && verdict === 0) table.onChange(flow, before)
    return verdict
  }
}

/** Whether a packet of the flow has been let through. */
export const hasPassed = (table: FlowTable, flow: number): boolean => {
  const at = flow * FLOW_WORDS + FLOW_PACKETS
  return table.flows[at] !== 0 || table.flows[at + 1] !== 0
}

/** Forgets a flow of which no packet has passed. */
export const closeUnused = (table: FlowTable, side: number): void => {
  const flow = side >> 1
  if (table.isLive(flow) && !hasPassed(table, flow)) table.close(flow)
}

/** Whether a flow's opener has been answered. A RST is no answer (RFC 7857 6.2 does not let it prolong anything). */
export const isAnswered = (table: FlowTable, flow: number): boolean => (table.eventsOf(flow) & EVENT_REPLIED) !== 0

/** Follows a packet of a flow that is not assured yet. */
const trackReply = (table: FlowTable, flow: number, direction: number, isKept: boolean, now: number): void => {
  const events = table.eventsOf(flow)
  if ((events & EVENT_REPLIED) === 0) {
    if (direction === 1) table.setEvents(flow, events | EVENT_REPLIED)
  } else if (isKept) {
    const stream = streamClass(table, flow, now)
    if (stream >= 0) {
      table.setEvents(flow, events | EVENT_ASSURED)
      table.setClass(flow, stream, now)
      return
    }
  }
  if (isKept) table.touch(flow, now)
}

/** The class that a flow is in when it is a stream, or -1 while it is none. */
const streamClass = (table: FlowTable, flow: number, now: number): number => {
  const timeoutClass = table.classOf(flow)
  if (timeoutClass === CLASS_GRE) return CLASS_GRE_STREAM
  return timeoutClass === CLASS_UDP && now - table.flows[flow * FLOW_WORDS + FLOW_OPENED]! > STREAM_AGE ? CLASS_UDP_STREAM : -1
}
