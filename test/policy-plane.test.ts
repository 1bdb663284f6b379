import { describe, expect, it } from 'vitest'
import { ACCEPT, DROP, PacketMeta } from '../src/policy/engine/index.js'
import { emptyRuleset, restoreRuleset, runIptables } from '../src/policy/iptables/index.js'
import { HOOK_NAMES, type Ruleset, STATE } from '../src/policy/model.js'
import { NO_SETS, runIpset } from '../src/policy/ipset/index.js'
import { allRoutes, initialState, runIp } from '../src/policy/iproute/index.js'
import { type FromPolicy, ruleMessages } from '../src/policy-protocol.js'
import { RouteResult } from '../src/route/lookup.js'
import { RouteTables } from '../src/route/tables.js'
import { RouteKey } from '../src/route/types.js'
import { parseIpv4 } from '../src/stack/wire/address.js'
import { buildTcp, MemoryGateway, type MemoryGatewayOptions } from '../src/testing/index.js'

const FORWARD = HOOK_NAMES.indexOf('FORWARD')
const address = (text: string): number => parseIpv4(text)!

const bed = (options: MemoryGatewayOptions = {}) => {
  const gateway = new MemoryGateway(options)
  const { policy } = gateway.plane
  const answers: FromPolicy[] = []
  let changes = 0
  policy.answer = (message) => answers.push(message)
  policy.onChange = () => changes++
  let id = 0
  const begin = (ruleset: Ruleset, sets: readonly (readonly [string, number])[] = []): number => {
    id++
    for (const message of ruleMessages(id, ruleset, sets)) policy.handle(message)
    return id
  }
  return {
    gateway, policy, answers, begin,
    get changes() {
      return changes
    },
    load: (ruleset: Ruleset, sets: readonly (readonly [string, number])[] = []) => {
      begin(ruleset, sets)
      while (policy.step());
    },
  }
}

const packetFrom = (source: string): PacketMeta => {
  const packet = new PacketMeta()
  packet.source = address(source)
  packet.destination = address('198.51.100.1')
  packet.protocol = 6
  packet.state = STATE.NEW
  packet.length = 60
  return packet
}

const filter = (...rules: string[]): Ruleset => restoreRuleset(emptyRuleset(), `*filter\n${rules.join('\n')}\nCOMMIT\n`, { counters: true })

describe('rules', () => {
  it('take effect at once, when all of them are compiled', () => {
    const { policy, answers, begin } = bed()
    const rules = Array.from({ length: 10_000 }, (_, index) => `-A FORWARD -s 10.${index >>> 8}.${index & 255}.0/24 -j DROP`)
    const packet = packetFrom('10.39.15.1')
    expect(policy.isIdle).toBe(true)
    const id = begin(filter(...rules))
    let steps = 1
    while (policy.step()) {
      steps++
      expect(policy.isIdle).toBe(true)
      expect(policy.evaluator.evaluate(FORWARD, packet).verdict).toBe(ACCEPT)
    }
    expect(steps).toBeGreaterThan(50)
    expect(policy.isIdle).toBe(false)
    expect(policy.evaluator.evaluate(FORWARD, packet).verdict).toBe(DROP)
    expect(answers).toEqual([{ type: 'rules-taken', id }])
  })

  it('come in parts; a rule set that was not finished gives way to the next', () => {
    const { policy, answers, begin, load } = bed()
    const parts = [...ruleMessages(7, filter(...Array.from({ length: 300 }, () => '-A FORWARD -j DROP')), [])]
    expect(parts.map(({ type }) => type)).toEqual(['rules-begin', 'rules-more', 'rules-more', 'rules-more', 'rules-end'])
    begin(filter('-A FORWARD -j DROP'))
    expect(policy.step()).toBe(false)
    begin(filter(...Array.from({ length: 1000 }, () => '-A FORWARD -j DROP')))
    policy.step()
    load(filter('-A FORWARD -j ACCEPT'))
    for (const late of parts.slice(1)) policy.handle(late)
    expect(policy.step()).toBe(false)
    expect(answers.map((answer) => answer.id)).toEqual([1, 3])
    expect(policy.evaluator.ruleset.ruleCount).toBe(1)
  })

  it('answer "synced" when all that came before is in effect', () => {
    const { policy, answers, begin } = bed()
    policy.handle({ type: 'sync', id: 100 })
    begin(filter('-A FORWARD -j DROP'))
    policy.handle({ type: 'sync', id: 101 })
    expect(answers).toEqual([{ type: 'synced', id: 100 }])
    while (policy.step());
    expect(answers.slice(1)).toEqual([{ type: 'rules-taken', id: 1 }, { type: 'synced', id: 101 }])
  })

  it('tell whether anything is asked at all, and whether nat POSTROUTING says something', () => {
    const { policy, load } = bed()
    const tell = (...lines: string[]): [boolean, boolean] => {
      load(restoreRuleset(emptyRuleset(), `${lines.join('\n')}\nCOMMIT\n`))
      return [policy.isIdle, policy.hasPostroutingNat]
    }
    expect(tell('*filter', ':FORWARD DROP')).toEqual([false, false])
    expect(tell('*filter', ':mine -', '-A mine -j DROP')).toEqual([true, false])
    expect(tell('*nat', '-A POSTROUTING -j MASQUERADE')).toEqual([false, true])
    expect(tell('*nat', '-A PREROUTING -j DNAT --to-destination 10.0.0.2')).toEqual([false, false])
    expect(tell('*nat')).toEqual([true, false])
  })

  it('go on counting when others are added, and count from what is set', () => {
    const { policy, answers, load } = bed()
    const first = filter('-A FORWARD -s 10.0.0.1 -j DROP')
    load(first)
    policy.evaluator.evaluate(FORWARD, packetFrom('10.0.0.1'))
    const second = runIptables(first, ['-I', 'FORWARD', '-s', '10.0.0.9', '-j', 'DROP']).ruleset
    load(second)
    const counters = (): Map<number, [number, number]> => {
      policy.handle({ type: 'counters', id: 5 })
      const counted = answers.at(-1)!
      if (counted.type !== 'counted') throw new Error('no counters')
      return new Map([...counted.ids].map((id, index) => [id, [counted.counters[index * 2]!, counted.counters[index * 2 + 1]!]]))
    }
    const { id } = first.tables.filter.chains[1]!.rules[0]!
    expect(counters().get(id)).toEqual([1, 60])
    let asked = 0
    policy.onCount = () => asked++
    policy.handle({ type: 'set-counters', counters: [{ id, packets: 40, bytes: 4000 }, { id: 999_999, packets: 1, bytes: 1 }] })
    expect(counters().get(id)).toEqual([40, 4000])
    expect(asked).toBe(2)
  })

  it('name sets by what they are called', () => {
    const { policy, load } = bed()
    const { edits, state } = runIpset(NO_SETS, ['create', 'bad', 'hash:ip', 'timeout', '5'], { now: 0, random: () => 1, referencesOf: () => 0 })
    policy.handle({ type: 'sets', edits })
    load(filter('-A FORWARD -m set --match-set bad src -j DROP'), [['bad', state.sets.get('bad')!.id]])
    const packet = packetFrom('10.0.0.1')
    expect(policy.evaluator.evaluate(FORWARD, packet).verdict).toBe(ACCEPT)
    policy.handle({ type: 'sets', edits: runIpset(state, ['add', 'bad', '10.0.0.1'], { now: 0, random: () => 1, referencesOf: () => 1 }).edits })
    expect(policy.evaluator.evaluate(FORWARD, packet).verdict).toBe(DROP)
  })
})

describe('sets', () => {
  it('are told page by page, and lose what has expired', () => {
    const { gateway, policy, answers } = bed()
    const context = { now: gateway.now, random: () => 1, referencesOf: () => 0 }
    const made = runIpset(NO_SETS, ['create', 'many', 'hash:ip', 'timeout', '5'], context)
    policy.handle({ type: 'sets', edits: made.edits })
    policy.handle({ type: 'sets', edits: runIpset(made.state, ['add', 'many', '10.0.0.0/21'], context).edits })
    const ask = (from: number) => {
      policy.handle({ type: 'set-page', id: 1, set: 0, from })
      const answer = answers.at(-1)!
      if (answer.type !== 'set-page') throw new Error('no page')
      return answer.page!
    }
    const first = ask(0)
    expect(first.elements.addresses.length).toBe(1024)
    expect(ask(first.next)).toMatchObject({ next: -1 })
    gateway.advance(6)
    expect(ask(0).elements.addresses).toEqual([])
    for (let second = 0; second < 10; second++) gateway.advance(1)
    expect(policy.sets.size(0)).toBe(0)
    policy.handle({ type: 'set-members', id: 2, set: 0 })
    expect(answers.at(-1)).toEqual({ type: 'set-members', id: 2, members: null })
  })
})

describe('routes', () => {
  const key = new RouteKey()
  key.destination = address('192.0.2.1')
  const devices = [{ number: 3, name: 'eth0', up: true, addresses: [{ address: address('203.0.113.1'), prefixLength: 24, primary: true }] }]
  const interfaces = [['eth0', 3]] as const

  it('change by prefixes, or as a whole', () => {
    const made = bed({ routes: [] })
    const { policy } = made
    const state = initialState(devices)
    const result = new RouteResult()
    policy.handle({ type: 'tables', image: new RouteTables().image(), update: { rules: state.rules, interfaces } })
    policy.handle({ type: 'routing', update: { routes: allRoutes(state), rules: null, interfaces: null } })
    expect(policy.router.lookup(key, result)).toBe(101)
    const added = runIp(state, ['route', 'add', 'default', 'via', '203.0.113.254'])
    policy.handle({ type: 'routing', update: { routes: added.changes.routes, rules: null, interfaces: null } })
    expect([policy.router.lookup(key, result), result.device]).toEqual([0, 3])
    policy.handle({ type: 'device-dead', device: 3, dead: true })
    expect(policy.router.lookup(key, result)).toBe(101)
    policy.handle({ type: 'device-dead', device: 3, dead: false })
    const tables = new RouteTables()
    for (const prefix of allRoutes(added.state)) tables.set(prefix)
    policy.handle({ type: 'tables', image: tables.image(), update: { rules: null, interfaces: null } })
    expect([policy.router.lookup(key, result), result.device]).toEqual([0, 3])
    expect(made.changes).toBe(6)
  })

  it('say what kind of address one is', () => {
    const { policy } = bed()
    const state = initialState(devices)
    policy.handle({ type: 'routing', update: { routes: allRoutes(state), rules: state.rules, interfaces } })
    const type = (text: string, device = 0): number => policy.environment.addressType(address(text), device)
    expect([type('203.0.113.1'), type('203.0.113.1', 2), type('203.0.113.255'), type('203.0.113.9')]).toEqual([2, 1, 3, 1])
    expect([type('255.255.255.255'), type('224.0.0.1'), type('0.0.0.0')]).toEqual([3, 5, 3])
  })
})

describe('what rules ask of flows', () => {
  it('is whether one is open', () => {
    const { gateway, policy: { environment } } = bed()
    gateway.fromLan(buildTcp({ source: '10.0.0.2', destination: '198.51.100.1', sourcePort: 4000, destinationPort: 80, flags: 2 }))
    const [source, destination] = [address('10.0.0.2'), address('198.51.100.1')]
    expect(environment.isConnected(source, destination, (4000 << 16) | 80, 6)).toBe(true)
    expect(environment.isConnected(source, destination, (4001 << 16) | 80, 6)).toBe(false)
    expect(environment.isConnected(source, destination, (4000 << 16) | 80, 17)).toBe(false)
  })
})
