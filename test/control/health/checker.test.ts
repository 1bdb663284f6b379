import { beforeEach, describe, expect, it } from 'vitest'
import { HealthChecker } from '../../../src/control/health/index.js'
import type { HealthCheck, ProbeLink } from '../../../src/control/health/index.js'
import { ownNamespace } from '../../../src/host/namespace.js'
import { FakeProbe, FakeTime, HIT, MISS } from './support.js'

const link: ProbeLink = { name: 'eth1', namespace: ownNamespace(), ifindex: () => 7, source: () => 1, gateway: () => 2 }
const check: HealthCheck = { type: 'icmp', interval: 5, timeout: 2, fails: 3, passes: 2 }

let time: FakeTime
let probe: FakeProbe
let changes: [at: number, alive: boolean, reason: string][]
beforeEach(() => {
  time = new FakeTime()
  probe = new FakeProbe(time.clock)
  changes = []
})

/** @param random 0.5 is no jitter */
const checkerOf = (more: Partial<HealthCheck> = {}, random = (): number => 0.5): HealthChecker => new HealthChecker({
  link, check: { ...check, ...more }, probe, random, timers: time.timers, clock: time.clock,
  onChange: (alive, reason) => changes.push([time.clock(), alive, reason]),
})

const started = async (more: Partial<HealthCheck> = {}): Promise<HealthChecker> => {
  const checker = checkerOf(more)
  checker.start()
  await time.advance(0)
  return checker
}

describe('HealthChecker', () => {
  it('starts alive, asks at once and then each interval', async () => {
    const checker = checkerOf()
    expect(checker.state).toEqual({ alive: true, since: 0, error: null, misses: 0, answers: 0, milliseconds: null })
    checker.start()
    await time.advance(16)
    expect(probe.attempts).toEqual([0, 5000, 10_000, 15_000])
    expect(checker.state).toEqual({ alive: true, since: 0, error: null, misses: 0, answers: 4, milliseconds: 3 })
    expect(changes).toEqual([])
  })

  it('is dead after as many misses in a row as asked, and says why', async () => {
    const checker = await started()
    probe.outcome = MISS
    await time.advance(8)
    expect(checker.state).toMatchObject({ alive: true, misses: 2, answers: 0, error: 'no answer from 192.0.2.1', milliseconds: 3 })
    // Once it is in doubt, all that makes it dead fits into one interval.
    await time.advance(1)
    expect(probe.attempts.map((at) => Math.round(at))).toEqual([0, 5000, 6667, 8333])
    expect(changes).toEqual([[probe.attempts[3], false, '3 misses in a row: no answer from 192.0.2.1']])
    expect(checker.state).toMatchObject({ alive: false, misses: 3 })
    await time.advance(30)
    expect(changes).toHaveLength(1)
  })

  it('is alive again after as many answers in a row as asked', async () => {
    probe.outcome = MISS
    const checker = await started({ fails: 1 })
    expect(changes).toEqual([[0, false, '1 miss: no answer from 192.0.2.1']])
    probe.outcome = HIT
    await time.advance(5)
    expect(checker.state).toMatchObject({ alive: false, answers: 1, error: null })
    await time.advance(5)
    expect(changes.slice(1)).toEqual([[10_000, true, '2 answers in a row from 192.0.2.1']])
    expect(checker.state).toMatchObject({ alive: true, since: 10_000, misses: 0 })
  })

  it('stays what it is while a link flaps below the thresholds', async () => {
    const checker = await started()
    for (let round = 0; round < 10; round++) {
      probe.outcome = MISS
      await time.advance(5)
      probe.outcome = HIT
      await time.advance(2)
    }
    expect(checker.state.alive).toBe(true)
    probe.outcome = MISS
    await time.advance(15)
    expect(checker.state.alive).toBe(false)
    for (let round = 0; round < 10; round++) {
      probe.outcome = round % 2 === 0 ? HIT : MISS
      await time.advance(5)
    }
    expect(checker.state.alive).toBe(false)
    expect(changes).toHaveLength(1)
  })

  it('counts an attempt without an answer when its time is over, and goes on at once while in doubt', async () => {
    probe.silent = true
    const checker = await started()
    await time.advance(1.999)
    expect(checker.state.misses).toBe(0)
    await time.advance(0.01)
    expect(checker.state.misses).toBe(1)
    await time.advance(11)
    expect(probe.attempts).toEqual([0, 2001, 4002, 9002])
    expect(changes).toEqual([[6003, false, '3 misses in a row: no answer from 192.0.2.1']])
  })

  it('never makes two attempts at once, however long one takes', async () => {
    probe.silent = true
    await started({ timeout: 12, interval: 5 })
    await time.advance(11)
    expect([probe.attempts.length, probe.open]).toEqual([1, 1])
    await time.advance(2)
    expect(probe.attempts).toEqual([0, 12_001])
    expect(probe.open).toBe(1)
  })

  it('spreads attempts by a tenth of the interval either way', async () => {
    const numbers = [0, 0.999_999, 0.5]
    const checker = checkerOf({ interval: 10 }, () => numbers.shift() ?? 0.5)
    checker.start()
    await time.advance(31)
    expect(probe.attempts.map((at) => Math.round(at))).toEqual([0, 9000, 20_000, 30_000])
  })

  it('stops: what is under way does not count, nothing more is asked, no timer stays', async () => {
    probe.silent = true
    const checker = await started({ fails: 1 })
    checker.stop()
    expect(probe.open).toBe(0)
    await time.advance(60)
    expect([probe.attempts.length, time.pending, changes.length, checker.state.misses]).toEqual([1, 0, 0, 0])
  })

  it('goes on with what it knew when it is started again', async () => {
    probe.outcome = MISS
    const checker = await started({ fails: 2 })
    checker.stop()
    checker.start()
    checker.start()
    await time.advance(0)
    expect(probe.attempts).toEqual([0, 0])
    expect(changes).toHaveLength(1)
    await time.advance(5)
    expect(probe.attempts).toEqual([0, 0, 5000])
  })

  it('asks before its time when hurried, unless an attempt is under way or it is stopped', async () => {
    const checker = await started()
    await time.advance(1)
    checker.hurry()
    await time.advance(5)
    expect(probe.attempts).toEqual([0, 1000, 6000])
    probe.silent = true
    await time.advance(5)
    checker.hurry()
    expect([probe.attempts.length, probe.open]).toEqual([4, 1])
    checker.stop()
    checker.hurry()
    expect(probe.attempts).toHaveLength(4)
  })

  it('may be stopped from its own report', async () => {
    probe.outcome = MISS
    const checker = new HealthChecker({
      link, check: { ...check, fails: 1 }, probe, timers: time.timers, clock: time.clock,
      onChange: () => checker.stop(),
    })
    checker.start()
    await time.advance(60)
    expect([probe.attempts.length, time.pending]).toEqual([1, 0])
  })

  it('asks nobody with type none', async () => {
    const checker = new HealthChecker({
      link, check: { ...check, type: 'none' }, timers: time.timers, clock: time.clock, onChange: () => expect.unreachable(),
    })
    checker.start()
    await time.advance(100)
    expect(time.pending).toBe(0)
    expect(checker.state).toMatchObject({ alive: true, answers: 0 })
    checker.stop()
  })

  it('counts a link without interface, address or gateway as missed, and says so', async () => {
    let [ifindex, source]: [number, number | null] = [0, null]
    const checker = new HealthChecker({
      link: { ...link, ifindex: () => ifindex, source: () => source, gateway: () => null },
      check, timers: time.timers, clock: time.clock, random: () => 0.5, onChange: () => {},
    })
    checker.start()
    await time.advance(0)
    expect(checker.state.error).toBe('there is no interface eth1')
    ifindex = 1
    await time.advance(5)
    expect(checker.state.error).toBe('eth1 has no address')
    source = 1
    await time.advance(5)
    expect(checker.state).toMatchObject({ alive: false, error: 'eth1 has no gateway to ask' })
    checker.stop()
  })
})
