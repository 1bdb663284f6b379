import { expect, it } from 'vitest'
import { TsnatError } from '../../src/errors.js'
import { Reread } from '../../src/host/reread.js'

/** Timers that run when they are told to. */
const makeTimers = () => {
  const waiting = new Map<number, { callback: () => void; milliseconds: number }>()
  let last = 0
  return {
    waiting,
    setTimeout: (callback: () => void, milliseconds: number): number => {
      waiting.set(++last, { callback, milliseconds })
      return last
    },
    clearTimeout: (timer: unknown): void => { waiting.delete(timer as number) },
    /** Ends all pauses. @returns the longest */
    elapse: (): number => {
      const all = [...waiting.values()]
      waiting.clear()
      for (const { callback } of all) callback()
      return Math.max(...all.map(({ milliseconds }) => milliseconds))
    },
  }
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const never = (): never => { throw new Error('no problem was expected') }

it('reads once for many changes, and once more for those during a read and the pause after it', async () => {
  const timers = makeTimers()
  let reads = 0
  let finish = (): void => {}
  const reread = new Reread(() => {
    reads++
    return new Promise((resolve) => { finish = resolve })
  }, never, timers)
  for (let i = 0; i < 10; i++) reread.mark()
  await turn()
  expect(reads).toBe(1)
  for (let i = 0; i < 10; i++) reread.mark()
  await turn()
  finish()
  await turn()
  reread.mark()
  expect([reads, timers.waiting.size]).toEqual([1, 1])
  timers.elapse()
  await turn()
  expect(reads).toBe(2)
  finish()
  await turn()
  timers.elapse()
  await turn()
  expect([reads, timers.waiting.size]).toEqual([2, 0])
})

it('tries again a second after a read was refused, and says why', async () => {
  const timers = makeTimers()
  const problems: string[] = []
  let reads = 0
  const reread = new Reread(() => {
    reads++
    return reads === 1 ? Promise.reject(new TsnatError('refused', { code: 'NETLINK' })) : Promise.resolve()
  }, ({ message }) => problems.push(message), timers)
  reread.mark()
  await turn()
  expect(problems).toEqual(['refused'])
  expect(timers.elapse()).toBe(1000)
  await turn()
  expect([reads, problems.length]).toEqual([2, 1])
})

it('reads no more once it is closed', async () => {
  const timers = makeTimers()
  let reads = 0
  const reread = new Reread(() => Promise.resolve(void reads++), never, timers)
  reread.mark()
  await turn()
  reread.mark()
  reread.close()
  expect(timers.waiting.size).toBe(0)
  reread.mark()
  await turn()
  const other = new Reread(() => Promise.resolve(void reads++), never, timers)
  other.mark()
  other.close()
  await turn()
  expect([reads, timers.waiting.size]).toEqual([1, 0])
})
