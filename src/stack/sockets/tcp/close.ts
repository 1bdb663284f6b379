/** How connections end: by FIN, by RST, or because nobody answers. */
import { socketError } from '../socket-error.js'
import { type Connection, TELL_ACCEPTED, TELL_ENDED } from './connection.js'
import * as state from './state.js'
import { transmitReset } from './transmit.js'

/** Ends the sending direction after what was written. */
export const shutdown = (connection: Connection): void => {
  if (connection.isShut || connection.state === state.CLOSED) return
  connection.isShut = true
  if (connection.state < state.ESTABLISHED) return
  leave(connection)
  connection.core.touch(connection)
}

/** The state after the user has ended his direction: the FIN may have to wait for data before it. */
export const leave = (connection: Connection): void => {
  if (connection.state === state.ESTABLISHED) connection.state = state.FIN_WAIT_1
  else if (connection.state === state.CLOSE_WAIT) connection.state = state.LAST_ACK
}

/** Ends both directions. What was not read is lost, and the other end learns that by RST (RFC 2525 2.17). */
export const close = (connection: Connection): void => {
  if (connection.isReadClosed || connection.state === state.CLOSED) return
  connection.isReadClosed = true
  if (connection.state === state.SYN_SENT) {
    destroy(connection, null)
    return
  }
  if (connection.readLength > 0) {
    abort(connection)
    return
  }
  shutdown(connection)
  if (connection.state === state.FIN_WAIT_2) waitForFin(connection)
}

/** A connection that nobody has any more waits for the other's FIN no longer than this. */
export const waitForFin = (connection: Connection): void => {
  const { core } = connection
  connection.closeDue = core.now + core.settings.finWait
  core.touch(connection)
}

/** Ends the connection at once. */
export const abort = (connection: Connection): void => {
  if (connection.state === state.CLOSED) return
  if (connection.state !== state.SYN_SENT) transmitReset(connection)
  destroy(connection, null)
}

/** The connection is over before its time. @param code of errno(3) */
export const fail = (connection: Connection, code: string): void => {
  const isConnecting = connection.state === state.SYN_SENT || (connection.state === state.SYN_RECEIVED && connection.listener === null)
  const error = isConnecting ? socketError(code, 'connect', connection.remoteAddress, connection.remotePort) : socketError(code, 'read')
  destroy(connection, error)
}

/** Nothing of the connection remains but what its user has not read yet. */
export const destroy = (connection: Connection, error: NodeJS.ErrnoException | null): void => {
  if (connection.state === state.CLOSED) return
  const { core, listener, row } = connection
  connection.state = state.CLOSED
  connection.error = error
  connection.timer.clear()
  connection.sendQueue = null
  connection.recovery = null
  if (row >= 0) {
    connection.row = -1
    core.owners[row] = undefined
    core.table.remove(row)
  }
  if (listener !== null) {
    connection.listener = null
    connection.pending = 0
    listener.lost(connection)
    return
  }
  connection.pending = (connection.pending | TELL_ENDED) & ~TELL_ACCEPTED
  core.touch(connection)
}

/** TIME_WAIT goes on without the connection: its row is another's now. */
export const detach = (connection: Connection): void => {
  connection.state = state.CLOSED
  connection.row = -1
  connection.timer.clear()
  connection.sendQueue = null
  connection.recovery = null
  connection.pending |= TELL_ENDED
}
