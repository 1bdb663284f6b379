import { afterEach, describe, expect, it } from 'vitest'
import { native, WRITE_ERRNO, WRITE_FAILED, WRITE_SENT } from '../../src/native.js'
import { thrownBy } from './network.js'

const EPIPE = 32
const EAGAIN = 11

const open = new Set<number>()
const pair = (bytes: number): [number, number] => {
  const fds = native().socketPair(bytes)
  for (const fd of fds) open.add(fd)
  return fds
}
const close = (fd: number): void => {
  open.delete(fd)
  native().close(fd)
}
afterEach(() => open.forEach(close))

const slab = new Uint8Array(1 << 20)
const at = new Int32Array(16)
const length = new Int32Array(16)
const write = (fd: number, ...sizes: number[]): Int32Array => {
  const result = new Int32Array(3)
  native().writeBatch(fd, false, slab, 0, Int32Array.from(sizes, () => 64), Int32Array.from(sizes), sizes.length, result, 0)
  return result
}
const read = (fd: number): number[] => {
  const count = native().readBatch(fd, true, slab, 0, slab.length, 0, at, length, 8)
  return [...length.subarray(0, count)]
}

describe('socketPair', () => {
  it('keeps messages apart, both ways', () => {
    const [a, b] = pair(1 << 20)
    expect(write(a, 1, 1500, 65535)[WRITE_SENT]).toBe(3)
    expect(read(b)).toEqual([1, 1500, 65535])
    expect(write(b, 20)[WRITE_SENT]).toBe(1)
    expect(read(a)).toEqual([20])
    expect(read(a)).toEqual([])
  })

  it('never waits: a full pair fails with EAGAIN', () => {
    const [a] = pair(1 << 16)
    const sizes = new Array<number>(64).fill(4096)
    const result = write(a, ...sizes)
    expect(result[WRITE_SENT]).toBeGreaterThan(8)
    expect(result[WRITE_FAILED]).toBe(64 - result[WRITE_SENT]!)
    expect(result[WRITE_ERRNO]).toBe(EAGAIN)
  })

  it('tells the end of the other side', () => {
    const [a, b] = pair(0)
    write(b, 7)
    close(b)
    expect(write(a, 1)[WRITE_ERRNO]).toBe(EPIPE)
    expect(read(a)).toEqual([7, 0, 0, 0, 0, 0, 0, 0])
  })

  it('refuses a negative size', () => {
    expect(thrownBy(() => native().socketPair(-1)).message).toBe('argument "bufferBytes" must not be negative')
  })
})
