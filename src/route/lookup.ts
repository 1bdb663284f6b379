/**
 * Policy routing: rules, tables, and what comes out, as the kernel's fib_lookup does it.
 *
 * Rules are tried in their order. A rule that applies asks its table; when the table has no route, or one of type throw, or one
 * that the rule suppresses, the next rule goes on. In a table the longest prefix counts whose routes can be used: one whose TOS
 * does not fit, or whose next hops are dead or on another interface than the one asked for, gives way to the next route of the
 * prefix and then to shorter prefixes.
 *
 * Runs when a flow opens or routes have changed under it; allocates nothing unless it is traced.
 */
import { chooseHop } from './hops.js'
import type { DeadHops } from './hops.js'
import type { ReadyRule, Rule } from './rules.js'
import { applies } from './rules.js'
import type { RouteSource } from './tables.js'
import type { RouteInfo, RouteKey } from './types.js'
import { hasNoHop, RouteError, RouteType, TOS_MASK } from './types.js'

/** What a lookup found. One object is reused. */
export class RouteResult {
  /** 0 when there is a way; why not otherwise. */
  error: RouteError = RouteError.none
  /** The route that decided; null when there was none, or a rule decided. */
  route: RouteInfo | null = null
  type: RouteType = RouteType.unreachable
  table = 0
  prefixLength = 0
  /** Preference of the rule that decided, -1 when none did. */
  preference = -1
  /** Place of the next hop among the route's. */
  hop = 0
  /** Number of the interface, 0 without a way. */
  device = 0
  /** Address of the next hop, null when the destination is on the link. */
  gateway: number | null = null
  /** The route's source address; 0 when it names none. */
  source = 0
  /** Bytes, 0 when the route does not say. */
  mtu = 0

  fail(error: RouteError): void {
    this.error = error
    this.route = null
    this.type = RouteType.unreachable
    this.table = 0
    this.prefixLength = 0
    this.preference = -1
    this.hop = 0
    this.device = 0
    this.gateway = null
    this.source = 0
    this.mtu = 0
  }
}

/** What was looked at on the way, for people. */
export type RouteStep =
  | { readonly step: 'rule'; readonly rule: Rule; readonly applies: boolean }
  /** A prefix was looked at; `why` tells why it did not count, if so. */
  | {
    readonly step: 'route'
    readonly table: number
    readonly length: number
    readonly route: RouteInfo
    readonly why: 'taken' | 'tos' | 'scope' | 'no live next hop' | 'throw' | 'suppressed'
  }
  | { readonly step: 'no route'; readonly table: number }

const GO_ON = -1

const errorOf = (type: RouteType): RouteError => {
  if (type === RouteType.blackhole) return RouteError.blackhole
  return type === RouteType.prohibit ? RouteError.prohibited : RouteError.hostUnreachable
}

export class RouteLookup {
  readonly #rules: readonly ReadyRule[]
  readonly #tables: RouteSource
  readonly #dead: DeadHops
  readonly #seed: number

  /** @param seed secret, for the choice among several next hops */
  constructor(rules: readonly ReadyRule[], tables: RouteSource, dead: DeadHops, seed: number) {
    this.#rules = rules
    this.#tables = tables
    this.#dead = dead
    this.#seed = seed
  }

  /** Looks a packet up. Returns the error, 0 when there is a way. @param trace takes what was looked at, when wanted */
  lookup(key: RouteKey, result: RouteResult, trace: RouteStep[] | null = null): RouteError {
    result.fail(RouteError.netUnreachable)
    const rules = this.#rules
    for (let position = 0; position < rules.length;) {
      const ready = rules[position]!
      const { rule } = ready
      const matches = applies(ready, key)
      trace?.push({ step: 'rule', rule, applies: matches })
      position = matches && rule.action === 'goto' ? ready.jump : position + 1
      if (!matches || rule.action === 'goto' || rule.action === 'nop') continue
      if (rule.action === 'lookup') {
        if (this.lookupTable(rule.table, key, result, trace, rule.suppressLength) === GO_ON) continue
      } else result.fail(ruleError(rule))
      result.preference = rule.preference
      return result.error
    }
    return result.error
  }

  /** Looks a packet up in one table: the error, 0 when there is a way, -1 when the next rule is to decide. */
  lookupTable(table: number, key: RouteKey, result: RouteResult, trace: RouteStep[] | null = null, suppressLength = -1): number {
    for (let maxLength = 32; maxLength >= 0;) {
      const routes = this.#tables.find(table, key.destination, maxLength)
      if (routes === null) break
      const length = this.#tables.foundLength
      for (let place = 0; place < routes.length; place++) {
        const route = routes[place]!
        const why = this.#try(route, key, result)
        if (why !== 'taken') {
          trace?.push({ step: 'route', table, length, route, why })
          if (why === 'throw') return GO_ON
          continue
        }
        result.table = table
        result.prefixLength = length
        const suppressed = result.error === RouteError.none && length <= suppressLength
        trace?.push({ step: 'route', table, length, route, why: suppressed ? 'suppressed' : 'taken' })
        if (!suppressed) return result.error
        result.fail(RouteError.netUnreachable)
        return GO_ON
      }
      maxLength = length - 1
    }
    trace?.push({ step: 'no route', table })
    return GO_ON
  }

  #try(route: RouteInfo, key: RouteKey, result: RouteResult): 'taken' | 'tos' | 'scope' | 'no live next hop' | 'throw' {
    if (route.tos !== 0 && route.tos !== (key.tos & TOS_MASK)) return 'tos'
    if (route.scope < key.scope) return 'scope'
    if (route.type === RouteType.throw) return 'throw'
    if (hasNoHop(route.type)) {
      result.fail(errorOf(route.type))
      result.route = route
      result.type = route.type
      return 'taken'
    }
    const hop = chooseHop(route.hops, key, this.#dead, this.#seed)
    if (hop < 0) return 'no live next hop'
    const { device, gateway, ownGateway } = route.hops[hop]!
    result.error = RouteError.none
    result.route = route
    result.type = route.type
    result.hop = hop
    result.device = device
    result.gateway = ownGateway ? null : gateway
    result.source = route.source
    result.mtu = route.mtu
    return 'taken'
  }
}

const ruleError = ({ action }: Rule): RouteError => {
  if (action === 'blackhole') return RouteError.blackhole
  return action === 'prohibit' ? RouteError.prohibited : RouteError.netUnreachable
}
