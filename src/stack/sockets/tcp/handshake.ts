/** The three-way handshake: SYNs, what both ends agree on, and the moment when it is done. */
import { leave } from './close.js'
import { type Connection, TELL_ACCEPTED, TELL_CONNECTED } from './connection.js'
import { fitMss } from './path.js'
import { RECEIVE_SCALE } from './receive-buffer.js'
import { Recovery } from './recovery/recovery.js'
import type { Segment } from './segment.js'
import { initialSequence, timestampOffset } from './isn.js'
import * as state from './state.js'
import { roundTrip } from './acknowledge.js'
import { transmitSyn } from './transmit.js'

/** RFC 9293 3.7.1: what an end takes that does not say. */
const DEFAULT_MSS = 536
/** Who names less wants to make work. */
const MSS_MIN = 64
/** Pause between SYNs at most, milliseconds. */
const PAUSE_MAX = 60_000
/** The network had no room for the SYN: a moment later, milliseconds. */
const MOMENT = 20

/** How far beyond the last number of one connection the next one with the same ends begins at least. */
const SUCCESSOR_DISTANCE = 0x20000

const NO_SACKS = new Int32Array(0)

/** Chooses the numbers of a connection whose ends are known. */
export const number = (connection: Connection): void => {
  const { core, localAddress, localPort, remoteAddress, remotePort } = connection
  const iss = initialSequence(core.hash, core.now, localAddress, localPort, remoteAddress, remotePort)
  connection.timestampOffset = timestampOffset(core.hash, localAddress, localPort, remoteAddress, remotePort)
  begin(connection, iss)
}

/** The four-tuple was another connection's a short time ago: the numbers go on where those came to. */
export const succeed = (connection: Connection, last: number): void => {
  const least = (last + SUCCESSOR_DISTANCE) | 0
  if (state.isBefore(connection.initialSend, least)) begin(connection, least)
}

/** The connection's first number is this one. */
export const begin = (connection: Connection, iss: number): void => {
  connection.initialSend = iss
  connection.unacknowledged = iss
  connection.sendNext = (iss + 1) | 0
  connection.smallEnd = iss
  connection.receiveScale = RECEIVE_SCALE
  connection.waitingSince = connection.core.now
}

/** Sends the SYN or SYN-ACK, first or again. Only the first takes data along (RFC 7413 4.1.3). */
export const sendSyn = (connection: Connection): void => {
  const { core, retries } = connection
  const isFirst = connection.state === state.SYN_SENT && retries === 0
  const length = isFirst ? Math.min(connection.fastOpenLength, Math.max(0, connection.pathMtu - 80)) : 0
  const hasLeft = transmitSyn(connection, length)
  if (hasLeft) {
    connection.retryDue = core.now + Math.min(PAUSE_MAX, core.settings.initialRto * 2 ** Math.min(retries, 16))
    if (length > 0) connection.sendNext = (connection.initialSend + 1 + length) | 0
  } else connection.retryDue = core.now + MOMENT
}

/** Takes what the other's SYN says. */
export const agree = (connection: Connection, segment: Segment): void => {
  connection.initialReceive = segment.sequence
  connection.receiveNext = (segment.sequence + 1) | 0
  connection.peerMss = segment.mss === 0 ? DEFAULT_MSS : Math.max(MSS_MIN, segment.mss)
  agreeOptions(connection, segment.windowScale, segment.sackPermitted, segment.hasTimestamps)
  connection.recentTimestamp = segment.timestamp
  // The window of a SYN is not scaled.
  connection.sendWindow = segment.window
  connection.windowMax = segment.window
  connection.windowSequence = segment.sequence
  connection.windowAcknowledgment = segment.isAck ? segment.acknowledgment : connection.initialSend
}

/** @param scale -1 when the other end does not scale */
export const agreeOptions = (connection: Connection, scale: number, sack: boolean, timestamps: boolean): void => {
  connection.sendScale = Math.max(0, scale)
  connection.receiveScale = scale < 0 ? -1 : RECEIVE_SCALE
  if (scale < 0) connection.receiveBuffer = Math.min(connection.receiveBuffer, 0xffff)
  connection.hasSack = sack
  connection.hasTimestamps = timestamps
  connection.recentAt = connection.core.now
  connection.receiveEdge = (connection.receiveNext + Math.min(connection.receiveBuffer, 0xffff)) | 0
  connection.rttEdge = connection.receiveEdge
  connection.acknowledged = connection.receiveNext
  fitMss(connection)
}

/** Our SYN is acknowledged, and the other's has come: data may flow. */
export const establish = (connection: Connection, segment: Segment): void => {
  const { core, initialSend, retries, waitingSince } = connection
  const { acknowledgment } = segment
  const { congestion, minRto, initialRto } = core.settings
  const recovery = new Recovery({
    mss: connection.mss, sack: connection.hasSack, timestamps: connection.hasTimestamps, initialSequence: initialSend, congestion, minRto, initialRto,
  })
  recovery.sent(initialSend, acknowledgment, waitingSince)
  if (retries > 0) recovery.retryBegan()
  recovery.acknowledged(acknowledgment, NO_SACKS, 0, roundTrip(connection, segment), false, core.now)
  connection.recovery = recovery
  connection.state = state.ESTABLISHED
  connection.unacknowledged = acknowledgment
  // Data that went with the SYN and was not taken counts as never sent.
  connection.sendNext = acknowledgment
  connection.smallEnd = acknowledgment
  connection.sendQueue?.acknowledge(acknowledgment)
  connection.retries = 0
  connection.retryDue = Infinity
  connection.waitingSince = Infinity
  connection.softError = ''
  if (connection.listener === null) connection.pending |= TELL_CONNECTED
  else {
    connection.pending |= TELL_ACCEPTED
    connection.listener.established(connection)
  }
  if (connection.isShut) leave(connection)
  core.touch(connection)
}
