import { describe, expect, it } from 'vitest'
import { formatIpv4, formatMac, formatPrefix, maskOf, parseIpv4, parseMac, parsePrefix } from '../../../src/stack/wire/address.js'

describe('IPv4 addresses as text', () => {
  it.each([
    ['0.0.0.0', 0],
    ['10.0.0.1', 0x0a000001],
    ['127.255.255.255', 0x7fffffff],
    ['128.0.0.0', -0x80000000],
    ['198.51.100.10', 0xc633640a | 0],
    ['255.255.255.255', -1],
  ])('%s is %i', (text, value) => {
    expect(parseIpv4(text)).toBe(value)
    expect(formatIpv4(value)).toBe(text)
    expect(formatIpv4(value >>> 0)).toBe(text)
  })

  const malformed = ['1.2.3', '1.2.3.4.5', '1.2.3.256', '1.2.3.-4', '01.2.3.4', '1..3.4', '0x1.2.3.4', '1,2,3,4', '16909060']
  it.each(['', ...malformed, '1.2.3.4 ', ' 1.2.3.4', '1.2.3.4\n', '1.2.3.4/8', '::1'])('refuses %j', (text) => {
    expect(parseIpv4(text)).toBeNull()
  })
})

describe('prefixes', () => {
  it('reads address, length and mask, and keeps the host bits', () => {
    expect(parsePrefix('10.0.0.0/8')).toEqual({ address: 0x0a000000, length: 8, mask: 0xff000000 | 0 })
    expect(parsePrefix('10.77.0.2/24')).toEqual({ address: 0x0a4d0002, length: 24, mask: 0xffffff00 | 0 })
    expect(parsePrefix('0.0.0.0/0')).toEqual({ address: 0, length: 0, mask: 0 })
    expect(parsePrefix('203.0.113.1/32')).toEqual({ address: 0xcb007101 | 0, length: 32, mask: -1 })
  })

  const badLength = ['10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/08', '10.0.0.0/-1', '10.0.0.0/8 ', '10.0.0.0/8/8']
  it.each([...badLength, '10.0.0/8', '/8', 'x/8', '256.0.0.0/8'])('refuses %j', (text) => {
    expect(parsePrefix(text)).toBeNull()
  })

  it('writes them', () => {
    expect(formatPrefix(0x0a000000, 8)).toBe('10.0.0.0/8')
  })

  it('has masks for all lengths', () => {
    const masks = Array.from({ length: 33 }, (_, length) => maskOf(length) >>> 0)
    expect(masks).toEqual(masks.map((_, length) => 2 ** 32 - 2 ** (32 - length)))
  })
})

describe('MAC addresses as text', () => {
  it.each([
    ['02:00:0a:00:00:fe', 0x0200, 0x0a0000fe],
    ['ff:ff:ff:ff:ff:ff', 0xffff, -1],
    ['00:01:80:00:00:00', 1, -0x80000000],
  ])('%s', (text, high, low) => {
    expect(parseMac(text)).toEqual({ high, low })
    expect(parseMac(text.toUpperCase())).toEqual({ high, low })
    expect(formatMac(high, low)).toBe(text)
  })

  const otherStyle = ['2:0:a:0:0:fe', '02-00-0a-00-00-fe', '0200.0a00.00fe']
  it.each(['', ...otherStyle, '02:00:0a:00:00', '02:00:0a:00:00:fe:00', '02:00:0a:00:00:fg', '02:00:0a:00:00:fe\n'])('refuses %j', (text) => {
    expect(parseMac(text)).toBeNull()
  })
})
