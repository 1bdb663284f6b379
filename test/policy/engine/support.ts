/** Rule sets from text, packets, and an environment that a test sets up. */
import { compileRuleset, type CompiledRuleset } from '../../../src/policy/engine/index.js'
import type { Environment } from '../../../src/policy/engine/environment.js'
import { Evaluator } from '../../../src/policy/engine/evaluator.js'
import type { Outcome } from '../../../src/policy/engine/outcome.js'
import { PacketMeta } from '../../../src/policy/engine/packet-meta.js'
import { NO_SETS, runIpset, type SetsState } from '../../../src/policy/ipset/index.js'
import { emptyRuleset, restoreRuleset } from '../../../src/policy/iptables/index.js'
import { HOOK_NAMES, type HookName, type Ruleset, STATE, TABLE_NAMES } from '../../../src/policy/model.js'
import { SetStore } from '../../../src/policy/sets/set-store.js'
import { parseIpv4 } from '../../../src/stack/wire/address.js'

export const ip = (text: string): number => parseIpv4(text)!

export class TestEnvironment implements Environment {
  readonly clock = { now: 1000 }
  wallOffset = 0
  zoneSeconds = 0
  readonly #numbers: number[] = []
  readonly random = { next: (): number => this.#numbers.shift() ?? 7 }
  readonly sets = new SetStore()
  readonly interfaces = this.sets.interfaces
  state: SetsState = NO_SETS
  readonly local = new Set<number>()
  readonly connected = new Set<string>()
  socketMark = -1
  /** Rows of sockets by `address:port` that TPROXY names. */
  readonly proxies = new Map<string, number>()
  options = new Map<number, number>()

  /** Commands of `ipset`, one a line. */
  ipset(lines: string): void {
    for (const line of lines.split('\n')) {
      const { state, edits } = runIpset(this.state, line.split(' '), { now: this.clock.now, random: () => 1, referencesOf: () => 0 })
      this.state = state
      for (const edit of edits) this.sets.apply(edit, this.clock.now)
    }
  }

  /** Elements of a set: address, second word, packets counted. */
  elements(name: string): number[][] {
    const { elements: { addresses, parts, packets } } = this.sets.page(this.setNumber(name), 0, 100, this.clock.now)!
    return addresses.map((address, index) => [address, parts[index]!, packets?.[index] ?? 0])
  }

  /** Numbers that the random source gives next. */
  willDraw(...numbers: number[]): void {
    this.#numbers.splice(0, Infinity, ...numbers)
  }

  setNumber(name: string): number {
    return this.state.sets.get(name)?.id ?? -1
  }

  addressType(address: number): number {
    return this.local.has(address) ? 2 : 1
  }

  isConnected(source: number, destination: number, ports: number, protocol: number): boolean {
    return this.connected.has([source, destination, ports, protocol].join())
  }

  findSocket(): number {
    return this.socketMark < 0 ? -1 : 3
  }

  markOfSocket(): number {
    return this.socketMark
  }

  findProxy(_: PacketMeta, address: number, port: number): number {
    return this.proxies.get(`${address >>> 0}:${port}`) ?? -1
  }

  hasTcpOption(_: PacketMeta, option: number): boolean {
    return this.options.has(option)
  }

  tcpMss(): number {
    return this.options.get(2) ?? -1
  }
}

/** A file of rules; lines without a table belong to `filter`. */
export const rulesetOf = (text: string, before: Ruleset = emptyRuleset()): Ruleset => {
  const file = /^\*/m.test(text) ? text : `*filter\n${text}\nCOMMIT\n`
  return restoreRuleset(before, file, { counters: true, file: 'test' })
}

export class Bed {
  readonly environment: TestEnvironment
  readonly evaluator: Evaluator
  ruleset: Ruleset

  constructor(text: string, environment = new TestEnvironment()) {
    this.environment = environment
    this.ruleset = rulesetOf(text)
    this.evaluator = new Evaluator(compileRuleset(this.ruleset, environment), environment.interfaces)
  }

  get compiled(): CompiledRuleset {
    return this.evaluator.ruleset
  }

  /** Goes on with another rule set. */
  swap(ruleset: Ruleset): void {
    this.ruleset = ruleset
    this.evaluator.use(compileRuleset(ruleset, this.environment, this.compiled))
  }

  run(hook: HookName, packet: PacketMeta, part?: number): Outcome {
    return this.evaluator.evaluate(HOOK_NAMES.indexOf(hook), packet, part)
  }

  /** Verdict on FORWARD. */
  verdict(packet: PacketMeta): number {
    return this.run('FORWARD', packet).verdict
  }

  /** The rules that the last packet met, as `table chain number`; policies have number 0. */
  path(): string[] {
    const { outcome: { path, pathLength } } = this.evaluator
    return [...path.subarray(0, pathLength)].map((index) => {
      const { table, name } = this.compiled.chainOf(index)
      return `${table} ${name} ${this.compiled.numberOf(index)}`
    })
  }

  /** Packets and bytes of a rule, by `table chain number`. */
  counters(place: string): [number, number] {
    for (let index = 0; index < this.compiled.counterCount; index++) {
      const { table, name } = this.compiled.chainOf(index)
      if (`${table} ${name} ${this.compiled.numberOf(index)}` === place) {
        return [this.compiled.counters[index * 2]!, this.compiled.counters[index * 2 + 1]!]
      }
    }
    throw new Error(`there is no rule ${place}`)
  }
}

/** A TCP packet from 10.0.0.2:40000 to 198.51.100.1:80, in its first state. */
export const packetOf = (change: Partial<PacketMeta> = {}): PacketMeta => Object.assign(new PacketMeta(), {
  source: ip('10.0.0.2'), destination: ip('198.51.100.1'), protocol: 6, sourcePort: 40000, destinationPort: 80, hasPorts: true, tcpFlags: 2, length: 60,
  ttl: 64, inInterface: 1, outInterface: 2, state: STATE.NEW, flowProtocol: 6, originalSource: ip('10.0.0.2'), originalDestination: ip('198.51.100.1'),
  originalSourcePort: 40000, originalDestinationPort: 80, replySource: ip('198.51.100.1'), replyDestination: ip('10.0.0.2'),
  replySourcePort: 80, replyDestinationPort: 40000, consultsNat: true,
}, change)

export const tableNumber = (name: (typeof TABLE_NAMES)[number]): number => TABLE_NAMES.indexOf(name)
