/**
 * The way of nearly every TCP segment: on a flow whose ends are both known, neither SYN, FIN nor RST, within all bounds of
 * tcp-window.ts. It costs three reads of the packet and a handful of comparisons, and looks at no option.
 */
import type { Packet } from '../stack/parse.js'
import * as tcp from '../stack/wire/tcp.js'
import { later } from './tcp-segment.js'
import { FLOW_ACKED, FLOW_END, FLOW_LIMIT, FLOW_WINDOWS, LAG, scaleIn } from './tcp-window.js'

/** The segment takes a closer look, `TcpWindows.judge`. */
export const NOT_PLAIN = 0
export const NOTHING_NEW = 1
export const PROGRESS = 2

/**
 * Judges a segment and moves the bounds. @param at the flow's record in `flows`; @param status its status word
 * @returns NOT_PLAIN, or whether the segment brought anything new
 */
export const advance = (flows: Int32Array, view: DataView, packet: Packet, at: number, direction: number, status: number): number => {
  const { transport } = packet
  const sender = at + direction
  const receiver = sender ^ 1
  const sequence = tcp.sequence(view, transport)
  const acknowledgment = tcp.acknowledgment(view, transport)
  const lengthAndWindow = tcp.lengthAndWindow(view, transport)
  const end = (sequence + packet.at + packet.length - transport - ((lengthAndWindow >>> 28) << 2)) | 0
  const sent = (end - flows[sender + FLOW_END]!) | 0
  const lag = (flows[receiver + FLOW_END]! - acknowledgment) | 0
  if (later(end, flows[sender + FLOW_LIMIT]!) || lag < 0 || lag > LAG) return NOT_PLAIN
  if (sent < 0 && sent < -(greatest(flows, at, direction ^ 1) << scaleIn(status, direction ^ 1))) return NOT_PLAIN

  let found = NOTHING_NEW
  if (sent > 0) {
    flows[sender + FLOW_END] = end
    found = PROGRESS
  }
  if (later(acknowledgment, flows[sender + FLOW_ACKED]!)) {
    flows[sender + FLOW_ACKED] = acknowledgment
    found = PROGRESS
  }
  const window = lengthAndWindow & 0xffff
  const limit = (acknowledgment + (window === 0 ? 1 : window << scaleIn(status, direction))) | 0
  if (later(limit, flows[receiver + FLOW_LIMIT]!)) {
    flows[receiver + FLOW_LIMIT] = limit
    found = PROGRESS
    // A window that is greater than any before has a limit beyond all before.
    if (window > greatest(flows, at, direction)) setGreatest(flows, at, direction, window)
  }
  return found
}

/** The greatest window that an end has offered, unscaled. */
const greatest = (flows: Int32Array, at: number, direction: number): number => (flows[at + FLOW_WINDOWS]! >>> (direction << 4)) & 0xffff

const setGreatest = (flows: Int32Array, at: number, direction: number, window: number): void => {
  const shift = direction << 4
  flows[at + FLOW_WINDOWS] = (flows[at + FLOW_WINDOWS]! & ~(0xffff << shift)) | (window << shift)
}
