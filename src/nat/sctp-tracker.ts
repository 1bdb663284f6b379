/**
 * What an SCTP packet does to its flow: state (sctp-state.ts) and timeout class.
 *
 * Each end tells the other, in INIT or INIT ACK, the verification tag that packets to it must carry (RFC 9260 5.1). The first ones that
 * pass are kept with the flow: what ends an association without one of them is somebody else's, and drives no state (RFC 9260
 * 8.5.1). It passes all the same; who gets it drops it. Other packets are not judged: after a restart they carry tags that are
 * not known here, and must keep the flow alive.
 *
 *     FLOW_TRACKER + 1   tag in packets of the original side, 0 until it is known
 *     FLOW_TRACKER + 2   of the reply side
 */
import { LATER_FRAGMENT, type Packet } from '../stack/parse.js'
import * as sctp from '../stack/wire/sctp.js'
import { FLOW_TRACKER, FLOW_WORDS, type FlowTable } from './flow-table.js'
import { advanceSctp, hasEnded, sctpClassOf } from './sctp-state.js'

const TAGS = FLOW_TRACKER + 1

/** @param isKept the packet refreshes the flow; @param now seconds */
export const trackSctp = (table: FlowTable, view: DataView, packet: Packet, side: number, isKept: boolean, now: number): void => {
  const flow = side >> 1
  const direction = side & 1
  if (packet.fragment !== LATER_FRAGMENT && isGenuine(table, view, packet, flow, direction)) {
    const events = table.eventsOf(flow)
    learnTag(table, view, packet, flow, direction, hasEnded(events))
    const after = advanceSctp(events, packet.chunkType, direction)
    const timeoutClass = sctpClassOf(after)
    table.setEvents(flow, after)
    if (timeoutClass !== table.classOf(flow)) {
      table.setClass(flow, timeoutClass, now)
      return
    }
  }
  if (isKept) table.touch(flow, now)
}

/** Whether a packet that would end the association is from one of its ends: it carries its receiver's tag, or by the T bit its sender's. */
const isGenuine = ({ flows }: FlowTable, view: DataView, { chunkType, transport }: Packet, flow: number, direction: number): boolean => {
  if (chunkType !== sctp.ABORT && chunkType !== sctp.SHUTDOWN_COMPLETE) return true
  const isReflected = (sctp.chunkFlags(view, transport) & sctp.FLAG_REFLECTED) !== 0
  const expected = flows[flow * FLOW_WORDS + TAGS + (isReflected ? 1 - direction : direction)]!
  return expected === 0 || expected === sctp.verificationTag(view, transport)
}

/** Keeps the tag that an INIT or INIT ACK asks for: the first one, and the first one after an end. */
const learnTag = ({ flows }: FlowTable, view: DataView, packet: Packet, flow: number, direction: number, isOver: boolean): void => {
  const { chunkType, transport } = packet
  if (chunkType !== sctp.INIT && chunkType !== sctp.INIT_ACK) return
  if (packet.length - packet.headerLength < sctp.HEADER + sctp.INIT_MIN) return
  const at = flow * FLOW_WORDS + TAGS
  if (chunkType === sctp.INIT && isOver) flows[at + direction] = 0
  if (flows[at + 1 - direction] === 0 || isOver) flows[at + 1 - direction] = sctp.initiateTag(view, transport)
}
