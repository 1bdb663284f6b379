/**
 * A TCP endpoint as far as its headers go (RFC 9293): sequence numbers, windows with scaling, SACK, SYN and FIN both ways, RST with
 * challenge acknowledgments (RFC 5961). It sends numbers of bytes, not bytes. Numbers are offsets from the first sequence number and
 * do not wrap; on the wire they do.
 */
import { ACK, FIN, RST, SYN } from '../../src/stack/wire/tcp.js'

export interface WireSegment {
  readonly flags: number
  readonly sequence: number
  readonly acknowledgment: number
  readonly window: number
  readonly scale?: number
  readonly sack?: readonly (readonly [number, number])[]
  readonly length: number
}

const MSS = 1460

export class TcpEndpoint {
  state: 'closed' | 'syn-sent' | 'syn-received' | 'open' | 'dead' = 'closed'
  readonly #first: number
  readonly #scale: number | undefined
  /** Of what arrives. */
  readonly #buffer: number
  readonly #send: (segment: WireSegment) => void
  /** The other end's first sequence number. */
  #theirFirst = 0
  #isScaled = false
  /** The oldest byte not acknowledged, the next one, the end of the window. */
  #unacknowledged = 0
  #next = 0
  #limit = 1
  #theirScale = 0
  #finAt = Infinity
  /** The next byte that is expected; those that came too early; what the program has not read; the end of the window that was offered. */
  #expected = 0
  #early: [number, number][] = []
  #unread = 0
  #offered = 0

  constructor(first: number, scale: number | undefined, buffer: number, send: (segment: WireSegment) => void) {
    this.#first = first
    this.#scale = scale
    this.#buffer = buffer
    this.#send = send
  }

  connect(): void {
    if (this.state !== 'closed') return
    this.state = 'syn-sent'
    this.#next = 1
    this.#emit(SYN, 0, 0)
  }

  /** Sends up to `bytes`, as far as the window allows. */
  write(bytes: number): void {
    if (this.state !== 'open' || this.#finAt !== Infinity) return
    const length = Math.min(bytes, this.#limit - this.#next)
    if (length <= 0) return
    this.#next += length
    this.#emit(ACK, this.#next - length, length)
  }

  /** The program reads all that it has; an acknowledgment tells of the window. */
  read(): void {
    if (this.state !== 'open') return
    this.#unread = 0
    this.#emit(ACK, this.#next, 0)
  }

  /** What the retransmission timer does. */
  repeat(): void {
    if (this.state === 'syn-sent') this.#emit(SYN, 0, 0)
    else if (this.state === 'syn-received') this.#emit(SYN | ACK, 0, 0)
    if (this.state !== 'open' || this.#unacknowledged === this.#next) return
    const end = Math.min(this.#next, this.#unacknowledged + MSS)
    const hasFin = end > this.#finAt
    this.#emit(hasFin ? FIN | ACK : ACK, this.#unacknowledged, end - this.#unacknowledged - (hasFin ? 1 : 0))
  }

  /** A keepalive, or a probe of a window that is shut. */
  probe(): void {
    if (this.state !== 'open') return
    if (this.#next >= this.#limit && this.#finAt === Infinity) {
      if (this.#unacknowledged === this.#next) this.#next++
      this.#emit(ACK, this.#next - 1, 1)
    } else {
      this.#emit(ACK, this.#unacknowledged - 1, 0)
    }
  }

  close(): void {
    if (this.state !== 'open' || this.#finAt !== Infinity) return
    this.#finAt = this.#next++
    this.#emit(FIN | ACK, this.#finAt, 0)
  }

  abort(): void {
    if (this.state !== 'open') return
    this.#emit(RST | ACK, this.#next, 0)
    this.state = 'dead'
  }

  /** Whether RFC 9293 3.10.7 would take the segment as one of the connection. */
  accepts(segment: WireSegment): boolean {
    const { flags, length } = segment
    const acknowledged = this.#offsetOf(segment.acknowledgment, this.#first, this.#unacknowledged)
    if (this.state === 'closed') return flags === SYN
    if (this.state === 'dead') return false
    const isAcknowledged = acknowledged > 0 && acknowledged <= this.#next
    if (this.state === 'syn-sent') {
      if ((flags & RST) !== 0) return (flags & ACK) !== 0 && isAcknowledged
      return (flags & SYN) !== 0 && ((flags & ACK) === 0 || isAcknowledged)
    }
    if ((flags & SYN) !== 0) return false
    const start = this.#offsetOf(segment.sequence, this.#theirFirst, this.#expected)
    if ((flags & RST) !== 0) return start === this.#expected
    if ((flags & ACK) === 0 || acknowledged > this.#next) return false
    const end = start + length + ((flags & FIN) !== 0 ? 1 : 0)
    return end === start ? start >= this.#expected && start <= this.#offered : end > this.#expected && start < this.#offered
  }

  receive(segment: WireSegment): void {
    const { flags } = segment
    if (this.state === 'dead' || (this.state === 'closed' && flags !== SYN)) {
      if ((flags & RST) === 0) this.#refuse(segment)
      return
    }
    if (!this.accepts(segment)) {
      if (this.state === 'syn-sent' || this.state === 'closed') return
      if ((flags & RST) === 0 || this.#isInWindow(segment)) this.#emit(ACK, this.#next, 0)
      return
    }
    if ((flags & RST) !== 0) {
      this.state = 'dead'
      return
    }
    if (this.state === 'closed' || this.state === 'syn-sent') {
      this.#receiveSyn(segment)
      return
    }
    this.state = 'open'
    this.#acknowledge(segment)
    this.#receiveData(segment)
  }

  #receiveSyn(segment: WireSegment): void {
    const isAnswer = (segment.flags & ACK) !== 0
    this.#theirFirst = segment.sequence
    this.#expected = 1
    this.#isScaled = this.#scale !== undefined && segment.scale !== undefined
    this.#theirScale = this.#isScaled ? segment.scale! : 0
    this.#next = 1
    if (isAnswer) {
      this.#unacknowledged = 1
      this.#limit = 1 + segment.window
      this.state = 'open'
      this.#emit(ACK, 1, 0)
    } else {
      this.#limit = 1 + segment.window
      this.state = 'syn-received'
      this.#emit(SYN | ACK, 0, 0)
    }
  }

  #acknowledge(segment: WireSegment): void {
    const acknowledged = this.#offsetOf(segment.acknowledgment, this.#first, this.#unacknowledged)
    if (acknowledged > this.#unacknowledged) this.#unacknowledged = acknowledged
    this.#limit = Math.max(this.#limit, acknowledged + segment.window * 2 ** this.#theirScale)
  }

  #receiveData(segment: WireSegment): void {
    const hasFin = (segment.flags & FIN) !== 0
    const start = this.#offsetOf(segment.sequence, this.#theirFirst, this.#expected)
    const end = Math.min(start + segment.length + (hasFin ? 1 : 0), Math.max(this.#offered, this.#expected))
    if (end <= this.#expected) {
      if (segment.length > 0 || hasFin) this.#emit(ACK, this.#next, 0)
      return
    }
    this.#early.push([Math.max(start, this.#expected), end])
    const before = this.#expected
    for (let found = true; found; ) {
      found = false
      for (const [from, to] of this.#early) {
        if (from > this.#expected || to <= this.#expected) continue
        this.#expected = to
        found = true
      }
    }
    this.#unread += this.#expected - before
    this.#early = this.#early.filter(([, to]) => to > this.#expected)
    this.#emit(ACK, this.#next, 0)
  }

  /** The answer to a segment of a connection that is not known. */
  #refuse({ flags, sequence, acknowledgment, length }: WireSegment): void {
    const end = sequence + length + ((flags & (SYN | FIN)) !== 0 ? 1 : 0)
    if ((flags & ACK) !== 0) this.#send({ flags: RST, sequence: acknowledgment, acknowledgment: 0, window: 0, length: 0 })
    else this.#send({ flags: RST | ACK, sequence: 0, acknowledgment: end | 0, window: 0, length: 0 })
  }

  #isInWindow(segment: WireSegment): boolean {
    const start = this.#offsetOf(segment.sequence, this.#theirFirst, this.#expected)
    return start >= this.#expected && start < this.#offered
  }

  #offsetOf(number: number, first: number, near: number): number {
    return near + ((number - (first + near)) | 0)
  }

  #emit(flags: number, start: number, length: number): void {
    const hasSyn = (flags & SYN) !== 0
    const scale = this.#isScaled && !hasSyn ? this.#scale! : 0
    const room = Math.max(this.#offered - this.#expected, this.#buffer - this.#unread)
    const window = Math.min(65535, Math.floor(Math.max(0, room) / 2 ** scale))
    if ((flags & ACK) !== 0) this.#offered = Math.max(this.#offered, this.#expected + window * 2 ** scale)
    else this.#offered = 1 + window
    const edges = this.#early.slice(-3).map(([from, to]): [number, number] => [(this.#theirFirst + from) | 0, (this.#theirFirst + to) | 0])
    this.#send({
      flags, sequence: (this.#first + start) | 0, acknowledgment: (flags & ACK) !== 0 ? (this.#theirFirst + this.#expected) | 0 : 0,
      window, length, ...(hasSyn && this.#scale !== undefined && (this.#isScaled || (flags & ACK) === 0) ? { scale: this.#scale } : {}),
      ...(edges.length > 0 && !hasSyn ? { sack: edges } : {}),
    })
  }
}
