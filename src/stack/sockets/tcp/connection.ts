/**
 * One connection: its variables (RFC 9293 3.3.1), and what its user can do with it.
 *
 * Theory of operation. The variables are plain fields of one object; what arrives, what is sent and what is due change them in files of
 * their own (arrive.ts, output.ts, timeouts.ts). An idle connection is this object, one timer and its Recovery: the queues are made when
 * there is something to be queued. Sequence numbers are int32.
 *
 * Invariants. `sendNext` never goes back: what is lost is sent again by range (recovery/). The right edge of the window that was told,
 * `receiveEdge`, never goes back either. Between SYN_SENT and CLOSED the connection has a row of the socket table, whose owner it is.
 * Its one timer is set to the earliest of its deadlines, or earlier.
 */
import { Timer } from '../timers.js'
import { HEADERS } from './build.js'
import { abort, close, shutdown } from './close.js'
import type { Core } from './core.js'
import type { TcpEndpoint, TcpEvents } from './endpoint.js'
import type { Listener } from './listener.js'
import { tellReader } from './receive-buffer.js'
import type { ReceiveQueue } from './receive-queue.js'
import type { Recovery } from './recovery/recovery.js'
import { SendQueue } from './send-queue.js'
import * as state from './state.js'
import { timedOut } from './timeouts.js'

/** What the user has yet to be told: bits of `pending`. */
export const TELL_ACCEPTED = 1
export const TELL_CONNECTED = 2
export const TELL_READABLE = 4
export const TELL_DRAINED = 8
export const TELL_FINISHED = 16
export const TELL_ENDED = 32

const NOBODY: TcpEvents = { onConnect() {}, onReadable() {}, onDrain() {}, onFinish() {}, onError() {}, onClose() {} }

export class Connection implements TcpEndpoint {
  readonly core: Core
  readonly timer: Timer
  events: TcpEvents = NOBODY
  /** Of state.ts. */
  state = state.CLOSED
  /** In the socket table; -1 when it has none. */
  row = -1
  localAddress = 0
  localPort = 0
  remoteAddress = 0
  remotePort = 0
  tos = 0
  /** Where the client went before NAT sent it here; port -1 for none. */
  originalAddress = 0
  originalPort = -1
  /** Who accepted it, as long as its user has not got it. */
  listener: Listener | null = null

  /** ISS, SND.UNA, SND.NXT, SND.WND, SND.WL1, SND.WL2 and MAX.SND.WND of RFC 5961 5.2. */
  initialSend = 0
  unacknowledged = 0
  sendNext = 0
  sendWindow = 0
  windowSequence = 0
  windowAcknowledgment = 0
  windowMax = 0
  /** After the last segment that was not full (Minshall's form of Nagle's algorithm). */
  smallEnd = 0
  sendScale = 0
  sendQueue: SendQueue | null = null
  /** Bytes that may go with the first SYN. */
  fastOpenLength = 0
  recovery: Recovery | null = null
  /** `write` has said that there is no room. */
  wantsDrain = false
  isNoDelay = false
  /** The user has ended his direction; the FIN has been sent. */
  isShut = false
  isFinSent = false

  /** IRS, RCV.NXT, and the edge of the window that was told. */
  initialReceive = 0
  receiveNext = 0
  receiveEdge = 0
  receiveScale = 0
  receiveQueue: ReceiveQueue | null = null
  receiveBuffer: number
  /** Where the peer's FIN is, if one came. */
  hasFin = false
  finAt = 0
  /** Nobody reads any more: data is answered with RST. */
  isReadClosed = false
  wasEndRead = false
  bytesRead = 0
  bytesWritten = 0
  /** Bytes that were read since `tuneSince`, and a round trip as the receiver sees it (receive-buffer.ts). */
  tuneBytes = 0
  tuneSince = 0
  receiveRtt = -1
  rttEdge = 0
  rttSince = 0

  /** Payload of a full segment, timestamps subtracted; what the peer's MSS option said; MTU of the path and of the route. */
  mss: number
  peerMss = 0
  pathMtu: number
  routeMtu: number
  /** When a path MTU that an ICMP error lowered may be tried again. */
  mtuRetryAt = Infinity
  hasSack = false
  hasTimestamps = false
  timestampOffset = 0
  /** TS.Recent and when it was stored. */
  recentTimestamp = 0
  recentAt = 0

  /** Last.ACK.sent of RFC 7323, what is owed, and the payload of the peer's full segments as far as seen. */
  acknowledged = 0
  owesAck = false
  owesAckNow = false
  /** When the window was told last because it had been read. */
  updatedAt = -Infinity
  quickAcks = 0
  peerSegment = 536

  /** Deadlines, milliseconds; Infinity when off. */
  ackDue = Infinity
  /** The SYN again; or a probe of a closed window. */
  retryDue = Infinity
  closeDue = Infinity
  retries = 0
  /** A probe of the window has left, one byte beyond `sendNext`. */
  isProbing = false
  /** Since when nothing has been answered that should be; and when anything came last. */
  waitingSince = Infinity
  heardAt: number
  userTimeout = 0
  /** 0 when keepalive is off. */
  keepAliveIdle = 0
  keepAliveProbes = 0
  /** Of the throttle of challenge-ack.ts. */
  challengeSince = -Infinity
  challengeCost = 0
  /** An error that may pass: it is told if the connection dies of silence. */
  softError = ''

  error: NodeJS.ErrnoException | null = null
  pending = 0
  isMarked = false
  isBlocked = false

  constructor(core: Core) {
    this.core = core
    this.timer = new Timer(core.timers, () => timedOut(this))
    this.receiveBuffer = core.settings.receiveBuffer
    this.pathMtu = core.network.mtu
    this.mss = core.network.mtu - HEADERS
    this.routeMtu = core.network.mtu
    this.heardAt = core.now
    this.quickAcks = core.settings.quickAcks
  }

  get originalDestination(): { address: number; port: number } | null {
    return this.originalPort < 0 ? null : { address: this.originalAddress, port: this.originalPort }
  }

  get writeLength(): number {
    return this.sendQueue?.length ?? 0
  }

  /** Bytes in order that were not read. */
  get readLength(): number {
    return this.receiveQueue?.readable ?? 0
  }

  write(bytes: Uint8Array): boolean {
    if (this.isShut || this.state === state.CLOSED) return false
    const queue = (this.sendQueue ??= new SendQueue(this.state < state.ESTABLISHED ? (this.initialSend + 1) | 0 : this.sendNext))
    queue.append(bytes)
    this.bytesWritten += bytes.length
    if (queue.length >= this.sendBuffer) this.wantsDrain = true
    if (this.state >= state.ESTABLISHED) this.core.touch(this)
    return !this.wantsDrain
  }

  /** Unacknowledged bytes from which on there is no room. */
  get sendBuffer(): number {
    const { sendBuffer, sendBufferMax } = this.core.settings
    return this.recovery === null ? sendBuffer : Math.min(sendBufferMax, Math.max(sendBuffer, 2 * this.recovery.cwnd))
  }

  read(): Uint8Array | null | 'end' {
    const bytes = this.receiveQueue === null ? null : this.receiveQueue.read()
    if (bytes === null) {
      if (!this.hasEnded) return null
      this.wasEndRead = true
      return 'end'
    }
    this.bytesRead += bytes.length
    tellReader(this, bytes.length)
    return bytes
  }

  /** The peer's FIN has come, and all before it. */
  get hasEnded(): boolean {
    return this.hasFin && this.receiveNext === ((this.finAt + 1) | 0)
  }

  shutdown(): void {
    shutdown(this)
  }

  close(): void {
    close(this)
  }

  abort(): void {
    abort(this)
  }

  setNoDelay(on: boolean): void {
    this.isNoDelay = on
    if (on && this.state >= state.ESTABLISHED) this.core.touch(this)
  }

  setKeepAlive(on: boolean, idle = this.core.settings.keepAliveIdle): void {
    this.keepAliveIdle = on ? Math.max(1, idle) : 0
    this.keepAliveProbes = 0
    if (this.state >= state.ESTABLISHED) this.core.touch(this)
  }

  /** How long data may stay unacknowledged (RFC 5482, on this side only). @param milliseconds 0 for that of the settings */
  setUserTimeout(milliseconds: number): void {
    this.userTimeout = milliseconds
    if (this.state !== state.CLOSED) this.core.touch(this)
  }
}
