/**
 * What a connection sends, in this order: what is lost, what is new, the FIN, an acknowledgment if none went along.
 *
 * New data leaves when the other's window, the congestion window and the rules against silly windows and small segments allow it
 * (RFC 9293 3.8.6.2.1, 3.7.4). Nagle's rule is that of Minshall, as in most systems: a segment that is not full waits only for another
 * such segment. While the window is closed and nothing is outstanding, a timer probes it (timeouts.ts).
 */
import * as tcp from '../../wire/tcp.js'
import type { Connection } from './connection.js'
import { mayGrowPath } from './path.js'
import type { Range } from './recovery/recovery.js'
import * as state from './state.js'
import { superpacketMax, transmit, transmitAck } from './transmit.js'

const range: Range = { start: 0, end: 0 }

/** The sequence number after the last byte that was written. */
export const queueEnd = (connection: Connection): number => connection.sendQueue?.end ?? dataEnd(connection)

/** Without a queue nothing was ever written: all that was sent besides the SYN is the FIN. */
const dataEnd = ({ sendNext, isFinSent }: Connection): number => (isFinSent ? (sendNext - 1) | 0 : sendNext)

/** Sends what can be sent of a synchronised connection. */
export const output = (connection: Connection): void => {
  if (connection.isBlocked) return
  const { recovery } = connection
  if (recovery !== null && connection.state !== state.TIME_WAIT && sendLost(connection)) {
    if (!connection.isFinSent) sendNew(connection)
    watchWindow(connection)
  }
  if (connection.isBlocked || !connection.owesAck) return
  const { core } = connection
  if (connection.owesAckNow || (connection.quickAcks > 0 && connection.ackDue === Infinity)) transmitAck(connection)
  else if (connection.ackDue === Infinity) connection.ackDue = core.now + core.settings.delayedAck
}

/** @returns false when the network has no more room */
const sendLost = (connection: Connection): boolean => {
  const recovery = connection.recovery!
  const most = superpacketMax(connection)
  while (recovery.nextLost(range)) {
    const { start } = range
    const room = Math.min((range.end - start) | 0, most)
    const allowed = recovery.room
    // One segment always goes: an MTU that shrank, or a range that ends with FIN, may not fit the room exactly.
    const length = room <= allowed ? room : Math.max(0, allowed - (allowed % connection.mss))
    if (length === 0) return true
    if (!resend(connection, start, (start + length) | 0)) return false
  }
  return true
}

/** Sends a range again that may end with the FIN. */
export const resend = (connection: Connection, start: number, end: number): boolean => {
  const last = queueEnd(connection)
  const hasFin = connection.isFinSent && end === connection.sendNext
  const length = hasFin ? (last - start) | 0 : (end - start) | 0
  const flags = hasFin ? tcp.FIN : end === last ? tcp.PSH : 0
  if (!transmit(connection, start, Math.max(0, length), flags)) return false
  connection.recovery!.resent(start, end, connection.core.now)
  return true
}

const sendNew = (connection: Connection): void => {
  const recovery = connection.recovery!
  const { now } = connection.core
  if (connection.sendNext === connection.unacknowledged) {
    if (connection.writeLength === 0 && !connection.isShut) return
    mayGrowPath(connection)
    recovery.idle(now)
  }
  const most = superpacketMax(connection)
  const end = queueEnd(connection)
  for (;;) {
    const available = (end - connection.sendNext) | 0
    const usable = (connection.unacknowledged + connection.sendWindow - connection.sendNext) | 0
    const isLast = connection.isShut && usable > available
    if (available === 0) {
      if (isLast && !connection.isFinSent) sendRange(connection, 0, tcp.FIN)
      return
    }
    const length = segmentLength(connection, available, usable, Math.min(most, recovery.room))
    if (length === 0) return
    const isAll = length === available
    if (!sendRange(connection, length, isAll ? (isLast ? tcp.FIN | tcp.PSH : tcp.PSH) : 0)) return
    if (connection.isFinSent) return
  }
}

/** How much leaves next: a multiple of full segments, or all there is; 0 when nothing may. */
const segmentLength = (connection: Connection, available: number, usable: number, room: number): number => {
  const { mss } = connection
  const length = Math.min(available, usable, room)
  if (length <= 0) return 0
  const rest = length % mss
  if (rest === 0) return length
  if (length === available && mayBeSmall(connection)) return length
  if (length > rest) return length - rest
  // Less than a segment: because the window has never been larger than twice that, or not at all.
  return length === usable && length < available && length >= connection.windowMax >> 1 ? length : 0
}

const mayBeSmall = (connection: Connection): boolean =>
  connection.isNoDelay || connection.isShut || !state.isAfter(connection.smallEnd, connection.unacknowledged)

/** Sends the next bytes, and the FIN with them if the flag says so. @returns false when the network has no room */
export const sendRange = (connection: Connection, length: number, flags: number): boolean => {
  const { core, sendNext } = connection
  if (!transmit(connection, sendNext, length, flags)) return false
  const hasFin = (flags & tcp.FIN) !== 0
  const end = (sendNext + length + (hasFin ? 1 : 0)) | 0
  if (connection.sendNext === connection.unacknowledged) connection.waitingSince = core.now
  connection.sendNext = end
  if (hasFin) connection.isFinSent = true
  if (length % connection.mss !== 0) connection.smallEnd = end
  connection.recovery!.sent(sendNext, end, core.now)
  return true
}

/** While there is something to send, and nothing outstanding whose acknowledgment would tell of the window, the window is probed. */
const watchWindow = (connection: Connection): void => {
  const waits = (connection.isShut && !connection.isFinSent) || state.isAfter(queueEnd(connection), connection.sendNext)
  if (!waits || connection.isBlocked || connection.sendNext !== connection.unacknowledged) {
    connection.retryDue = Infinity
    if (!connection.isProbing) connection.retries = 0
    return
  }
  if (connection.retryDue !== Infinity) return
  const { core, recovery } = connection
  connection.retryDue = core.now + Math.min(PROBE_MAX, recovery!.rto * 2 ** Math.min(connection.retries, 10))
  if (connection.waitingSince === Infinity) connection.waitingSince = core.now
}

/** The longest pause between two probes of the window, milliseconds. */
const PROBE_MAX = 60_000
