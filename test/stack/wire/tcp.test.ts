import { describe, expect, it } from 'vitest'
import * as tcp from '../../../src/stack/wire/tcp.js'
import { embed, fromHex, toHex, viewOf } from './hex.js'

/** A SYN with MSS 1460, SACK permitted, timestamps, NOP, window scale 7: 40 bytes. */
const SYN = fromHex(`
  d431 0050  9e3779b9  00000000  a002 faf0  fedc 0000
  0204 05b4  0402 080a 12345678 00000000  01 030307`)

const withOptions = (options: string): DataView => {
  const bytes = fromHex(options)
  const segment = new Uint8Array(20 + bytes.length)
  segment.set(bytes, 20)
  return embed(segment, 20)
}

describe('TCP', () => {
  it('reads the fields', () => {
    const view = embed(SYN, 20)
    expect(tcp.sourcePort(view, 20)).toBe(54321)
    expect(tcp.destinationPort(view, 20)).toBe(80)
    expect(tcp.sequence(view, 20)).toBe(0x9e3779b9 | 0)
    expect(tcp.acknowledgment(view, 20)).toBe(0)
    expect(tcp.headerLength(view, 20)).toBe(40)
    expect(tcp.flags(view, 20)).toBe(tcp.SYN)
    expect(tcp.window(view, 20)).toBe(64240)
    expect(tcp.checksum(view, 20)).toBe(0xfedc)
    expect(tcp.urgentPointer(view, 20)).toBe(0)
  })

  it('writes what it reads', () => {
    const bytes = new Uint8Array(20)
    const view = viewOf(bytes)
    tcp.setSourcePort(view, 0, 54321)
    tcp.setDestinationPort(view, 0, 80)
    tcp.setSequence(view, 0, 0x9e3779b9 | 0)
    tcp.setAcknowledgment(view, 0, -2)
    tcp.setHeaderLength(view, 0, 40)
    tcp.setFlags(view, 0, tcp.SYN | tcp.CWR)
    tcp.setWindow(view, 0, 64240)
    tcp.setChecksum(view, 0, 0xfedc)
    tcp.setUrgentPointer(view, 0, 0xabcd)
    expect(toHex(bytes)).toBe(toHex(fromHex('d431 0050 9e3779b9 fffffffe a082 faf0 fedc abcd')))
    expect(view.getUint16(tcp.CHECKSUM_OFFSET)).toBe(0xfedc)
  })

  it('has one bit a flag, in the order of the header', () => {
    expect([tcp.FIN, tcp.SYN, tcp.RST, tcp.PSH, tcp.ACK, tcp.URG, tcp.ECE, tcp.CWR]).toEqual([1, 2, 4, 8, 16, 32, 64, 128])
  })

  it('reads header lengths 0 to 60', () => {
    const bytes = new Uint8Array(20)
    expect(tcp.headerLength(viewOf(bytes), 0)).toBe(0)
    bytes[12] = 0xff
    expect(tcp.headerLength(viewOf(bytes), 0)).toBe(60)
    for (let length = 20; length <= 60; length += 4) {
      tcp.setHeaderLength(viewOf(bytes), 0, length)
      expect(tcp.headerLength(viewOf(bytes), 0)).toBe(length)
    }
  })

  it('finds each option, whatever its alignment', () => {
    const view = embed(SYN, 20)
    expect(tcp.findOption(view, 20, 40, tcp.OPTION_MSS)).toBe(40)
    expect(tcp.findOption(view, 20, 40, tcp.OPTION_SACK_PERMITTED)).toBe(44)
    expect(tcp.findOption(view, 20, 40, tcp.OPTION_TIMESTAMPS)).toBe(46)
    expect(tcp.findOption(view, 20, 40, tcp.OPTION_WINDOW_SCALE)).toBe(57)
    expect(tcp.findOption(view, 20, 40, tcp.OPTION_SACK)).toBe(-1)
    expect(tcp.optionLength(view, 46)).toBe(10)
    expect(tcp.findOption(withOptions('01 01 01 02 04 05b4 00'), 20, 28, tcp.OPTION_MSS)).toBe(43)
  })

  it('finds nothing in a header without options', () => {
    expect(tcp.findOption(embed(SYN, 20), 20, 20, tcp.OPTION_MSS)).toBe(-1)
  })

  it('SOCK-1: survives hostile lengths: 0, 1, beyond the header, missing', () => {
    expect(tcp.findOption(withOptions('0300 0204 05b4 0000'), 20, 28, tcp.OPTION_MSS)).toBe(-1)
    expect(tcp.findOption(withOptions('0301 0204 05b4 0000'), 20, 28, tcp.OPTION_MSS)).toBe(-1)
    expect(tcp.findOption(withOptions('03ff 0204 05b4 0000'), 20, 28, tcp.OPTION_MSS)).toBe(-1)
    expect(tcp.findOption(withOptions('0101 0101 0101 0102'), 20, 28, tcp.OPTION_MSS)).toBe(-1)
    expect(tcp.findOption(withOptions('0101 0101 0101 0204'), 20, 28, tcp.OPTION_MSS)).toBe(-1)
    expect(tcp.findOption(withOptions('0205 05b4'), 20, 24, tcp.OPTION_MSS)).toBe(-1)
  })

  it('finds an MSS option of the wrong length, and says how long', () => {
    const view = withOptions('0202 0101')
    expect(tcp.findOption(view, 20, 24, tcp.OPTION_MSS)).toBe(40)
    expect(tcp.optionLength(view, 40)).toBe(2)
  })

  it('sees nothing behind the end of the list', () => {
    expect(tcp.findOption(withOptions('0000 0204 05b4 0000'), 20, 28, tcp.OPTION_MSS)).toBe(-1)
  })
})
