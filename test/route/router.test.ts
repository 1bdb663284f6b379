import { expect, it } from 'vitest'
import { RouteResult } from '../../src/route/lookup.js'
import { PolicyRouter } from '../../src/route/router.js'
import { RouteTables } from '../../src/route/tables.js'
import { hopVia, ip, keyOf, prefixOf, routeOf, ruleOf } from './support.js'

const result = new RouteResult()
const nothing = { routes: [], rules: null, interfaces: null }

it('changes prefixes, rules and interfaces, each time with another generation', () => {
  const router = new PolicyRouter(1)
  const seen = [router.generation]
  router.update({ ...nothing, routes: [prefixOf('0.0.0.0/0')] })
  seen.push(router.generation)
  expect(router.lookup(keyOf(), result)).toBe(0)
  expect(router.size).toBe(1)
  router.update({ ...nothing, rules: [ruleOf({ preference: 1, input: 'eth7', action: 'prohibit' }), ruleOf({ preference: 2 })] })
  seen.push(router.generation)
  expect(router.lookup(keyOf({ input: 9 }), result)).toBe(0)
  router.update({ ...nothing, interfaces: [['eth7', 9]] })
  seen.push(router.generation)
  expect(router.lookup(keyOf({ input: 9 }), result)).toBe(13)
  router.update({ ...nothing, routes: [{ ...prefixOf('0.0.0.0/0'), routes: [] }] })
  seen.push(router.generation)
  expect(router.lookup(keyOf(), result)).toBe(101)
  expect(new Set(seen).size).toBe(5)
})

it('takes over a whole set at once', () => {
  const router = new PolicyRouter(1)
  router.update({ ...nothing, routes: [prefixOf('10.0.0.0/8')] })
  const built = new RouteTables()
  built.set(prefixOf('11.0.0.0/8'))
  router.replace(structuredClone(built.image()), { rules: null, interfaces: null })
  expect(router.lookup(keyOf({ destination: '10.0.0.1' }), result)).toBe(101)
  expect(router.lookup(keyOf({ destination: '11.0.0.1' }), result)).toBe(0)
})

it('forgets dead next hops only when they come back', () => {
  const router = new PolicyRouter(1)
  const hop = hopVia('10.0.0.254', 2)
  router.update({ ...nothing, routes: [prefixOf('0.0.0.0/0', 254, routeOf({ hops: [hop] }))] })
  const { generation } = router
  router.setGatewayDead(2, ip('10.0.0.254'), true)
  router.setGatewayDead(2, ip('10.0.0.254'), true)
  expect(router.generation).toBe(generation + 1)
  router.update(nothing)
  expect(router.isDead(hop)).toBe(true)
  expect(router.lookup(keyOf(), result)).toBe(101)
  router.setGatewayDead(2, ip('10.0.0.254'), false)
  expect(router.lookup(keyOf(), result)).toBe(0)
  router.setDeviceDead(2, true)
  expect(router.lookup(keyOf(), result)).toBe(101)
})

it('never has the generation 0', () => {
  const router = new PolicyRouter(1)
  for (let change = 0; change < 0xfffe; change++) router.setDeviceDead(2, change % 2 === 0)
  expect(router.generation).toBe(0xffff)
  router.update(nothing)
  expect(router.generation).toBe(1)
})
