/**
 * Frames of an open socket on the control socket: in both directions of one request, whose answer begins before its body has ended.
 *
 *     1 byte   0: data, 1: a SocketEvent as JSON
 *     3 bytes  length of what follows, big endian, at most FRAME_MAX
 *
 * The client's event `end` ends one direction only. When its body ends, or it dies, the socket is closed, as close(2) does.
 */
import { ExitCode, TsnatError } from '../errors.js'
import type { SocketEvent, SocketFrame } from './socket-types.js'

/** Bytes of a frame without its header. */
export const FRAME_MAX = 65_536
const HEADER = 4
const DATA = 0
const EVENT = 1

const badFrame = (message: string): TsnatError =>
  new TsnatError(message, { code: 'BAD_FRAME', hint: 'is the gateway of the same version as this command?', exitCode: ExitCode.usage })

const framed = (kind: number, content: Uint8Array): Buffer => {
  const frame = Buffer.allocUnsafe(HEADER + content.length)
  frame.writeUInt32BE(kind * 0x1000000 + content.length)
  frame.set(content, HEADER)
  return frame
}

/** @param frame data of at most FRAME_MAX bytes, or an event */
export const encodeFrame = (frame: SocketFrame): Buffer =>
  frame instanceof Uint8Array ? framed(DATA, frame) : framed(EVENT, Buffer.from(JSON.stringify(frame)))

/** Bytes in pieces that a frame can have. */
export function* slices(bytes: Uint8Array, limit = FRAME_MAX): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += limit) yield bytes.subarray(at, at + limit)
}

const decode = (kind: number, content: Buffer): SocketFrame => {
  if (kind === DATA) return content
  if (kind !== EVENT) throw badFrame(`a frame of kind ${kind} is unknown`)
  let event: unknown
  try {
    event = JSON.parse(content.toString())
  } catch {
    throw badFrame('a frame is no JSON')
  }
  if (typeof event !== 'object' || event === null || !('type' in event)) throw badFrame('a frame is no event')
  return event as SocketEvent
}

/** @throws TsnatError BAD_FRAME, and what `chunks` throws */
export async function* decodeFrames(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<SocketFrame> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength) : Buffer.concat([rest, chunk])
    while (rest.length >= HEADER) {
      const length = rest.readUIntBE(1, 3)
      if (length > FRAME_MAX) throw badFrame(`a frame of ${length} bytes is too long`)
      if (rest.length < HEADER + length) break
      const frame = decode(rest[0]!, rest.subarray(HEADER, HEADER + length))
      rest = rest.subarray(HEADER + length)
      yield frame
    }
  }
}
