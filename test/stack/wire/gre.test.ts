import { describe, expect, it } from 'vitest'
import * as gre from '../../../src/stack/wire/gre.js'

describe('GRE', () => {
  it('reads and writes its fields', () => {
    const view = new DataView(Uint8Array.of(0x30, 0x01, 0x88, 0x0b).buffer)
    expect(gre.flags(view, 0)).toBe(gre.FLAG_KEY | gre.FLAG_SEQUENCE | 1)
    expect([gre.version(view, 0), gre.protocol(view, 0)]).toEqual([1, 0x880b])
    gre.setFlags(view, 0, gre.FLAG_CHECKSUM)
    gre.setProtocol(view, 0, 0x0800)
    expect([...new Uint8Array(view.buffer)]).toEqual([0x80, 0, 8, 0])
  })
})
