/**
 * Acknowledgments that answer what is not acceptable (RFC 5961). Each connection has a budget of its own for them, since one for all would
 * let a third party count; answers to segments without data cost less than those to attempts at the connection's life, but are not free,
 * lest two ends that disagree answer each other without end.
 */
import type { Connection } from './connection.js'
import { transmitAck } from './transmit.js'

const PERIOD = 5000
/** Ten challenge ACKs a period, or a hundred answers to empty segments. */
const BUDGET = 100
const CHALLENGE = 10
const ANSWER = 1

const spend = (connection: Connection, cost: number): void => {
  const { now } = connection.core
  if (now - connection.challengeSince >= PERIOD) {
    connection.challengeSince = now
    connection.challengeCost = 0
  }
  if (connection.challengeCost + cost > BUDGET) return
  connection.challengeCost += cost
  transmitAck(connection)
}

/** A RST, a SYN or an ACK that may be forged: says where this end really is. */
export const challenge = (connection: Connection): void => spend(connection, CHALLENGE)

/** Answers a segment that is not acceptable and has no data. */
export const answer = (connection: Connection): void => spend(connection, ANSWER)
