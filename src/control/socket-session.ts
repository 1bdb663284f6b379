/**
 * A socket of the gateway's own that a client of the control socket has: what it receives becomes frames, and frames are sent.
 *
 * A session lasts until the socket is closed, the client goes, or the gateway ends. When the client goes, the socket is closed as the
 * kernel closes those of a process that ends: what was written is still delivered, what comes is refused. Neither side is read faster
 * than the other takes, but datagrams: those that find no room are lost, as ever.
 */
import type { SocketEnd, SocketEvent, SocketFrame, SocketRequest } from '../api/socket-types.js'
import type { SocketApi } from '../stack/sockets/node/api.js'
import type { TcpSocket } from '../stack/sockets/node/tcp-socket.js'
import type { RemoteInfo } from '../stack/sockets/node/udp-socket.js'
import { Outbox } from './outbox.js'

/** Bytes that may wait for the client. */
const WAITING = 256 << 10
/** Milliseconds without progress after which what a client has left behind is given up. */
const DELIVERY_TIME = 60_000
/** What a frame counts beside its bytes. */
const FRAME_COST = 64

export interface SessionOptions {
  readonly sockets: SocketApi
  readonly request: SocketRequest
  /** What the client sends. It fails or ends when the client goes. */
  readonly input: AsyncIterable<SocketFrame>
  /** Aborts when the client has gone. */
  readonly gone: AbortSignal
  /** Aborts when the gateway ends. */
  readonly stopped: AbortSignal
}

type Session = SessionOptions & { readonly out: Outbox<SocketFrame> }

const errorEvent = (error: unknown): SocketEvent => {
  const { code = 'EINVAL', syscall = 'socket' } = error as NodeJS.ErrnoException
  return { type: 'error', code, syscall }
}

const localEnd = ({ localAddress = '0.0.0.0', localPort = 0 }: TcpSocket): SocketEnd => ({ address: localAddress, port: localPort })
const remoteEnd = ({ remoteAddress = '0.0.0.0', remotePort = 0 }: TcpSocket): SocketEnd => ({ address: remoteAddress, port: remotePort })

/** Hands what the client sends to `take`, until it goes. */
const readInput = async (input: AsyncIterable<SocketFrame>, take: (data: Uint8Array) => Promise<void> | void, end: () => void): Promise<void> => {
  try {
    for await (const frame of input) {
      if (frame instanceof Uint8Array) await take(frame)
      else if (frame.type === 'end') end()
    }
  } catch {
    // The client died, or does not know how to talk: both are an end.
  }
}

const writable = (socket: TcpSocket): Promise<void> => new Promise((resolve) => {
  const done = (): void => {
    socket.off('drain', done).off('close', done)
    resolve()
  }
  socket.on('drain', done).on('close', done)
})

const talkTcp = (socket: TcpSocket, { out, input, gone }: Session): void => {
  const open = (): void => {
    out.push({ type: 'open', local: localEnd(socket), remote: remoteEnd(socket), original: socket.originalDestination })
    socket.on('data', (data: Buffer) => { if (!out.push(data)) socket.pause() })
  }
  out.onRoom = () => socket.resume()
  socket.on('end', () => out.push({ type: 'end' }))
  socket.on('error', (error) => out.push(errorEvent(error)))
  socket.on('close', () => out.end())
  if (socket.connecting) {
    socket.once('connect', open)
    gone.addEventListener('abort', () => { if (socket.connecting) socket.destroy() })
  } else if (!socket.destroyed) open()
  const write = async (data: Uint8Array): Promise<void> => {
    if (socket.writable && !socket.write(data)) await writable(socket)
  }
  void readInput(input, write, () => socket.end()).then(() => {
    out.end()
    if (socket.connecting) socket.destroy()
    else {
      socket.setTimeout(DELIVERY_TIME, () => socket.destroy())
      socket.destroySoon()
    }
  })
}

const connectTcp = (session: Session, remote: SocketEnd): (() => void) => {
  const { sockets, request: { localAddress, localPort, mark, tos } } = session
  const socket = sockets.connect({
    host: remote.address, port: remote.port, allowHalfOpen: true, mark, tos,
    ...(localAddress === null ? {} : { localAddress }), ...(localPort === 0 ? {} : { localPort }),
  })
  talkTcp(socket, session)
  return () => socket.destroy()
}

const listenTcp = (session: Session): (() => void) => {
  const { sockets, request: { localAddress, localPort, mark }, out, gone } = session
  let accepted: TcpSocket | null = null
  const server = sockets.createServer({ allowHalfOpen: true }, (socket) => {
    if (accepted !== null) {
      socket.resetAndDestroy()
      return
    }
    accepted = socket
    server.close()
    talkTcp(socket, session)
  })
  const fail = (error: unknown): void => {
    out.push(errorEvent(error))
    out.end()
  }
  server.on('error', fail)
  server.listen({ port: localPort, mark, ...(localAddress === null ? {} : { host: localAddress }) }, () => {
    const { address, port } = server.address()!
    if (accepted === null) out.push({ type: 'listening', local: { address, port } })
  })
  gone.addEventListener('abort', () => { if (accepted === null) server.close() })
  return () => {
    server.close()
    accepted?.destroy()
  }
}

const startUdp = (session: Session): (() => void) => {
  const { sockets, request: { remote, localAddress, localPort, mark, tos }, out, input, gone } = session
  const socket = sockets.createDatagramSocket({ mark, tos })
  let isClosed = false
  const close = (): void => {
    if (isClosed) return
    isClosed = true
    socket.close()
    out.end()
  }
  const talk = (end: SocketEnd, original: SocketEnd | null): void => {
    const { address, port } = socket.address()
    out.push({ type: 'open', local: { address, port }, remote: end, original })
    const send = (data: Uint8Array): Promise<void> => new Promise((resolve) => {
      if (isClosed) resolve()
      else socket.send(data, (error) => {
        if (error !== null) fail(error)
        resolve()
      })
    })
    void readInput(input, send, () => {}).then(close)
  }
  const fail = (error: unknown): void => {
    out.push(errorEvent(error))
    close()
  }
  socket.on('error', fail)
  socket.on('path', () => {
    const { address, port } = socket.address()
    out.push({ type: 'moved', local: { address, port } })
  })
  let peer = remote
  socket.on('message', (data: Buffer, { address, port, originalDestination }: RemoteInfo) => {
    if (peer === null) {
      peer = { address, port }
      socket.connect(port, address)
      talk(peer, originalDestination)
    }
    // What others sent before it was connected is not for this conversation.
    if (!out.isFull && address === peer.address && port === peer.port) out.push(data)
  })
  gone.addEventListener('abort', close)
  const start = (): void => {
    if (remote !== null) {
      socket.connect(remote.port, remote.address, () => talk(remote, null))
      return
    }
    const { address, port } = socket.address()
    if (peer === null) out.push({ type: 'listening', local: { address, port } })
  }
  if (remote !== null && localAddress === null && localPort === 0) start()
  else socket.bind(localPort, localAddress ?? '0.0.0.0', start)
  return close
}

/** Opens a socket, and gives what comes of it until it is closed. Never throws: what goes wrong is an event. */
export async function* openSession(options: SessionOptions): AsyncGenerator<SocketFrame> {
  const out = new Outbox<SocketFrame>({ cost: (frame) => FRAME_COST + (frame instanceof Uint8Array ? frame.length : 0), limit: WAITING })
  const session = { ...options, out }
  const { request, gone, stopped } = options
  gone.addEventListener('abort', () => out.end())
  let close: () => void
  try {
    close = request.protocol === 'udp' ? startUdp(session) : request.remote === null ? listenTcp(session) : connectTcp(session, request.remote)
  } catch (error) {
    yield errorEvent(error)
    return
  }
  const stop = (): void => {
    out.push({ type: 'stopped' })
    out.end()
    close()
  }
  stopped.addEventListener('abort', stop)
  try {
    yield* out
  } finally {
    stopped.removeEventListener('abort', stop)
  }
}
