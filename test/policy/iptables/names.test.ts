import { describe, expect, it } from 'vitest'
import { parseServices, protocolName, protocolNumber, serviceName, servicePort } from '../../../src/policy/iptables/names.js'

describe('names', () => {
  it('reads the names, aliases and comments of a services file', () => {
    const { portOf, nameOf } = parseServices('# all\nhttp\t80/tcp\twww www-http # web\nhttp 80/udp\nbad line\nhuge 70000/tcp\ndomain 53/udp\n')
    expect([...portOf]).toEqual([['http', 80], ['www', 80], ['www-http', 80], ['domain', 53]])
    expect([...nameOf]).toEqual([['80/tcp', 'http'], ['80/udp', 'http'], ['53/udp', 'domain']])
  })

  it('knows services both ways, and gives numbers for what has no name', () => {
    expect(servicePort('ssh')).toBe(22)
    expect(servicePort('no such service')).toBeUndefined()
    expect(serviceName(53, 'udp')).toBe('domain')
    expect(serviceName(64999, 'tcp')).toBe('64999')
  })

  it('knows protocols in any case, prints one name for each, and numbers for the rest', () => {
    expect(protocolNumber('TCP')).toBe(6)
    expect(protocolNumber('ipv6-icmp')).toBe(58)
    expect(protocolName(58)).toBe('ipv6-icmp')
    expect(protocolName(0)).toBe('all')
    expect(protocolName(200)).toBe('200')
  })
})
