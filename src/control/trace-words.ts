/** Puts what the data plane noted of a packet into words: names of interfaces, rules and routes as their own tools print them. */
import type { TracedPacket, TracedRoute, TracedRule, TracedSocket, TracedStep, TraceRecord, TraceResult } from '../api/trace-types.js'
import type { FlowRecord } from '../api/types.js'
import { DROP_NAMES, DROP_TEXTS } from '../drop.js'
import { HEADER_NOW } from '../nat/flow-table.js'
import { deviceName } from '../policy/iproute/route-print.js'
import { type IpState, traceLines } from '../policy/iproute/index.js'
import { nameOf } from '../policy/iproute/names.js'
import { ruleText, testText } from '../policy/iptables/index.js'
import { ICMP_NAMES } from '../policy/iptables/matches/icmp-names.js'
import type { RuleSpec, Ruleset } from '../policy/model.js'
import { protocolName } from '../protocol-names.js'
import { RouteError, RouteType } from '../route/types.js'
import { formatIpv4 } from '../stack/wire/address.js'
import type { Change, FlowStep, PacketStep, RoutingStep, RuleStep, SocketWords, Trace, TraceStep } from '../trace/steps.js'
import { readFlow } from './flow-reader.js'

export interface TraceWording {
  readonly ruleset: Ruleset
  readonly ip: IpState
  /** The name of an interface by its zone. */
  interfaceName(zone: number): string
  /** Idle seconds by class. */
  readonly timeouts: Int32Array
  /** Milliseconds since 1970 of a time on the data plane's clock. */
  wallTime(time: number): number
}

const FLAG_NAMES = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR']
export const flagNames = (flags: number): string[] => FLAG_NAMES.filter((_, bit) => ((flags >>> bit) & 1) !== 0)

const ERROR_WORDS: Readonly<Record<RouteError, TracedRoute['error']>> = {
  [RouteError.none]: undefined, [RouteError.netUnreachable]: 'net-unreachable', [RouteError.hostUnreachable]: 'host-unreachable',
  [RouteError.prohibited]: 'prohibited', [RouteError.blackhole]: 'blackhole',
}
const TYPE_WORDS = new Map<number, string>(Object.entries(RouteType).map(([name, type]) => [type, name]))

const FIELD_WORDS: Readonly<Record<string, string>> = {
  sourcePort: 'source port', destinationPort: 'destination port', icmpId: 'identifier', ttl: 'TTL', tos: 'TOS', mss: 'MSS',
}

/** The name that iptables has for an ICMP type and code, or the numbers. */
export const icmpName = (type: number, code: number): string =>
  (ICMP_NAMES.find(([, known, knownCode]) => known === type && knownCode === code) ?? ICMP_NAMES.find(([, known, knownCode]) => known === type && knownCode === null && code === 0))?.[0] ??
  `${type}/${code}`

const rulesById = new WeakMap<Ruleset, ReadonlyMap<number, RuleSpec>>()

const specOf = (ruleset: Ruleset, id: number): RuleSpec | undefined => {
  let specs = rulesById.get(ruleset)
  if (specs === undefined) {
    specs = new Map(Object.values(ruleset.tables).flatMap(({ chains }) => chains.flatMap(({ rules }) => rules.map((rule) => [rule.id, rule.spec] as const))))
    rulesById.set(ruleset, specs)
  }
  return specs.get(id)
}

/** A key with a value, or nothing. */
const given = <Key extends string, Value>(key: Key, value: Value | null | undefined): { [key in Key]?: Value } =>
  (value === null || value === undefined ? {} : { [key]: value }) as { [key in Key]?: Value }

const packetWords = ({ zone, mark, headers }: PacketStep, wording: TraceWording): TracedPacket => {
  const { source, destination, protocol, sourcePort, destinationPort, tcpFlags, icmpType, icmpCode, icmpId, length, ttl, tos, offset, moreFragments } = headers
  return {
    step: 'packet', interface: wording.interfaceName(zone), src: formatIpv4(source), dst: formatIpv4(destination), protocol: protocolName(protocol),
    ...given('sport', sourcePort), ...given('dport', destinationPort), ...given('flags', tcpFlags === null ? null : flagNames(tcpFlags)),
    ...given('type', icmpType), ...given('code', icmpCode), ...given('id', icmpId), length, ttl, tos, ...given('mark', mark === 0 ? null : mark),
    ...(offset > 0 || moreFragments ? { fragment: { offset, more: moreFragments } } : {}),
  }
}

const ruleWords = ({ table, chain, number, id, failed }: RuleStep, { ruleset }: TraceWording): TracedRule => {
  const spec = specOf(ruleset, id)
  const text = { step: 'rule', table, chain, number, rule: spec === undefined ? null : ruleText(spec), matched: failed === null } as const
  if (failed === null) return text
  const [name, test] = typeof failed === 'string' ? [failed, failed] : [failed.module, failed.match]
  return { ...text, failed: (spec === undefined ? '' : testText(spec, test)) || name }
}

const flowRecord = ({ flow, capacity, sides, words, now }: FlowStep, timeouts: Int32Array): FlowRecord | null => {
  const header = new Int32Array(HEADER_NOW + 1)
  header[HEADER_NOW] = now
  return readFlow({ capacity, header, sides, bytes: new Float64Array(sides.buffer), flows: words }, 0, timeouts, flow)
}

const routeWords = (step: RoutingStep, { ip }: TraceWording): TracedRoute => {
  const { source, destination, input, mark, tos, looked, error, type, table, preference, device, gateway } = step
  return {
    step: 'route', src: formatIpv4(source), dst: formatIpv4(destination), iif: deviceName(ip.devices, input), ...given('mark', mark === 0 ? null : mark),
    ...given('tos', tos === 0 ? null : tos), looked: [...traceLines(looked, destination, ip)], ...given('error', ERROR_WORDS[error]),
    type: TYPE_WORDS.get(type) ?? String(type), ...given('table', table === 0 ? null : nameOf(ip.names, 'tables', table)),
    ...given('pref', preference < 0 ? null : preference), ...given('dev', device === 0 ? null : deviceName(ip.devices, device)),
    ...given('via', gateway === null ? null : formatIpv4(gateway)),
  }
}

const changeWords = ({ field, from, to }: Change): { field: string; from: string | number; to: string | number } => {
  const isAddress = field === 'source' || field === 'destination'
  return { field: FIELD_WORDS[field] ?? field, from: isAddress ? formatIpv4(from) : from, to: isAddress ? formatIpv4(to) : to }
}

const endpoint = (address: number, port: number): string => `${address === 0 ? '*' : formatIpv4(address)}:${port}`

const socketWords = ({ localAddress, localPort, remoteAddress, remotePort, isConnected, isTransparent }: SocketWords): TracedSocket => ({
  local: endpoint(localAddress, localPort), ...given('remote', isConnected ? endpoint(remoteAddress, remotePort) : null), transparent: isTransparent,
})

const stepWords = (step: TraceStep, wording: TraceWording): TracedStep => {
  switch (step.step) {
    case 'packet': return packetWords(step, wording)
    case 'rule': return ruleWords(step, wording)
    case 'flow': return { step: 'flow', new: step.isNew, direction: step.direction === 0 ? 'original' : 'reply', flow: flowRecord(step, wording.timeouts) }
    case 'translation': {
      const { what, address, port } = step
      return { step: 'translation', what, ...given('address', address === null ? null : formatIpv4(address)), ...given('port', port) }
    }
    case 'route': return routeWords(step, wording)
    case 'rewrite': return { step: 'rewrite', changes: step.changes.map(changeWords) }
    case 'answer': {
      const { kind, type, code } = step
      return kind === 'icmp' ? { step: 'answer', kind, type, code, name: icmpName(type, code) } : { step: 'answer', kind }
    }
    case 'drop': return { step: 'drop', reason: DROP_NAMES[step.code]!, text: DROP_TEXTS[step.code]! }
    case 'sent':
    case 'held': return {
      step: step.step, interface: wording.interfaceName(step.zone), ...given('nextHop', step.nextHop === null ? null : formatIpv4(step.nextHop)),
    }
    case 'tproxy': return { step: 'tproxy', socket: socketWords(step.socket) }
    case 'local': return { step: 'local', ...given('socket', step.socket === null ? null : socketWords(step.socket)) }
    default: return step
  }
}

const RESULTS: Readonly<Partial<Record<TracedStep['step'], TraceResult>>> = {
  'drop': 'dropped', 'held': 'held', 'fragment-held': 'held', 'sent': 'sent', 'local': 'local',
}

/** The last step that says what became of the packet: one that is dropped has an answer sent before, and one that is local a reply. */
const resultOf = (steps: readonly TracedStep[]): TraceResult => {
  const last = steps.findLast(({ step }) => RESULTS[step] !== undefined)
  return last === undefined ? 'none' : RESULTS[last.step]!
}

export const traceRecord = ({ time, steps }: Trace, wording: TraceWording): TraceRecord => {
  const words = steps.map((step) => stepWords(step, wording))
  const drop = words.find((step) => step.step === 'drop')
  const result = resultOf(words)
  return { type: 'packet', time: Math.round(wording.wallTime(time)), result, ...(result === 'dropped' ? given('reason', drop?.reason) : {}), steps: words }
}
