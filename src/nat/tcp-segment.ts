/** The numbers of a TCP segment, as far as they tell which connection it belongs to. */
import { FIRST_FRAGMENT, type Packet } from '../stack/parse.js'
import * as tcp from '../stack/wire/tcp.js'

/** The greatest window scale there is (RFC 7323 2.3). */
export const SCALE_MAX = 14
/** Instead of a scale: the segment offers none. */
export const NOT_OFFERED = 15

/** Whether a sequence number comes after another one. Both are int32 and wrap. */
export const later = (one: number, other: number): boolean => ((one - other) | 0) > 0

/** A segment's numbers. */
export class Segment {
  flags = 0
  sequence = 0
  acknowledgment = 0
  /** Of the byte behind it; SYN and FIN count as bytes. */
  end = 0
  /** As it stands in the header, not scaled. */
  window = 0
  /** Offered window scale, of a segment with SYN; NOT_OFFERED otherwise. */
  scale = NOT_OFFERED
}

/** Reads a TCP segment that is no later fragment. Of a first fragment the end is not known: it is taken for as long as can be. */
export const readSegment = (view: DataView, packet: Packet, segment: Segment): void => {
  const at = packet.transport
  const header = tcp.headerLength(view, at)
  const flags = packet.tcpFlags
  const length = (packet.fragment === FIRST_FRAGMENT ? 0xffff : packet.length) - packet.headerLength - header
  segment.flags = flags
  segment.sequence = tcp.sequence(view, at)
  segment.acknowledgment = tcp.acknowledgment(view, at)
  segment.window = tcp.window(view, at)
  segment.end = (segment.sequence + length + ((flags & tcp.SYN) !== 0 ? 1 : 0) + ((flags & tcp.FIN) !== 0 ? 1 : 0)) | 0
  segment.scale = (flags & tcp.SYN) !== 0 ? scaleOf(view, packet, header) : NOT_OFFERED
}

const scaleOf = (view: DataView, packet: Packet, header: number): number => {
  const at = packet.transport
  if (at + header > packet.at + packet.length) return NOT_OFFERED
  const option = tcp.findOption(view, at, header, tcp.OPTION_WINDOW_SCALE)
  return option < 0 || tcp.optionLength(view, option) !== 3 ? NOT_OFFERED : Math.min(SCALE_MAX, view.getUint8(option + 2))
}

/** The highest right edge of a segment's SACK blocks (RFC 2018 3), or its acknowledgment. */
export const highestAcknowledged = (view: DataView, packet: Packet, acknowledgment: number): number => {
  const at = packet.transport
  const header = tcp.headerLength(view, at)
  if (at + header > packet.at + packet.length) return acknowledgment
  const option = tcp.findOption(view, at, header, tcp.OPTION_SACK)
  if (option < 0) return acknowledgment
  let highest = acknowledgment
  const end = option + tcp.optionLength(view, option)
  for (let edge = option + 6; edge + 4 <= end; edge += 8) if (later(view.getInt32(edge), highest)) highest = view.getInt32(edge)
  return highest
}
