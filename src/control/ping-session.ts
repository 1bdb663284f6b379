/**
 * Echo requests of a client of the control socket, at its pace, and what becomes of each.
 *
 * With a count it ends when each has been answered, or when the last one had its time: twice the longest round trip once there was an
 * answer, as iputils does, else as long as was asked for. The client ends it earlier by ending its request; it then still gets the summary.
 */
import type { PingLine, PingRequest, PingSummary } from '../api/socket-types.js'
import type { FailureInfo, ReplyInfo } from '../stack/sockets/node/ping-socket.js'
import type { SocketApi } from '../stack/sockets/node/api.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import { Outbox } from './outbox.js'

/** Requests whose answers are told apart from second ones. */
const WINDOW = 65_536
/** Lines that may wait for the client; more are lost to it, but counted. */
const WAITING = 16_384
const MS = 1000

export interface PingOptions {
  readonly sockets: SocketApi
  readonly request: PingRequest
  /** Aborts when it is to end. */
  readonly signal: AbortSignal
  /** Milliseconds, not going back. */
  readonly now?: () => number
}

class Pinging {
  readonly #request: PingRequest
  readonly #out: Outbox<PingLine>
  readonly #now: () => number
  readonly #socket
  readonly #data: Uint8Array
  /** When the request with a sequence number was sent; below 0 once it was answered. */
  readonly #sent = new Float64Array(WINDOW).fill(-1)
  readonly #round = { min: Infinity, max: 0, sum: 0, squares: 0 }
  #timer: NodeJS.Timeout | undefined
  #started = 0
  #ended = 0
  #transmitted = 0
  #received = 0
  /** The oldest request of which nothing has been heard, counted from 1. */
  #oldest = 1
  #duplicates = 0
  #errors = 0

  constructor({ sockets, request, now = () => performance.now() }: PingOptions, out: Outbox<PingLine>) {
    this.#request = request
    this.#out = out
    this.#now = now
    const { mark, tos, ttl, size } = request
    this.#socket = sockets.createPingSocket({ mark, tos, ttl })
    this.#data = Uint8Array.from({ length: size }, (_, at) => at & 0xff)
    this.#socket.on('reply', (_data: Buffer, info: ReplyInfo) => this.#reply(info))
    this.#socket.on('failure', (_error: Error, info: FailureInfo) => this.#failure(info))
    this.#socket.on('error', (error: NodeJS.ErrnoException) => this.#unsent(error))
  }

  start(): void {
    this.#started = this.#ended = this.#now()
    this.#tell({ type: 'started', address: this.#request.host })
    // Connected, since then it knows the address that routes have chosen.
    const connect = (): void => this.#socket.connect(this.#request.host, () => this.#send())
    if (this.#request.localAddress === null) connect()
    else this.#socket.bind(0, this.#request.localAddress, connect)
  }

  stop(): void {
    if (this.#out.isEnded) return
    clearTimeout(this.#timer)
    this.#ended = this.#now()
    this.#out.push(this.#summary())
    this.#out.end()
    this.#socket.close()
  }

  #send(): void {
    const { count, interval } = this.#request
    if (this.#out.isEnded) return
    const sequence = (this.#transmitted + 1) & (WINDOW - 1)
    this.#transmitted++
    this.#sent[sequence] = this.#now()
    this.#socket.send(this.#data, undefined, { sequence }, (error) => { if (error !== null) this.#unsent(error) })
    if (count === 0 || this.#transmitted < count) this.#timer = setTimeout(() => this.#send(), interval * MS)
    else this.#timer = setTimeout(() => this.stop(), this.#patience())
  }

  /** Milliseconds that the last request has. */
  #patience(): number {
    return this.#received === 0 ? this.#request.wait * MS : Math.max(2 * this.#round.max, this.#request.interval * MS)
  }

  #reply({ address, sequence, ttl, size }: ReplyInfo): void {
    const sent = this.#sent[sequence]!
    // Older than all that is known, or never sent.
    if (sent === -1) return
    const duplicate = sent < 0
    const time = this.#now() - Math.abs(sent)
    if (duplicate) this.#duplicates++
    else {
      this.#sent[sequence] = -sent
      this.#received++
      this.#oldest = Math.max(this.#oldest, this.#numberOf(sequence) + 1)
      this.#note(time)
    }
    this.#tell({ type: 'reply', from: address, sequence, ttl, bytes: size + 8, time, duplicate })
    this.#endWhenDone()
  }

  #failure({ from, sequence, type, code }: FailureInfo): void {
    this.#errors++
    this.#oldest = Math.max(this.#oldest, this.#numberOf(sequence) + 1)
    this.#tell({ type: 'failure', from, sequence, icmpType: type, icmpCode: code })
    this.#endWhenDone()
  }

  /** Which request it was, of those with this sequence number the latest. */
  #numberOf(sequence: number): number {
    return this.#transmitted - ((this.#transmitted - sequence) & (WINDOW - 1))
  }

  #unsent({ code = 'EINVAL', syscall = 'send' }: NodeJS.ErrnoException): void {
    // Of ICMP errors the socket has told by `failure`.
    if (syscall === 'recvmsg' || this.#out.isEnded) return
    const local = this.#localAddress
    if (code === 'EHOSTUNREACH' && local !== null) {
      // There is a route, but no neighbour that answers: the kernel tells it by an error of its own. The oldest request failed first.
      this.#failure({ address: this.#request.host, from: local, sequence: Math.min(this.#oldest, this.#transmitted) & (WINDOW - 1), type: icmp4.UNREACHABLE, code: icmp4.CODE_HOST })
      return
    }
    this.#errors++
    this.#tell({ type: 'error', sequence: this.#transmitted & (WINDOW - 1), code, syscall })
    if (syscall === 'bind') this.stop()
    else this.#endWhenDone()
  }

  /** null as long as nobody has chosen it. */
  get #localAddress(): string | null {
    if (this.#transmitted === 0) return null
    const { address } = this.#socket.address()
    return address === '0.0.0.0' ? null : address
  }

  #note(time: number): void {
    const round = this.#round
    round.min = Math.min(round.min, time)
    round.max = Math.max(round.max, time)
    round.sum += time
    round.squares += time * time
  }

  #endWhenDone(): void {
    const { count } = this.#request
    if (count > 0 && this.#received + this.#errors >= count) this.stop()
  }

  #tell(line: PingLine): void {
    if (!this.#out.isFull) this.#out.push(line)
  }

  #summary(): PingSummary {
    const received = this.#received
    const { min, max, sum, squares } = this.#round
    const avg = sum / received
    return {
      type: 'ended', transmitted: this.#transmitted, received, duplicates: this.#duplicates, errors: this.#errors, time: this.#ended - this.#started,
      rtt: received === 0 ? null : { min, avg, max, mdev: Math.sqrt(Math.max(0, squares / received - avg * avg)) },
    }
  }
}

/** Sends echo requests until it is done, or `signal` aborts; the summary comes last. */
export async function* openPing(options: PingOptions): AsyncGenerator<PingLine[]> {
  const { signal } = options
  const out = new Outbox<PingLine>({ limit: WAITING })
  const pinging = new Pinging(options, out)
  const stop = (): void => pinging.stop()
  try {
    pinging.start()
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop)
    for await (const line of out) yield [line]
  } finally {
    signal.removeEventListener('abort', stop)
    stop()
  }
}
