import { describe, expect, it } from 'vitest'
import { hasSourceRoute, keepCopiedOptions } from '../../src/stack/ip-options.js'

const header = (...options: number[]): DataView => {
  const bytes = new Uint8Array(80).fill(0xee)
  bytes.set(options, 30)
  return new DataView(bytes.buffer)
}
const kept = (...options: number[]): number[] => {
  const view = header(...options)
  const length = keepCopiedOptions(view, 10, 20 + options.length)
  expect(view.getUint8(10)).toBe(0x40 | (length / 4))
  return [...new Uint8Array(view.buffer, 30, length - 20)]
}

describe('IP options', () => {
  it('FRG-8: keeps those with the copy bit, padded', () => {
    expect(kept()).toEqual([])
    expect(kept(7, 7, 4, 0, 0, 0, 0, 0)).toEqual([])
    expect(kept(148, 4, 0, 0)).toEqual([148, 4, 0, 0])
    expect(kept(7, 3, 4, 148, 4, 0, 0, 0)).toEqual([148, 4, 0, 0])
    expect(kept(1, 1, 131, 3, 4, 1, 7, 3, 4, 136, 4, 9, 9, 0, 0, 0)).toEqual([131, 3, 4, 136, 4, 9, 9, 0])
  })

  it('gives up at what cannot be read', () => {
    expect(kept(0, 148, 4, 0)).toEqual([])
    expect(kept(148, 4, 1, 1, 148, 0, 1, 1)).toEqual([148, 4, 1, 1])
    expect(kept(148, 1, 1, 1)).toEqual([])
    expect(kept(148, 5, 1, 1)).toEqual([])
    expect(kept(1, 1, 1, 148)).toEqual([])
  })

  it('finds a source route only where options are', () => {
    expect(hasSourceRoute(header(1, 131, 3, 4), 10, 24)).toBe(true)
    expect(hasSourceRoute(header(1, 137, 3, 4), 10, 24)).toBe(true)
    expect(hasSourceRoute(header(1, 1, 1, 1, 131, 3, 4, 0), 10, 24)).toBe(false)
    expect(hasSourceRoute(header(148, 4, 131, 131), 10, 24)).toBe(false)
    expect(hasSourceRoute(header(148, 1, 131, 131), 10, 24)).toBe(false)
  })
})
