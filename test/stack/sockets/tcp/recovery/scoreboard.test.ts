import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Scoreboard } from '../../../../../src/stack/sockets/tcp/recovery/scoreboard.js'
import { IN_FLIGHT, LOST, SACKED } from '../../../../../src/stack/sockets/tcp/recovery/sent.js'

const INITIAL = 0x7fffff00
const at = (offset: number) => (INITIAL + offset) | 0

/** Records as [start, end, state], from 0 on. */
const shown = (board: Scoreboard) => [...board.records()].map((each) => [(each.start - INITIAL) | 0, (each.end - INITIAL) | 0, each.state])

const byTime = (board: Scoreboard) => {
  const all: number[] = []
  for (let record = board.oldest; record !== null; record = record.later) all.push((record.start - INITIAL) | 0)
  return all
}

describe('Scoreboard', () => {
  it('splits what left at once where blocks end, and joins blocks', () => {
    const board = new Scoreboard(INITIAL)
    board.append(at(10_000), 1)
    board.begin()
    expect(board.sack(at(2000), at(4000))).toBe(2000)
    expect(board.sack(at(6000), at(8000))).toBe(2000)
    expect(shown(board)).toEqual([
      [0, 2000, IN_FLIGHT], [2000, 4000, SACKED], [4000, 6000, IN_FLIGHT], [6000, 8000, SACKED], [8000, 10_000, IN_FLIGHT],
    ])
    expect(board.sack(at(3000), at(7000))).toBe(2000)
    expect(shown(board)).toEqual([[0, 2000, IN_FLIGHT], [2000, 8000, SACKED], [8000, 10_000, IN_FLIGHT]])
    expect(board.sack(at(2000), at(8000))).toBe(0)
    expect([board.pipe, board.sacked, board.delivered]).toEqual([4000, 6000, 6000])
    expect(byTime(board)).toEqual([0, 8000])
  })

  it('gives out what is lost from the lowest on, neighbours together, and not more than a superpacket', () => {
    const board = new Scoreboard(INITIAL)
    const range = { start: 0, end: 0 }
    for (let i = 1; i <= 40; i++) board.append(at(i * 5000), i)
    expect(board.nextLost(range)).toBe(false)
    board.sack(at(10_000), at(15_000))
    board.loseAll(false)
    expect(board.nextLost(range)).toBe(true)
    expect([(range.start - INITIAL) | 0, (range.end - INITIAL) | 0]).toEqual([0, 10_000])
    board.resent(range.start, at(3000), 50)
    board.resent(at(3000), at(10_000), 51)
    expect(board.nextLost(range)).toBe(true)
    expect((range.start - INITIAL) | 0).toBe(15_000)
    expect((range.end - range.start) | 0).toBeLessThanOrEqual(65_535 - 60)
    expect(byTime(board)).toEqual([0, 3000, 5000])
  })

  it('counts few records for many sends: those of a millisecond, and of a block, are one', () => {
    const board = new Scoreboard(INITIAL)
    for (let i = 1; i <= 1000; i++) board.append(at(i * 1448), 7 + i / 2000)
    expect(board.size).toBe(1)
    for (let i = 1; i < 999; i++) board.sack(at(i * 1448), at((i + 1) * 1448))
    expect(board.size).toBe(3)
  })

  it('is an array of bytes with a state each, whatever happens', () => {
    const part = fc.double({ min: 0, max: 1, noNaN: true })
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('append' as const), length: fc.integer({ min: 1, max: 60 }) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('sack' as const), from: part, to: part }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('acknowledge' as const), to: part }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('lose' as const), oldest: fc.nat(3) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('resend' as const), part }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('loseFirst' as const), length: fc.integer({ min: 1, max: 50 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('loseAll' as const), forget: fc.boolean() }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('recall' as const) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), time: fc.nat(5) }) },
    )
    fc.assert(fc.property(fc.integer(), fc.array(step, { maxLength: 80 }), (initial, steps) => {
      const board = new Scoreboard(initial)
      const states: number[] = []
      const range = { start: 0, end: 0 }
      let una = 0
      let now = 0
      const seq = (offset: number) => (initial + offset) | 0
      const offset = (value: number) => (value - initial) | 0
      const count = (state: number) => states.slice(una).filter((each) => each === state).length
      for (const each of steps) {
        const before = states.slice(una).filter((state) => state === SACKED).length
        const outstanding = states.length - una
        board.begin()
        if (each.kind === 'append') {
          states.push(...new Array<number>(each.length).fill(IN_FLIGHT))
          board.append(seq(states.length), now)
        } else if (each.kind === 'sack' && outstanding > 2) {
          const edges = [each.from, each.to].map((value) => una + 1 + Math.floor(value * (outstanding - 1))).sort((a, b) => a - b)
          if (edges[0] === edges[1]) continue
          states.fill(SACKED, edges[0], edges[1])
          expect(board.sack(seq(edges[0]!), seq(edges[1]!))).toBe(count(SACKED) - before)
          expect(board.delivered).toBe(count(SACKED) - before)
        } else if (each.kind === 'acknowledge') {
          const to = una + Math.floor(each.to * outstanding)
          const news = states.slice(una, to).filter((state) => state !== SACKED).length
          expect(board.acknowledge(seq(to))).toBe(to - una)
          expect(board.delivered).toBe(news)
          una = to
        } else if (each.kind === 'lose') {
          let record = board.oldest
          for (let i = 0; i < each.oldest && record !== null; i++) record = record.later
          if (record === null) continue
          states.fill(LOST, offset(record.start), offset(record.end))
          board.lose(record)
        } else if (each.kind === 'loseFirst') {
          if (states[una] === IN_FLIGHT) {
            const end = offset(board.first!.end)
            states.fill(LOST, una, Math.min(una + each.length, end))
          }
          board.loseFirst(each.length)
        } else if (each.kind === 'loseAll') {
          for (let i = una; i < states.length; i++) if (each.forget || states[i] === IN_FLIGHT) states[i] = LOST
          board.loseAll(each.forget)
        } else if (each.kind === 'recall') {
          for (let i = una; i < states.length; i++) if (states[i] === LOST) states[i] = IN_FLIGHT
          board.recall()
        } else if (each.kind === 'resend') {
          const first = states.indexOf(LOST, una)
          expect(board.nextLost(range)).toBe(first >= 0)
          if (first < 0) continue
          expect(offset(range.start)).toBe(first)
          const length = 1 + Math.floor(each.part * (((range.end - range.start) | 0) - 1))
          board.resent(range.start, (range.start + length) | 0, now)
          states.fill(IN_FLIGHT, first, first + length)
        } else if (each.kind === 'wait') now += each.time
        const records = [...board.records()]
        let position = una
        for (const [i, record] of records.entries()) {
          expect(offset(record.start)).toBe(position)
          expect(offset(record.end)).toBeGreaterThan(position)
          expect(new Set(states.slice(position, offset(record.end)))).toEqual(new Set([record.state]))
          if (i > 0 && record.state === SACKED) expect(records[i - 1]!.state).not.toBe(SACKED)
          position = offset(record.end)
        }
        expect(position).toBe(states.length)
        expect([board.pipe, board.lost, board.sacked]).toEqual([count(IN_FLIGHT), count(LOST), count(SACKED)])
        expect([offset(board.una), offset(board.nxt)]).toEqual([una, states.length])
        const listed = new Set<unknown>()
        for (let record = board.oldest; record !== null; record = record.later) listed.add(record)
        expect(listed).toEqual(new Set(records.filter((record) => record.state === IN_FLIGHT)))
      }
    }), { numRuns: 400 })
  })
})
