import { describe, expect, it } from 'vitest'
import * as ethernet from '../../../src/stack/wire/ethernet.js'
import { embed, fromHex, toHex } from './hex.js'

const HEADER = fromHex('0200 0a00 0002  f2ff 0a00 00fe  0800')

describe('Ethernet', () => {
  it('reads the fields', () => {
    const view = embed(HEADER, 2)
    expect(ethernet.destinationHigh(view, 2)).toBe(0x0200)
    expect(ethernet.destinationLow(view, 2)).toBe(0x0a000002)
    expect(ethernet.sourceHigh(view, 2)).toBe(0xf2ff)
    expect(ethernet.sourceLow(view, 2)).toBe(0x0a0000fe)
    expect(ethernet.type(view, 2)).toBe(ethernet.TYPE_IPV4)
  })

  it('writes what it reads', () => {
    const view = embed(new Uint8Array(ethernet.LENGTH), 2)
    ethernet.write(view, 2, 0x0200, 0x0a000002, 0xf2ff, 0x0a0000fe, ethernet.TYPE_IPV4)
    expect(toHex(new Uint8Array(view.buffer, 2, ethernet.LENGTH))).toBe(toHex(HEADER))
    expect([view.getUint8(1), view.getUint8(16)]).toEqual([0xee, 0xee])
  })

  it('keeps the broadcast address: lower half -1', () => {
    const view = embed(new Uint8Array(ethernet.LENGTH), 0)
    ethernet.write(view, 0, 0xffff, -1, 0, 0, ethernet.TYPE_ARP)
    expect(toHex(new Uint8Array(view.buffer, 0, 6))).toBe('ffffffffffff')
    expect([ethernet.destinationHigh(view, 0), ethernet.destinationLow(view, 0)]).toEqual([0xffff, -1])
  })
})
