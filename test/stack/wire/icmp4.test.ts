import { describe, expect, it } from 'vitest'
import * as icmp4 from '../../../src/stack/wire/icmp4.js'
import { embed, fromHex, toHex, viewOf } from './hex.js'

const ECHO = fromHex('0800 fedc 1234 0007')
const TOO_BIG = fromHex('0304 fedc 0000 0578')

describe('ICMP', () => {
  it('reads an echo request', () => {
    const view = embed(ECHO, 20)
    expect(icmp4.type(view, 20)).toBe(icmp4.ECHO_REQUEST)
    expect(icmp4.code(view, 20)).toBe(0)
    expect(icmp4.checksum(view, 20)).toBe(0xfedc)
    expect(icmp4.identifier(view, 20)).toBe(0x1234)
    expect(icmp4.sequence(view, 20)).toBe(7)
  })

  it('reads fragmentation needed', () => {
    const view = embed(TOO_BIG, 20)
    expect(icmp4.type(view, 20)).toBe(icmp4.UNREACHABLE)
    expect(icmp4.code(view, 20)).toBe(icmp4.CODE_FRAGMENTATION_NEEDED)
    expect(icmp4.mtu(view, 20)).toBe(1400)
  })

  it('writes what it reads', () => {
    const bytes = new Uint8Array(8)
    const view = viewOf(bytes)
    icmp4.setType(view, 0, icmp4.ECHO_REQUEST)
    icmp4.setChecksum(view, 0, 0xfedc)
    icmp4.setIdentifier(view, 0, 0x1234)
    icmp4.setSequence(view, 0, 7)
    expect(toHex(bytes)).toBe(toHex(ECHO))
    icmp4.setType(view, 0, icmp4.UNREACHABLE)
    icmp4.setCode(view, 0, icmp4.CODE_FRAGMENTATION_NEEDED)
    icmp4.setIdentifier(view, 0, 0)
    icmp4.setMtu(view, 0, 1400)
    expect(toHex(bytes)).toBe(toHex(TOO_BIG))
    expect(view.getUint16(icmp4.CHECKSUM_OFFSET)).toBe(0xfedc)
  })

  it('tells errors, queries and requests apart, for every type', () => {
    const types = Array.from({ length: 256 }, (_, type) => type)
    expect(types.filter(icmp4.isError)).toEqual([3, 4, 5, 11, 12])
    expect(types.filter(icmp4.isQuery)).toEqual([0, 8, 13, 14])
    expect(types.filter(icmp4.isRequest)).toEqual([8, 13])
  })
})
