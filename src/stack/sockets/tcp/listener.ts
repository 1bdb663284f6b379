/**
 * A listener: it answers SYNs, and gives connections to its user when their handshake is done.
 *
 * Theory of operation. A SYN makes a connection in SYN_RECEIVED, with a row of the socket table, as long as there are fewer than
 * `backlog` of them. Beyond that, SYNs are answered with cookies, which cost nothing until they come back. A connection whose handshake
 * is done waits for the user, where there is none yet; with `backlog` of those waiting, SYNs are dropped.
 */
import * as ipv4 from '../../wire/ipv4.js'
import * as tcp from '../../wire/tcp.js'
import type { Slab } from '../../batch.js'
import type { Arrival } from '../network.js'
import { NO_SOCKET } from '../network.js'
import { SOCKET_FLAG } from '../socket-table.js'
import { arrive } from './arrive.js'
import { HEADERS, sendBuilt, SYN_OPTIONS_MAX, writeSynOptions } from './build.js'
import { abort, destroy } from './close.js'
import { Connection } from './connection.js'
import { Cookies, readStamp, type Remembered, writeStamp } from './cookies.js'
import type { Core } from './core.js'
import type { TcpEndpoint } from './endpoint.js'
import { agree, agreeOptions, begin, number, sendSyn, succeed } from './handshake.js'
import { timestampOffset } from './isn.js'
import { RECEIVE_SCALE } from './receive-buffer.js'
import { takeData } from './receive-data.js'
import type { Segment } from './segment.js'
import { setTimer } from './timeouts.js'
import * as state from './state.js'
import { answerReset } from './transmit.js'

export interface TcpListener {
  /** Called with each connection whose handshake is done; until it is set, they wait. */
  onConnection: (endpoint: TcpEndpoint) => void
  readonly address: number
  readonly port: number
  /** Connections that the user has got already go on; all others end with RST. */
  close(): void
}

/** Flags of the row that connections have from their listener. */
const INHERITED = SOCKET_FLAG.transparent | SOCKET_FLAG.reuseAddress | SOCKET_FLAG.reusePort

const NOBODY = (): void => {}
/** Milliseconds for which a cookie may still come back. */
const COOKIE_TIME = 128_000

export class Listener implements TcpListener {
  readonly row: number
  readonly address: number
  readonly port: number
  readonly #core: Core
  readonly #backlog: number
  readonly #cookies: Cookies
  readonly #halfOpen = new Set<Connection>()
  readonly #waiting = new Set<Connection>()
  readonly #remembered: Remembered = { mss: 0, scale: -1, sack: false }
  #onConnection: (endpoint: TcpEndpoint) => void = NOBODY
  /** Until when cookies may come back; 0 when there are none. */
  #cookiesUntil = 0

  /** @param row in the socket table, already its own */
  constructor(core: Core, row: number, backlog: number) {
    this.#core = core
    this.row = row
    this.address = core.table.localAddressOf(row)
    this.port = core.table.localPortOf(row)
    this.#backlog = Math.max(1, backlog)
    this.#cookies = new Cookies(core.hash)
  }

  get onConnection(): (endpoint: TcpEndpoint) => void {
    return this.#onConnection
  }

  set onConnection(user: (endpoint: TcpEndpoint) => void) {
    this.#onConnection = user
    for (const connection of [...this.#waiting]) this.#core.touch(connection)
  }

  /** Handshakes that are not done. */
  get halfOpen(): number {
    return this.#halfOpen.size
  }

  /** Connections that wait for a user. */
  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * A segment arrives that no connection has (RFC 9293 3.10.7.2).
   * @param previous the last number of a connection in TIME_WAIT that gave way to this segment, null for none
   */
  arrive(segment: Segment, slab: Slab, arrival: Arrival, previous: number | null): void {
    if (segment.isReset) return
    if (segment.isAck) {
      if (segment.isSyn || !this.#takeCookie(segment, slab, arrival)) answerReset(this.#core, segment, this.row)
      return
    }
    if (!segment.isSyn || this.#waiting.size >= this.#backlog) return
    if (this.#halfOpen.size >= this.#backlog) {
      this.#sendCookie(segment)
      return
    }
    if (this.#cookiesUntil !== 0 && this.#core.now > this.#cookiesUntil) this.#markCookies(0)
    const connection = this.#create(segment, arrival)
    if (connection === null) return
    number(connection)
    if (previous !== null) succeed(connection, previous)
    agree(connection, segment)
    if (segment.dataLength > 0 || segment.isFin) takeData(connection, segment, slab)
    sendSyn(connection)
    setTimer(connection)
  }

  /** The handshake of a connection is done. */
  established(connection: Connection): void {
    this.#halfOpen.delete(connection)
    this.#waiting.add(connection)
    const { table } = this.#core
    table.update(connection.row, { flags: table.flagsOf(connection.row) & ~SOCKET_FLAG.synReceived })
  }

  /** Gives a connection to the user. @returns false when there is none yet */
  deliver(connection: Connection): boolean {
    if (this.#onConnection === NOBODY) return false
    this.#waiting.delete(connection)
    connection.listener = null
    this.#onConnection(connection)
    return true
  }

  /** A connection ended before the user got it. */
  lost(connection: Connection): void {
    this.#halfOpen.delete(connection)
    this.#waiting.delete(connection)
  }

  close(): void {
    const core = this.#core
    if (core.owners[this.row] !== this) return
    core.owners[this.row] = undefined
    core.table.remove(this.row)
    for (const connection of [...this.#halfOpen, ...this.#waiting]) abort(connection)
  }

  #create(segment: Segment, arrival: Arrival): Connection | null {
    const core = this.#core
    const { table } = core
    const row = table.add({
      protocol: ipv4.PROTOCOL_TCP,
      flags: SOCKET_FLAG.connected | SOCKET_FLAG.boundAddress | SOCKET_FLAG.synReceived | (table.flagsOf(this.row) & INHERITED),
      localAddress: segment.destination, localPort: segment.destinationPort, remoteAddress: segment.source, remotePort: segment.sourcePort,
      interface: table.interfaceOf(this.row), mark: table.markOf(this.row), tos: table.tosOf(this.row),
    })
    if (row < 0) return null
    const connection = new Connection(core)
    connection.row = row
    core.owners[row] = connection
    connection.localAddress = segment.destination
    connection.localPort = segment.destinationPort
    connection.remoteAddress = segment.source
    connection.remotePort = segment.sourcePort
    connection.tos = table.tosOf(this.row)
    connection.state = state.SYN_RECEIVED
    connection.listener = this
    this.#halfOpen.add(connection)
    if (arrival.originalPort >= 0) {
      connection.originalAddress = arrival.originalAddress
      connection.originalPort = arrival.originalPort
    } else if (arrival.socket !== NO_SOCKET && (segment.destinationPort !== this.port || !core.network.isLocal(segment.destination))) {
      connection.originalAddress = segment.destination
      connection.originalPort = segment.destinationPort
    }
    return connection
  }

  /** Lets those who read the table know whether cookies are out. */
  #markCookies(until: number): void {
    const { table } = this.#core
    if ((this.#cookiesUntil === 0) !== (until === 0)) {
      const flags = table.flagsOf(this.row)
      table.update(this.row, { flags: until === 0 ? flags & ~SOCKET_FLAG.cookies : flags | SOCKET_FLAG.cookies })
    }
    this.#cookiesUntil = until
  }

  #sendCookie(segment: Segment): void {
    const { hash, network, now, settings } = this.#core
    this.#markCookies(now + COOKIE_TIME)
    const { source, sourcePort, destination, destinationPort } = segment
    const at = network.reserve(HEADERS + SYN_OPTIONS_MAX)
    if (at < 0) return
    const cookie = this.#cookies.make(now, segment.mss || 536, source, sourcePort, destination, destinationPort, segment.sequence)
    const hasStamps = segment.hasTimestamps
    const clock = (Math.floor(now) + timestampOffset(hash, destination, destinationPort, source, sourcePort)) | 0
    const options = writeSynOptions(
      network.slab.view, at + HEADERS, network.mtu - HEADERS, hasStamps && segment.windowScale >= 0 ? RECEIVE_SCALE : -1, hasStamps && segment.sackPermitted,
      hasStamps, writeStamp(clock, segment.windowScale, segment.sackPermitted), segment.timestamp,
    )
    sendBuilt(
      network, at, this.row, 0, destination, source, destinationPort, sourcePort, cookie, (segment.sequence + 1) | 0, tcp.SYN | tcp.ACK,
      Math.min(settings.receiveBuffer, 0xffff), options, 0, 1,
    )
  }

  /** @returns false when the segment brings no cookie of ours */
  #takeCookie(segment: Segment, slab: Slab, arrival: Arrival): boolean {
    const { hash, now } = this.#core
    const { source, sourcePort, destination, destinationPort } = segment
    const cookie = (segment.acknowledgment - 1) | 0
    const sequence = (segment.sequence - 1) | 0
    const mss = this.#cookies.check(now, cookie, source, sourcePort, destination, destinationPort, sequence)
    if (mss === 0) return false
    if (this.#waiting.size >= this.#backlog) return true
    const connection = this.#create(segment, arrival)
    if (connection === null) return true
    const remembered = this.#remembered
    remembered.scale = -1
    remembered.sack = false
    if (segment.hasTimestamps) readStamp(segment.echo, remembered)
    begin(connection, cookie)
    connection.timestampOffset = timestampOffset(hash, destination, destinationPort, source, sourcePort)
    connection.initialReceive = sequence
    connection.receiveNext = segment.sequence
    connection.peerMss = mss
    agreeOptions(connection, remembered.scale, remembered.sack, segment.hasTimestamps)
    connection.recentTimestamp = segment.timestamp
    connection.windowSequence = segment.sequence
    connection.windowAcknowledgment = cookie
    arrive(connection, segment, slab)
    if (connection.state === state.SYN_RECEIVED) destroy(connection, null)
    return true
  }
}
