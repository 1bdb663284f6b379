import { describe, expect, it } from 'vitest'
import * as udplite from '../../../src/stack/wire/udplite.js'

describe('UDP-Lite', () => {
  const at = (coverage: number, checksum = 1): DataView => {
    const view = new DataView(new ArrayBuffer(8))
    udplite.setSourcePort(view, 0, 5000)
    udplite.setDestinationPort(view, 0, 53)
    udplite.setCoverage(view, 0, coverage)
    udplite.setChecksum(view, 0, checksum)
    return view
  }

  it('reads and writes its fields', () => {
    const view = at(8, 0x1234)
    expect([...new Uint8Array(view.buffer)]).toEqual([0x13, 0x88, 0, 53, 0, 8, 0x12, 0x34])
    expect([udplite.sourcePort(view, 0), udplite.destinationPort(view, 0), udplite.coverage(view, 0), udplite.checksum(view, 0)]).toEqual([5000, 53, 8, 0x1234])
  })

  it('covers its header at least, or all, and always has a checksum (RFC 3828 3.1)', () => {
    const valid = [0, 1, 7, 8, 20, 21, 65535].filter((coverage) => udplite.isValid(at(coverage), 0, 20))
    expect(valid).toEqual([0, 8, 20])
    expect(udplite.isValid(at(1000), 0, Infinity)).toBe(true)
    expect(udplite.isValid(at(8, 0), 0, 20)).toBe(false)
  })
})
