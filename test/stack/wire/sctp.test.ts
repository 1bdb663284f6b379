import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as crc32c from '../../../src/stack/wire/crc32c.js'
import * as sctp from '../../../src/stack/wire/sctp.js'
import { fromHex } from './hex.js'

const crc = (bytes: Uint8Array): number => ~crc32c.afterBytes(crc32c.START, new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length) >>> 0
const ascending = Uint8Array.from({ length: 32 }, (_, index) => index)

describe('CRC32c', () => {
  it('is that of RFC 3720 B.4', () => {
    expect(crc(new TextEncoder().encode('123456789'))).toBe(0xe3069283)
    expect(crc(new Uint8Array(32))).toBe(0x8a9136aa)
    expect(crc(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43)
    expect(crc(ascending)).toBe(0x46dd794e)
    expect(crc(ascending.toReversed())).toBe(0x113fdb5c)
  })

  it('passes over zeros, and words, as byte by byte', () => {
    fc.assert(fc.property(fc.integer(), fc.integer({ min: 0, max: 65535 }), (register, count) => {
      expect(crc32c.afterZeros(register, count) | 0).toBe(crc32c.afterBytes(register, new DataView(new ArrayBuffer(count)), 0, count) | 0)
    }), { numRuns: 50 })
    fc.assert(fc.property(fc.integer(), fc.uint8Array({ minLength: 4, maxLength: 4 }), (register, bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset)
      expect(crc32c.afterWord(register, view.getInt32(0))).toBe(crc32c.afterBytes(register, view, 0, 4))
    }))
  })
})

describe('SCTP', () => {
  // INIT from port 5000 to port 80.
  const INIT = fromHex('1388 0050 00000000 00000000 01 00 0014 0000004d 000005dc 0001 0001 00000001')

  it('reads and writes its fields', () => {
    const view = new DataView(INIT.slice().buffer)
    expect([sctp.sourcePort(view, 0), sctp.destinationPort(view, 0), sctp.verificationTag(view, 0)]).toEqual([5000, 80, 0])
    expect([sctp.chunkType(view, 0), sctp.chunkFlags(view, 0), sctp.chunkLength(view, 0)]).toEqual([sctp.INIT, 0, 20])
    sctp.setSourcePort(view, 0, 1)
    sctp.setDestinationPort(view, 0, 2)
    sctp.setVerificationTag(view, 0, 3)
    sctp.setChecksum(view, 0, 0x04030201)
    expect([...new Uint8Array(view.buffer, 0, 12)]).toEqual([0, 1, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4])
    expect(sctp.checksum(view, 0)).toBe(0x04030201)
  })

  it('CSUM-9: a checksum that is changed with the ports is right as before, or wrong by as much', () => {
    fc.assert(fc.property(fc.uint8Array({ minLength: 12, maxLength: 2000 }), fc.integer(), fc.integer(), (bytes, ports, error) => {
      const view = new DataView(bytes.slice().buffer)
      const right = sctp.computeChecksum(view, 0, bytes.length)
      const changed = view.getInt32(0) ^ ports
      view.setInt32(0, ports)
      const after = sctp.computeChecksum(view, 0, bytes.length)
      expect(sctp.updateChecksum(right, changed, bytes.length)).toBe(after)
      expect(sctp.updateChecksum(right ^ error, changed, bytes.length)).toBe(after ^ error)
    }))
  })

  it('does not count the checksum field itself', () => {
    const view = new DataView(INIT.slice().buffer)
    const checksum = sctp.computeChecksum(view, 0, INIT.length)
    sctp.setChecksum(view, 0, 77)
    expect(sctp.computeChecksum(view, 0, INIT.length)).toBe(checksum)
    expect(checksum >>> 0).toBe(crc(INIT))
  })
})
