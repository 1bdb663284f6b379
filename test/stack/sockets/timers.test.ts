import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Timer, Timers } from '../../../src/stack/sockets/timers.js'

describe('Timers', () => {
  it('fires what is due, in the order of time, once', () => {
    const timers = new Timers(1000)
    const fired: string[] = []
    const add = (name: string, at: number) => new Timer(timers, () => fired.push(name)).set(at)
    add('hour', 1000 + 3_600_000)
    add('second', 2000)
    add('soon', 1003)
    add('over', 900)
    expect(timers.next).toBe(1001)
    timers.advance(1002)
    expect(fired).toEqual(['over'])
    timers.advance(2000)
    expect(fired).toEqual(['over', 'soon', 'second'])
    timers.advance(1000 + 3_599_999)
    expect(fired).toHaveLength(3)
    timers.advance(1000 + 3_600_000)
    expect(fired).toEqual(['over', 'soon', 'second', 'hour'])
    expect(timers.next).toBe(Infinity)
  })

  it('fires nothing that was cleared, and what was moved at its last time', () => {
    const timers = new Timers(0)
    const fired: number[] = []
    const cleared = new Timer(timers, () => fired.push(-1))
    const later = new Timer(timers, () => fired.push(timers.now))
    const earlier = new Timer(timers, () => fired.push(timers.now))
    cleared.set(10)
    later.set(10)
    earlier.set(1000)
    cleared.clear()
    later.set(500)
    earlier.set(5)
    for (let now = 1; now <= 1200; now++) timers.advance(now)
    expect(fired).toEqual([5, 500])
    expect([cleared.due, later.due, earlier.due]).toEqual([Infinity, Infinity, Infinity])
  })

  it('lets a timer that fires set, and clear, itself and others', () => {
    const timers = new Timers(0)
    const fired: string[] = []
    const victim = new Timer(timers, () => fired.push('victim'))
    const again: Timer = new Timer(timers, () => {
      fired.push(`again ${timers.now}`)
      victim.clear()
      if (fired.length < 4) again.set(timers.now)
    })
    victim.set(7)
    again.set(7)
    for (let now = 1; now <= 20; now++) timers.advance(now)
    expect(fired).toEqual(['again 7', 'again 8', 'again 9', 'again 10'])
  })

  it('holds deadlines further ahead than its wheel reaches', () => {
    const timers = new Timers(0.5)
    let fired = 0
    new Timer(timers, () => fired++).set(40 * 86_400_000)
    for (let now = timers.next; now < 40 * 86_400_000; now = timers.next) {
      timers.advance(now)
      expect(fired).toBe(0)
    }
    timers.advance(40 * 86_400_000)
    expect(fired).toBe(1)
  })

  it('does what a list of deadlines does, whatever is set, cleared and passed over', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('set' as const), timer: fc.nat(7), in: fc.oneof(fc.nat(40), fc.nat(5000), fc.nat(2 ** 31), fc.double({ min: 0, max: 2000, noNaN: true })) }),
      fc.record({ kind: fc.constant('clear' as const), timer: fc.nat(7) }),
      fc.record({ kind: fc.constant('pass' as const), time: fc.oneof(fc.nat(50), fc.nat(4000), fc.nat(2 ** 30)) }),
      fc.record({ kind: fc.constant('next' as const) }),
    )
    fc.assert(fc.property(fc.nat(2 ** 31), fc.array(step, { maxLength: 60 }), (start, steps) => {
      let now = start
      const timers = new Timers(now)
      const due = new Array<number>(8).fill(Infinity)
      const fired: number[] = []
      const all = due.map((_, i) => new Timer(timers, () => {
        fired.push(Math.ceil(due[i]!))
        expect(due[i]).toBeLessThanOrEqual(now)
        due[i] = Infinity
      }))
      for (const each of steps) {
        if (each.kind === 'set') {
          due[each.timer] = now + each.in
          all[each.timer]!.set(now + each.in)
        } else if (each.kind === 'clear') {
          due[each.timer] = Infinity
          all[each.timer]!.clear()
        } else {
          const first = Math.min(...due)
          expect(timers.next).toBeLessThanOrEqual(Math.max(Math.floor(now) + 1, Math.ceil(first)))
          expect(timers.next).toBeGreaterThan(now)
          if (each.kind === 'next' && timers.next === Infinity) continue
          now = each.kind === 'next' ? timers.next : now + each.time
          fired.length = 0
          // What was set to a time already over fires with the next millisecond, which `pass 0` does not reach.
          const expected = due.filter((at) => at <= now).length
          const before = timers.now
          timers.advance(now)
          if (Math.floor(now) > Math.floor(before)) expect(fired).toHaveLength(expected)
          expect(fired).toEqual([...fired].sort((a, b) => a - b))
        }
        for (const [i, timer] of all.entries()) expect(timer.due).toBe(due[i])
      }
    }), { numRuns: 300 })
  })
})
