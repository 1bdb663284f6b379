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

  it('0 seconds switch it off', () => {
    const hold = new PortHold(0)
    hold.release(ip(E), 17, 40000, ip(A), 5000, 7)
    expect(hold.isFree(ip(E), 17, 40000, ip(B), 1, 7)).toBe(true)
  })
})
