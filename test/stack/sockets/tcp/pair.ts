/** Two stacks with a line between them, and a connection from left to right. */
import type { TcpEndpoint } from '../../../../src/stack/sockets/tcp/endpoint.js'
import { StackLink, type StackLinkOptions } from '../../../../src/testing/stack-link.js'
import { ip } from '../../support.js'
import { User } from './user.js'

/** Bytes that tell where they belong. */
export const pattern = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 7 + (i >>> 8) * 13 + (i >>> 16)) & 255
  return bytes
}

/** Reads all that comes, and keeps only whether it was what it should be. */
export class Checker extends User {
  received = 0
  isRight = true

  override onReadable(): void {
    super.onReadable()
    const bytes = this.take()
    for (let i = 0; i < bytes.length; i++) {
      const at = this.received + i
      if (bytes[i] !== ((at * 7 + (at >>> 8) * 13 + (at >>> 16)) & 255)) this.isRight = false
    }
    this.received += bytes.length
  }
}

/** Writes `total` bytes of the pattern, as there is room, and ends then. */
export class Writer extends User {
  #left: Uint8Array
  readonly #chunk: number

  constructor(endpoint: TcpEndpoint, total: number, chunk = 65_536) {
    super(endpoint)
    this.#left = pattern(total)
    this.#chunk = chunk
  }

  begin(): void {
    while (this.#left.length > 0) {
      const chunk = this.#left.subarray(0, this.#chunk)
      this.#left = this.#left.subarray(this.#chunk)
      if (!this.endpoint.write(chunk)) return
    }
    this.endpoint.shutdown()
  }

  override onConnect(): void {
    super.onConnect()
    this.begin()
  }

  override onDrain(): void {
    this.begin()
  }
}

export interface Pair {
  readonly link: StackLink
  readonly client: TcpEndpoint
  readonly accepted: TcpEndpoint[]
}

export const pair = (options: StackLinkOptions = {}, onConnection: (endpoint: TcpEndpoint) => void = () => {}): Pair => {
  const link = new StackLink(options)
  const accepted: TcpEndpoint[] = []
  const listener = link.right.stack.tcp.listen({ port: 80 })
  listener.onConnection = (endpoint) => {
    accepted.push(endpoint)
    onConnection(endpoint)
  }
  const client = link.left.stack.tcp.connect({ address: ip('10.0.0.2'), port: 80 })
  return { link, client, accepted }
}

/** Sends so many bytes from left to right, and waits until both ends are closed. */
export const transfer = (total: number, options: StackLinkOptions = {}, chunk?: number): { link: StackLink; writer: Writer; checker: Checker } => {
  let checker: Checker | undefined
  const { link, client } = pair(options, (endpoint) => {
    checker = new Checker(endpoint)
  })
  const writer = new Writer(client, total, chunk)
  link.until(() => checker?.events.includes('end') ?? false)
  checker!.endpoint.shutdown()
  link.until(() => checker!.events.includes('close') && writer.events.includes('close'))
  return { link, writer, checker: checker! }
}
