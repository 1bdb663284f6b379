import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IpError, runIp, runIpBatch } from '../../src/policy/iproute/index.js'
import { after, fresh } from '../policy/iproute/support.js'

const word = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(
    'rule', 'route', 'ro', 'add', 'del', 'show', 'flush', 'get', 'change', 'replace', 'append', 'default', '10.0.0.0/8', '10/8', '10.0.0.1/8', '9.9.9.9', 'via', '10.0.0.254', 'dev', 'eth0', 'eth9',
    'table', '100', 'main', 'all', 'metric', '5', 'src', '10.0.0.1', 'nexthop', 'weight', 'onlink', 'mtu', 'lock', '1400', 'scope', 'link', 'proto', 'static', 'tos', '0x10', 'from', 'to', 'iif', 'oif',
    'fwmark', '1/0xff', 'pref', 'not', 'goto', 'nop', 'blackhole', 'throw', 'prohibit', 'unreachable', 'local', 'ipproto', 'tcp', 'sport', 'dport', '80-90', 'suppress_prefixlength', '0', '-j', '-d', '-N', '-o', 'uid',
    'type', 'root', 'match', 'exact', 'lookup', 'mark',
  ) },
  { weight: 1, arbitrary: fc.string({ maxLength: 8 }) },
)
const prefix = fc.constantFrom('default', '10.0.0.0/8', '10.20.0.0/16', '10.20.3.4', '0.0.0.0/1')
const device = fc.constantFrom('eth0', 'eth1', 'tun0')
// Whether other gateways can be reached depends on what else was there at the time.
const onlink = fc.constantFrom('via 10.0.0.254 dev eth0 onlink', 'via 9.9.9.9 dev eth1 onlink')
const option = (text: string): fc.Arbitrary<string> => fc.constantFrom('', ` ${text}`)
const common = fc.tuple(prefix, fc.constantFrom(' table main', ' table 100', ' table 4242'), fc.constantFrom('', ' metric 3', ' tos 0x08')).map((parts) => parts.join(''))
const route = fc.oneof(
  fc.tuple(common, onlink, option('mtu lock 1400'), option('src 10.0.0.1'), option('proto static')).map(([where, gateway, ...rest]) => `route append ${where} ${gateway}${rest.join('')}`),
  fc.tuple(common, device, option('proto bgp')).map(([where, dev, rest]) => `route append ${where} dev ${dev}${rest}`),
  fc.tuple(common, onlink, device).map(([where, gateway, dev]) => `route append ${where} nexthop ${gateway} weight 3 nexthop dev ${dev}`),
  fc.tuple(fc.constantFrom('blackhole', 'throw', 'prohibit', 'unreachable'), common).map(([type, where]) => `route append ${type} ${where}`),
  fc.tuple(common, device).map(([where, dev]) => `route append local ${where} dev ${dev}`),
)
const rule = fc.tuple(
  option('not'), fc.constantFrom(' from all', ' from 10.0.0.0/8'), option('to 9.9.9.9'), option('tos 0x10'), fc.constantFrom('', ' fwmark 0x1', ' fwmark 0x1/0xff', ' fwmark 0/0x4'), option('iif eth0'), option('oif nope'), option('ipproto udp'),
  option('sport 1-9'), option('dport 53'), fc.integer({ min: 1, max: 40_000 }).map((preference) => ` pref ${preference}`),
  fc.constantFrom(' lookup main', ' lookup 100 suppress_prefixlength 8', ' blackhole', ' unreachable', ' prohibit', ' nop', ' goto 50000'), option('proto static'),
).map((parts) => `rule add${parts.join('')}`)

describe('the words of ip', () => {
  it('take any words without more than an error with a place, and change nothing then', () => {
    const state = after(fresh(), 'route add default via 10.0.0.254', 'rule add fwmark 1 table 100')
    fc.assert(fc.property(fc.array(word, { maxLength: 12 }), (words) => {
      const outcome = runIp(state, words)
      for (const error of outcome.errors) expect(error).toBeInstanceOf(IpError)
      if (outcome.errors.length > 0) expect(outcome).toMatchObject({ state, changes: { routes: [], rules: false } })
      expect(outcome.exitCode === 0).toBe(outcome.errors.length === 0)
    }), { numRuns: 3000 })
    fc.assert(fc.property(fc.string({ maxLength: 80 }), (text) => {
      const outcome = runIpBatch(state, text)
      if (outcome.errors.length > 0) expect(outcome.state).toBe(state)
    }), { numRuns: 500 })
  })

  it('read their own listings back as they were', () => {
    fc.assert(fc.property(fc.array(fc.oneof(route, rule), { maxLength: 25 }), (commands) => {
      const { state } = runIpBatch(fresh(), commands.join('\n'), { force: true })
      const routes = runIp(state, ['-o', 'route', 'show', 'table', 'all']).output
      const rules = runIp(state, ['rule']).output
      const lines = [
        // Connected routes are in the listing too; those of the host itself come last there, and sources are checked by them.
        'route flush table main', 'rule flush pref 32766', 'rule flush pref 32767', ...routes.trim().split('\n').filter((line) => !line.includes('table local')).map((line) => `route append ${/\btable\b/.test(line) ? '' : 'table main '}${line}`.replaceAll('\\', ' ')),
        ...rules.trim().split('\n').filter((line) => !line.startsWith('0:')).map((line) => `rule add pref ${line.replace(':', '').replaceAll(/\[\w+\]/g, '')}`),
      ]
      const { state: again, errors } = runIpBatch(fresh(), lines.join('\n'))
      expect(errors).toEqual([])
      expect(runIp(again, ['rule']).output).toBe(rules)
      expect(runIp(again, ['-o', 'route', 'show', 'table', 'all']).output).toBe(routes)
    }), { numRuns: 150 })
  })
})
