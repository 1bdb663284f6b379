import { describe, expect, it } from 'vitest'
import { decodeFrames, encodeFrame, FRAME_MAX, slices } from '../../src/api/socket-frames.js'
import type { SocketFrame } from '../../src/api/socket-types.js'

const FRAMES: SocketFrame[] = [
  { type: 'listening', local: { address: '0.0.0.0', port: 80 } }, Buffer.from('hello'), Buffer.alloc(0), Buffer.alloc(FRAME_MAX, 7), { type: 'end' },
]

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const decode = async (chunks: AsyncIterable<Uint8Array>): Promise<SocketFrame[]> => {
  const found: SocketFrame[] = []
  for await (const frame of decodeFrames(chunks)) found.push(frame instanceof Uint8Array ? Buffer.from(frame) : frame)
  return found
}

describe('frames', () => {
  const bytes = Buffer.concat(FRAMES.map(encodeFrame))

  it.each([1, 3, 1000, bytes.length])('come out as they went in, in pieces of %d bytes', async (size) => {
    expect(await decode(inPieces(bytes, size))).toEqual(FRAMES)
  })

  it('that are not complete are none', async () => {
    expect(await decode(inPieces(bytes.subarray(0, bytes.length - 1), 50_000))).toEqual(FRAMES.slice(0, -1))
  })

  it.each([
    [Buffer.from([0, 1, 0, 1]), 'a frame of 65537 bytes is too long'],
    [Buffer.from([2, 0, 0, 0]), 'a frame of kind 2 is unknown'],
    [Buffer.from([1, 0, 0, 1, 0x7b]), 'a frame is no JSON'],
    [Buffer.from([1, 0, 0, 4, ...Buffer.from('null')]), 'a frame is no event'],
    [Buffer.from([1, 0, 0, 2, ...Buffer.from('[]')]), 'a frame is no event'],
  ])('that are wrong are refused: %j', async (wrong, text) => {
    await expect(decode(inPieces(wrong, 100))).rejects.toMatchObject({ code: 'BAD_FRAME', message: text })
  })

  it('slices have what a frame can have', () => {
    expect([...slices(Buffer.alloc(FRAME_MAX * 2 + 1))].map(({ length }) => length)).toEqual([FRAME_MAX, FRAME_MAX, 1])
    expect([...slices(Buffer.from('abcde'), 2)].map((slice) => Buffer.from(slice).toString())).toEqual(['ab', 'cd', 'e'])
  })
})
