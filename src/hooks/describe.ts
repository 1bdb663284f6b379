/** Tells rules what they may know of a packet and of its flow. */
import {
  EVENT_ASSURED, EVENT_REPLIED, FLOW_MARK, FLOW_SEEN, FLOW_WORDS, type FlowTable, SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_SOURCE,
  SIDE_WORDS,
} from '../nat/flow-table.js'
import { stateOf, SYN_RECV } from '../nat/tcp-state.js'
import { ORIGINAL, type PacketMeta, REPLY } from '../policy/engine/packet-meta.js'
import { STATE, STATUS } from '../policy/model.js'
import { hasPorts, LATER_FRAGMENT, type Packet, WHOLE } from '../stack/parse.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'

const isQuery = (protocol: number): boolean => protocol === ipv4.PROTOCOL_ICMP

/** The packet as it came. Of a later fragment, `side` says the ports (-1: none). Rules never see fragments, as behind conntrack. */
export const describePacket = (view: DataView, packet: Packet, meta: PacketMeta, table: FlowTable, side: number): void => {
  const { at, protocol } = packet
  const isLater = packet.fragment === LATER_FRAGMENT
  const ports = isLater && side >= 0 ? table.sides[side * SIDE_WORDS + SIDE_PORTS]! : packet.ports
  meta.source = packet.source
  meta.destination = packet.destination
  meta.protocol = protocol
  meta.fragment = WHOLE
  meta.tcpFlags = packet.tcpFlags
  meta.length = packet.length
  meta.ttl = packet.ttl
  meta.tos = ipv4.tos(view, at)
  meta.mark = 0
  meta.inInterface = 0
  meta.outInterface = 0
  if (isQuery(protocol)) {
    meta.icmpType = isLater ? -1 : packet.icmpType
    meta.icmpCode = isLater ? 0 : icmp4.code(view, packet.transport)
    meta.sourcePort = meta.destinationPort = isLater ? 0 : (packet.icmpType << 8) | meta.icmpCode
    meta.hasPorts = !isLater
  } else {
    meta.icmpType = -1
    meta.icmpCode = 0
    meta.hasPorts = hasPorts(protocol)
    meta.sourcePort = meta.hasPorts ? ports >>> 16 : 0
    meta.destinationPort = meta.hasPorts ? ports & 0xffff : 0
  }
}

/** A packet without a flow. @param state NEW, INVALID or UNTRACKED */
export const describeNoFlow = (packet: Packet, meta: PacketMeta, state: number): void => {
  const source = packet.ports >>> 16
  // conntrack has the type of a query where others have a port, and its code, which is 0.
  const destination = isQuery(packet.protocol) ? (packet.ports & 0xff) << 8 : packet.ports & 0xffff
  meta.state = state
  meta.consultsNat = state === STATE.NEW
  meta.connmark = 0
  meta.status = 0
  meta.direction = ORIGINAL
  meta.flowProtocol = packet.protocol
  meta.originalSource = meta.replyDestination = packet.source
  meta.originalDestination = meta.replySource = packet.destination
  meta.originalSourcePort = meta.replyDestinationPort = source
  meta.originalDestinationPort = meta.replySourcePort = destination
  meta.expires = 0
}

/** The acknowledgment with which a connection is open assures its flow, and has done so already when rules see it. */
const opens = (flags: number, state: number): boolean => state === SYN_RECV && (flags & (tcp.SYN | tcp.FIN | tcp.RST | tcp.ACK)) === tcp.ACK

/** The flow that a packet of `side` belongs to. @param isRelated the packet is an ICMP error about it; @param timeouts seconds by class */
export const describeFlow = (meta: PacketMeta, table: FlowTable, side: number, isRelated: boolean, timeouts: Int32Array): void => {
  const { sides, flows } = table
  const flow = side >> 1
  const original = flow * 2 * SIDE_WORDS
  const reply = original + SIDE_WORDS
  const at = flow * FLOW_WORDS
  const events = table.eventsOf(flow)
  const direction = (side & 1) === 0 ? ORIGINAL : REPLY
  const isAnswered = (events & EVENT_REPLIED) !== 0
  const protocol = sides[original + SIDE_META]! & 0xff
  const there = sides[original + SIDE_PORTS]!
  const back = sides[reply + SIDE_PORTS]!
  const isIcmp = isQuery(protocol)
  meta.flowProtocol = protocol
  meta.direction = direction
  meta.consultsNat = false
  meta.connmark = flows[at + FLOW_MARK]! >>> 0
  // A packet of the reply side is an answer, also the first one.
  const isSeen = isAnswered || (direction === REPLY && !isRelated)
  const isAssured = (events & EVENT_ASSURED) !== 0 || (protocol === ipv4.PROTOCOL_TCP && !isRelated && direction === ORIGINAL && opens(meta.tcpFlags, stateOf(events)))
  meta.status = STATUS.CONFIRMED | (isSeen ? STATUS.SEEN_REPLY : 0) | (isAssured ? STATUS.ASSURED : 0)
  meta.originalSource = sides[original + SIDE_SOURCE]!
  meta.originalDestination = sides[original + SIDE_DESTINATION]!
  meta.replySource = sides[reply + SIDE_SOURCE]!
  meta.replyDestination = sides[reply + SIDE_DESTINATION]!
  meta.originalSourcePort = there >>> 16
  meta.originalDestinationPort = isIcmp ? (there & 0xff) << 8 : there & 0xffff
  meta.replySourcePort = isIcmp ? (back >>> 16) << 8 : back >>> 16
  meta.replyDestinationPort = back & 0xffff
  meta.expires = Math.max(0, timeouts[table.classOf(flow)]! - (table.now - flows[at + FLOW_SEEN]!))
  const state = isRelated ? STATE.RELATED : isSeen ? STATE.ESTABLISHED : STATE.NEW
  meta.state = state | natStates(meta)
}

/** Bits of STATE for what is translated, as the tuples in `meta` say. */
export const natStates = (meta: PacketMeta): number => {
  const isDnat = meta.replySource !== meta.originalDestination ||
    (meta.flowProtocol !== ipv4.PROTOCOL_ICMP && meta.replySourcePort !== meta.originalDestinationPort)
  const isSnat = meta.replyDestination !== meta.originalSource || meta.replyDestinationPort !== meta.originalSourcePort
  return (isDnat ? STATE.DNAT : 0) | (isSnat ? STATE.SNAT : 0)
}
