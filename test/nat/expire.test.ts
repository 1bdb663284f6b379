import { describe, expect, it } from 'vitest'
import { closeAddresses, expire } from '../../src/nat/expire.js'
import { allocateFlowTable, FlowTable } from '../../src/nat/flow-table.js'

const TIMEOUTS = Int32Array.of(10, 100)

const setUp = (opened: readonly { n: number; timeoutClass: number; now: number }[]): FlowTable => {
  const table = new FlowTable(allocateFlowTable(100), 5)
  for (const { n, timeoutClass, now } of opened) {
    const flow = table.take()
    table.setKey(flow * 2, n + 10, 1, 1, 17)
    table.setKey(flow * 2 + 1, 1, n % 2, n, 17 | 256)
    table.open(flow, timeoutClass, now)
  }
  return table
}

describe('expire', () => {
  it('closes a flow when more than its idle time has passed, not before', () => {
    const table = setUp([{ n: 1, timeoutClass: 0, now: 50 }, { n: 2, timeoutClass: 1, now: 50 }])
    expect(expire(table, TIMEOUTS, 60, 99)).toBe(0)
    expect(expire(table, TIMEOUTS, 61, 99)).toBe(1)
    expect(expire(table, TIMEOUTS, 150, 99)).toBe(0)
    expect(expire(table, TIMEOUTS, 151, 99)).toBe(1)
    expect(table.count).toBe(0)
    expect(table.columns.header[2]).toBe(2)
  })

  it('closes the oldest first and no more than the budget, over all classes', () => {
    const table = setUp([
      { n: 1, timeoutClass: 0, now: 0 }, { n: 2, timeoutClass: 0, now: 1 }, { n: 3, timeoutClass: 1, now: 0 }, { n: 4, timeoutClass: 1, now: 1 },
    ])
    expect(expire(table, TIMEOUTS, 1000, 1)).toBe(1)
    expect([0, 1, 2, 3].map((flow) => table.isLive(flow))).toEqual([false, true, true, true])
    expect(expire(table, TIMEOUTS, 1000, 2)).toBe(2)
    expect([0, 1, 2, 3].map((flow) => table.isLive(flow))).toEqual([false, false, false, true])
    expect(expire(table, TIMEOUTS, 1000, 2)).toBe(1)
    expect(expire(table, TIMEOUTS, 1000, 2)).toBe(0)
  })

  it('stops at the first that still has time', () => {
    const table = setUp([{ n: 1, timeoutClass: 0, now: 0 }, { n: 2, timeoutClass: 0, now: 100 }])
    table.touch(0, 100)
    expect(expire(table, TIMEOUTS, 105, 99)).toBe(0)
    expect(expire(table, TIMEOUTS, 111, 99)).toBe(2)
  })
})

describe('closeAddresses', () => {
  it('closes the flows of external addresses that are gone', () => {
    const table = setUp([1, 2, 3, 4].map((n) => ({ n, timeoutClass: 0, now: 0 })))
    expect(closeAddresses(table, new Set([7]))).toBe(0)
    expect(closeAddresses(table, new Set([1]))).toBe(2)
    expect([0, 1, 2, 3].map((flow) => table.isLive(flow))).toEqual([false, true, false, true])
    expect(closeAddresses(table, new Set([0, 1]))).toBe(2)
    expect(table.count).toBe(0)
  })
})
