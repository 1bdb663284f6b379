import { describe, expect, it } from 'vitest'
import * as udp from '../../../src/stack/wire/udp.js'
import { embed, fromHex, toHex, viewOf } from './hex.js'

const HEADER = fromHex('d431 0035 001d fedc')

describe('UDP', () => {
  it('reads the fields', () => {
    const view = embed(HEADER, 20)
    expect(udp.sourcePort(view, 20)).toBe(54321)
    expect(udp.destinationPort(view, 20)).toBe(53)
    expect(udp.length(view, 20)).toBe(29)
    expect(udp.checksum(view, 20)).toBe(0xfedc)
  })

  it('writes what it reads', () => {
    const bytes = new Uint8Array(udp.HEADER)
    const view = viewOf(bytes)
    udp.setSourcePort(view, 0, 54321)
    udp.setDestinationPort(view, 0, 53)
    udp.setLength(view, 0, 29)
    udp.setChecksum(view, 0, 0xfedc)
    expect(toHex(bytes)).toBe(toHex(HEADER))
    expect(view.getUint16(udp.CHECKSUM_OFFSET)).toBe(0xfedc)
  })
})
