import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { senderOf, UDP_HEADER, wrapDatagram } from '../../src/redirect/udp-header.js'

describe('the header of a relayed datagram', () => {
  it('is that of RFC 1928 7', () => {
    const wrapped = wrapDatagram({ address: '192.0.2.1', port: 0x1234 }, Buffer.from('data'))
    expect(wrapped.toString('hex')).toBe(`00000001${'c0000201'}1234${Buffer.from('data').toString('hex')}`)
  })

  it('is read as it was written', () => {
    fc.assert(fc.property(fc.ipV4(), fc.integer({ min: 1, max: 65535 }), fc.uint8Array({ maxLength: 2000 }), (address, port, data) => {
      const wrapped = wrapDatagram({ address, port }, data)
      expect(senderOf(wrapped)).toEqual({ address, port })
      expect(new Uint8Array(wrapped.subarray(UDP_HEADER))).toEqual(data)
    }))
  })

  it.each([
    ['too short', '00000001c00002'],
    ['empty', ''],
    ['a fragment', '00000101c000020100350000'],
    ['an IPv6 address', '00000004c0000201003500000000000000000000000000000000'],
    ['a name', '000000030161003500'],
    ['port 0', '00000001c00002010000'],
  ])('is not taken when it is %s', (_, hex) => {
    expect(senderOf(Buffer.from(hex, 'hex'))).toBeNull()
  })
})
