/** The text of a segment and its FIN (RFC 9293 3.10.7.4, seventh and eighth). The urgent pointer changes nothing: all data is in line. */
import type { Slab } from '../../batch.js'
import { copyBytes } from '../../copy.js'
import { roundTrip } from './acknowledge.js'
import { abort } from './close.js'
import { type Connection, TELL_READABLE } from './connection.js'
import { measure } from './receive-buffer.js'
import { ReceiveQueue } from './receive-queue.js'
import type { Segment } from './segment.js'
import * as state from './state.js'
import { transmitAck } from './transmit.js'

/** Below this, bytes are taken from a pool of small buffers. */
const POOLED = 4096

/** The one copy on the way to the reader. */
const copyOf = ({ bytes }: Slab, at: number, length: number): Uint8Array => {
  const copy = length < POOLED ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length)
  copyBytes(bytes, at, length, copy, 0)
  return copy
}

/** Takes data and FIN of a segment that is acceptable and has some; what lies beyond the window is cut off. */
export const takeData = (connection: Connection, segment: Segment, slab: Slab): void => {
  if (!state.mayReceive(connection.state) && connection.state !== state.SYN_RECEIVED) return
  connection.owesAck = true
  connection.core.touch(connection)
  const from = segment.dataSequence
  const beyond = Math.max(0, (from + segment.dataLength - connection.receiveEdge) | 0)
  const length = segment.dataLength - beyond
  if (length > 0) {
    if (connection.isReadClosed && state.isAfter((from + length) | 0, connection.receiveNext)) {
      abort(connection)
      return
    }
    insert(connection, segment, slab, from, length)
  } else if (segment.dataLength > 0) connection.owesAckNow = true
  if (segment.isFin && beyond === 0 && !connection.hasFin) {
    connection.hasFin = true
    connection.finAt = (from + segment.dataLength) | 0
    // What lies before it is missing: the other end shall know now.
    if (connection.finAt !== connection.receiveNext) connection.owesAckNow = true
  }
  if (connection.hasFin && connection.receiveNext === connection.finAt) takeFin(connection)
}

const insert = (connection: Connection, segment: Segment, slab: Slab, from: number, length: number): void => {
  const queue = (connection.receiveQueue ??= new ReceiveQueue(connection.receiveNext))
  const before = connection.receiveNext
  const hadGaps = queue.gaps
  queue.insert(from, copyOf(slab, segment.dataAt, length))
  connection.receiveNext = queue.next
  if (segment.wireSize > connection.peerSegment) connection.peerSegment = segment.wireSize
  if (queue.next === before) {
    // Out of order, or known already: each such segment is answered at once (RFC 5681 4.2).
    if (connection.state >= state.ESTABLISHED) transmitAck(connection)
    else connection.owesAckNow = true
    return
  }
  connection.pending |= TELL_READABLE
  if (hadGaps || queue.gaps || ((queue.next - connection.acknowledged) | 0) >= 2 * connection.peerSegment) connection.owesAckNow = true
  measure(connection, roundTrip(connection, segment))
}

const takeFin = (connection: Connection): void => {
  connection.receiveNext = (connection.receiveNext + 1) | 0
  connection.owesAckNow = true
  if (!connection.isReadClosed) connection.pending |= TELL_READABLE
  switch (connection.state) {
    case state.ESTABLISHED:
      connection.state = state.CLOSE_WAIT
      return
    case state.FIN_WAIT_1:
      connection.state = state.CLOSING
      return
    case state.FIN_WAIT_2:
      connection.state = state.TIME_WAIT
  }
}
