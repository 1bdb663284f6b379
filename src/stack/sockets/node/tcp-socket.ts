/**
 * A TCP connection as Node knows it: a Duplex with what net.Socket adds.
 *
 * Theory of operation
 *
 * Reading. The endpoint keeps what has come until the stream asks for it, and its window closes while the stream does not ask: that is
 * the back-pressure towards the other side. Writing. The endpoint takes chunks until its send buffer is full; then the chunk's callback
 * waits until there is room. A chunk is copied once, since it may be used again after its callback, but stays with the endpoint until it
 * is acknowledged; `keepsWritten` spares the copy. `finish` comes when the other side has acknowledged everything.
 *
 * Once destroyed, the socket has no more to do with its endpoint, which goes on alone to say goodbye.
 */
import { Duplex } from 'node:stream'
import { formatIpv4 } from '../../wire/address.js'
import { type SocketError, socketError } from '../socket-error.js'
import type { TcpEndpoint, TcpEvents } from '../tcp/endpoint.js'
import { type AddressAndPort, addressOf, checkPort, type SocketAddress } from './addresses.js'
import { Hold } from './hold.js'
import type { Deadline, SocketHost } from './host.js'
import { connectOptionsOf, resolveHost, type TcpConnectSocketOptions, type TcpSocketOptions } from './tcp-options.js'

type Done = (error?: Error | null) => void

/** The largest chunk put together of several small ones, in bytes. */
const JOIN_MAX = 64 << 10
export class TcpSocket extends Duplex {
  connecting = false
  /** Milliseconds that `setTimeout` was given. */
  timeout: number | undefined
  readonly #host: SocketHost
  readonly #hold: Hold
  readonly #keepsWritten: boolean
  readonly #idle: Deadline
  #endpoint: TcpEndpoint | null = null
  /** Set while the endpoint says things, i.e. from the beginning to its end. */
  #isLive = false
  #wantsData = false
  #hasEnded = false
  /** What waits until the connection is made. */
  #onceConnected: (() => void) | null = null
  #drained: Done | null = null
  /** Bytes of the chunk whose callback waits. */
  #heldLength = 0
  #finished: Done | null = null
  /** The other side has acknowledged everything; `finish` follows. */
  #isFinished = false
  #noDelay: boolean | undefined
  #keepAlive: [on: boolean, idle: number | undefined] | undefined

  /** @param endpoint of a connection that a listener accepted */
  constructor(host: SocketHost, options: TcpSocketOptions = {}, endpoint: TcpEndpoint | null = null) {
    const { allowHalfOpen = false, readableHighWaterMark, writableHighWaterMark, signal } = options
    super({
      allowHalfOpen, emitClose: true, autoDestroy: true, decodeStrings: true,
      ...(readableHighWaterMark === undefined ? {} : { readableHighWaterMark }),
      ...(writableHighWaterMark === undefined ? {} : { writableHighWaterMark }),
      ...(signal === undefined ? {} : { signal }),
    })
    this.#host = host
    this.#hold = new Hold(host)
    this.#keepsWritten = options.keepsWritten ?? false
    this.#noDelay = options.noDelay
    if (options.keepAlive === true) this.#keepAlive = [true, options.keepAliveInitialDelay]
    this.#idle = host.deadline(() => this.#onIdle())
    if (options.timeout !== undefined) this.setTimeout(options.timeout)
    if (endpoint === null) return
    this.#use(endpoint)
    this.#applySettings(endpoint)
    this.#startReading()
  }

  /** Opens the connection; `connect` follows, or `error`. */
  connect(options: TcpConnectSocketOptions, onConnect?: () => void): this
  connect(port: number, host?: string, onConnect?: () => void): this
  connect(port: number, onConnect?: () => void): this
  connect(first: TcpConnectSocketOptions | number, second?: string | (() => void), third?: () => void): this {
    const options = typeof first === 'object' ? first : { port: first, ...(typeof second === 'string' ? { host: second } : {}) }
    const onConnect = typeof second === 'function' ? second : third
    const port = checkPort(options.port)
    const localAddress = options.localAddress === undefined ? undefined : addressOf(options.localAddress)
    if (onConnect !== undefined) this.once('connect', onConnect)
    this.connecting = true
    this.#hold.open()
    this.#touch()
    const told = (error: Error | null, text: string, family: number, host: string): boolean => {
      if (this.destroyed) return false
      this.emit('lookup', error, text, family, host)
      return true
    }
    resolveHost(options, told, (error, address) => {
      if (error === null) this.#open(address, port, localAddress, options)
      else this.destroy(error)
    })
    return this
  }

  get pending(): boolean {
    return this.#endpoint === null || this.connecting
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening'
    if (this.readable && this.writable) return this.#endpoint === null ? 'closed' : 'open'
    return this.readable ? 'readOnly' : this.writable ? 'writeOnly' : 'closed'
  }

  get localAddress(): string | undefined {
    return this.#endpoint === null ? undefined : formatIpv4(this.#endpoint.localAddress)
  }

  get localPort(): number | undefined {
    return this.#endpoint?.localPort
  }

  get localFamily(): 'IPv4' | undefined {
    return this.#endpoint === null ? undefined : 'IPv4'
  }

  get remoteAddress(): string | undefined {
    return this.#endpoint === null ? undefined : formatIpv4(this.#endpoint.remoteAddress)
  }

  get remotePort(): number | undefined {
    return this.#endpoint?.remotePort
  }

  get remoteFamily(): 'IPv4' | undefined {
    return this.#endpoint === null ? undefined : 'IPv4'
  }

  /** Where the client wanted to go, when it was led here by NAT or TPROXY; null when it wanted to come here. */
  get originalDestination(): AddressAndPort | null {
    const original = this.#endpoint?.originalDestination ?? null
    return original === null ? null : { address: formatIpv4(original.address), port: original.port }
  }

  get bytesRead(): number {
    return this.#endpoint?.bytesRead ?? 0
  }

  /** Those that still wait included, as with net.Socket. */
  get bytesWritten(): number {
    return (this.#endpoint?.bytesWritten ?? 0) + this.writableLength - (this.#drained === null ? 0 : this.#heldLength)
  }

  address(): SocketAddress | Record<string, never> {
    return this.#endpoint === null ? {} : { address: formatIpv4(this.#endpoint.localAddress), port: this.#endpoint.localPort, family: 'IPv4' }
  }

  setNoDelay(on = true): this {
    this.#noDelay = on
    if (this.#isLive) this.#attended().setNoDelay(on)
    return this
  }

  /** @param initialDelay milliseconds without a sign of life before the first probe; 0 leaves it as it is */
  setKeepAlive(on = false, initialDelay = 0): this {
    this.#keepAlive = [on, initialDelay > 0 ? initialDelay : undefined]
    if (this.#isLive) this.#attended().setKeepAlive(...this.#keepAlive)
    return this
  }

  /** Emits `timeout` when no byte has come or gone for so many milliseconds; 0 ends that. The socket stays as it is. */
  setTimeout(milliseconds: number, onTimeout?: () => void): this {
    if (!(milliseconds >= 0)) throw Object.assign(new RangeError(`The value of "msecs" is out of range: ${milliseconds}`), { code: 'ERR_OUT_OF_RANGE' })
    if (this.destroyed) return this
    this.timeout = milliseconds
    this.#host.attend()
    if (milliseconds === 0) {
      this.#idle.clear()
      if (onTimeout !== undefined) this.removeListener('timeout', onTimeout)
    } else {
      this.#touch()
      if (onTimeout !== undefined) this.once('timeout', onTimeout)
    }
    return this
  }

  ref(): this {
    this.#hold.ref()
    return this
  }

  unref(): this {
    this.#hold.unref()
    return this
  }

  /** Ends the connection with RST. */
  resetAndDestroy(): this {
    if (this.#isLive) {
      const endpoint = this.#attended()
      this.#part()
      endpoint.abort()
    }
    return this.destroy()
  }

  /** Ends the writing side, and destroys the socket when all has been written. */
  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  override _read(): void {
    this.#wantsData = true
    if (this.#endpoint !== null && !this.connecting) this.#pull(this.#endpoint)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#whenConnected(() => this.#send(this.#keepsWritten ? chunk : Buffer.from(chunk), done))
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    const total = chunks.reduce((sum, { chunk }) => sum + chunk.length, 0)
    this.#whenConnected(() => {
      if (total <= JOIN_MAX || !this.#keepsWritten) {
        this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk), total), done)
        return
      }
      const last = chunks.length - 1
      for (let index = 0; index < last; index++) if (this.#isLive) this.#attended().write(chunks[index]!.chunk)
      this.#send(chunks[last]!.chunk, done)
    })
  }

  override _final(done: Done): void {
    this.#whenConnected(() => {
      if (!this.#isLive) return done()
      this.#finished = done
      this.#attended().shutdown()
    })
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.connecting = false
    this.#idle.clear()
    this.#onceConnected = null
    if (this.#isLive) {
      const endpoint = this.#attended()
      this.#part()
      endpoint.close()
    }
    this.#hold.close()
    this.#drained = null
    this.#finished = null
    done(error)
  }

  #open(address: number, port: number, localAddress: number | undefined, options: TcpConnectSocketOptions): void {
    this.#host.attend()
    try {
      this.#use(this.#host.connectTcp(connectOptionsOf(address, port, localAddress, options)))
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  #use(endpoint: TcpEndpoint): void {
    const events: TcpEvents = {
      onConnect: () => this.#onConnect(endpoint),
      onReadable: () => {
        this.#touch()
        if (this.#wantsData) this.#pull(endpoint)
      },
      onDrain: () => {
        const done = this.#drained
        this.#drained = null
        this.#touch()
        done?.()
      },
      onFinish: () => {
        this.#finish()
      },
      onError: (error) => this.#onError(error, endpoint),
      onClose: () => this.#onClose(),
    }
    endpoint.events = events
    this.#endpoint = endpoint
    this.#isLive = true
    this.#hold.open()
  }

  #onConnect(endpoint: TcpEndpoint): void {
    this.connecting = false
    this.#touch()
    this.#applySettings(endpoint)
    const waiting = this.#onceConnected
    this.#onceConnected = null
    waiting?.()
    this.emit('connect')
    this.emit('ready')
    this.#startReading()
  }

  #onError(error: SocketError, endpoint: TcpEndpoint): void {
    this.#part()
    if (error.syscall === undefined) error.syscall = this.connecting ? 'connect' : 'read'
    if (this.connecting) {
      error.address ??= formatIpv4(endpoint.remoteAddress)
      error.port ??= endpoint.remotePort
    }
    this.destroy(error)
  }

  /** What has not been read yet is still there; the stream ends when it has been. */
  #onClose(): void {
    if (!this.#isLive) return
    this.#isLive = false
    this.#finish()
    if (this.#hasEnded) {
      if (!this.#isFinished) this.destroy()
    } else if (this.#wantsData && this.#endpoint !== null) this.#pull(this.#endpoint)
  }

  #finish(): void {
    const done = this.#finished
    if (done === null) return
    this.#finished = null
    this.#isFinished = true
    done()
  }

  /** From now on the endpoint does not concern this socket. */
  #part(): void {
    this.#isLive = false
    if (this.#endpoint !== null) this.#endpoint.events = NO_EVENTS
  }

  #attended(): TcpEndpoint {
    this.#host.attend()
    return this.#endpoint!
  }

  #startReading(): void {
    if (!this.destroyed) this.read(0)
  }

  #pull(endpoint: TcpEndpoint): void {
    this.#host.attend()
    while (this.#wantsData && !this.#hasEnded) {
      const bytes = endpoint.read()
      if (bytes === null) {
        // Nothing more comes, and not because the other side had said all.
        if (!this.#isLive) this.destroy()
        return
      }
      if (bytes === 'end') {
        this.#hasEnded = true
        this.push(null)
        // Nobody needs to read for the end to be seen.
        this.read(0)
      } else if (!this.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))) {
        this.#wantsData = false
      }
    }
  }

  #whenConnected(work: () => void): void {
    if (this.#endpoint !== null && !this.connecting) work()
    else this.#onceConnected = work
  }

  #send(bytes: Uint8Array, done: Done): void {
    if (!this.#isLive) {
      done(socketError('EPIPE', 'write'))
      return
    }
    this.#touch()
    if (this.#attended().write(bytes)) {
      done()
      return
    }
    this.#heldLength = bytes.length
    this.#drained = done
  }

  #applySettings(endpoint: TcpEndpoint): void {
    if (this.#noDelay !== undefined) endpoint.setNoDelay(this.#noDelay)
    if (this.#keepAlive !== undefined) endpoint.setKeepAlive(...this.#keepAlive)
  }

  #touch(): void {
    if (this.timeout !== undefined && this.timeout > 0) this.#idle.set(this.#host.now + this.timeout)
  }

  #onIdle(): void {
    this.emit('timeout')
  }
}

/** For an endpoint that nobody looks at any more. */
const NO_EVENTS: TcpEvents = { onConnect: () => {}, onReadable: () => {}, onDrain: () => {}, onFinish: () => {}, onError: () => {}, onClose: () => {} }
