import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { allocateFlowTable, FlowTable } from '../../src/nat/flow-table.js'
import { SharedEndpoints } from '../../src/nat/shared-endpoints.js'

const UDP = 17

describe('shared endpoints', () => {
  it('tell the newest flow of an inside endpoint, under any sequence of flows opened and closed', () => {
    const step = fc.record({ opens: fc.boolean(), host: fc.integer({ min: 1, max: 3 }), isOwn: fc.boolean(), choice: fc.nat(40) })
    fc.assert(fc.property(fc.array(step, { maxLength: 80 }), fc.integer(), (steps, seed) => {
      const table = new FlowTable(allocateFlowTable(100), seed)
      const shared = new SharedEndpoints(table, seed)
      // Oldest first; those that are members.
      const members: { flow: number; host: number }[] = []
      const all: { flow: number; host: number }[] = []
      let remote = 0
      for (const { opens, host, isOwn, choice } of steps) {
        if (opens) {
          const flow = table.take()
          table.setKey(flow * 2, host, ++remote, (5000 << 16) | 53, UDP)
          table.setKey(flow * 2 + 1, remote, 1, (53 << 16) | 5000, UDP | 0x100)
          table.open(flow, 0, 0)
          shared.add(flow, isOwn)
          all.push({ flow, host })
          if (!isOwn || members.some((member) => member.host === host)) members.push({ flow, host })
        } else if (all.length > 0) {
          const { flow } = all.splice(choice % all.length, 1)[0]!
          shared.remove(flow)
          table.close(flow)
          const place = members.findIndex((member) => member.flow === flow)
          if (place >= 0) members.splice(place, 1)
        }
        for (const one of [1, 2, 3]) expect(shared.newest(one, 5000, UDP)).toBe(members.findLast((member) => member.host === one)?.flow ?? -1)
        expect(shared.newest(1, 5001, UDP)).toBe(-1)
        expect(shared.newest(1, 5000, 6)).toBe(-1)
        expect(shared.count).toBe(members.length)
      }
    }), { numRuns: 500 })
  })

  it('nothing is stored while every flow has its own port', () => {
    const table = new FlowTable(allocateFlowTable(10), 1)
    const shared = new SharedEndpoints(table, 1)
    for (let flow = 0; flow < 5; flow++) shared.add(table.take(), true)
    expect([shared.count, shared.newest(0, 0, 0)]).toEqual([0, -1])
  })
})
