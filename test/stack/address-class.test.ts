import { describe, expect, it } from 'vitest'
import { isInvalidDestination, isInvalidSource } from '../../src/stack/address-class.js'
import { ip } from './support.js'

describe('addresses that no packet may have', () => {
  it('RTR-9: 0/8, 127/8, multicast, 240/4, broadcast', () => {
    for (const text of ['0.0.0.0', '0.255.255.255', '127.0.0.1', '127.255.255.255', '224.0.0.0', '239.255.255.255', '240.0.0.1', '255.255.255.255']) {
      expect(isInvalidSource(ip(text))).toBe(true)
      expect(isInvalidDestination(ip(text))).toBe(true)
    }
  })

  it('none of the others, documentation and benchmark ranges among them', () => {
    for (const text of ['1.0.0.0', '10.0.0.1', '100.64.0.1', '126.255.255.255', '128.0.0.0', '169.254.1.1', '192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '223.255.255.255']) {
      expect(isInvalidSource(ip(text))).toBe(false)
      expect(isInvalidDestination(ip(text))).toBe(false)
    }
  })
})
