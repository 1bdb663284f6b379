import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PortHold } from '../../src/nat/port-hold.js'
import { A, B, E, ip } from '../stack/support.js'

const OTHER = '203.0.113.2'

describe('port hold', () => {
  it('CGN-8 (REQ-8): a port rests for its time, but not for its last owner', () => {
    const hold = new PortHold(120)
    hold.release(ip(E), 17, 40000, ip(A), 5000, 1000)
    const free = (host: string, port: number, now: number): boolean => hold.isFree(ip(E), 17, 40000, ip(host), port, now)
    expect([1000, 1119, 1120].map((now) => free(B, 5000, now))).toEqual([false, false, true])
    expect(free(A, 5000, 1001)).toBe(true)
    expect(free(A, 5001, 1001)).toBe(false)
  })

  it('concerns that address, protocol and port', () => {
    const hold = new PortHold(120)
    hold.release(ip(E), 17, 40000, ip(A), 5000, 0)
    expect(hold.isFree(ip(OTHER), 17, 40000, ip(B), 1, 0)).toBe(true)
    expect(hold.isFree(ip(E), 1, 40000, ip(B), 1, 0)).toBe(true)
    expect(hold.isFree(ip(E), 17, 40001, ip(B), 1, 0)).toBe(true)
    expect(hold.isFree(ip(E), 17, 40000, ip(B), 1, 0)).toBe(false)
  })

  it('holds every port of every address, the last owner counts', () => {
    const hold = new PortHold(10)
    for (const external of [E, OTHER, '0.0.0.1', '255.255.255.254']) {
      for (const port of [1, 65535]) {
        hold.release(ip(external), 17, port, ip(A), 1, 0)
        hold.release(ip(external), 17, port, ip(B), 65535, 5)
        expect(hold.isFree(ip(external), 17, port, ip(A), 1, 14)).toBe(false)
        expect(hold.isFree(ip(external), 17, port, ip(B), 65535, 14)).toBe(true)
        expect(hold.isFree(ip(external), 17, port, ip(A), 1, 15)).toBe(true)
      }
    }
  })

  it('CGN-8: of more than may rest, the one that rests longest is anybody\'s', () => {
    const hold = new PortHold(120, 3)
    const resting = (now: number): number[] => [1, 2, 3, 4, 5, 6].filter((port) => !hold.isFree(ip(E), 17, port, ip(B), 1, now))
    for (const port of [1, 2, 3]) hold.release(ip(E), 17, port, ip(A), port, port)
    expect(resting(3)).toEqual([1, 2, 3])
    // Its owner had it again, and gives it up again: it rests anew.
    hold.release(ip(E), 17, 1, ip(A), 1, 4)
    expect(resting(4)).toEqual([1, 2, 3])
    hold.release(ip(E), 17, 4, ip(A), 4, 5)
    expect(resting(5)).toEqual([1, 3, 4])
    hold.release(ip(E), 17, 5, ip(A), 5, 6)
    expect(resting(6)).toEqual([1, 4, 5])
    expect(resting(124)).toEqual([4, 5])
    hold.release(ip(E), 17, 6, ip(A), 6, 200)
    expect(resting(200)).toEqual([6])
    const none = new PortHold(120, 0)
    none.release(ip(E), 17, 1, ip(A), 1, 0)
    expect(none.isFree(ip(E), 17, 1, ip(B), 1, 0)).toBe(true)
  })

  it('agrees with a list of releases, under any sequence of them', () => {
    fc.assert(fc.property(fc.array(fc.record({ port: fc.integer({ min: 1, max: 12 }), host: fc.constantFrom(A, B), pause: fc.integer({ min: 0, max: 4 }) }), { minLength: 5, maxLength: 60 }), (steps) => {
      const hold = new PortHold(10, 12)
      const last = new Map<number, { host: string; until: number }>()
      let now = 0
      for (const { port, host, pause } of steps) {
        now += pause
        hold.release(ip(E), 17, port, ip(host), 7, now)
        last.set(port, { host, until: now + 10 })
        for (let one = 1; one <= 12; one++) {
          const known = last.get(one)
          const isFree = known === undefined || known.until <= now || known.host === B
          expect(hold.isFree(ip(E), 17, one, ip(B), 7, now)).toBe(isFree)
        }
      }
    }), { numRuns: 300 })
  })

  it('0 seconds switch it off', () => {
    const hold = new PortHold(0)
    hold.release(ip(E), 17, 40000, ip(A), 5000, 7)
    expect(hold.isFree(ip(E), 17, 40000, ip(B), 1, 7)).toBe(true)
  })
})
