/** The user of an end of a connection, who takes note of what happens to it. */
import type { TcpEndpoint, TcpEvents } from '../../../../src/stack/sockets/tcp/endpoint.js'

export class User implements TcpEvents {
  readonly endpoint: TcpEndpoint
  /** connect, end, drain, finish, error CODE, close, in their order. */
  readonly events: string[] = []
  error: NodeJS.ErrnoException | null = null
  /** Whether it reads as soon as there is something. */
  isReading: boolean
  #chunks: Uint8Array[] = []
  #hasEnded = false

  constructor(endpoint: TcpEndpoint, isReading = true) {
    this.endpoint = endpoint
    this.isReading = isReading
    endpoint.events = this
  }

  /** All bytes read since this was asked last. */
  take(): Uint8Array {
    return Buffer.concat(this.#chunks.splice(0))
  }

  /** The same as text. */
  takeText(): string {
    return new TextDecoder().decode(this.take())
  }

  /** Reads what is there. @param most stop after so many bytes or more */
  read(most = Infinity): this {
    for (let bytes = 0; bytes < most && !this.#hasEnded; ) {
      const chunk = this.endpoint.read()
      if (chunk === null) break
      if (chunk === 'end') {
        this.#hasEnded = true
        this.events.push('end')
        break
      }
      bytes += chunk.length
      this.#chunks.push(chunk)
    }
    return this
  }

  write(data: string | Uint8Array): boolean {
    return this.endpoint.write(typeof data === 'string' ? new TextEncoder().encode(data) : data)
  }

  shutdown(): void {
    this.endpoint.shutdown()
  }

  close(): void {
    this.endpoint.close()
  }

  onConnect(): void {
    this.events.push('connect')
  }

  onReadable(): void {
    if (this.isReading) this.read()
  }

  onDrain(): void {
    this.events.push('drain')
  }

  onFinish(): void {
    this.events.push('finish')
  }

  onError(error: NodeJS.ErrnoException): void {
    this.error = error
    this.events.push(`error ${error.code}`)
  }

  onClose(): void {
    this.events.push('close')
  }
}
