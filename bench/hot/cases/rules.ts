/** Rules alone: one packet through a chain of address and port tests, and what compiling them takes. */
import { compileRuleset, type Environment, Evaluator, PacketMeta } from '../../../src/policy/engine/index.js'
import { emptyRuleset, restoreRuleset } from '../../../src/policy/iptables/index.js'
import { HOOK_NAMES, type Ruleset, STATE } from '../../../src/policy/model.js'
import { SetStore } from '../../../src/policy/sets/set-store.js'
import { seededRandom } from '../../../src/testing/memory-gateway.js'
import { type Case, sink } from './case.js'

const PACKETS = 1024
const FORWARD = HOOK_NAMES.indexOf('FORWARD')
const random = seededRandom(5)
const NO_LISTENING = (): void => {}

const sets = new SetStore()
const environment: Environment = {
  clock: { now: 1000 },
  wallOffset: 0,
  zoneSeconds: 0,
  random,
  interfaces: sets.interfaces,
  sets,
  setNumber: () => -1,
  addressType: () => 1,
  isConnected: () => false,
  findSocket: () => -1,
  markOfSocket: () => -1,
  findProxy: () => -1,
  hasTcpOption: () => false,
  tcpMss: () => -1,
}

const address = (index: number): number => 0x0a000000 + index
const text = (value: number): string => `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}`

/** What people have long chains of. */
const SHAPES = {
  'a host and a port each': (index: number) => `-A FORWARD -d ${text(address(index))}/32 -p tcp -m tcp --dport ${1 + (index % 7)} -j ACCEPT`,
  'a network each, of ten lengths': (index: number) => `-A FORWARD -s ${text((address(0) + (index << 13)) >>> 0)}/${19 + (index % 10)} -j DROP`,
  'a network and a list of ports each': (index: number) =>
    `-A FORWARD -s ${text(address(index * 256))}/24 -p tcp -m multiport --dports 80,443,${1000 + index} -j ACCEPT`,
} as const
export type RuleShape = keyof typeof SHAPES
export const RULE_SHAPES = Object.keys(SHAPES) as RuleShape[]

const rulesetOf = (shape: RuleShape, count: number): Ruleset => {
  const rules = Array.from({ length: count - 1 }, (_, index) => SHAPES[shape](index))
  const file = ['*filter', ':FORWARD DROP [0:0]', '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', ...rules, 'COMMIT', ''].join('\n')
  return restoreRuleset(emptyRuleset(), file)
}

/** Packets of new flows, of which half meet a rule, any of them alike. */
const packetsFor = (shape: RuleShape, count: number): PacketMeta[] => Array.from({ length: PACKETS }, () => {
  const index = Math.floor((random.next() / 2 ** 32) * count)
  const packet = new PacketMeta()
  const isStranger = random.next() % 2 === 0
  packet.protocol = 6
  packet.source = isStranger ? 0xc6336401 | 0 : shape.startsWith('a network each') ? (address(0) + (index << 13)) | 0 : address(index * 256 + 9)
  packet.destination = shape.startsWith('a host') && !isStranger ? address(index) : 0xcb007101 | 0
  packet.sourcePort = 1024 + (random.next() % 60000)
  packet.destinationPort = shape.startsWith('a host') ? 1 + (index % 7) : 443
  packet.length = 60
  packet.ttl = 64
  packet.state = STATE.NEW
  return packet
})

/** One hook asked for one packet. @param linear without the index of the chain */
export const evaluateRules = (shape: RuleShape, count: number, linear = false): Case => {
  const evaluator = new Evaluator(compileRuleset(rulesetOf(shape, count), environment), environment.interfaces)
  if (linear) evaluator.recorder = { table: NO_LISTENING, rule: NO_LISTENING, policy: NO_LISTENING }
  const packets = packetsFor(shape, count)
  return {
    name: `${count} rules, ${shape}${linear ? ', one after the other' : ''}`,
    count: packets.length,
    run: () => {
      for (const packet of packets) sink.value += evaluator.evaluate(FORWARD, packet).verdict
    },
  }
}

/** Compiling a rule set. */
export const compileRules = (shape: RuleShape, count: number): Case => {
  const ruleset = rulesetOf(shape, count)
  const first = compileRuleset(ruleset, environment)
  return {
    name: `compile ${count} rules, ${shape}: for each`,
    count,
    run: () => {
      sink.value += compileRuleset(ruleset, environment, first).ruleCount
    },
  }
}
