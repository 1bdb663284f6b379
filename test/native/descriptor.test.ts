import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { native } from '../../src/native.js'
import { thrownBy } from './network.js'

const POLLIN = 1
const POLLNVAL = 32
const EINVAL = 22
const product = join(import.meta.dirname, '../../native/build/Release/tsnat.node')

const open = new Set<number>()
const event = (): number => {
  const fd = native().eventOpen()
  open.add(fd)
  return fd
}
afterEach(() => {
  for (const fd of open) native().close(fd)
  open.clear()
})

describe('readClock', () => {
  it('gives milliseconds that go forward with the time', () => {
    const clock = new Float64Array(2)
    native().readClock(clock)
    const [first] = clock
    native().poll(new Int32Array(0), new Int32Array(0), 5000)
    native().readClock(clock)
    expect(clock[0]! - first!).toBeGreaterThanOrEqual(5)
    expect(clock[0]! - first!).toBeLessThan(2000)
    expect(Math.abs(clock[0]! - Number(process.hrtime.bigint()) / 1e6)).toBeLessThan(2000)
    expect(clock[1]).toBe(0)
  })

  it('refuses what is no room for it', () => {
    expect(() => native().readClock(new Float64Array(0))).toThrow(RangeError)
    expect(() => native().readClock(new Int32Array(2) as unknown as Float64Array)).toThrow(TypeError)
  })
})

describe('poll', () => {
  it('returns 0 at the timeout', () => {
    const ready = Int32Array.of(99)
    const before = process.hrtime.bigint()
    expect(native().poll(Int32Array.of(event()), ready, 20_000)).toBe(0)
    expect(Number(process.hrtime.bigint() - before) / 1000).toBeGreaterThanOrEqual(20_000)
    expect(ready[0]).toBe(0)
  })

  it('returns at once when nothing is to be waited for', () => {
    expect(native().poll(Int32Array.of(event()), new Int32Array(1), 0)).toBe(0)
    expect(native().poll(new Int32Array(0), new Int32Array(0), 0)).toBe(0)
  })

  it('tells which descriptors are ready, and skips negative ones', () => {
    const [quiet, loud] = [event(), event()]
    native().eventSignal(loud)
    const ready = Int32Array.of(9, 9, 9)
    expect(native().poll(Int32Array.of(quiet, -1, loud), ready, -1)).toBe(1)
    expect([...ready]).toEqual([0, 0, POLLIN])
    native().eventClear(loud)
    expect(native().poll(Int32Array.of(quiet, -1, loud), ready, 0)).toBe(0)
    expect([...ready]).toEqual([0, 0, 0])
  })

  it('reports a closed descriptor as ready with POLLNVAL', () => {
    const fd = native().eventOpen()
    native().close(fd)
    const ready = new Int32Array(1)
    expect(native().poll(Int32Array.of(fd), ready, 0)).toBe(1)
    expect(ready[0]).toBe(POLLNVAL)
  })

  it('returns -EINVAL when the result does not fit, or there are too many descriptors', () => {
    expect(native().poll(new Int32Array(2).fill(-1), new Int32Array(1), 0)).toBe(-EINVAL)
    expect(native().poll(new Int32Array(65).fill(-1), new Int32Array(65), 0)).toBe(-EINVAL)
  })

  it('is woken by an eventfd that another thread signals', async () => {
    const fd = event()
    const worker = new Worker(
      `const { workerData: { product, fd }, parentPort } = require('node:worker_threads')
       const addon = require(product)
       parentPort.postMessage('waiting')
       const ready = new Int32Array(1)
       parentPort.postMessage(addon.poll(Int32Array.of(fd), ready, 10_000_000))`,
      { eval: true, workerData: { product, fd } },
    )
    expect((await once(worker, 'message'))[0]).toBe('waiting')
    native().eventSignal(fd)
    expect((await once(worker, 'message'))[0]).toBe(1)
    await once(worker, 'exit')
  })
})

describe('eventfd', () => {
  it('can be signalled and cleared any number of times', () => {
    const fd = event()
    native().eventClear(fd)
    for (let i = 0; i < 3; i++) native().eventSignal(fd)
    expect(native().poll(Int32Array.of(fd), new Int32Array(1), 0)).toBe(1)
    native().eventClear(fd)
    native().eventClear(fd)
    expect(native().poll(Int32Array.of(fd), new Int32Array(1), 0)).toBe(0)
  })
})

describe('errors', () => {
  it('carry code, errno, syscall and what the call was about', () => {
    const error = thrownBy(() => native().openPath('/nonexistent/netns'))
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({
      code: 'ENOENT',
      errno: 2,
      syscall: 'open',
      message: "ENOENT: No such file or directory, open '/nonexistent/netns'",
    })
    expect(thrownBy(() => native().close(1_000_000))).toMatchObject({ code: 'EBADF', errno: 9, syscall: 'close' })
    expect(thrownBy(() => native().eventSignal(1_000_000))).toMatchObject({ code: 'EBADF', syscall: 'eventfd_write' })
  })

  it('name the argument that is wrong', () => {
    expect(thrownBy(() => native().close('3' as unknown as number)).message).toBe('argument "fd" must be a number')
    expect(thrownBy(() => native().close(-1)).message).toBe('argument "fd" must not be negative')
    expect(thrownBy(() => native().close(2 ** 32)).message).toBe('argument "fd" must fit 32 bits, not 4294967296')
    expect(thrownBy(() => native().openPath('/proc/self\0/ns')).message).toBe('argument "path" must be a string without NUL characters')
    expect(thrownBy(() => native().unixDatagram('/'.repeat(200), '', true)).message).toBe('argument "path" must have at most 107 bytes, not 200')
  })
})

describe('unixDatagram', () => {
  /** Starts socat as the receiver; resolves with what it received. */
  const receive = (address: string, listening: () => boolean): { ready: Promise<void>; received: Promise<string> } => {
    const receiver = spawn('socat', ['-u', address, 'STDOUT'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ready = (async () => {
      while (!listening()) await new Promise((resolve) => setImmediate(resolve))
    })()
    const received = once(receiver.stdout, 'data').then(([data]: Buffer[]) => {
      receiver.kill()
      return String(data)
    })
    return { ready, received }
  }

  it('reaches a socket by its path', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tsnat-native-'))
    const path = join(folder, 'notify')
    const { ready, received } = receive(`UNIX-RECV:${path}`, () => existsSync(path))
    await ready
    native().unixDatagram(path, 'READY=1\nSTATUS=bereit, größer\n', true)
    expect(await received).toBe('READY=1\nSTATUS=bereit, größer\n')
    rmSync(folder, { recursive: true })
  })

  it('reaches a socket in the abstract namespace', async () => {
    const name = `tsnat-native-${process.pid}`
    const { ready, received } = receive(`ABSTRACT-RECV:${name}`, () => readFileSync('/proc/net/unix', 'utf8').includes(`@${name}\n`))
    await ready
    native().unixDatagram(`@${name}`, 'READY=1', false)
    expect(await received).toBe('READY=1')
  })

  it('throws when nobody listens', () => {
    expect(thrownBy(() => native().unixDatagram('/nonexistent/notify', 'x', true))).toMatchObject({ code: 'ENOENT', syscall: 'sendto' })
    expect(thrownBy(() => native().unixDatagram('@tsnat-nobody', 'x', false))).toMatchObject({ code: 'ECONNREFUSED', syscall: 'sendto' })
  })
})

describe('capabilities', () => {
  it('agrees with /proc', () => {
    const [low, high] = native().capabilities()
    const line = /CapEff:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))
    expect((BigInt(high) << 32n) | BigInt(low)).toBe(BigInt(`0x${line![1]}`))
  })
})
