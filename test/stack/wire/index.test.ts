import { describe, expect, it } from 'vitest'
import * as wire from '../../../src/stack/wire/index.js'

describe('tsnat/wire', () => {
  it('exports one namespace a protocol', () => {
    expect(Object.keys(wire).sort()).toEqual(['address', 'arp', 'checksum', 'ethernet', 'icmp4', 'ipv4', 'pcapng', 'tcp', 'udp', 'vnet'])
    expect(wire.ipv4.PROTOCOL_TCP).toBe(6)
  })
})
