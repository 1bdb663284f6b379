import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  countPorts, eachPort, formatPorts, intersectPorts, parseKernelPorts, parsePorts, portSet, subtractPorts, unitePorts,
} from '../../src/host/port-set.js'
import type { PortSet } from '../../src/host/port-set.js'

const members = (ports: PortSet): number[] => [...eachPort(ports)]
const anySet = fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 9 })), { maxLength: 12 })
  .map((ranges) => portSet(ranges.map(([first, size]) => ({ first, last: first + size }))))

describe('parsePorts', () => {
  it('reads ports and ranges in any order', () => {
    expect(parsePorts('36864-60999,512-599')).toEqual([{ first: 512, last: 599 }, { first: 36864, last: 60999 }])
    expect(parsePorts('5, 7-8 ,6')).toEqual([{ first: 5, last: 8 }])
    expect(parsePorts('1-65535')).toEqual([{ first: 1, last: 65535 }])
    expect(formatPorts(parsePorts('9,1-3'))).toBe('1-3,9')
  })

  it('refuses everything else, naming it', () => {
    for (const bad of ['', '0', '5-4', '65536', '1-65536', '1,,2', 'http', '1-2-3', '-5', '0x10', '1.5']) {
      expect(() => parsePorts(bad), bad).toThrow(expect.objectContaining({ code: 'BAD_PORTS', exitCode: 64, message: `"${bad}" is not a list of ports` }) as Error)
    }
  })

  it('reads what the kernel prints', () => {
    expect(parseKernelPorts('')).toEqual([])
    expect(parseKernelPorts('\n')).toEqual([])
    expect(parseKernelPorts('0-2,8080\n')).toEqual([{ first: 0, last: 2 }, { first: 8080, last: 8080 }])
  })
})

describe('port sets', () => {
  it('behave as sets of numbers', () => {
    fc.assert(fc.property(anySet, anySet, (a, b) => {
      const [left, right] = [new Set(members(a)), new Set(members(b))]
      const ascending = (ports: Iterable<number>): number[] => [...ports].sort((x, y) => x - y)
      expect(members(unitePorts(a, b))).toEqual(ascending(new Set([...left, ...right])))
      expect(members(subtractPorts(a, b))).toEqual(ascending([...left].filter((port) => !right.has(port))))
      expect(members(intersectPorts(a, b))).toEqual(ascending([...left].filter((port) => right.has(port))))
      expect(countPorts(a)).toBe(left.size)
    }))
  })

  it('have one form, which their text keeps', () => {
    fc.assert(fc.property(anySet, (ports) => {
      expect(parseKernelPorts(formatPorts(ports))).toEqual(ports)
      for (const [i, { first }] of ports.entries()) expect(i === 0 || first > ports[i - 1]!.last + 1).toBe(true)
    }))
  })
})
