import { describe, expect, it } from 'vitest'
import {
  allocateFlowTable, FLOW_SEEN, FLOW_WORDS, FlowColumns, FlowTable, HEADER_CLASSES, HEADER_COUNT, HEADER_NOW, HEADER_OPENED, SIDE_WORDS,
} from '../../src/nat/flow-table.js'

const ZONE = 1 << 8
const LAN = 17
const WAN = 17 | ZONE

/** Opens flow `n`: its keys are made of the number, original and reply. */
const openNth = (table: FlowTable, n: number, timeoutClass = 0, now = 0): number => {
  const flow = table.take()
  if (flow < 0) return flow
  table.setKey(flow * 2, n, 1000, 7, LAN | (1 << 16))
  table.setKey(flow * 2 + 1, 1000, n, 7, WAN)
  table.open(flow, timeoutClass, now)
  return flow
}
const findNth = (table: FlowTable, n: number): number => table.find(n, 1000, 7, LAN)
const findReplyNth = (table: FlowTable, n: number): number => table.find(1000, n, 7, WAN)
const create = (capacity: number, seed = 0x1234): FlowTable => new FlowTable(allocateFlowTable(capacity), seed)

/** The flows of a class, oldest first. */
const inOrder = (table: FlowTable, timeoutClass: number): number[] => {
  const found: number[] = []
  for (let flow = table.oldest(timeoutClass); flow >= 0; flow = table.flows[flow * FLOW_WORDS + 3]!) found.push(flow)
  return found
}

describe('flow table', () => {
  it('finds both sides of an open flow and nothing else', () => {
    const table = create(10)
    expect(findNth(table, 1)).toBe(-1)
    const flow = openNth(table, 1)
    expect(findNth(table, 1)).toBe(flow * 2)
    expect(findReplyNth(table, 1)).toBe(flow * 2 + 1)
    expect(table.find(2, 1000, 7, LAN)).toBe(-1)
    expect(table.find(1, 1001, 7, LAN)).toBe(-1)
    expect(table.find(1, 1000, 8, LAN)).toBe(-1)
    expect(table.find(1, 1000, 7, 6)).toBe(-1)
    expect(table.find(1, 1000, 7, WAN)).toBe(-1)
  })

  it('leaves the egress out of the key', () => {
    const table = create(4)
    const flow = openNth(table, 1)
    expect(table.zoneOf(flow * 2)).toBe(0)
    expect(table.egressOf(flow * 2)).toBe(1)
    expect(table.zoneOf(flow * 2 + 1)).toBe(1)
    expect(table.egressOf(flow * 2 + 1)).toBe(0)
  })

  it('takes no more flows than it has room for, and those again that were closed', () => {
    const table = create(3)
    const flows = [1, 2, 3].map((n) => openNth(table, n))
    expect(flows).toEqual([0, 1, 2])
    expect(table.take()).toBe(-1)
    expect(table.count).toBe(3)
    table.close(1)
    expect(table.count).toBe(2)
    expect(findNth(table, 2)).toBe(-1)
    expect(findReplyNth(table, 2)).toBe(-1)
    expect(openNth(table, 4)).toBe(1)
    expect(findNth(table, 4)).toBe(2)
    expect(table.take()).toBe(-1)
    expect(table.used).toBe(3)
  })

  it('hands out zeroed columns, but for the generation', () => {
    const table = create(2)
    const flow = openNth(table, 1, 3, 99)
    table.setEvents(flow, 0xffff)
    table.flows[flow * FLOW_WORDS + 4] = 42
    table.bytes[flow * 2 * 4 + 3] = 1e12
    table.close(flow)
    expect(table.take()).toBe(flow)
    expect([...table.flows.subarray(flow * FLOW_WORDS, flow * FLOW_WORDS + 7)]).toEqual([0, 0, 0, 0, 0, 0, 0])
    expect([...table.sides.subarray(flow * 2 * SIDE_WORDS, (flow + 1) * 2 * SIDE_WORDS)]).toEqual(new Array(16).fill(0))
    expect(table.generationOf(flow)).toBe(2)
  })

  it('puts a flow back that was taken and not opened', () => {
    const table = create(1)
    table.giveBack(table.take())
    expect(table.count).toBe(0)
    expect(openNth(table, 1)).toBe(0)
  })

  it('has odd generations for live flows, another at each opening', () => {
    const table = create(2)
    const seen: number[] = []
    for (let n = 0; n < 5; n++) {
      const flow = openNth(table, n)
      expect(table.isLive(flow)).toBe(true)
      seen.push(table.generationOf(flow))
      table.close(flow)
      expect(table.isLive(flow)).toBe(false)
    }
    expect(seen).toEqual([1, 3, 5, 7, 9])
  })

  it('keeps a class in the order of use', () => {
    const table = create(10)
    const flows = [1, 2, 3].map((n) => openNth(table, n, 2, 10))
    expect(inOrder(table, 2)).toEqual(flows)
    table.touch(flows[0]!, 11)
    expect(inOrder(table, 2)).toEqual([flows[1], flows[2], flows[0]])
    table.touch(flows[2]!, 12)
    expect(inOrder(table, 2)).toEqual([flows[1], flows[0], flows[2]])
    table.touch(flows[2]!, 13)
    expect(inOrder(table, 2)).toEqual([flows[1], flows[0], flows[2]])
    expect(table.flows[flows[2]! * FLOW_WORDS + FLOW_SEEN]).toBe(13)
    table.close(flows[0]!)
    expect(inOrder(table, 2)).toEqual([flows[1], flows[2]])
  })

  it('does not move a flow within one second', () => {
    const table = create(10)
    const flows = [1, 2].map((n) => openNth(table, n, 0, 10))
    table.touch(flows[0]!, 10)
    expect(inOrder(table, 0)).toEqual(flows)
  })

  it('moves a flow to another class as its youngest, keeping its events', () => {
    const table = create(10)
    const flows = [1, 2, 3].map((n) => openNth(table, n, 1, 5))
    table.setEvents(flows[1]!, 0xabcd)
    openNth(table, 4, 2, 5)
    table.setClass(flows[1]!, 2, 9)
    expect(table.classOf(flows[1]!)).toBe(2)
    expect(table.eventsOf(flows[1]!)).toBe(0xabcd)
    expect(inOrder(table, 1)).toEqual([flows[0], flows[2]])
    expect(inOrder(table, 2)).toEqual([3, flows[1]])
    expect(table.flows[flows[1]! * FLOW_WORDS + FLOW_SEEN]).toBe(9)
    table.setClass(flows[0]!, 2, 9)
    table.setClass(flows[2]!, 2, 9)
    expect(table.oldest(1)).toBe(-1)
    expect(inOrder(table, 2)).toEqual([3, flows[1], flows[0], flows[2]])
  })

  it('counts for readers in another thread', () => {
    const memory = allocateFlowTable(10)
    const table = new FlowTable(memory, 1)
    const reader = new FlowColumns(memory)
    openNth(table, 1, 4)
    openNth(table, 2, 4)
    table.close(0)
    table.setNow(77)
    table.countExpired()
    expect(reader.header[HEADER_COUNT]).toBe(1)
    expect(reader.header[HEADER_OPENED]).toBe(2)
    expect(reader.header[HEADER_CLASSES + 4]).toBe(1)
    expect(reader.header[HEADER_NOW]).toBe(77)
    expect(reader.header[2]).toBe(1)
  })

  it('finds everything that remains when runs of colliding keys are thinned out in any order', () => {
    // A table of one flow has 16 slots; one of 5 has 16 too. Many seeds make every shape of run, also round the end.
    for (let seed = 0; seed < 300; seed++) {
      const table = create(6, seed)
      const flows = new Map([1, 2, 3, 4, 5, 6].map((n) => [n, openNth(table, n + seed * 10)]))
      const order = [...flows.keys()].sort((a, b) => ((a * 7 + seed) % 11) - ((b * 7 + seed) % 11))
      for (const gone of order) {
        table.close(flows.get(gone)!)
        flows.delete(gone)
        expect(findNth(table, gone + seed * 10)).toBe(-1)
        for (const [n, flow] of flows) {
          expect(findNth(table, n + seed * 10)).toBe(flow * 2)
          expect(findReplyNth(table, n + seed * 10)).toBe(flow * 2 + 1)
        }
      }
      expect(table.columns.index.every((word) => word === 0)).toBe(true)
    }
  })

  it('tells keys apart whose slots look alike', () => {
    // A slot holds 14 bits of a hash here, so that among so many some pass for others.
    const flows = 120_000
    const table = create(flows)
    for (let n = 0; n < flows; n++) openNth(table, n)
    for (let n = 0; n < flows; n++) {
      expect(findNth(table, n)).toBe(n * 2)
      expect(findReplyNth(table, n)).toBe(n * 2 + 1)
      expect(findNth(table, flows + n)).toBe(-1)
    }
  })

  it('spreads keys that differ in few bits', () => {
    const table = create(4096)
    for (let n = 0; n < 4096; n++) openNth(table, 0x0a000000 + n)
    const { index } = table.columns
    const slots = index.length
    let longest = 0
    let run = 0
    for (let slot = 0; slot < slots; slot++) {
      run = index[slot] === 0 ? 0 : run + 1
      longest = Math.max(longest, run)
    }
    // Half full: with a good hash, linear probing makes no run much longer than this.
    expect(longest).toBeLessThan(120)
  })

  it('sizes its index for at most three quarters', () => {
    for (const capacity of [1, 6, 7, 1000, 65536]) {
      const { slots } = allocateFlowTable(capacity)
      expect(slots & (slots - 1)).toBe(0)
      expect(capacity * 2).toBeLessThanOrEqual(slots * 0.75)
    }
  })

  it('needs no more than 192 bytes a flow at sizes whose index is well used', () => {
    const { buffer } = allocateFlowTable(1_000_000)
    expect(buffer.byteLength / 1_000_000).toBeLessThan(192)
  })
})
