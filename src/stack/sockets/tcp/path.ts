/**
 * The path of a connection: the size of what it carries (RFC 1191), and errors that come from it (RFC 9293 3.9.2.2, RFC 5927).
 *
 * An error counts only when it quotes a number that is in flight. One that says `too big` lowers the MTU, never below 68; what was
 * lost by it is sent again at once, and the MTU of the route is tried again ten minutes later. Others end a connection only while it
 * is being opened; later they are remembered, to be told if the other end stays silent.
 */
import * as icmp4 from '../../wire/icmp4.js'
import type { QuotedError } from '../quoted-error.js'
import { HEADERS, TIMESTAMPS_LENGTH } from './build.js'
import { fail } from './close.js'
import type { Connection } from './connection.js'
import * as state from './state.js'

/** RFC 791: every link carries this. */
const MTU_MIN = 68
/** RFC 1191 6.3, milliseconds. */
const RETRY_AFTER = 600_000
/** What MTUs are common (RFC 1191 7.1). */
const PLATEAUS = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, MTU_MIN]

/** The payload of a full segment follows from the path and from what the other end takes. */
export const fitMss = (connection: Connection): void => {
  const { pathMtu, peerMss, hasTimestamps } = connection
  connection.mss = Math.min(pathMtu - HEADERS, peerMss) - (hasTimestamps ? TIMESTAMPS_LENGTH : 0)
  connection.recovery?.setMss(connection.mss)
}

/** The network says what the route carries. */
export const setRouteMtu = (connection: Connection, mtu: number): void => {
  if (mtu === connection.routeMtu) return
  connection.routeMtu = Math.max(MTU_MIN, mtu)
  connection.mtuRetryAt = Infinity
  setPathMtu(connection, connection.routeMtu)
}

const setPathMtu = (connection: Connection, mtu: number): void => {
  const before = connection.pathMtu
  connection.pathMtu = mtu
  if (connection.peerMss > 0) fitMss(connection)
  if (mtu >= before || connection.recovery === null) return
  connection.recovery.sendAgain()
  connection.core.touch(connection)
}

/** Tries the MTU of the route again, when that is due. */
export const mayGrowPath = (connection: Connection): void => {
  if (connection.core.now < connection.mtuRetryAt) return
  connection.mtuRetryAt = Infinity
  setPathMtu(connection, connection.routeMtu)
}

/** An ICMP error about a segment of the connection. */
export const takeError = (connection: Connection, error: QuotedError): void => {
  const { type, code, sequence, mtu } = error
  if (state.isBefore(sequence, connection.unacknowledged) || !state.isBefore(sequence, connection.sendNext)) return
  if (type === icmp4.UNREACHABLE && code === icmp4.CODE_FRAGMENTATION_NEEDED) {
    // Routers of old do not say the MTU: then the next one that is common below the length of what was too long.
    const said = mtu === 0 ? (PLATEAUS.find((plateau) => plateau < error.length) ?? MTU_MIN) : mtu
    // What is less than every link carries was never sent by a router.
    if (said >= MTU_MIN) shrink(connection, said)
    return
  }
  const name = errorName(type, code)
  if (name === '') return
  const isHard = type === icmp4.UNREACHABLE && code !== 0 && code !== 1 && code !== 5
  if (isHard && connection.state === state.SYN_SENT) fail(connection, name)
  else connection.softError = name
}

const shrink = (connection: Connection, mtu: number): void => {
  if (mtu >= connection.pathMtu) return
  connection.mtuRetryAt = connection.core.now + RETRY_AFTER
  setPathMtu(connection, mtu)
}

/** As Linux tells it (icmp_err_convert). */
const errorName = (type: number, code: number): string => {
  if (type === icmp4.TIME_EXCEEDED) return 'EHOSTUNREACH'
  if (type === icmp4.PARAMETER_PROBLEM) return 'EPROTO'
  if (type !== icmp4.UNREACHABLE) return ''
  switch (code) {
    case 0:
    case 6:
    case 9:
    case 11:
      return 'ENETUNREACH'
    case 2:
      return 'ENOPROTOOPT'
    case 3:
      return 'ECONNREFUSED'
    case 5:
      return 'EOPNOTSUPP'
    default:
      return 'EHOSTUNREACH'
  }
}
