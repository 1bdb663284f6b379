import { describe, expect, it } from 'vitest'
import * as wire from '../../../src/stack/wire/index.js'

describe('tsnat/wire', () => {
  it('exports one namespace a protocol', () => {
    expect(Object.keys(wire).sort()).toEqual(['address', 'arp', 'checksum', 'crc32c', 'ethernet', 'gre', 'icmp4', 'ipv4', 'pcapng', 'sctp', 'tcp', 'udp', 'udplite', 'vnet'])
    expect(wire.ipv4.PROTOCOL_TCP).toBe(6)
  })
})
