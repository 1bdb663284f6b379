import { describe, expect, it } from 'vitest'
import { chooseSource, type InterfaceAddress } from '../../src/route/source.js'
import { ip } from '../stack/support.js'

const address = (text: string, primary = true): InterfaceAddress => {
  const [host, length] = text.split('/') as [string, string]
  return { address: ip(host), prefixLength: Number(length), primary }
}
const two = [address('198.51.100.2/24'), address('203.0.113.2/28')]

describe('the source of a masqueraded flow', () => {
  it('MASQ-1: is the primary address whose subnet holds the next hop', () => {
    expect(chooseSource(two, ip('198.51.100.1'))).toBe(ip('198.51.100.2'))
    expect(chooseSource(two, ip('203.0.113.14'))).toBe(ip('203.0.113.2'))
    expect(chooseSource(two, ip('203.0.113.17'))).toBe(ip('198.51.100.2'))
  })

  it('MASQ-1: is the first primary address when none holds it, 0 when there is none', () => {
    expect(chooseSource(two, ip('192.0.2.1'))).toBe(ip('198.51.100.2'))
    expect(chooseSource([], ip('192.0.2.1'))).toBe(0)
  })

  it('MASQ-2: is never a secondary one', () => {
    const mixed = [address('203.0.113.3/28', false), address('198.51.100.2/24'), address('203.0.113.2/28')]
    expect(chooseSource(mixed, ip('203.0.113.1'))).toBe(ip('203.0.113.2'))
    expect(chooseSource([address('203.0.113.3/28', false)], ip('203.0.113.1'))).toBe(0)
  })

  it('works with prefixes of 0, 31 and 32', () => {
    expect(chooseSource([address('198.51.100.2/32'), address('203.0.113.2/31')], ip('203.0.113.3'))).toBe(ip('203.0.113.2'))
    expect(chooseSource([address('198.51.100.2/32'), address('203.0.113.2/0')], ip('1.2.3.4'))).toBe(ip('203.0.113.2'))
  })
})
