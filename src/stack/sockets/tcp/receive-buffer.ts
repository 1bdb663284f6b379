/**
 * The receive window: what is offered to the peer, and how it grows.
 *
 * Theory of operation. The window is the receive buffer less what the reader has not fetched. Its right edge is told with each segment
 * and moves by at least a full segment or half the buffer (RFC 9293 3.8.6.2.2), never back. The buffer is no memory, only a promise;
 * it grows to twice of what the reader took in a round trip, so that the window never is what holds the peer up (dynamic right sizing).
 * The round trip is known from timestamps, or else is the time in which a whole window arrives.
 */
import type { Connection } from './connection.js'
import * as state from './state.js'

/** Shift that makes the largest buffer, 8 MiB, tellable in 16 bits. */
export const RECEIVE_SCALE = 7
const WINDOW_MAX = 0xffff
/** A round trip is never taken as shorter, milliseconds: the clock does not tell. */
const RTT_MIN = 1

/** Where the right edge would be if it were told now. */
const possibleEdge = (connection: Connection): number =>
  (connection.receiveNext + Math.max(0, connection.receiveBuffer - connection.readLength)) | 0

/** By how much the edge must move to be worth it. */
const worthwhile = ({ receiveBuffer, mss }: Connection): number => Math.min(receiveBuffer >> 1, mss)

/** The window for the header of a segment that leaves now; the edge is where the peer will think it is. */
export const offerWindow = (connection: Connection): number => {
  const { receiveNext, receiveScale } = connection
  const shift = Math.max(0, receiveScale)
  const edge = possibleEdge(connection)
  if (((edge - connection.receiveEdge) | 0) >= worthwhile(connection)) connection.receiveEdge = edge
  const window = Math.max(0, (connection.receiveEdge - receiveNext) | 0)
  // Rounded up, as less would move the edge back that the peer knows; but by one unit in all, lest small segments without end fit in.
  const unit = 1 << shift
  const isBounded = window + unit <= connection.receiveBuffer - connection.readLength + 2 * unit
  const field = Math.min(WINDOW_MAX, (window + (isBounded ? unit - 1 : 0)) >> shift)
  if (field << shift > window) connection.receiveEdge = (receiveNext + (field << shift)) | 0
  return field
}

/** The reader took bytes: the buffer may grow, and the peer is told when it may send much more than it knows. */
export const tellReader = (connection: Connection, length: number): void => {
  if (!state.mayReceive(connection.state)) return
  tune(connection, length)
  const opened = (possibleEdge(connection) - connection.receiveEdge) | 0
  const window = (connection.receiveEdge - connection.receiveNext) | 0
  const half = connection.receiveBuffer >> 1
  if (opened < half && (opened < worthwhile(connection) || window >= half)) return
  const { now } = connection.core
  connection.owesAck = true
  // A reader takes chunk after chunk: of what he opens within a millisecond, the rest is told at its end.
  if (now === connection.updatedAt) connection.ackDue = Math.min(connection.ackDue, now + 1)
  else connection.owesAckNow = true
  connection.updatedAt = now
  connection.core.touch(connection)
}

const tune = (connection: Connection, length: number): void => {
  const { core } = connection
  connection.tuneBytes += length
  const rtt = connection.receiveRtt
  if (rtt < 0 || core.now - connection.tuneSince < rtt) return
  const wanted = 2 * connection.tuneBytes
  if (wanted > connection.receiveBuffer) {
    const largest = connection.receiveScale > 0 ? core.settings.receiveBufferMax : Math.min(core.settings.receiveBufferMax, WINDOW_MAX)
    connection.receiveBuffer = Math.max(connection.receiveBuffer, Math.min(largest, wanted))
  }
  connection.tuneBytes = 0
  connection.tuneSince = core.now
}

/** Measures the round trip when data has arrived in order. @param echo how long ago the timestamp left that the peer returned, or -1 */
export const measure = (connection: Connection, echo: number): void => {
  const { now } = connection.core
  if (echo >= 0) {
    smooth(connection, echo)
    return
  }
  if (((connection.receiveNext - connection.rttEdge) | 0) < 0) return
  if (connection.rttSince > 0) smooth(connection, now - connection.rttSince)
  connection.rttSince = now
  connection.rttEdge = connection.receiveEdge
}

/** The least of late: delays of the other end must not count. */
const smooth = (connection: Connection, sample: number): void => {
  const rtt = Math.max(RTT_MIN, sample)
  const before = connection.receiveRtt
  connection.receiveRtt = before < 0 || rtt < before ? rtt : before + (rtt - before) / 8
}
