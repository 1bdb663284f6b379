import { describe, expect, it } from 'vitest'
import * as pcapng from '../../../src/stack/wire/pcapng.js'
import { fromHex, toHex } from './hex.js'

const expectBytes = (bytes: Uint8Array, hex: string): void => expect(toHex(bytes)).toBe(toHex(fromHex(hex)))

describe('pcapng', () => {
  it('writes a section header without options', () => {
    expectBytes(pcapng.sectionHeader({}), '0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000')
  })

  it('writes a section header with options, each padded to 4', () => {
    expectBytes(
      pcapng.sectionHeader({ hardware: 'x86', os: 'Linux', application: 'tsnat 0.1.0' }),
      `0a0d0d0a 44000000 4d3c2b1a 0100 0000 ffffffffffffffff
       0200 0300 78383600
       0300 0500 4c696e75 78000000
       0400 0b00 74736e61 7420302e 312e3000
       0000 0000 44000000`,
    )
  })

  it('writes an interface', () => {
    expectBytes(
      pcapng.interfaceDescription({ name: 'tun0', linkType: pcapng.LINKTYPE_RAW, snapLength: 65535 }),
      '01000000 28000000 6500 0000 ffff0000 0200 0400 74756e30 0900 0100 06000000 0000 0000 28000000',
    )
  })

  it('writes a packet with its direction, and a time that needs both halves', () => {
    // 2^32 * 3 + 5 microseconds
    expectBytes(
      pcapng.enhancedPacket({
        interfaceId: 1,
        timestamp: 3 * 2 ** 32 + 5,
        direction: 'out',
        originalLength: 1500,
        bytes: fromHex('4500000501'),
      }),
      `06000000 34000000 01000000 03000000 05000000 05000000 dc050000 45000005 01000000
       0200 0400 02000000 0000 0000 34000000`,
    )
  })

  it('writes a packet with the number of those missed before it', () => {
    expectBytes(
      pcapng.enhancedPacket({ interfaceId: 0, timestamp: 7.9, direction: 'in', originalLength: 1, bytes: fromHex('45'), dropped: 258 }),
      `06000000 3c000000 00000000 00000000 07000000 01000000 01000000 45000000
       0200 0400 01000000 0400 0800 0201000000000000 0000 0000 3c000000`,
    )
  })

  it('writes a packet without options', () => {
    expectBytes(
      pcapng.enhancedPacket({ interfaceId: 0, timestamp: 0, originalLength: 0, bytes: new Uint8Array(0), dropped: 0 }),
      '06000000 20000000 00000000 00000000 00000000 00000000 00000000 20000000',
    )
  })

  it('writes a packet with comments', () => {
    expectBytes(
      pcapng.enhancedPacket({ interfaceId: 0, timestamp: 0, direction: 'in', originalLength: 0, bytes: new Uint8Array(0), comments: ['é: ', 'ab'] }),
      `06000000 3c000000 00000000 00000000 00000000 00000000 00000000
       0100 0400 c3a93a20 0100 0200 61620000 0200 0400 01000000 0000 0000 3c000000`,
    )
  })

  it('writes statistics', () => {
    expectBytes(
      pcapng.interfaceStatistics({ interfaceId: 1, timestamp: 5, received: 10, dropped: 3 }),
      `05000000 34000000 01000000 00000000 05000000
       0400 0800 0a00000000000000 0500 0800 0300000000000000 0000 0000 34000000`,
    )
  })
})
