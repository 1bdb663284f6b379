import { execFileSync } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { native } from '../../src/native.js'
import { thrownBy } from './network.js'

const product = join(import.meta.dirname, '../../native/build/Release/tsnat.node')

/** Lets the event loop turn often enough that a queued call would have come. */
const settle = async (): Promise<void> => {
  for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('watch', () => {
  let fd = -1
  let watch: object | undefined
  let calls = 0
  const events = new EventEmitter()
  events.on('readable', () => calls++)

  beforeEach(() => {
    fd = native().eventOpen()
    calls = 0
    watch = native().watchOpen(fd, () => events.emit('readable'))
  })
  afterEach(() => {
    if (watch) native().watchClose(watch)
    native().close(fd)
  })

  it('calls once and sleeps until it is armed again', async () => {
    await settle()
    expect(calls).toBe(0)
    native().eventSignal(fd)
    await once(events, 'readable')
    await settle()
    expect(calls).toBe(1)
    native().watchRearm(watch!)
    await once(events, 'readable')
    expect(calls).toBe(2)
    native().eventClear(fd)
    native().watchRearm(watch!)
    await settle()
    expect(calls).toBe(2)
  })

  it('keeps the process alive, unless it is told not to', () => {
    const program = `
      const native = require(process.argv[1])
      const watch = native.watchOpen(native.eventOpen(), () => {})
      native.watchRef(watch, false)
      if (process.argv[2] === 'on') {
        native.watchRef(watch, true)
        setTimeout(() => { console.log('alive'); process.exit() }, 50)
      } else setTimeout(() => console.log('alive'), 50).unref()
    `
    const run = (...args: string[]): string => execFileSync(process.execPath, ['-e', program, product, ...args], { encoding: 'utf8' })
    expect(run('off')).toBe('')
    expect(run('on')).toBe('alive\n')
    expect(() => native().watchRef(watch!, 1 as unknown as boolean)).toThrow('argument "on" must be a boolean')
  })

  it('is silent after close, even when a call is queued', async () => {
    native().eventSignal(fd)
    native().poll(Int32Array.of(-1), new Int32Array(1), 20_000)
    native().watchClose(watch!)
    await settle()
    expect(calls).toBe(0)
    native().watchRearm(watch!)
    native().watchClose(watch!)
    await settle()
    expect(calls).toBe(0)
  })

  it('gives its own descriptor back at close', () => {
    const open = (): number => readdirSync('/proc/self/fd').length
    const before = open()
    const more = Array.from({ length: 8 }, () => native().watchOpen(fd, () => {}))
    expect(open()).toBe(before + 8)
    for (const one of more) native().watchClose(one)
    expect(open()).toBe(before)
  })

  it('refuses objects that are no watches, and callbacks that are no functions', () => {
    expect(thrownBy(() => native().watchRearm({})).message).toBe('argument "watch" must come from watchOpen')
    expect(thrownBy(() => native().watchClose(5 as unknown as object)).message).toBe('argument "watch" must come from watchOpen')
    expect(thrownBy(() => native().watchOpen(fd, 'x' as unknown as () => void)).message).toBe('argument "onReadable" must be a function')
  })
})

describe('watch in a worker thread', () => {
  const start = (body: string): Worker =>
    new Worker(`const addon = require(${JSON.stringify(product)})\nconst { parentPort } = require('node:worker_threads')\n${body}`, { eval: true })

  it('keeps the thread alive until it is closed', async () => {
    const worker = start(`
      const fd = addon.eventOpen()
      const watch = addon.watchOpen(fd, () => { parentPort.postMessage('readable'); addon.watchClose(watch); addon.close(fd) })
      parentPort.postMessage(fd)`)
    const [fd] = (await once(worker, 'message')) as [number]
    await settle()
    const ended = once(worker, 'exit')
    const told = once(worker, 'message')
    native().eventSignal(fd)
    expect((await told)[0]).toBe('readable')
    expect((await ended)[0]).toBe(0)
  })

  it('ends with the thread when it is terminated', async () => {
    for (let i = 0; i < 10; i++) {
      const worker = start(`
        const fd = addon.eventOpen()
        addon.watchOpen(fd, () => {})
        addon.watchOpen(fd, () => {})
        addon.eventSignal(fd)
        parentPort.postMessage('open')`)
      await once(worker, 'message')
      await worker.terminate()
    }
  })

  it('turns an exception in the callback into an uncaught exception', async () => {
    const worker = start(`
      const fd = addon.eventOpen()
      addon.eventSignal(fd)
      addon.watchOpen(fd, () => { throw new Error('from the callback') })`)
    const [error] = (await once(worker, 'error')) as [Error]
    expect(error.message).toBe('from the callback')
  })
})
