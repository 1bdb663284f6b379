/** Segments of a connection: with data, acknowledgments, SYNs, resets. Each tells the window and acknowledges what has come. */
import * as tcp from '../../wire/tcp.js'
import { HEADERS, PACKET_MAX, sendBuilt, SYN_OPTIONS_MAX, TIMESTAMPS_LENGTH, writeSacks, writeSynOptions, writeTimestamps } from './build.js'
import type { Connection } from './connection.js'
import type { Core } from './core.js'
import { offerWindow } from './receive-buffer.js'
import type { Segment } from './segment.js'
import * as state from './state.js'

/** SACK blocks beside timestamps, and without. */
const SACKS_WITH_TIMESTAMPS = 3
const SACKS_MAX = 4
const blocks = new Int32Array(2 * SACKS_MAX)

/** Of the clock of its timestamps, int32: a millisecond each, from a place that only this connection has (RFC 7323 5.4, 7.1). */
export const timestampNow = (connection: Connection): number => (Math.floor(connection.core.now) + connection.timestampOffset) | 0

/** Payload of the largest packet that can be handed down: many full segments, or one. */
export const superpacketMax = ({ core, mss }: Connection): number => {
  if (!core.network.offloads.tcp) return mss
  const room = PACKET_MAX - HEADERS - TIMESTAMPS_LENGTH
  return room - (room % mss)
}

/**
 * Sends a segment of a synchronised connection.
 * @param length bytes of the send queue from `sequence` on
 * @param flags beside ACK
 * @returns false when the network has no room
 */
export const transmit = (connection: Connection, sequence: number, length: number, flags: number): boolean => {
  const { core, mss } = connection
  const { network } = core
  const { view, bytes } = network.slab
  const stamps = connection.hasTimestamps ? TIMESTAMPS_LENGTH : 0
  let sacks = 0
  if (connection.hasSack && connection.receiveQueue !== null && length + 4 + 8 <= mss && (connection.receiveQueue.gaps || connection.receiveQueue.hasDuplicate)) {
    const max = Math.min(stamps > 0 ? SACKS_WITH_TIMESTAMPS : SACKS_MAX, (mss - length - 4) >> 3)
    sacks = connection.receiveQueue.blocks(blocks, max)
  }
  const options = stamps + (sacks > 0 ? 4 + 8 * sacks : 0)
  const at = network.reserve(HEADERS + options + length)
  if (at < 0) {
    core.block(connection)
    return false
  }
  if (stamps > 0) writeTimestamps(view, at + HEADERS, timestampNow(connection), connection.recentTimestamp)
  if (sacks > 0) writeSacks(view, at + HEADERS + stamps, blocks, sacks)
  if (length > 0) connection.sendQueue!.copy(sequence, length, bytes, at + HEADERS + options)
  send(connection, at, sequence, flags | tcp.ACK, offerWindow(connection), options, length)
  connection.acknowledged = connection.receiveNext
  connection.owesAck = false
  connection.owesAckNow = false
  connection.ackDue = Infinity
  return true
}

const send = (connection: Connection, at: number, sequence: number, flags: number, window: number, options: number, length: number): void => {
  sendBuilt(
    connection.core.network, at, connection.row, connection.tos, connection.localAddress, connection.remoteAddress, connection.localPort,
    connection.remotePort, sequence, connection.receiveNext, flags, window, options, length, connection.mss,
  )
}

/** Sends an acknowledgment. */
export const transmitAck = (connection: Connection): boolean => {
  if (connection.quickAcks > 0) connection.quickAcks--
  return transmit(connection, connection.sendNext, 0, 0)
}

/** Sends an empty segment whose number was acknowledged already: the other end answers what it thinks (keepalive). */
export const transmitOld = (connection: Connection): boolean => transmit(connection, (connection.unacknowledged - 1) | 0, 0, 0)

/**
 * Sends the SYN, or SYN-ACK, of a connection whose handshake is not done.
 * @param length bytes of the send queue that go with it
 */
export const transmitSyn = (connection: Connection, length: number): boolean => {
  const { core } = connection
  const { network } = core
  const { view, bytes } = network.slab
  const isAnswer = connection.state === state.SYN_RECEIVED
  const at = network.reserve(HEADERS + SYN_OPTIONS_MAX + length)
  if (at < 0) return false
  const hasStamps = !isAnswer || connection.hasTimestamps
  const options = writeSynOptions(
    view, at + HEADERS, connection.routeMtu - HEADERS, connection.receiveScale, !isAnswer || connection.hasSack, hasStamps,
    timestampNow(connection), isAnswer ? connection.recentTimestamp : 0,
  )
  if (length > 0) connection.sendQueue!.copy((connection.initialSend + 1) | 0, length, bytes, at + HEADERS + options)
  // The window of a SYN is never scaled (RFC 7323 2.2).
  const window = Math.min(connection.receiveBuffer, 0xffff)
  connection.receiveEdge = (connection.receiveNext + window) | 0
  connection.acknowledged = connection.receiveNext
  send(connection, at, connection.initialSend, isAnswer ? tcp.SYN | tcp.ACK : tcp.SYN, window, options, length)
  return true
}

/** Resets the connection from this end. */
export const transmitReset = (connection: Connection): void => {
  const at = connection.core.network.reserve(HEADERS)
  if (at >= 0) send(connection, at, connection.sendNext, tcp.RST | tcp.ACK, 0, 0, 0)
}

/**
 * Answers a segment that no connection wants with RST (RFC 9293 3.10.7.1), unless it is one.
 * @param row of the socket that it came to, or NO_SOCKET
 */
export const answerReset = (core: Core, segment: Segment, row: number): void => {
  if (segment.isReset) return
  const at = core.network.reserve(HEADERS)
  if (at < 0) return
  const { isAck } = segment
  sendBuilt(
    core.network, at, row, 0, segment.destination, segment.source, segment.destinationPort, segment.sourcePort, isAck ? segment.acknowledgment : 0,
    isAck ? 0 : (segment.sequence + segment.length) | 0, isAck ? tcp.RST : tcp.RST | tcp.ACK, 0, 0, 0, 1,
  )
}
