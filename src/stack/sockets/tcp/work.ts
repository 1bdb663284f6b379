/** One turn of a connection: its user is told what happened, it sends, its timer is set. */
import {
  type Connection, TELL_ACCEPTED, TELL_CONNECTED, TELL_DRAINED, TELL_ENDED, TELL_FINISHED, TELL_READABLE,
} from './connection.js'
import { output } from './output.js'
import * as state from './state.js'
import { setTimer } from './timeouts.js'

export const work = (connection: Connection): void => {
  if (connection.pending !== 0) tell(connection)
  if (connection.state === state.CLOSED) return
  if (connection.state >= state.ESTABLISHED) output(connection)
  if (connection.state === state.TIME_WAIT) connection.core.timeWait.take(connection)
  else setTimer(connection)
  if (connection.pending !== 0) tell(connection)
}

const tell = (connection: Connection): void => {
  // Data may come before its user does.
  if (connection.state === state.SYN_RECEIVED) return
  if ((connection.pending & TELL_ACCEPTED) !== 0) {
    if (connection.listener !== null && !connection.listener.deliver(connection)) return
    connection.pending &= ~TELL_ACCEPTED
  }
  // The user may cause more with each of them.
  while (connection.pending !== 0) {
    const { events } = connection
    const next = connection.pending & -connection.pending
    connection.pending &= ~next
    if (next === TELL_CONNECTED) events.onConnect()
    else if (next === TELL_READABLE) events.onReadable()
    else if (next === TELL_DRAINED) events.onDrain()
    else if (next === TELL_FINISHED) events.onFinish()
    else if (next === TELL_ENDED) {
      const { error } = connection
      if (error !== null) events.onError(error)
      connection.events.onClose()
    }
  }
}
