/**
 * What nc does once it has a socket: standard input goes to it, what it receives to standard output.
 *
 * It is over when both have ended, standard input and the other side; when it listens, with the other side alone; and at an error. What was
 * read by then is still delivered.
 */
import type { SocketStream } from '../api/socket-stream.js'
import type { SocketEvent, SocketRequest } from '../api/socket-types.js'
import { ExitCode } from '../errors.js'
import { errnoText } from './errno-text.js'
import { write } from './terminal.js'
import type { Terminal } from './terminal.js'

export interface ConversationOptions {
  readonly request: SocketRequest
  /** Seconds in which something has to happen; 0: any. */
  readonly wait: number
  /** End the sending side with standard input. */
  readonly shutdown: boolean
  readonly verbose: boolean
}

/** Bytes of a datagram, as nc reads them. */
const DATAGRAM = 16_384
/** Milliseconds that the gateway has to take the last bytes. */
const FAREWELL = 2000

class Conversation {
  readonly #stream: SocketStream
  readonly #options: ConversationOptions
  readonly #terminal: Terminal
  #timer: NodeJS.Timeout | undefined
  #isOpen = false
  #hasInputEnded = false
  #hasOtherEnded = false
  #isLeaving = false
  #exitCode: ExitCode = ExitCode.ok

  constructor(stream: SocketStream, options: ConversationOptions, terminal: Terminal) {
    this.#stream = stream
    this.#options = options
    this.#terminal = terminal
  }

  async run(): Promise<ExitCode> {
    // Whoever waits for a connection waits for ever.
    if (this.#options.request.remote !== null) this.#touch()
    try {
      for await (const frame of this.#stream.frames) {
        if (this.#isLeaving) continue
        this.#touch()
        if (frame instanceof Uint8Array) await write(this.#terminal.out, frame)
        else this.#hear(frame)
      }
    } catch (error) {
      if (!this.#isLeaving) throw error
    } finally {
      this.#isLeaving = true
      clearTimeout(this.#timer)
      this.#stream.abort()
    }
    return this.#exitCode
  }

  #hear(event: SocketEvent): void {
    switch (event.type) {
      case 'listening':
        this.#tell(`Listening on ${event.local.address} ${event.local.port}`)
        return
      case 'open':
        this.#opened(event)
        return
      case 'moved':
        this.#tell(`Local address ${event.local.address} port ${event.local.port}`)
        return
      case 'end':
        this.#hasOtherEnded = true
        if (this.#hasInputEnded || this.#options.request.remote === null) this.#leave()
        return
      case 'error':
        this.#fail(this.#errorText(event.code, event.syscall))
        return
      case 'stopped':
        this.#fail('the gateway has stopped')
    }
  }

  #opened({ local, remote, original }: Extract<SocketEvent, { type: 'open' }>): void {
    this.#isOpen = true
    this.#touch()
    const { request } = this.#options
    const sentTo = original === null ? '' : `, which was sent to ${original.address} ${original.port}`
    if (request.remote === null) this.#tell(`Connection received on ${remote.address} ${remote.port}${sentTo}`)
    else if (request.protocol === 'tcp') this.#tell(`Connection to ${remote.address} ${remote.port} port [tcp/*] succeeded!`)
    // Routes choose that of UDP with the first datagram.
    if (local.address !== '0.0.0.0') this.#tell(`Local address ${local.address} port ${local.port}`)
    this.#send().catch((error: unknown) => {
      this.#fail(`standard input: ${error instanceof Error ? error.message : String(error)}`)
      this.#leave()
    })
  }

  async #send(): Promise<void> {
    const { request, shutdown } = this.#options
    for await (const chunk of this.#terminal.in ?? process.stdin) {
      if (this.#isLeaving) return
      this.#touch()
      await this.#stream.send(Buffer.from(chunk), request.protocol === 'udp' ? DATAGRAM : undefined)
    }
    this.#hasInputEnded = true
    if (shutdown) this.#stream.end()
    if (this.#hasOtherEnded) this.#leave()
  }

  #leave(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#stream.close()
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#stream.abort(), FAREWELL)
  }

  #touch(): void {
    const { wait } = this.#options
    if (wait === 0 || this.#isLeaving) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#giveUp(), wait * 1000)
  }

  #giveUp(): void {
    if (!this.#isOpen) this.#fail(`${this.#attempt()} timed out`)
    this.#leave()
  }

  #fail(text: string): void {
    if (this.#isLeaving) return
    this.#exitCode = ExitCode.failure
    this.#terminal.err.write(`nc: ${text}\n`)
  }

  #tell(text: string): void {
    if (this.#options.verbose) this.#terminal.err.write(`${text}\n`)
  }

  #attempt(): string {
    const { protocol, remote, localAddress, localPort } = this.#options.request
    return remote === null ? `listen on ${localAddress ?? '0.0.0.0'} port ${localPort} (${protocol})` : `connect to ${remote.address} port ${remote.port} (${protocol})`
  }

  #errorText(code: string, syscall: string): string {
    if (syscall === 'bind' || !this.#isOpen) return `${syscall === 'bind' && this.#options.request.remote !== null ? 'bind' : this.#attempt()} failed: ${errnoText(code)}`
    return `${syscall === 'recvmsg' ? 'read' : syscall}: ${errnoText(code)}`
  }
}

/** Resolves with the exit code when all is over. @throws TsnatError when the gateway is lost */
export const converse = (stream: SocketStream, options: ConversationOptions, terminal: Terminal): Promise<ExitCode> =>
  new Conversation(stream, options, terminal).run()
