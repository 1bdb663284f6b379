/**
 * Lists flows from the shared memory of the flow table while the data plane goes on writing it. A record that changed while
 * it was read (its generation tells) is read again or left out.
 */
import { flowMatcher } from '../api/filter.js'
import type { FlowFilter, FlowRecord, TupleRecord } from '../api/types.js'
import {
  classIn, EVENT_ASSURED, EVENT_REPLIED, eventsIn, FLOW_GENERATION, FLOW_MARK, FLOW_PACKETS, FLOW_SEEN, FLOW_STATUS, FLOW_WORDS,
  type FlowColumns, HEADER_NOW, HEADER_USED, SIDE_BYTES, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS,
} from '../nat/flow-table.js'
import { sctpStateName } from '../nat/sctp-state.js'
import { conntrackName } from '../protocol-names.js'
import { hasPorts } from '../stack/parse.js'
import { limitingClass } from '../nat/tcp-idle.js'
import { stateName } from '../nat/tcp-state.js'
import { formatIpv4 } from '../stack/wire/address.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'

const REPLY_TYPES: Readonly<Record<number, number>> = { [icmp4.ECHO_REQUEST]: icmp4.ECHO_REPLY, [icmp4.TIMESTAMP]: icmp4.TIMESTAMP_REPLY }

/** Columns of flows, or one flow's record that was copied out of them. */
export type FlowView = Pick<FlowColumns, 'capacity' | 'header' | 'sides' | 'bytes' | 'flows'>

/** What tells flows between the same two addresses apart. */
type Distinction = Pick<TupleRecord, 'sport' | 'dport' | 'type' | 'code' | 'id' | 'srckey' | 'dstkey'>

const distinction = (ports: number, protocol: number, isReply: boolean): Distinction => {
  const [high, low] = [ports >>> 16, ports & 0xffff]
  if (hasPorts(protocol)) return { sport: high, dport: low }
  // Keys of GRE are not looked at: as if there were none.
  if (protocol === ipv4.PROTOCOL_GRE) return { srckey: 0, dstkey: 0 }
  if (protocol !== ipv4.PROTOCOL_ICMP) return {}
  const query = isReply ? high : low
  return { type: isReply ? (REPLY_TYPES[query] ?? query) : query, code: 0, id: isReply ? low : high }
}

const tuple = ({ sides, bytes, flows }: FlowView, side: number, protocol: number): TupleRecord => {
  const at = side * SIDE_WORDS
  return {
    src: formatIpv4(sides[at + SIDE_SOURCE]!),
    dst: formatIpv4(sides[at + SIDE_DESTINATION]!),
    ...distinction(sides[at + SIDE_PORTS]!, protocol, (side & 1) === 1),
    packets: flows[(side >> 1) * FLOW_WORDS + FLOW_PACKETS + (side & 1)]! >>> 0,
    bytes: bytes[side * 4 + SIDE_BYTES]!,
  }
}

/** conntrack's state word; null for protocols without one. */
const stateOf = (protocol: number, events: number): string | null => {
  if (protocol === ipv4.PROTOCOL_TCP) return stateName(events)
  return protocol === ipv4.PROTOCOL_SCTP ? sctpStateName(events) : null
}

/**
 * One flow as it stands; null when it is not live, or changed while it was read.
 * @param timeouts idle seconds by class
 * @param number the flow's in the table, where that is not its place in `columns`
 */
export const readFlow = (columns: FlowView, flow: number, timeouts: Int32Array, number = flow): FlowRecord | null => {
  const { flows, sides, header } = columns
  const at = flow * FLOW_WORDS
  const generation = flows[at + FLOW_GENERATION]!
  if ((generation & 1) === 0) return null
  const status = flows[at + FLOW_STATUS]!
  const events = eventsIn(status)
  const protonum = sides[flow * 2 * SIDE_WORDS + SIDE_META]! & 0xff
  const idle = header[HEADER_NOW]! - flows[at + FLOW_SEEN]!
  const limit = timeouts[protonum === ipv4.PROTOCOL_TCP ? limitingClass(flows, at, timeouts) : classIn(status)]!
  const reply = tuple(columns, flow * 2 + 1, protonum)
  const record: FlowRecord = {
    id: String((generation >>> 1) * columns.capacity + number),
    protocol: conntrackName(protonum),
    protonum,
    state: stateOf(protonum, events),
    timeout: Math.max(0, limit - idle),
    original: tuple(columns, flow * 2, protonum),
    reply,
    replied: (events & EVENT_REPLIED) !== 0,
    assured: (events & EVENT_ASSURED) !== 0,
    mark: flows[at + FLOW_MARK]! >>> 0,
  }
  return flows[at + FLOW_GENERATION] === generation ? record : null
}

export interface LiveFlow {
  readonly index: number
  readonly generation: number
  readonly record: FlowRecord
}

/** Live flows that match, with what is needed to delete them. @param timeouts idle seconds by class */
export function* readFlows(columns: FlowColumns, timeouts: Int32Array, filter: FlowFilter): Generator<LiveFlow> {
  const matches = flowMatcher(filter)
  const used = columns.header[HEADER_USED]!
  for (let index = 0; index < used; index++) {
    const record = readFlow(columns, index, timeouts)
    if (record !== null && matches(record)) yield { index, generation: columns.flows[index * FLOW_WORDS + FLOW_GENERATION]!, record }
  }
}
