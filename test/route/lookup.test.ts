import { describe, expect, it } from 'vitest'
import { DeadHops } from '../../src/route/hops.js'
import type { RouteStep } from '../../src/route/lookup.js'
import { RouteLookup, RouteResult } from '../../src/route/lookup.js'
import type { Rule } from '../../src/route/rules.js'
import { defaultRules, readyRules } from '../../src/route/rules.js'
import { RouteTables } from '../../src/route/tables.js'
import type { PrefixRoutes } from '../../src/route/types.js'
import { icmpCodeOf, RouteError, RouteType, Scope } from '../../src/route/types.js'
import { formatIpv4 } from '../../src/stack/wire/address.js'
import { hopVia, ip, keyOf, prefixOf, routeOf, ruleOf } from './support.js'

const dead = new DeadHops()
const lookupOf = (rules: readonly Rule[], prefixes: readonly PrefixRoutes[]): RouteLookup => {
  const tables = new RouteTables()
  for (const prefix of prefixes) tables.set(prefix)
  return new RouteLookup(readyRules(rules, () => 0), tables, dead, 1)
}

const result = new RouteResult()
/** The gateway that is found, or the error. */
const ask = (lookup: RouteLookup, key: Parameters<typeof keyOf>[0]): string | number => {
  const error = lookup.lookup(keyOf(key), result)
  if (error !== RouteError.none) return error
  return result.gateway === null ? 'link' : formatIpv4(result.gateway)
}

const via = (gateway: string, device = 2) => routeOf({ hops: [hopVia(gateway, device)] })

describe('RouteLookup', () => {
  it('tells all about the way it found', () => {
    const lookup = lookupOf(defaultRules(), [prefixOf('10.0.0.0/8', 254, routeOf({ source: ip('10.0.0.1'), mtu: 1400, hops: [hopVia('10.0.0.254', 7)] }))])
    expect(lookup.lookup(keyOf({ destination: '10.9.9.9' }), result)).toBe(0)
    expect(result).toMatchObject({
      error: 0, type: RouteType.unicast, table: 254, prefixLength: 8, preference: 32766, hop: 0, device: 7, gateway: ip('10.0.0.254'), source: ip('10.0.0.1'), mtu: 1400,
    })
    expect(lookup.lookup(keyOf({ destination: '11.9.9.9' }), result)).toBe(RouteError.netUnreachable)
    expect(result).toMatchObject({ route: null, device: 0, gateway: null, source: 0, mtu: 0, preference: -1 })
  })

  it('asks the tables in the order of the rules', () => {
    const lookup = lookupOf([ruleOf({ preference: 1, mark: 100, markMask: -1, table: 100 }), ...defaultRules()], [prefixOf('0.0.0.0/0', 254, via('10.0.0.254')), prefixOf('0.0.0.0/0', 100, via('10.1.0.254'))])
    expect(ask(lookup, { mark: 100 })).toBe('10.1.0.254')
    expect(ask(lookup, { mark: 99 })).toBe('10.0.0.254')
  })

  it('drops by type of route, each with its answer', () => {
    const types = [RouteType.blackhole, RouteType.unreachable, RouteType.prohibit]
    const lookup = lookupOf(defaultRules(), types.map((type, index) => prefixOf(`${index + 1}.0.0.0/8`, 254, routeOf({ type, hops: [] }))))
    expect(['1.0.0.1', '2.0.0.1', '3.0.0.1', '4.0.0.1'].map((destination) => ask(lookup, { destination }))).toEqual([22, 113, 13, 101])
    expect(([22, 113, 13, 101, 0] as const).map(icmpCodeOf)).toEqual([-1, 1, 13, 0, -1])
    expect(ask(lookup, { destination: '1.0.0.1' })).toBe(22)
    expect(result).toMatchObject({ type: RouteType.blackhole, preference: 32766, table: 254, prefixLength: 8 })
  })

  it('drops by action of rule', () => {
    const actions = (['blackhole', 'unreachable', 'prohibit'] as const).map((action, index) => ruleOf({ preference: 1, mark: index + 1, markMask: -1, action }))
    const lookup = lookupOf([...actions, ...defaultRules()], [prefixOf('0.0.0.0/0')])
    expect([1, 2, 3].map((mark) => ask(lookup, { mark }))).toEqual([22, 101, 13])
    expect(result).toMatchObject({ preference: 1, route: null })
    expect(ask(lookup, {})).toBe('10.0.0.254')
  })

  it('goes on with the next rule after throw, and after a table without a route', () => {
    const rules = [ruleOf({ preference: 1, table: 100 }), ruleOf({ preference: 2, table: 300 }), ...defaultRules()]
    const lookup = lookupOf(rules, [prefixOf('10.0.0.0/8', 100, via('1.1.1.1')), prefixOf('10.1.0.0/16', 100, routeOf({ type: RouteType.throw, hops: [] })), prefixOf('0.0.0.0/0')])
    expect(['10.2.0.1', '10.1.0.1', '11.0.0.1'].map((destination) => ask(lookup, { destination }))).toEqual(['1.1.1.1', '10.0.0.254', '10.0.0.254'])
  })

  it('suppresses routes of short prefixes', () => {
    const rules = [ruleOf({ preference: 1, table: 254, suppressLength: 8 }), ruleOf({ preference: 2, table: 100 })]
    const lookup = lookupOf(rules, [prefixOf('0.0.0.0/0', 254, via('1.1.1.1')), prefixOf('10.0.0.0/8', 254, via('1.1.1.2')), prefixOf('10.1.0.0/16', 254, via('1.1.1.3')), prefixOf('0.0.0.0/0', 100, via('2.2.2.2'))])
    expect(['10.1.0.1', '10.2.0.1', '11.0.0.1'].map((destination) => ask(lookup, { destination }))).toEqual(['1.1.1.3', '2.2.2.2', '2.2.2.2'])
    expect(result.table).toBe(100)
  })

  it('does not suppress routes that drop', () => {
    const rules = [ruleOf({ preference: 1, table: 254, suppressLength: 8 }), ruleOf({ preference: 2, table: 100 })]
    const lookup = lookupOf(rules, [prefixOf('0.0.0.0/0', 254, routeOf({ type: RouteType.prohibit, hops: [] })), prefixOf('0.0.0.0/0', 100)])
    expect(ask(lookup, {})).toBe(RouteError.prohibited)
  })

  it('jumps, and passes over what does nothing', () => {
    const rules = [
      ruleOf({ preference: 1, mark: 1, markMask: -1, action: 'goto', target: 10 }), ruleOf({ preference: 2, action: 'nop' }), ruleOf({ preference: 3, action: 'goto', target: 77 }),
      ruleOf({ preference: 4, table: 100 }), ruleOf({ preference: 10, mark: 2, markMask: -1, table: 100 }), ruleOf({ preference: 10, table: 254 }),
    ]
    const lookup = lookupOf(rules, [prefixOf('0.0.0.0/0', 100, via('1.1.1.1')), prefixOf('0.0.0.0/0')])
    expect(ask(lookup, { mark: 1 })).toBe('10.0.0.254')
    expect(ask(lookup, { mark: 0 })).toBe('1.1.1.1')
  })

  it('takes the route of a packet\'s TOS before others of the prefix, and shorter prefixes when none fits', () => {
    const lookup = lookupOf(defaultRules(), [
      prefixOf('10.0.0.0/8', 254, via('1.1.1.1')), prefixOf('10.1.0.0/16', 254, { ...via('1.1.1.2'), tos: 0x10 }), prefixOf('10.2.0.0/16', 254, { ...via('1.1.1.3'), tos: 0x10 }, via('1.1.1.4')),
    ])
    expect(ask(lookup, { destination: '10.1.0.1', tos: 0x10 })).toBe('1.1.1.2')
    expect(ask(lookup, { destination: '10.1.0.1', tos: 0x08 })).toBe('1.1.1.1')
    expect(ask(lookup, { destination: '10.2.0.1', tos: 0x11 })).toBe('1.1.1.3')
    expect(ask(lookup, { destination: '10.2.0.1' })).toBe('1.1.1.4')
  })

  it('passes over dead next hops and other interfaces than the one asked for', () => {
    const lookup = lookupOf(defaultRules(), [prefixOf('0.0.0.0/0', 254, via('1.1.1.1', 2), { ...via('1.1.1.2', 3), metric: 5 }), prefixOf('10.0.0.0/8', 254, via('1.1.1.3', 2))])
    expect(ask(lookup, { destination: '10.0.0.1' })).toBe('1.1.1.3')
    expect(ask(lookup, { destination: '10.0.0.1', output: 3 })).toBe('1.1.1.2')
    dead.setDevice(2, true)
    expect(ask(lookup, { destination: '10.0.0.1' })).toBe('1.1.1.2')
    dead.setDevice(3, true)
    expect(ask(lookup, { destination: '10.0.0.1' })).toBe(RouteError.netUnreachable)
    dead.setDevice(2, false)
    dead.setDevice(3, false)
    expect(ask(lookup, { destination: '10.0.0.1' })).toBe('1.1.1.3')
  })

  it('does not count destinations farther away than was asked for', () => {
    const lookup = lookupOf(defaultRules(), [prefixOf('0.0.0.0/0'), prefixOf('10.0.0.0/8', 254, routeOf({ scope: Scope.link, hops: [hopVia(null, 2)] }))])
    expect(ask(lookup, { destination: '10.0.0.1', scope: Scope.link })).toBe('link')
    expect(ask(lookup, { destination: '11.0.0.1', scope: Scope.link })).toBe(RouteError.netUnreachable)
  })

  it('takes a gateway that is the host itself as none', () => {
    const lookup = lookupOf(defaultRules(), [prefixOf('0.0.0.0/0', 254, routeOf({ hops: [{ ...hopVia('10.0.0.1', 2), ownGateway: true }] }))])
    expect(ask(lookup, {})).toBe('link')
  })

  it('tells what it looked at', () => {
    const rules = [ruleOf({ preference: 1, mark: 1, markMask: -1, table: 100 }), ruleOf({ preference: 2, table: 254, suppressLength: 0 }), ruleOf({ preference: 3, table: 100 }), ruleOf({ preference: 4, table: 254 })]
    const lookup = lookupOf(rules, [prefixOf('0.0.0.0/0', 254), prefixOf('10.0.0.0/8', 254, { ...via('1.1.1.1'), tos: 4 }), prefixOf('10.1.0.0/16', 100)])
    const steps: RouteStep[] = []
    lookup.lookup(keyOf({ destination: '10.9.0.1' }), result, steps)
    expect(steps.map((step) => step.step === 'rule' ? `${step.rule.preference} ${step.applies}` : step.step === 'route' ? `${step.table} /${step.length} ${step.why}` : `${step.table} ${step.step}`)).toEqual([
      '1 false', '2 true', '254 /8 tos', '254 /0 suppressed', '3 true', '100 no route', '4 true', '254 /8 tos', '254 /0 taken',
    ])
  })
})
