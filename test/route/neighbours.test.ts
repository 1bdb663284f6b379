import { describe, expect, it } from 'vitest'
import { FAILED, NeighbourTable, REACHABLE, UNRESOLVED } from '../../src/route/neighbours.js'

const setUp = () => {
  const asked: number[] = []
  return { asked, table: new NeighbourTable((address) => asked.push(address)) }
}

describe('neighbours', () => {
  it('gives each address one index; 0 needs no address', () => {
    const { table } = setUp()
    expect(table.isReachable(0)).toBe(true)
    const one = table.indexOf(100)
    expect(one).toBeGreaterThan(0)
    expect(table.indexOf(200)).not.toBe(one)
    expect(table.indexOf(100)).toBe(one)
    expect(table.isReachable(one)).toBe(false)
  })

  it('asks once a second, until the answer comes', () => {
    const { asked, table } = setUp()
    const index = table.indexOf(100)
    expect(table.request(index, 5000)).toBe(UNRESOLVED)
    expect(table.request(index, 5999)).toBe(UNRESOLVED)
    expect(asked).toEqual([100])
    table.request(index, 6000)
    expect(asked).toEqual([100, 100])
    expect(table.learn(100, 0x1234, -5)).toBe(index)
    expect(table.isReachable(index)).toBe(true)
    expect([table.high[index], table.low[index]]).toEqual([0x1234, -5])
  })

  it('takes a new Ethernet address of a neighbour it knows, and none of a stranger', () => {
    const { table } = setUp()
    const index = table.indexOf(100)
    table.learn(100, 1, 1)
    expect(table.learn(100, 2, 2)).toBe(index)
    expect(table.high[index]).toBe(2)
    expect(table.learn(300, 1, 1)).toBe(-1)
    expect(table.fail(300, 0)).toBe(-1)
  })

  it('asks again for one that failed, after a second', () => {
    const { asked, table } = setUp()
    const index = table.indexOf(100)
    table.request(index, 0)
    expect(table.fail(100, 3000)).toBe(index)
    expect(table.request(index, 3500)).toBe(FAILED)
    expect(asked).toHaveLength(1)
    expect(table.request(index, 4000)).toBe(UNRESOLVED)
    expect(asked).toHaveLength(2)
  })

  it('lets those fail that get no answer at all, oldest first, however often they are asked for', () => {
    const { table } = setUp()
    const [one, two, three] = [100, 200, 300].map((address) => table.indexOf(address)) as [number, number, number]
    table.request(one, 0)
    table.request(two, 1000)
    table.request(three, 1000)
    for (let now = 0; now < 5000; now += 500) table.request(one, now)
    expect(table.failOverdue(4999)).toBe(0)
    table.learn(200, 1, 1)
    expect(table.failOverdue(5000)).toBe(one)
    expect(table.request(one, 5000)).toBe(FAILED)
    expect(table.failOverdue(5000)).toBe(0)
    expect(table.failOverdue(6000)).toBe(three)
    expect(table.failOverdue(60_000)).toBe(0)
    expect(table.isReachable(two)).toBe(true)
    expect(table.request(two, 0)).toBe(REACHABLE)
  })

  it('forgets every Ethernet address, but not who waits for an answer', () => {
    const { asked, table } = setUp()
    const [one, two] = [table.indexOf(100), table.indexOf(200)]
    table.learn(100, 1, 1)
    table.request(two, 0)
    table.forgetAll()
    expect(table.isReachable(0)).toBe(true)
    expect(table.isReachable(one)).toBe(false)
    expect(table.request(one, 100)).toBe(UNRESOLVED)
    expect(asked).toEqual([200, 100])
    expect(table.failOverdue(5000)).toBe(two)
  })

  it('gives out no more than 65535 indices', () => {
    const { table } = setUp()
    let last = 0
    for (let address = 1; address <= 65535; address++) last = table.indexOf(address)
    expect(last).toBe(65535)
    expect(table.indexOf(70_000)).toBe(-1)
    expect(table.indexOf(5)).toBe(5)
  })
})
