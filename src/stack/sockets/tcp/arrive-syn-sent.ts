/** A segment arrives for a connection that has sent its SYN (RFC 9293 3.10.7.3). */
import type { Slab } from '../../batch.js'
import { fail } from './close.js'
import type { Connection } from './connection.js'
import { agree, establish, sendSyn } from './handshake.js'
import { takeData } from './receive-data.js'
import type { Segment } from './segment.js'
import * as state from './state.js'
import { answerReset } from './transmit.js'

export const arriveSynSent = (connection: Connection, segment: Segment, slab: Slab): void => {
  const { isAck, acknowledgment } = segment
  if (isAck && (!state.isAfter(acknowledgment, connection.initialSend) || state.isAfter(acknowledgment, connection.sendNext))) {
    answerReset(connection.core, segment, connection.row)
    return
  }
  if (segment.isReset) {
    if (isAck) fail(connection, 'ECONNREFUSED')
    return
  }
  if (!segment.isSyn) return
  agree(connection, segment)
  connection.heardAt = connection.core.now
  if (isAck) {
    establish(connection, segment)
    connection.owesAck = true
    connection.owesAckNow = true
  } else connection.state = state.SYN_RECEIVED
  if (segment.dataLength > 0 || segment.isFin) takeData(connection, segment, slab)
  // Both ends open at the same time: each answers the other's SYN.
  if (!isAck) sendSyn(connection)
}
