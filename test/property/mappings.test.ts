import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ADDRESS_AND_PORT_DEPENDENT, ADDRESS_DEPENDENT, ENDPOINT_INDEPENDENT } from '../../src/nat/behaviour.js'
import { allocateFlowTable, FlowTable } from '../../src/nat/flow-table.js'
import { Mappings } from '../../src/nat/mappings.js'
import { EVENT_REPLIED } from '../../src/nat/flow-table.js'

const UDP = 17
const OUTSIDE = 0xcb007101 | 0
const HOSTS = 3
const REMOTES = 3
const PORTS = 3

/** A flow as the model has it. Its key is unique among live flows. */
interface Member {
  readonly flow: number
  readonly key: string
  readonly remote: number
  readonly fromOutside: boolean
  answered: boolean
  /** Counts for address dependent filtering when it is held. */
  listed: boolean
}

interface Mapping {
  readonly host: number
  /** The remote that the mapping is for: its address, address and port, or '' for all. Known as long as the inside has a flow to it. */
  readonly scope: string
  readonly port: number
  readonly members: Set<Member>
}

const isHeld = ({ fromOutside, answered }: Member): boolean => !fromOutside || answered

/** Mappings beside sets that say the same. All flows have one behaviour. */
class Both {
  readonly table: FlowTable
  readonly mappings: Mappings
  readonly model = new Set<Mapping>()
  readonly mapping: number
  readonly filtering: number
  readonly ended: number[] = []
  #nextPort = 40_000

  constructor(mapping: number, filtering: number, capacity: number, seed: number) {
    this.table = new FlowTable(allocateFlowTable(capacity), seed)
    this.mappings = new Mappings(this.table, seed)
    this.mapping = mapping
    this.filtering = filtering
    this.table.onClose = (flow) => {
      if (this.mappings.remove(flow)) this.ended.push(flow)
    }
  }

  get members(): Member[] {
    return [...this.model].flatMap(({ members }) => [...members])
  }

  scopeOf(remote: number, port: number): string {
    if (this.mapping === ENDPOINT_INDEPENDENT) return ''
    return this.mapping === ADDRESS_DEPENDENT ? `${remote}` : `${remote}:${port}`
  }

  ownerOf(flow: number): Mapping | undefined {
    return [...this.model].find(({ members }) => [...members].some((member) => member.flow === flow))
  }

  fromInside(host: number, remote: number, port: number): void {
    const key = `${host} ${remote}:${port}`
    if (this.members.some((member) => member.key === key)) return
    const scope = this.scopeOf(remote, port)
    const known = [...this.model].find((one) => one.host === host && one.scope === scope && (scope === '' || [...one.members].some((member) => !member.fromOutside)))
    const sibling = this.mappings.findInside(host, remote, (5000 << 16) | port, UDP, this.mapping)
    if (this.mapping === ADDRESS_AND_PORT_DEPENDENT) expect(sibling).toBe(-1)
    else expect(sibling < 0 ? undefined : this.ownerOf(sibling)).toBe(known)
    const flow = this.table.take()
    if (flow < 0) return
    const mapping = sibling < 0 ? { host, scope, port: this.#nextPort++, members: new Set<Member>() } : known!
    this.model.add(mapping)
    this.table.setKey(flow * 2, host, remote, (5000 << 16) | port, UDP | (1 << 16))
    this.table.setKey(flow * 2 + 1, remote, OUTSIDE, (port << 16) | mapping.port, UDP | (1 << 8))
    this.table.open(flow, 0, 0)
    this.mappings.add(flow, sibling, this.mapping | (this.filtering << 2), false)
    mapping.members.add({ flow, key, remote, fromOutside: false, answered: false, listed: true })
  }

  fromOutside(choice: number, remote: number, port: number): void {
    const all = [...this.model]
    const mapping = all[choice % Math.max(1, all.length)]
    if (mapping === undefined) return
    const key = `${mapping.host} ${remote}:${port}`
    if (this.members.some((member) => member.key === key)) return
    const sibling = this.mappings.findOutside(OUTSIDE, mapping.port, UDP)
    expect(this.ownerOf(sibling)).toBe(mapping)
    const flow = this.table.take()
    if (flow < 0) return
    this.table.setKey(flow * 2, remote, OUTSIDE, (port << 16) | mapping.port, UDP | (1 << 8))
    this.table.setKey(flow * 2 + 1, mapping.host, remote, (5000 << 16) | port, UDP | (1 << 16))
    this.table.open(flow, 0, 0)
    this.mappings.add(flow, sibling, this.mappings.behaviourOf(sibling), true)
    mapping.members.add({ flow, key, remote, fromOutside: true, answered: false, listed: [...mapping.members].some((member) => member.remote === remote && member.listed) })
  }

  answer(choice: number): void {
    const member = this.members[choice % Math.max(1, this.members.length)]
    if (member === undefined) return
    member.answered = true
    this.table.setEvents(member.flow, EVENT_REPLIED)
  }

  close(choice: number): void {
    const member = this.members[choice % Math.max(1, this.members.length)]
    if (member === undefined) return
    const mapping = this.ownerOf(member.flow)!
    mapping.members.delete(member)
    const others = [...mapping.members].filter((other) => other.remote === member.remote)
    if (!others.some((other) => other.listed && isHeld(other))) for (const other of others) other.listed = false
    const isOver = ![...mapping.members].some(isHeld)
    if (isOver) this.model.delete(mapping)
    const ended = this.ended.length
    this.table.close(member.flow)
    expect(this.ended.slice(ended)).toEqual(isOver ? [member.flow] : [])
    if (isOver) for (const { flow } of mapping.members) expect(this.table.isLive(flow)).toBe(false)
  }

  check(): void {
    expect(this.table.count).toBe(this.members.length)
    for (const mapping of this.model) {
      expect(this.ownerOf(this.mappings.findOutside(OUTSIDE, mapping.port, UDP))).toBe(mapping)
      for (let remote = 0; remote < REMOTES; remote++) {
        const isKnown = [...mapping.members].some((member) => member.remote === remote && member.listed && isHeld(member))
        const expected = this.filtering === ENDPOINT_INDEPENDENT || (this.filtering === ADDRESS_DEPENDENT && isKnown)
        expect(this.mappings.admits(this.mappings.findOutside(OUTSIDE, mapping.port, UDP), remote)).toBe(expected)
      }
    }
    expect(this.mappings.findOutside(OUTSIDE, this.#nextPort, UDP)).toBe(-1)
    expect(this.mappings.findOutside(OUTSIDE, 40_000, 6)).toBe(-1)
  }
}

const host = fc.nat(HOSTS - 1)
const remote = fc.nat(REMOTES - 1)
const port = fc.nat(PORTS - 1)
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('inside' as const), host, remote, port }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('outside' as const), choice: fc.nat(), remote, port }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('answer' as const), choice: fc.nat() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('close' as const), choice: fc.nat() }) },
)

const mappingWords = fc.constantFrom(ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT)
const dependence = fc.constantFrom(ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT)

describe('mappings', () => {
  it('do what sets of flows do, under any sequence of flows opened and closed', () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 100 }), mappingWords, dependence, fc.constantFrom(1, 3, 30), fc.integer(), (steps, mapping, filtering, capacity, seed) => {
      const both = new Both(mapping, filtering, capacity, seed)
      for (const one of steps) {
        if (one.do === 'inside') both.fromInside(one.host, one.remote, one.port)
        else if (one.do === 'outside') both.fromOutside(one.choice, one.remote, one.port)
        else if (one.do === 'answer') both.answer(one.choice)
        else both.close(one.choice)
        both.check()
      }
      while (both.members.length > 0) both.close(0)
      expect(both.mappings.countEntries()).toBe(0)
    }), { numRuns: 1500 })
  })
})
