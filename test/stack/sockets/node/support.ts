/** Two stacks with Node's shapes, by the real clock, on a line without delay. */
import { afterEach } from 'vitest'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { createSocketApi, type SocketApi } from '../../../../src/stack/sockets/node/api.js'
import type { TcpServer, TcpServerOptions } from '../../../../src/stack/sockets/node/tcp-server.js'
import type { TcpConnectSocketOptions } from '../../../../src/stack/sockets/node/tcp-options.js'
import type { TcpSocket } from '../../../../src/stack/sockets/node/tcp-socket.js'
import { StackLink, type StackLinkOptions } from '../../../../src/testing/stack-link.js'

export const LEFT = '10.0.0.1'
export const RIGHT = '10.0.0.2'

export interface Pair {
  readonly link: StackLink
  readonly left: SocketApi
  readonly right: SocketApi
}

/** Stopped when the test ends. */
export const useLinks = (): ((options?: StackLinkOptions) => Pair) => {
  const links: StackLink[] = []
  afterEach(() => {
    for (const link of links.splice(0)) link.stop()
  })
  return (options = {}) => {
    const link = new StackLink(options).start()
    links.push(link)
    return { link, left: createSocketApi(link.left.stack), right: createSocketApi(link.right.stack) }
  }
}

export const listening = async (api: SocketApi, options: TcpServerOptions = {}, port = 0): Promise<TcpServer> => {
  const server = api.createServer(options).listen(port)
  await once(server, 'listening')
  return server
}

/** Both ends of a connection from left to right. */
export const connected = async ({ left, right }: Pair, options: Partial<TcpConnectSocketOptions> = {}, serverOptions: TcpServerOptions = {}): Promise<{ client: TcpSocket; server: TcpSocket; listener: TcpServer }> => {
  const listener = await listening(right, serverOptions)
  const accepted = once(listener, 'connection') as Promise<[TcpSocket]>
  const client = left.connect({ host: RIGHT, port: listener.address()!.port, ...options })
  const [[server]] = await Promise.all([accepted, once(client, 'connect')])
  return { client, server, listener }
}

/** All that is read until the end; the socket lives on, unlike after `for await`. */
export const collect = (socket: Duplex): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk)).once('end', () => resolve(Buffer.concat(chunks))).once('error', reject)
  })

/** Whether it ends well or not. */
export const closed = (socket: TcpSocket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.closed) resolve()
    else socket.once('close', () => resolve())
  })

/** The error that it ends with. */
export const failure = (socket: TcpSocket): Promise<NodeJS.ErrnoException> => new Promise((resolve) => socket.once('error', resolve))

/** Bytes that tell their place. */
export const pattern = (length: number, seed = 0): Buffer => {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeInt32LE((at / 4 + seed) * 2654435 | 0, at)
  return bytes
}
