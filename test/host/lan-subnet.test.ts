import { describe, expect, it } from 'vitest'
import { gatewayAddressOf } from '../../src/host/lan-subnet.js'
import { formatIpv4, parsePrefix } from '../../src/stack/wire/address.js'

const gateway = (text: string): string => {
  const { address, length } = parsePrefix(text)!
  return formatIpv4(gatewayAddressOf(address, length))
}

describe('gatewayAddressOf', () => {
  it('is the first address of the subnet', () => {
    expect(gateway('10.77.0.2/24')).toBe('10.77.0.1')
    expect(gateway('192.168.5.200/16')).toBe('192.168.0.1')
    expect(gateway('198.51.100.6/30')).toBe('198.51.100.5')
    expect(gateway('10.1.1.6/31')).toBe('10.1.1.7')
    expect(gateway('10.1.1.7/31')).toBe('10.1.1.6')
  })

  it('refuses an end that the kernel cannot have', () => {
    const refused = (text: string, why: string): void => {
      expect(() => gateway(text), text).toThrow(expect.objectContaining({ code: 'BAD_LAN_ADDRESS', exitCode: 64, message: `LAN address ${text} ${why}` }) as Error)
    }
    refused('10.77.0.1/24', "is tsnat's own: the first address of the subnet")
    refused('10.77.0.0/24', 'is the subnet itself, not a host')
    refused('10.77.0.255/24', 'is the broadcast address of its subnet')
    refused('10.77.0.2/32', 'leaves no room for two hosts')
  })
})
