import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expire } from '../../src/nat/expire.js'
import { allocateFlowTable, FLOW_NEXT, FLOW_PREVIOUS, FLOW_SEEN, FLOW_WORDS, FlowTable, HEADER_CLASSES } from '../../src/nat/flow-table.js'

const TIMEOUTS = Int32Array.of(3, 10, 100)
const KEYS = 40

interface Entry {
  flow: number
  timeoutClass: number
  seen: number
}

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('open' as const), key: fc.nat(KEYS), timeoutClass: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('touch' as const), key: fc.nat(KEYS) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('setClass' as const), key: fc.nat(KEYS), timeoutClass: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('close' as const), key: fc.nat(KEYS) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('giveBack' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.nat(6) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('expire' as const), budget: fc.nat(10) }) },
)

/** A table beside a Map that does the same slowly. The order of the Map is that of last use. */
class Both {
  readonly table: FlowTable
  readonly model = new Map<number, Entry>()
  readonly capacity: number
  now = 0

  constructor(capacity: number, seed: number) {
    this.capacity = capacity
    this.table = new FlowTable(allocateFlowTable(capacity), seed)
  }

  open(key: number, timeoutClass: number): void {
    if (this.model.has(key)) return
    const flow = this.table.take()
    expect(flow < 0).toBe(this.model.size === this.capacity)
    if (flow < 0) return
    this.table.setKey(flow * 2, key, 7, key * 3, 17)
    this.table.setKey(flow * 2 + 1, 7, key, key * 5, 17 | 256)
    this.table.open(flow, timeoutClass, this.now)
    this.model.set(key, { flow, timeoutClass, seen: this.now })
  }

  #renew(key: number, entry: Entry): void {
    this.model.delete(key)
    this.model.set(key, entry)
  }

  touch(key: number): void {
    const entry = this.model.get(key)
    if (entry === undefined) return
    this.table.touch(entry.flow, this.now)
    if (entry.seen !== this.now) this.#renew(key, { ...entry, seen: this.now })
  }

  setClass(key: number, timeoutClass: number): void {
    const entry = this.model.get(key)
    if (entry === undefined) return
    this.table.setClass(entry.flow, timeoutClass, this.now)
    this.#renew(key, { ...entry, timeoutClass, seen: this.now })
  }

  close(key: number): void {
    const entry = this.model.get(key)
    if (entry === undefined) return
    this.table.close(entry.flow)
    this.model.delete(key)
  }

  expire(budget: number): void {
    let left = budget
    for (let timeoutClass = 0; timeoutClass < TIMEOUTS.length; timeoutClass++) {
      for (const [key, entry] of this.model) {
        if (entry.timeoutClass !== timeoutClass || this.now - entry.seen <= TIMEOUTS[timeoutClass]! || left === 0) continue
        this.model.delete(key)
        left--
      }
    }
    expect(expire(this.table, TIMEOUTS, this.now, budget)).toBe(budget - left)
  }

  check(): void {
    const { table, model } = this
    expect(table.count).toBe(model.size)
    for (let key = 0; key <= KEYS; key++) {
      const flow = model.get(key)?.flow
      expect(table.find(key, 7, key * 3, 17)).toBe(flow === undefined ? -1 : flow * 2)
      expect(table.find(7, key, key * 5, 17 | 256)).toBe(flow === undefined ? -1 : flow * 2 + 1)
    }
    for (let timeoutClass = 0; timeoutClass < 3; timeoutClass++) {
      const expected = [...model.values()].filter((entry) => entry.timeoutClass === timeoutClass)
      const found: number[] = []
      let previous = -1
      for (let flow = table.oldest(timeoutClass); flow >= 0; flow = table.flows[flow * FLOW_WORDS + FLOW_NEXT]!) {
        expect(table.flows[flow * FLOW_WORDS + FLOW_PREVIOUS]).toBe(previous)
        expect(table.isLive(flow)).toBe(true)
        previous = flow
        found.push(flow)
      }
      expect(found).toEqual(expected.map(({ flow }) => flow))
      expect(found.map((flow) => table.flows[flow * FLOW_WORDS + FLOW_SEEN])).toEqual(expected.map(({ seen }) => seen))
      expect(table.columns.header[HEADER_CLASSES + timeoutClass]).toBe(expected.length)
    }
  }
}

describe('flow table', () => {
  it('does what a plain Map does, under any sequence of operations', () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 120 }), fc.constantFrom(1, 2, 5, 6, 30), fc.integer(), (steps, capacity, seed) => {
      const both = new Both(capacity, seed)
      for (const one of steps) {
        if (one.do === 'open') both.open(one.key, one.timeoutClass)
        else if (one.do === 'touch') both.touch(one.key)
        else if (one.do === 'setClass') both.setClass(one.key, one.timeoutClass)
        else if (one.do === 'close') both.close(one.key)
        else if (one.do === 'wait') both.now += one.seconds
        else if (one.do === 'expire') both.expire(one.budget)
        else {
          const flow = both.table.take()
          if (flow >= 0) both.table.giveBack(flow)
        }
      }
      both.check()
      both.now += 1000
      both.expire(1000)
      both.check()
      expect(both.table.count).toBe(0)
      expect(both.table.columns.index.every((word) => word === 0)).toBe(true)
    }), { numRuns: 400 })
  })
})
