/** The ACK field of a segment: what it says of our data and of the other's window (RFC 9293 3.10.7.4, fifth). */
import { challenge } from './challenge-ack.js'
import { waitForFin } from './close.js'
import { type Connection, TELL_DRAINED, TELL_FINISHED } from './connection.js'
import type { Segment } from './segment.js'
import * as state from './state.js'
import { timestampNow } from './transmit.js'

/**
 * Takes the acknowledgment of an acceptable segment.
 * @returns false when it can be none of this connection: nothing of the segment counts (RFC 5961 5.2)
 */
export const takeAcknowledgment = (connection: Connection, segment: Segment): boolean => {
  const ack = segment.acknowledgment
  if (connection.isProbing && ack === ((connection.sendNext + 1) | 0)) probeWasTaken(connection)
  if (state.isAfter(ack, connection.sendNext) || state.isBefore(ack, (connection.unacknowledged - connection.windowMax) | 0)) {
    challenge(connection)
    return false
  }
  if (state.isBefore(ack, connection.unacknowledged)) return true
  const advanced = (ack - connection.unacknowledged) | 0
  const windowBefore = connection.sendWindow
  takeWindow(connection, segment)
  const isDuplicate = advanced === 0 && segment.length === 0 && windowBefore === connection.sendWindow && connection.sendNext !== ack
  const { core } = connection
  connection.recovery?.acknowledged(ack, segment.sacks, connection.hasSack ? segment.sackCount : 0, advanced > 0 ? roundTrip(connection, segment) : -1, isDuplicate, core.now)
  if (advanced > 0) advance(connection, ack)
  else {
    // The window was closed behind what had been sent, and opens: what was sent into it, again and again, was not taken.
    const outstanding = (connection.sendNext - ack) | 0
    const { recovery } = connection
    if (recovery !== null && recovery.retries > 0 && windowBefore < outstanding && connection.sendWindow >= outstanding) recovery.sendAgain()
    // A closed window is waited for as long as the other end answers (RFC 9293 MUST-37), but not when nobody is left here who waits.
    if ((connection.sendWindow === 0 || connection.isProbing) && !connection.isReadClosed) connection.waitingSince = core.now
    // It may tell of losses, or that something has arrived out of order: then something can be sent.
    if (connection.sendNext !== ack) core.touch(connection)
  }
  return true
}

/** The one byte that probed the closed window was accepted: it counts as sent. */
const probeWasTaken = (connection: Connection): void => {
  const { sendNext } = connection
  connection.sendNext = (sendNext + 1) | 0
  connection.recovery!.sent(sendNext, connection.sendNext, connection.core.now)
}

const takeWindow = (connection: Connection, segment: Segment): void => {
  const { sequence, acknowledgment } = segment
  const isNewer = state.isAfter(sequence, connection.windowSequence) ||
    (sequence === connection.windowSequence && !state.isBefore(acknowledgment, connection.windowAcknowledgment))
  if (!isNewer) return
  connection.windowSequence = sequence
  connection.windowAcknowledgment = acknowledgment
  const window = segment.window << connection.sendScale
  if (window !== connection.sendWindow) connection.core.touch(connection)
  connection.sendWindow = window
  if (window > connection.windowMax) connection.windowMax = window
}

/** Milliseconds since the timestamp left that the segment returns; -1 when it returns none. */
export const roundTrip = (connection: Connection, segment: Segment): number => {
  if (!connection.hasTimestamps || !segment.hasTimestamps || segment.echo === 0) return -1
  const elapsed = (timestampNow(connection) - segment.echo) | 0
  return elapsed < 0 ? -1 : elapsed
}

const advance = (connection: Connection, ack: number): void => {
  const { core } = connection
  connection.unacknowledged = ack
  connection.isProbing = false
  connection.retries = 0
  connection.retryDue = Infinity
  connection.waitingSince = connection.sendNext === ack ? Infinity : core.now
  connection.softError = ''
  const queue = connection.sendQueue
  if (queue !== null) {
    queue.acknowledge(ack)
    if (connection.wantsDrain && queue.length <= connection.sendBuffer >> 1) {
      connection.wantsDrain = false
      connection.pending |= TELL_DRAINED
    }
  }
  if (connection.isFinSent && ack === connection.sendNext) finWasAcknowledged(connection)
  core.touch(connection)
}

const finWasAcknowledged = (connection: Connection): void => {
  connection.pending |= TELL_FINISHED
  if (connection.state === state.FIN_WAIT_1) {
    connection.state = state.FIN_WAIT_2
    if (connection.isReadClosed) waitForFin(connection)
  } else if (connection.state === state.CLOSING) connection.state = state.TIME_WAIT
}

/** LAST_ACK is over: everything both ends had to say is acknowledged. */
export const isDone = (connection: Connection): boolean =>
  connection.state === state.LAST_ACK && connection.isFinSent && connection.unacknowledged === connection.sendNext
