/**
 * What the shapes of UDP and ICMP echo sockets have in common: states, events, and what waits for room.
 *
 * What cannot be sent at once is kept, up to QUEUE_BYTES, and sent when there is room. Errors that nobody can tie to one `send` any more (an
 * ICMP error, a packet that rules refused) are emitted as `error`; those of a refused packet only when somebody listens, since a lost
 * datagram is no reason to end a program.
 */
import { EventEmitter } from 'node:events'
import type { DatagramEndpoint } from '../datagram-endpoint.js'
import type { Datagram } from '../datagram.js'
import { socketError } from '../socket-error.js'
import { formatIpv4 } from '../../wire/address.js'
import { Hold } from './hold.js'
import type { SocketHost } from './host.js'

/** Bytes that may wait for room to be sent. */
export const QUEUE_BYTES = 1 << 20

export type Sent = (error: NodeJS.ErrnoException | null, bytes: number) => void

export interface DatagramAddress {
  readonly address: string
  readonly family: 'IPv4'
  readonly port: number
}

export const codedError = (message: string, code: string): NodeJS.ErrnoException => Object.assign(new Error(message), { code })

interface Waiting {
  readonly length: number
  readonly attempt: () => string | null
  readonly done: Sent | undefined
}

export abstract class DatagramSocket<Endpoint extends DatagramEndpoint> extends EventEmitter {
  protected readonly host: SocketHost
  protected readonly endpoint: Endpoint
  readonly #hold: Hold
  readonly #waiting: Waiting[] = []
  #waitingBytes = 0
  #isBound = false
  #isClosed = false

  constructor(host: SocketHost, endpoint: Endpoint, signal: AbortSignal | undefined) {
    super()
    this.host = host
    this.endpoint = endpoint
    this.#hold = new Hold(host)
    endpoint.events = {
      onReadable: () => this.#receive(),
      onError: (error) => {
        if (error.syscall !== 'send' || this.listenerCount('error') > 0) process.nextTick(() => this.#fail(error))
      },
      onDrain: () => this.#drain(),
    }
    endpoint.onPath = () => process.nextTick(() => this.#isClosed || this.emit('path'))
    if (signal === undefined) return
    if (signal.aborted) process.nextTick(() => this.#abort())
    else {
      const abort = (): void => this.#abort()
      signal.addEventListener('abort', abort, { once: true })
      this.once('close', () => signal.removeEventListener('abort', abort))
    }
  }

  /** Datagrams that were lost because they were not read in time. */
  get dropped(): number {
    return this.endpoint.dropped
  }

  /** Where it is bound to. @throws Error EBADF before that */
  address(): DatagramAddress {
    this.assertOpen()
    if (!this.#isBound) throw socketError('EBADF', 'getsockname')
    return { address: formatIpv4(this.endpoint.localAddress), family: 'IPv4', port: this.endpoint.localPort }
  }

  /** @param ttl 1-255 */
  setTTL(ttl: number): number {
    if (!Number.isInteger(ttl) || ttl < 1 || ttl > 255) throw socketError('EINVAL', 'setTTL')
    this.endpoint.setTtl(ttl)
    return ttl
  }

  setBroadcast(on: boolean): void {
    this.endpoint.setBroadcast(on)
  }

  /** The firewall mark of what is sent from now on, uint32. */
  setMark(mark: number): void {
    this.endpoint.setMark(mark)
  }

  /** The TOS byte of what is sent from now on. */
  setTos(tos: number): void {
    this.endpoint.setTos(tos)
  }

  /** Bytes that wait for room to be sent. */
  getSendQueueSize(): number {
    return this.#waitingBytes
  }

  getSendQueueCount(): number {
    return this.#waiting.length
  }

  ref(): this {
    this.#hold.ref()
    return this
  }

  unref(): this {
    this.#hold.unref()
    return this
  }

  /** What waits to be sent is lost. `close` follows. @throws Error ERR_SOCKET_DGRAM_NOT_RUNNING */
  close(onClose?: () => void): this {
    this.assertOpen()
    if (onClose !== undefined) this.once('close', onClose)
    this.#isClosed = true
    this.host.attend()
    this.endpoint.close()
    this.#waiting.length = 0
    this.#waitingBytes = 0
    this.#hold.close()
    process.nextTick(() => this.emit('close'))
    return this
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isClosed) resolve()
      else this.close(resolve)
    })
  }

  protected abstract deliver(datagram: Datagram): void

  /** @throws Error ERR_SOCKET_DGRAM_NOT_RUNNING */
  protected assertOpen(): void {
    if (this.#isClosed) throw codedError('Not running', 'ERR_SOCKET_DGRAM_NOT_RUNNING')
  }

  /** @throws Error ERR_SOCKET_ALREADY_BOUND */
  protected assertUnbound(): void {
    if (this.#isBound) throw codedError('Socket is already bound', 'ERR_SOCKET_ALREADY_BOUND')
  }

  /** Does what may fail; `event` or `error` follows. */
  protected attempt(act: () => void, event: string): void {
    this.host.attend()
    try {
      act()
    } catch (error) {
      process.nextTick(() => this.#fail(error as Error))
      return
    }
    this.noteBound()
    if (event !== 'listening') process.nextTick(() => this.#isClosed || this.emit(event))
  }

  /** It has a port now. */
  protected noteBound(): void {
    if (this.#isBound || this.endpoint.localPort === 0) return
    this.#isBound = true
    this.#hold.open()
    this.host.onceReachable(() => this.#isClosed || this.emit('listening'))
  }

  /** Sends, now or when there is room. @param attempt returns null, or why it cannot be sent */
  protected dispatch(length: number, attempt: () => string | null, done: Sent | undefined): void {
    this.host.attend()
    const code = this.#waiting.length > 0 ? 'EAGAIN' : attempt()
    this.noteBound()
    if (code !== 'EAGAIN') this.#finish(code, length, done)
    else if (this.#waitingBytes + length > QUEUE_BYTES) this.#finish('ENOBUFS', length, done)
    else {
      this.#waiting.push({ length, attempt, done })
      this.#waitingBytes += length
    }
  }

  #drain(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const code = next.attempt()
      if (code === 'EAGAIN') return
      this.#waiting.shift()
      this.#waitingBytes -= next.length
      this.#finish(code, next.length, next.done)
    }
  }

  #finish(code: string | null, length: number, done: Sent | undefined): void {
    const error = code === null ? null : socketError(code, 'send')
    if (done !== undefined) process.nextTick(done, error, error === null ? length : 0)
    else if (error !== null) process.nextTick(() => this.#fail(error))
  }

  #fail(error: Error): void {
    if (!this.#isClosed) this.emit('error', error)
  }

  #abort(): void {
    if (!this.#isClosed) this.close()
  }

  /** A listener that throws ends neither the other datagrams nor the stack: it is an uncaught exception of its own. */
  #receive(): void {
    for (let datagram = this.endpoint.read(); datagram !== null; datagram = this.endpoint.read()) {
      try {
        this.deliver(datagram)
      } catch (error) {
        process.nextTick(() => {
          throw error
        })
      }
    }
  }
}
