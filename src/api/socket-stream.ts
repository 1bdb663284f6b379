/** The client's side of a socket that the gateway has opened for it. */
import type { ClientRequest } from 'node:http'
import { decodeFrames, encodeFrame, slices } from './socket-frames.js'
import type { SocketFrame } from './socket-types.js'

export interface SocketStream {
  /** What comes of the socket, until it is closed. */
  readonly frames: AsyncIterable<SocketFrame>
  /** Resolves when more can be taken. What is sent when the socket has been closed is lost. @param limit bytes of one frame: of a datagram */
  send(data: Uint8Array, limit?: number): Promise<void>
  /** Nothing more will be sent; the socket goes on receiving. */
  end(): void
  /** Closes the socket; what was sent is still delivered. The frames end. */
  close(): void
  /** Ends the stream at once, and with it the socket. */
  abort(): void
}

export const openSocketStream = (request: ClientRequest, chunks: AsyncIterable<Uint8Array>): SocketStream => {
  let isOver = false
  let hasEnded = false
  request.on('close', () => (isOver = true))
  // Told by the end of the frames.
  request.on('error', () => (isOver = true))
  const put = async (frame: SocketFrame): Promise<void> => {
    if (isOver || request.write(encodeFrame(frame))) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        request.off('drain', done).off('close', done)
        resolve()
      }
      request.on('drain', done).on('close', done)
    })
  }
  const end = (): void => {
    if (hasEnded) return
    hasEnded = true
    void put({ type: 'end' })
  }
  return {
    frames: decodeFrames(chunks),
    send: async (data, limit) => {
      for (const slice of slices(data, limit)) await put(slice)
    },
    end,
    close: () => void request.end(),
    abort: () => void request.destroy(),
  }
}
