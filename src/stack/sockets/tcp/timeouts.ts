/**
 * What is due of a connection: one timer for all of its deadlines, set to the earliest; when it fires, each deadline that is over is met.
 * Deadlines that moved on meanwhile cost one turn that does nothing.
 */
import * as tcp from '../../wire/tcp.js'
import { destroy, fail } from './close.js'
import type { Connection } from './connection.js'
import { sendSyn } from './handshake.js'
import { queueEnd, resend, sendRange } from './output.js'
import type { Range } from './recovery/recovery.js'
import * as state from './state.js'
import { transmit, transmitOld } from './transmit.js'

const range: Range = { start: 0, end: 0 }

export const setTimer = (connection: Connection): void => {
  const due = Math.min(
    connection.ackDue, connection.retryDue, connection.closeDue, connection.recovery?.timer ?? Infinity, keepAliveDue(connection), giveUpAt(connection),
  )
  if (due !== connection.timer.due) connection.timer.set(due)
}

/** When silence has lasted too long. */
const giveUpAt = (connection: Connection): number => {
  const { settings } = connection.core
  if (connection.state < state.ESTABLISHED) return connection.waitingSince + (connection.userTimeout || settings.connectTimeout)
  return connection.waitingSince + (connection.userTimeout || settings.retryTimeout)
}

/** Keepalive is for connections with nothing to say: what is outstanding is repeated anyway. */
const keepAliveDue = (connection: Connection): number => {
  if (connection.keepAliveIdle === 0 || connection.sendNext !== connection.unacknowledged || connection.state < state.ESTABLISHED) return Infinity
  return connection.heardAt + connection.keepAliveIdle + connection.keepAliveProbes * connection.core.settings.keepAliveInterval
}

/** The timer has fired. */
export const timedOut = (connection: Connection): void => {
  const { core } = connection
  const { now } = core
  if (now >= giveUpAt(connection)) {
    fail(connection, connection.softError || 'ETIMEDOUT')
    return
  }
  if (connection.state < state.ESTABLISHED) {
    if (now >= connection.retryDue) {
      connection.retries++
      sendSyn(connection)
    }
    setTimer(connection)
    return
  }
  if (now >= connection.closeDue) {
    destroy(connection, null)
    return
  }
  if (now >= connection.ackDue) connection.owesAckNow = true
  if (connection.recovery !== null && now >= connection.recovery.timer && connection.recovery.expired(now) === 'probe') probeTail(connection)
  if (now >= connection.retryDue) probeWindow(connection)
  if (now >= keepAliveDue(connection) && !keepAlive(connection)) return
  core.touch(connection)
}

/** Tail loss probe (RFC 8985 7.3): one segment, new if there is one, whose acknowledgment tells what else is missing. */
const probeTail = (connection: Connection): void => {
  const available = (queueEnd(connection) - connection.sendNext) | 0
  const usable = (connection.unacknowledged + connection.sendWindow - connection.sendNext) | 0
  const length = Math.min(available, usable, connection.mss)
  if (length > 0 && !connection.isFinSent) {
    sendRange(connection, length, 0)
    return
  }
  connection.recovery!.lastSegment(range)
  if (range.start === range.end) return
  // The FIN is no byte of a segment.
  if (connection.isFinSent && state.isAfter(range.start, connection.unacknowledged)) range.start = (range.start - 1) | 0
  resend(connection, range.start, range.end)
}

/** One byte beyond the closed window, or what fits into one that is too small for a good segment (RFC 9293 3.8.6.1). */
const probeWindow = (connection: Connection): void => {
  connection.retryDue = Infinity
  connection.retries++
  const available = (queueEnd(connection) - connection.sendNext) | 0
  const usable = (connection.unacknowledged + connection.sendWindow - connection.sendNext) | 0
  if (usable > 0 && available > 0) sendRange(connection, Math.min(usable, available, connection.mss), 0)
  else if (available > 0) {
    if (transmit(connection, connection.sendNext, 1, 0)) connection.isProbing = true
  } else sendRange(connection, 0, tcp.FIN)
}

/** @returns false when the connection is over */
const keepAlive = (connection: Connection): boolean => {
  if (connection.keepAliveProbes >= connection.core.settings.keepAliveProbes) {
    fail(connection, 'ETIMEDOUT')
    return false
  }
  connection.keepAliveProbes++
  transmitOld(connection)
  return true
}
