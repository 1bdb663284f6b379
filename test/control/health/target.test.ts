import { describe, expect, it } from 'vitest'
import { checkTarget, HEALTH_DEFAULTS, verifyCheck } from '../../../src/control/health/index.js'
import type { HealthCheck } from '../../../src/control/health/index.js'
import { TsnatError } from '../../../src/errors.js'
import { parseIpv4 } from '../../../src/stack/wire/address.js'

const address = parseIpv4('192.0.2.1')!
const checkOf = (more: Partial<HealthCheck>): HealthCheck => ({ type: 'icmp', ...HEALTH_DEFAULTS, ...more })
const refusal = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    expect(error).toBeInstanceOf(TsnatError)
    const { code, message, hint, exitCode } = error as TsnatError
    expect(exitCode).toBe(78)
    return `${code}: ${message} (${hint})`
  }
  throw new Error('was not refused')
}

describe('checkTarget', () => {
  it.each([
    [{ type: 'none' }, { type: 'none' }],
    [{ type: 'icmp' }, { type: 'icmp', address: null }],
    [{ type: 'arp', target: '192.0.2.1' }, { type: 'arp', address }],
    [{ type: 'tcp', target: '192.0.2.1:443' }, { type: 'tcp', address, port: 443 }],
    [{ type: 'http', target: 'http://192.0.2.1' }, { type: 'http', address, port: 80, host: '192.0.2.1', path: '/', expect: null }],
    [
      { type: 'http', target: 'http://192.0.2.1:8080/up?deep=1#part', expect: 204 },
      { type: 'http', address, port: 8080, host: '192.0.2.1:8080', path: '/up?deep=1', expect: 204 },
    ],
  ] as [Partial<HealthCheck>, unknown][])('takes %j apart', (more, target) => {
    expect(checkTarget(checkOf(more))).toEqual(target)
  })

  it.each([
    [{ type: 'icmp', target: 'example.org' }, '"example.org" is no target of a health check of type icmp'],
    [{ type: 'arp', target: '224.0.0.1' }, '"224.0.0.1" is no target of a health check of type arp'],
    [{ type: 'icmp', target: '127.0.0.1' }, '"127.0.0.1" is no target'],
    [{ type: 'tcp' }, 'a health check of type tcp needs a target'],
    [{ type: 'tcp', target: '192.0.2.1' }, '"192.0.2.1" is no target of a health check of type tcp'],
    [{ type: 'tcp', target: '192.0.2.1:0' }, '"192.0.2.1:0" is no target'],
    [{ type: 'tcp', target: '192.0.2.1:65536' }, '"192.0.2.1:65536" is no target'],
    [{ type: 'http' }, 'a health check of type http needs a target'],
    [{ type: 'http', target: '192.0.2.1' }, '"192.0.2.1" is no target of a health check of type http'],
    [{ type: 'http', target: 'http://example.org/' }, 'names would be asked of some other link'],
    [{ type: 'http', target: 'https://192.0.2.1/' }, 'https is not checked'],
    [{ type: 'http', target: 'http://user:word@192.0.2.1/' }, 'is no target'],
    [{ type: 'none', target: '192.0.2.1' }, 'of type none has no target'],
    [{ type: 'icmp', expect: 200 }, 'of type icmp has no status to expect'],
    [{ type: 'http', target: 'http://192.0.2.1', expect: 99 }, 'cannot expect status 99'],
    [{ interval: 0 }, 'cannot have interval 0'],
    [{ interval: NaN }, 'cannot have interval NaN'],
    [{ timeout: 4000 }, 'cannot have timeout 4000'],
    [{ fails: 1.5 }, 'cannot have fails 1.5'],
    [{ passes: 0 }, 'cannot have passes 0'],
  ] as [Partial<HealthCheck>, string][])('refuses %j', (more, text) => {
    const said = refusal(() => checkTarget(checkOf(more)))
    expect(said).toMatch(/^HEALTH_CHECK: /)
    expect(said).toContain(text)
  })
})

describe('verifyCheck', () => {
  it('allows what needs no address of the kernel on a link with owned addresses', () => {
    for (const type of ['none', 'icmp', 'arp'] as const) verifyCheck(checkOf({ type }), true)
    verifyCheck(checkOf({ type: 'tcp', target: '192.0.2.1:80' }), false)
  })

  it.each([['tcp', '192.0.2.1:80'], ['http', 'http://192.0.2.1/']] as const)('refuses %s there', (type, target) => {
    expect(refusal(() => verifyCheck(checkOf({ type, target }), true)))
      .toMatch(/^HEALTH_CHECK_OWNED: a link with owned addresses cannot have a health check of type (tcp|http) \(.*arp or icmp/)
  })
})
