/** A segment arrives for a connection (RFC 9293 3.10.7), with timestamps (RFC 7323) and the checks of RFC 5961. */
import type { Slab } from '../../batch.js'
import { isDone, takeAcknowledgment } from './acknowledge.js'
import { arriveSynSent } from './arrive-syn-sent.js'
import { answer, challenge } from './challenge-ack.js'
import { destroy, fail } from './close.js'
import type { Connection } from './connection.js'
import { establish, sendSyn } from './handshake.js'
import { takeData } from './receive-data.js'
import type { Segment } from './segment.js'
import * as state from './state.js'
import { answerReset } from './transmit.js'

/** After so long a silence the last timestamp says nothing (RFC 7323 5.5), milliseconds: 24 days. */
const TIMESTAMP_LIFETIME = 24 * 24 * 3600 * 1000

export const arrive = (connection: Connection, segment: Segment, slab: Slab): void => {
  if (connection.state === state.SYN_SENT) {
    arriveSynSent(connection, segment, slab)
    return
  }
  if (connection.hasTimestamps && !segment.isReset) {
    if (!segment.hasTimestamps) return
    if (isOld(connection, segment)) {
      answerUnacceptable(connection, segment)
      return
    }
  }
  if (connection.state === state.SYN_RECEIVED && segment.isSyn && segment.sequence === connection.initialReceive) {
    if (!segment.isAck) {
      // The SYN again: so was our answer lost.
      sendSyn(connection)
      return
    }
    // The SYN-ACK of an end that opens at the same time says no more than an ACK: its SYN is known.
  } else if (!isAcceptable(connection, segment)) {
    takeUnacceptable(connection, segment)
    return
  } else if (segment.isReset) {
    takeReset(connection, segment)
    return
  } else if (segment.isSyn) {
    challenge(connection)
    return
  }
  connection.heardAt = connection.core.now
  connection.keepAliveProbes = 0
  if (!segment.isAck) return
  if (connection.state === state.SYN_RECEIVED && !takeHandshake(connection, segment)) return
  if (connection.hasTimestamps && !state.isAfter(segment.sequence, connection.acknowledged)) {
    connection.recentTimestamp = segment.timestamp
    connection.recentAt = connection.core.now
  }
  if (!takeAcknowledgment(connection, segment)) return
  if (isDone(connection)) {
    destroy(connection, null)
    return
  }
  if (segment.length > 0) takeData(connection, segment, slab)
}

/** PAWS: the segment is older than what has been acknowledged (RFC 7323 5.3 R1). */
const isOld = (connection: Connection, segment: Segment): boolean =>
  state.isBefore(segment.timestamp, connection.recentTimestamp) && connection.core.now - connection.recentAt < TIMESTAMP_LIFETIME

/** The table of RFC 9293 3.10.7.4. What begins before the window and ends behind it overlaps it, too. */
const isAcceptable = ({ receiveNext, receiveEdge }: Connection, { sequence, length }: Segment): boolean => {
  const window = (receiveEdge - receiveNext) | 0
  const first = (sequence - receiveNext) | 0
  if (length === 0) return first === 0 || (first > 0 && first < window)
  return window > 0 && first < window && first + length > 0
}

const takeUnacceptable = (connection: Connection, segment: Segment): void => {
  if (segment.isReset) return
  if (segment.isSyn) {
    challenge(connection)
    return
  }
  // A closed window hides data only (RFC 9293 MUST-66).
  const isAtEdge = segment.sequence === connection.receiveNext && connection.receiveEdge === connection.receiveNext
  if (isAtEdge && segment.isAck && connection.state !== state.SYN_RECEIVED) {
    connection.heardAt = connection.core.now
    if (!takeAcknowledgment(connection, segment)) return
    if (isDone(connection)) {
      destroy(connection, null)
      return
    }
  }
  answerUnacceptable(connection, segment)
}

const answerUnacceptable = (connection: Connection, segment: Segment): void => {
  if (segment.length === 0 || connection.state === state.SYN_RECEIVED) {
    answer(connection)
    return
  }
  const { dataSequence, dataLength } = segment
  const end = (dataSequence + dataLength) | 0
  if (connection.hasSack && dataLength > 0 && !state.isAfter(end, connection.receiveNext)) connection.receiveQueue?.duplicate(dataSequence, end)
  connection.owesAck = true
  connection.owesAckNow = true
  connection.core.touch(connection)
}

/** A RST within the window (RFC 5961 3.2). */
const takeReset = (connection: Connection, segment: Segment): void => {
  if (segment.sequence !== connection.receiveNext) {
    challenge(connection)
    return
  }
  switch (connection.state) {
    case state.SYN_RECEIVED:
      // One that came by a listener leaves no trace; one that was opened from here is refused.
      if (connection.listener === null) fail(connection, 'ECONNREFUSED')
      else destroy(connection, null)
      return
    case state.CLOSING:
    case state.LAST_ACK:
    case state.TIME_WAIT:
      if (connection.writeLength > 0) fail(connection, 'ECONNRESET')
      else destroy(connection, null)
      return
    default:
      fail(connection, 'ECONNRESET')
  }
}

/** The ACK that a SYN-ACK waits for. @returns false when it is another */
const takeHandshake = (connection: Connection, segment: Segment): boolean => {
  const { acknowledgment } = segment
  if (!state.isAfter(acknowledgment, connection.unacknowledged) || state.isAfter(acknowledgment, connection.sendNext)) {
    answerReset(connection.core, segment, connection.row)
    return false
  }
  establish(connection, segment)
  return true
}
