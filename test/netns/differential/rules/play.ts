/** Plays a case through a gateway, and tells what came out of it in lines that are the same at each gateway that does the same. */
import { emptyRuleset, restoreRuleset, saveRuleset } from '../../../../src/policy/iptables/index.js'
import { TABLE_NAMES } from '../../../../src/policy/model.js'
import { parseIpv4 } from '../../../../src/stack/wire/address.js'
import { observe, PortNames } from '../observe.js'
import { Dice, type Ends } from '../talk.js'
import type { Emitted, RuleGateway } from './bed.js'
import { isOfBed, rulesFrom } from './file.js'
import { endsOf, type Flow, isOffspring, type Packet, type Progress, reversed, type Shot, shotsFrom } from './shots.js'
import { DNAT_POOL, PORT_RANGES, SNAT_POOL } from './world.js'

export interface RuleCase { readonly seed: number; readonly rules: string; readonly shots: readonly Shot[] }

export interface Played {
  /** For each shot: what went in; undefined, nothing. */
  readonly sent: readonly (string | undefined)[]
  /** And what came out, in order, first those of the side that it went in by. */
  readonly seen: readonly (readonly string[])[]
  /** Rules and policies with packets and bytes, but those of the marks. */
  readonly counters: readonly string[]
}

const FLOWS = 36
/** Of so many cases one has errors about packets that are not tracked. */
const STRAY = 10

export const caseOf = (seed: number): RuleCase => {
  const dice = new Dice(seed)
  const rules = rulesFrom(dice)
  // Errors about what is not tracked are one of the differences: few cases have them.
  const errors = seed % STRAY === 0 || !/-j (?:NOTRACK|CT)/.test(rules)
  return { seed, rules, shots: shotsFrom(dice, FLOWS, errors) }
}

/** All ports by their numbers. */
const NUMBERS = new PortNames(Array.from({ length: 65_536 }, (_, port) => port))

const isWithin = (text: string, { first, last }: { first: string; last: string }): boolean => {
  const value = parseIpv4(text)! >>> 0
  return parseIpv4(first)! >>> 0 <= value && value <= parseIpv4(last)! >>> 0
}

const isInRange = (port: number): boolean => PORT_RANGES.some(([first, last]) => first <= port && port <= last)

/** Where a port was chosen from: the narrowest range that holds it. */
const choiceOf = (port: number): string => {
  const [low, high] = PORT_RANGES.find(([first, last]) => first <= port && port <= last) ?? [[1, 511], [512, 1023], [1024, 65_535]].find(([first, last]) => first! <= port && port <= last!)!
  return `${low}-${high}`
}

type Names = (readonly [RegExp, string])[]

/** What a gateway was free to choose when packets came to have these ends, with the name that stands for it. */
const choices = (flow: Flow, way: 'forth' | 'back', { source, destination, sourcePort }: Ends): Names => {
  const found: Names = []
  const asked = way === 'forth' ? flow : reversed(flow)
  const port = (address: string, number: number): void => {
    const label = `a port of ${flow.protocol === 'icmp' ? 'all' : choiceOf(number)}`
    found.push([new RegExp(`\\b${address.replaceAll('.', '\\.')}:${number}\\b`, 'g'), `${address}:${label}`])
    if (flow.protocol === 'icmp') found.push([new RegExp(` id ${number} seq`, 'g'), ` id ${label} seq`])
  }
  if (sourcePort !== asked.sourcePort) port(source, sourcePort)
  if (isWithin(source, SNAT_POOL)) found.push([new RegExp(`\\b${source}\\b`, 'g'), 'one of the pool'])
  if (isWithin(destination, DNAT_POOL)) found.push([new RegExp(`\\b${destination}\\b`, 'g'), 'one of the servers'])
  return found
}

/** A gateway's own ICMP errors and resets: identification and TOS are its own affair. */
const line = ({ side, bytes }: Emitted, names: Names, sent: Packet): string => {
  const seen = observe(side, bytes, NUMBERS)
  const hasId = (bytes[6]! & 0x40) !== 0 && isOffspring(sent.bytes, bytes)
  const text = hasId ? seen.line : seen.body
  const named = names.reduce((changed, [from, to]) => changed.replaceAll(from, to), text)
  // In a range it may stay, if nobody else has happened to get it.
  return named.replaceAll(/:(\d+)\b/g, (whole, port: string) => (isInRange(Number(port)) ? `:a port of ${choiceOf(Number(port))}` : whole))
}

const describeSent = ({ side, bytes }: Packet): string => observe(side, bytes, NUMBERS).line

/** What came of a packet, if it came out with some TTL left. */
const childOf = ({ bytes }: Packet, emitted: readonly Emitted[]): Emitted | undefined => emitted.find((one) => one.bytes[8]! > 0 && isOffspring(bytes, one.bytes))

/** Notes where a packet of the flow came out, and as what. */
const learn = (progress: Progress, { way }: Packet, child: Emitted): void => {
  if (way !== 'error') progress.through = (progress.through ?? 0) + 1
  if (way === 'back') progress.near = child.bytes
  if (way !== 'error') progress.ends.push({ way, ends: endsOf(child.bytes) })
  if (way === 'forth') progress.far = { side: child.side, ends: endsOf(child.bytes), packet: child.bytes }
}

/** `table: rule [packets:bytes]` of each rule and policy of a saved file, its tables in whatever order. OUTPUT is the bed's own. */
export const countersOf = (saved: string): string[] => {
  const ruleset = restoreRuleset(emptyRuleset(), saved, { counters: true })
  return TABLE_NAMES.flatMap((table) => saveRuleset(ruleset, { table, counters: true }).split('\n').flatMap((text) => {
    const policy = /^:(\S+) (?:ACCEPT|DROP) (\[\d+:\d+\])/.exec(text)
    const rule = /^(\[\d+:\d+\]) (-A .*)/.exec(text)
    if (/^(?::|\[\d+:\d+\] -A )OUTPUT /.test(text)) return []
    if (policy !== null) return [`${table}: policy of ${policy[1]} ${policy[2]}`]
    return rule !== null && !isOfBed(text) ? [`${table}: ${rule[2]} ${rule[1]}`] : []
  }))
}

/** @param watch is called after each shot */
export const play = async (gateway: RuleGateway, { rules, shots }: RuleCase, watch?: () => Promise<void>): Promise<Played> => {
  await gateway.load(rules)
  const progress = new Map<Flow, Progress>()
  const [sent, seen]: [(string | undefined)[], string[][]] = [[], []]
  for (const { flow, make } of shots) {
    const own: Progress = progress.get(flow) ?? { ends: [] }
    progress.set(flow, own)
    const packet = own.isStuck === true ? undefined : make(own)
    const emitted = packet === undefined ? [] : await gateway.send(packet.side, packet.bytes)
    sent.push(packet === undefined ? undefined : describeSent(packet))
    const child = packet === undefined ? undefined : childOf(packet, emitted)
    if (packet !== undefined && child !== undefined) learn(own, packet, child)
    // Before it was answered it may be tried again.
    if (packet !== undefined && child === undefined && packet.way !== 'error' && (packet.way === 'back' || own.near !== undefined || own.far !== undefined)) own.isStuck = true
    const names = own.ends.flatMap(({ way, ends }) => choices(flow, way, ends))
    seen.push(packet === undefined ? [] : emitted.map((one) => line(one, names, packet)))
    await watch?.()
  }
  return { sent, seen, counters: countersOf(await gateway.save()) }
}
