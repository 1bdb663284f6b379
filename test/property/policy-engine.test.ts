import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CompiledRuleset, RulesetCompiler } from '../../src/policy/engine/index.js'
import type { PacketMeta } from '../../src/policy/engine/packet-meta.js'
import { STATE } from '../../src/policy/model.js'
import { Bed, ip, packetOf, TestEnvironment } from '../policy/engine/support.js'
import { opinionOn } from '../policy/engine/oracle.js'
import { randomFrom, type Random } from '../fuzz/generate.js'
import { randomFile } from '../policy/iptables/generate.js'

const NAMES = ['', 'eth0', 'eth1', 'br-a', 'br-b']
const VERDICTS = ['ACCEPT', 'DROP', 'REJECT']
const HOOKS = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'] as const
const USERS = ['one', 'two', 'three']

const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)]!
const not = (random: Random): string => (random(5) === 0 ? '! ' : '')
const maybe = (random: Random, text: () => string, of = 2): string => (random(of) === 0 ? ` ${text()}` : '')

/** Few addresses and ports, so that packets meet rules; long and short prefixes of them. */
const address = (random: Random): string => `10.${random(2)}.${random(2)}.${random(4)}`
const network = (random: Random): string =>
  `${address(random)}${pick(random, ['', '', '', '/32', '/31', '/24', '/24', '/16', '/13', '/8', '/0', '/255.0.255.0'])}`
const port = (random: Random): number => pick(random, [0, 1, 2, 3, 80, 65535])
const range = (random: Random): string => pick(random, [`${port(random)}`, `${random(3)}:${3 + random(30)}`, '0:65535', '70:90'])

const ports = (random: Random, protocol: string): string => {
  const list = (): string => Array.from({ length: 1 + random(3) }, () => port(random)).join(',')
  return pick(random, [
    () => `-m ${protocol}${maybe(random, () => `${not(random)}--sport ${range(random)}`, 4)} ${not(random)}--dport ${range(random)}`,
    () => `-m ${protocol} --dport ${port(random)}`,
    () => `-m ${protocol} ${not(random)}--sport ${port(random)}`,
    () => `-m ${protocol} ! --sport ${port(random)} --dport ${port(random)}`,
    () => `-m multiport ${not(random)}--${pick(random, ['sports', 'dports', 'ports'])} ${list()}`,
    () => (protocol === 'tcp' ? '-m tcp --syn' : ''),
    () => '',
  ])()
}

const rule = (random: Random, table: string, chain: string, users: readonly string[]): string => {
  const protocol = pick(random, ['tcp', 'tcp', 'udp', 'udplite', ''])
  const targets = ['ACCEPT', 'RETURN', `MARK --set-xmark ${random(4)}/${random(4)}`, ...users, ...users]
  if (table === 'filter') targets.push('DROP', 'REJECT')
  if (table === 'nat') targets.push(chain === 'POSTROUTING' || chain === 'INPUT' ? 'SNAT --to-source 1.2.3.4' : 'DNAT --to-destination 1.2.3.4')
  const target = pick(random, targets)
  const matches = [
    maybe(random, () => `${not(random)}-s ${network(random)}`),
    maybe(random, () => `${not(random)}-d ${network(random)}`),
    chain === 'FORWARD' ? maybe(random, () => `${not(random)}-i ${pick(random, ['eth0', 'eth1', 'br-+', 'eth+'])}`, 6) : '',
    chain === 'FORWARD' ? maybe(random, () => `${not(random)}-o ${pick(random, ['eth0', 'eth1', 'br-+', 'eth+'])}`, 6) : '',
    protocol === '' ? maybe(random, () => `${not(random)}-f`, 10) : ` ${not(random)}-p ${protocol}`,
    maybe(random, () => `-m mark ${not(random)}--mark ${random(4)}/${pick(random, ['1', '3'])}`, 8),
    maybe(random, () => `-m state ${not(random)}--state ${pick(random, ['NEW', 'ESTABLISHED', 'NEW,RELATED'])}`, 8),
    maybe(random, () => `-m length ${not(random)}--length 60:99`, 10),
  ].join('')
  const transport = protocol !== '' && !matches.includes(`! -p ${protocol}`) && protocol !== 'udplite' ? ` ${ports(random, protocol)}` : ''
  const jump = random(12) === 0 ? '' : USERS.includes(target) ? ` -${pick(random, ['j', 'g'])} ${target}` : ` -j ${target}`
  return `-A ${chain}${matches}${transport}${jump}`
}

const CHAINS: Readonly<Record<string, readonly string[]>> = {
  mangle: ['PREROUTING', 'FORWARD', 'POSTROUTING'], nat: ['PREROUTING', 'POSTROUTING'], filter: ['INPUT', 'FORWARD', 'OUTPUT'],
}

/** Long chains, so that they are indexed, and user chains that lead only to later ones. */
const file = (random: Random): string => Object.entries(CHAINS).map(([table, chains]) => {
  const users = table === 'nat' ? [] : USERS
  const rules = (chain: string, leads: readonly string[]): string[] => Array.from({ length: random(90) }, () => rule(random, table, chain, leads))
  return [
    `*${table}`,
    ...chains.map((chain) => `:${chain} ${table === 'filter' ? pick(random, ['ACCEPT', 'DROP']) : 'ACCEPT'} [0:0]`),
    ...users.map((chain) => `:${chain} - [0:0]`),
    ...chains.flatMap((chain) => rules(chain, users)),
    ...users.flatMap((chain, index) => rules(chain, users.slice(index + 1))),
    'COMMIT',
  ].join('\n')
}).join('\n')

const packet = (random: Random): PacketMeta => packetOf({
  source: ip(address(random)), destination: ip(address(random)), protocol: pick(random, [6, 17, 136, 1]), sourcePort: port(random), destinationPort: port(random),
  fragment: pick(random, [0, 0, 0, 1, 2]), tcpFlags: pick(random, [2, 16, 24]), length: pick(random, [60, 1500]), inInterface: 1 + random(4), outInterface: 1 + random(4),
  mark: random(4), state: pick(random, [STATE.NEW, STATE.ESTABLISHED, STATE.INVALID]), consultsNat: random(2) === 0,
})

const NO_INDEX = { table: (): void => {}, rule: (): void => {}, policy: (): void => {} }

const expectCounters = (compiled: CompiledRuleset, met: ReadonlyMap<string, number>): void => {
  for (let index = 0; index < compiled.counterCount; index++) {
    const { table, name } = compiled.chainOf(index)
    expect(compiled.counters[index * 2]).toBe(met.get(`${table} ${name} ${compiled.numberOf(index)}`) ?? 0)
  }
}

describe('generated rule sets', () => {
  const seeds = fc.integer({ min: 1, max: 0x7fffffff })

  it('say of packets what a plain reading of them says, by index and rule by rule', () => {
    let indexed = 0
    const verdicts = new Map<string, number>()
    fc.assert(fc.property(seeds, (seed) => {
      const random = randomFrom(seed)
      const environment = new TestEnvironment()
      for (const name of NAMES.slice(1)) environment.interfaces.numberOf(name)
      const bed = new Bed(file(random), environment)
      indexed += bed.compiled.chains.filter(({ index }) => index !== null).length
      const met = new Map<string, number>()
      for (let count = 0; count < 40; count++) {
        const [hook, each] = [pick(random, HOOKS), packet(random)]
        const expected = opinionOn(bed.ruleset, hook, each, NAMES)
        for (const recorder of [null, NO_INDEX]) {
          bed.evaluator.recorder = recorder
          const { verdict, mark, nat } = bed.run(hook, each)
          const result = { verdict: VERDICTS[verdict], path: bed.path(), mark, nat: nat?.kind ?? null }
          expect(result).toEqual({ ...expected, path: expected.path.slice(0, 64) })
          for (const place of expected.path) met.set(place, (met.get(place) ?? 0) + 1)
        }
        verdicts.set(expected.verdict, (verdicts.get(expected.verdict) ?? 0) + 1)
      }
      expectCounters(bed.compiled, met)
    }), { numRuns: 60 })
    expect(indexed).toBeGreaterThan(200)
    for (const verdict of VERDICTS) expect(verdicts.get(verdict)).toBeGreaterThan(20)
  })

  it('store outcomes that hold for all packets of the same flow, side and state, as far as they say so', () => {
    let stored = 0
    fc.assert(fc.property(seeds, (seed) => {
      const random = randomFrom(seed)
      const environment = new TestEnvironment()
      for (const name of NAMES.slice(1)) environment.interfaces.numberOf(name)
      const bed = new Bed(file(random), environment)
      for (let count = 0; count < 40; count++) {
        const [hook, first] = [pick(random, HOOKS), packet(random)]
        const { depends, ...before } = { ...bed.run(hook, first) }
        const path = bed.path()
        if (depends !== 0) continue
        stored++
        const other = packetOf({ ...first, length: 20 + random(1480), ttl: random(256), tos: random(256), tcpFlags: random(64) })
        const { verdict, rule: decider, nat } = bed.run(hook, other)
        expect([verdict, decider, nat, bed.path()]).toEqual([before.verdict, before.rule, before.nat, path])
      }
    }), { numRuns: 40 })
    expect(stored).toBeGreaterThan(200)
  })

  it('of every match and target there is are taken, whatever the packet', () => {
    const verdicts = new Set<number>()
    fc.assert(fc.property(seeds, (seed) => {
      const random = randomFrom(seed)
      const bed = new Bed(randomFile(random, 60, { sets: true }))
      for (let count = 0; count < 100; count++) {
        const protocol = pick(random, [1, 6, 17, 132])
        const wild = packetOf({
          protocol, flowProtocol: protocol, source: (random(0x7fffffff) * 2) | 0, destination: (random(0x7fffffff) * 2) | 0, sourcePort: random(65536),
          destinationPort: random(65536), fragment: random(3), icmpType: protocol === 1 ? random(256) : -1, icmpCode: random(256), ttl: random(256), tos: random(256),
          state: pick(random, [1, 2, 4, 8, 256, 2 | 64, 8 | 128]), status: random(16), direction: random(2), mark: random(0x7fffffff) * 2,
        })
        bed.environment.clock.now += random(1000)
        const { verdict, mark, connmark, tos, ttl, tosKeep, tosFlip } = bed.run(pick(random, HOOKS), wild)
        verdicts.add(verdict)
        for (const value of [mark, connmark]) expect(value >>> 0).toBe(value)
        for (const value of [tos, ttl]) expect(value & 0xff).toBe(value)
        expect((wild.tos & tosKeep) ^ tosFlip).toBe(tos)
      }
    }), { numRuns: 60 })
    expect([...verdicts]).toEqual(expect.arrayContaining([0, 1, 2]))
  })

  it('compile in steps to what they compile to at once', () => {
    fc.assert(fc.property(seeds, (seed) => {
      const bed = new Bed(file(randomFrom(seed)))
      const compiler = new RulesetCompiler(bed.ruleset, bed.environment)
      let steps = 1
      while (!compiler.step(7)) steps++
      const again = compiler.finish()
      expect(steps).toBeGreaterThan(bed.compiled.ruleCount / 7)
      expect([again.words, again.ids, again.counters]).toEqual([bed.compiled.words, bed.compiled.ids, bed.compiled.counters])
    }), { numRuns: 5 })
  })
})
