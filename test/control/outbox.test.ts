import { expect, it } from 'vitest'
import { Outbox } from '../../src/control/outbox.js'

it('gives what was pushed, in order, and then the end', async () => {
  const out = new Outbox<number>({ limit: 10 })
  const got: number[] = []
  const reading = (async () => { for await (const item of out) got.push(item) })()
  out.push(1)
  out.push(2)
  await expect.poll(() => got).toEqual([1, 2])
  out.push(3)
  out.end()
  expect(out.push(4)).toBe(false)
  await reading
  expect(got).toEqual([1, 2, 3])
})

it('says when it is full, and when there is room again', async () => {
  const out = new Outbox<string>({ limit: 4, cost: ({ length }) => length })
  let rooms = 0
  out.onRoom = () => rooms++
  expect([out.push('ab'), out.isFull, out.push('cd'), out.isFull, out.push('e')]).toEqual([true, false, false, true, false])
  const reader = out[Symbol.asyncIterator]()
  expect((await reader.next()).value).toBe('ab')
  expect([out.isFull, rooms]).toEqual([true, 0])
  expect((await reader.next()).value).toBe('cd')
  expect([out.isFull, rooms]).toEqual([false, 1])
})
