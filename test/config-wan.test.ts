/** Several WANs in the configuration. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { loadConfig } from '../src/config-file.js'
import { parseConfig } from '../src/config.js'
import type { Config } from '../src/config.js'
import { ExitCode, TsnatError } from '../src/errors.js'

const folder = mkdtempSync(join(tmpdir(), 'tsnat-config-wan-'))
afterAll(() => rmSync(folder, { recursive: true }))

const failure = (work: () => unknown): TsnatError => {
  try {
    work()
  } catch (error) {
    if (error instanceof TsnatError) return error
    throw error
  }
  throw new Error('did not fail')
}
const fromFile = (text: string): Config => {
  const path = join(folder, 'tsnat.yaml')
  writeFileSync(path, text)
  return loadConfig(path)
}
const PLAIN = { address: 'shared', gateway: null, weight: null, metric: null, check: null }

describe('wan', () => {
  it('is a list of names and mappings', () => {
    const config = fromFile(`
wan:
  - eth0
  - interface: eth1
    address: {owned: [198.51.100.7/24], gateway: 198.51.100.1}
    weight: 3
    metric: 20
  - interface: eth2
    gateway: 192.0.2.1
    check: {type: icmp, interval: 1}
`)
    expect(config.wans).toEqual([
      { ...PLAIN, interface: 'eth0' },
      { ...PLAIN, interface: 'eth1', address: { owned: ['198.51.100.7/24'] }, gateway: '198.51.100.1', weight: 3, metric: 20 },
      { ...PLAIN, interface: 'eth2', gateway: '192.0.2.1', check: { type: 'icmp', interval: 1, timeout: 1.5, fails: 3, passes: 3 } },
    ])
  })

  it('has the address that wanAddress says for its first', () => {
    const { wans } = parseConfig({ wan: ['eth0', 'eth1'], wanAddress: { owned: ['198.51.100.7/24'], gateway: '198.51.100.1' } })
    expect(wans).toEqual([{ ...PLAIN, interface: 'eth0', address: { owned: ['198.51.100.7/24'] }, gateway: '198.51.100.1' }, { ...PLAIN, interface: 'eth1' }])
  })

  it.each([
    [5, 'wan is 5, but must be an interface name, or a list of at most 8 names and mappings'],
    [[], 'wan is [], but must not be an empty list'],
    [['eth0', 5], 'wan.1 is 5, but must be an interface name, or a mapping with the key "interface"'],
    [[{ weight: 1 }], 'wan.0.interface is missing; it must be an interface name'],
    [[{ interface: 'eth0', address: 'mine' }], 'wan.0.address is "mine", but must be "shared" or a mapping with the key "owned"'],
    [[{ interface: 'eth0', gateway: 'router' }], 'wan.0.gateway is "router", but must be an IPv4 address'],
    [[{ interface: 'eth0', weight: 257 }], 'wan.0.weight is 257, but must be a whole number from 1 to 256'],
    [[{ interface: 'eth0', check: { type: 'icmp', interval: 0 } }], 'wan.0.check.interval is 0, but must be a number from 0.1 to 86400'],
    [Array.from({ length: 9 }, (_, n) => `eth${n}`), 'or a list of at most 8 names and mappings'],
  ])('refuses %j', (wan, message) => {
    expect(failure(() => parseConfig({ wan }))).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining(message) as string })
  })

  it('tells the known keys of a mapping, and where the unknown one stands', () => {
    expect(failure(() => fromFile('wan:\n  - eth0\n  - {interface: eth1, wieght: 2}\n'))).toMatchObject({
      message: `${folder}/tsnat.yaml:3:23: wan.1.wieght is not a known key`,
      hint: 'did you mean "weight"? Known here: interface, address, gateway, weight, metric, check', exitCode: ExitCode.config,
    })
    expect(failure(() => fromFile('wan:\n  - eth0\n  - interface: eth1\n    check: {type: ping}\n')).message).toContain('tsnat.yaml:4:13: wan.1.check.type is "ping"')
  })

  const OWNED = { owned: ['198.51.100.7/24'] }
  it.each([
    [{ wan: ['eth0', 'eth0'] }, 'interface "eth0" is a WAN twice'],
    [{ wan: ['eth0', 'tun0'] }, 'lan and wan are both "tun0"'],
    [{ wan: ['eth0', 'eth1'], capture: { iif: ['eth1'] } }, 'capture.iif names "eth1", the WAN itself'],
    [{ wan: [{ interface: 'eth0', address: OWNED }, { interface: 'eth1', address: OWNED }] }, '198.51.100.7/24 is owned on eth0 and on eth1'],
    [{ wan: [{ interface: 'eth0', address: OWNED }], wanAddress: 'shared' }, 'wanAddress and wan.0.address both say the address of eth0'],
    [{ wan: [{ interface: 'eth0', address: { ...OWNED, gateway: '198.51.100.1' }, gateway: '198.51.100.1' }] }, 'two gateways are given for eth0'],
    [{ wan: ['eth0', { interface: 'eth1', address: OWNED }], wanDriver: 'raw' }, 'wanDriver "raw" cannot have an owned address'],
    [{ wan: [{ interface: 'eth1', gateway: '192.0.2.1' }], wanDriver: 'raw' }, 'wanDriver "raw" cannot have a gateway (192.0.2.1)'],
    [{ wan: [{ interface: 'eth0', address: OWNED, check: { type: 'tcp', target: '192.0.2.1:80' } }] }, 'eth0 has owned addresses only, so it cannot be checked by tcp'],
    [{ wan: [{ interface: 'eth0', check: { type: 'tcp' } }] }, 'the tcp check of eth0 has no target'],
    [{ wan: [{ interface: 'eth0', check: { type: 'tcp', target: '192.0.2.1' } }] }, '"192.0.2.1" is no target of the tcp check of eth0'],
    [{ wan: [{ interface: 'eth0', check: { type: 'http', target: 'http://example.com/' } }] }, '"http://example.com/" is no target of the http check of eth0'],
    [{ wan: [{ interface: 'eth0', check: { type: 'icmp', expect: 200 } }] }, 'the icmp check of eth0 expects a status'],
    [
      { wan: [{ interface: 'eth0', address: OWNED }, 'eth1'], nat: { deterministic: { inside: '10.77.0.0/28' } } },
      'deterministic NAT has one WAN, but there are 2',
    ],
  ])('refuses what does not go together: %j', (input, message) => {
    expect(failure(() => parseConfig(input))).toMatchObject({ code: 'CONFIG_CONFLICT', message, exitCode: ExitCode.config })
  })
})
