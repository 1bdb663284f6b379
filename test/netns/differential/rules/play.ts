/** Plays a case through a gateway, and tells what came out of it in lines that are the same at each gateway that does the same. */
import { formatIpv4, parseIpv4 } from '../../../../src/stack/wire/address.js'
import * as ipv4 from '../../../../src/stack/wire/ipv4.js'
import { observe, PortNames } from '../observe.js'
import { Dice } from '../talk.js'
import type { Emitted, RuleGateway } from './bed.js'
import { isOfMarks, rulesFrom } from './file.js'
import { endsOf, type Flow, isOffspring, type Packet, type Progress, type Shot, shotsFrom } from './shots.js'
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

export const caseOf = (seed: number): RuleCase => {
  const dice = new Dice(seed)
  return { seed, rules: rulesFrom(dice), shots: shotsFrom(dice, FLOWS) }
}

/** All ports by their numbers. */
const NUMBERS = new PortNames(Array.from({ length: 65_536 }, (_, port) => port))

const isWithin = (text: string, { first, last }: { first: string; last: string }): boolean => {
  const value = parseIpv4(text)! >>> 0
  return parseIpv4(first)! >>> 0 <= value && value <= parseIpv4(last)! >>> 0
}

/** Where a port was chosen from: the narrowest range that holds it. */
const choiceOf = (port: number): string => {
  const [low, high] = PORT_RANGES.find(([first, last]) => first <= port && port <= last) ?? [[1, 511], [512, 1023], [1024, 65_535]].find(([first, last]) => first! <= port && port <= last!)!
  return `${low}-${high}`
}

/** What a gateway was free to choose for a flow, with the name that stands for it. */
const choices = (flow: Flow, { far }: Progress): (readonly [RegExp, string])[] => {
  const found: (readonly [RegExp, string])[] = []
  if (far === undefined) return found
  const { source, destination, sourcePort, destinationPort } = far.ends
  const port = (address: string, number: number, name: string): void => {
    const label = `port ${name} of ${choiceOf(number)}`
    found.push([new RegExp(`\\b${address.replaceAll('.', '\\.')}:${number}\\b`, 'g'), `${address}:${label}`])
    if (flow.protocol === 'icmp') found.push([new RegExp(` id ${number} seq`, 'g'), ` id ${label} seq`])
  }
  if (sourcePort !== flow.sourcePort) port(source, sourcePort, 'x')
  if (destinationPort !== flow.destinationPort && PORT_RANGES.some(([first, last]) => first <= destinationPort && destinationPort <= last)) port(destination, destinationPort, 'y')
  if (isWithin(source, SNAT_POOL)) found.push([new RegExp(`\\b${source}\\b`, 'g'), 'one of the pool'])
  if (isWithin(destination, DNAT_POOL)) found.push([new RegExp(`\\b${destination}\\b`, 'g'), 'one of the servers'])
  return found
}

/** A gateway's own ICMP errors and resets: identification and TOS are its own affair. */
const line = ({ side, bytes }: Emitted, names: readonly (readonly [RegExp, string])[], sent: Packet): string => {
  const seen = observe(side, bytes, NUMBERS)
  const hasId = (bytes[6]! & 0x40) !== 0 && isOffspring(sent.bytes, bytes)
  const text = hasId ? seen.line : seen.body
  return names.reduce((changed, [from, to]) => changed.replaceAll(from, to), text)
}

const describeSent = ({ side, bytes }: Packet): string => observe(side, bytes, NUMBERS).line

/** Notes where a packet of the flow came out, and as what. */
const learn = (progress: Progress, packet: Packet, emitted: readonly Emitted[]): void => {
  const child = emitted.find(({ bytes }) => isOffspring(packet.bytes, bytes) && formatIpv4(new DataView(bytes.buffer, bytes.byteOffset).getInt32(16)) !== '')
  if (child === undefined || packet.way === 'error') return
  if (packet.way === 'back') progress.near = child.bytes
  else progress.far = { side: child.side, ends: endsOf(child.bytes), packet: child.bytes }
}

/** Lines of a saved file that count something: `table chain number packets bytes`. */
export const countersOf = (saved: string): string[] => {
  const found: string[] = []
  let table = ''
  for (const text of saved.split('\n')) {
    if (text.startsWith('*')) table = text.slice(1)
    const policy = /^:(\S+) (ACCEPT|DROP) (\[\d+:\d+\])/.exec(text)
    const rule = /^(\[\d+:\d+\]) (-A .*)/.exec(text)
    if (policy !== null) found.push(`${table}: policy of ${policy[1]} ${policy[3]}`)
    if (rule !== null && !isOfMarks(text)) found.push(`${table}: ${rule[2]} ${rule[1]}`)
  }
  return found
}

export const play = async (gateway: RuleGateway, { rules, shots }: RuleCase): Promise<Played> => {
  await gateway.load(rules)
  const progress = new Map<Flow, Progress>()
  const [sent, seen]: [(string | undefined)[], string[][]] = [[], []]
  for (const { flow, make } of shots) {
    const own: Progress = progress.get(flow) ?? {}
    progress.set(flow, own)
    const packet = make(own)
    const emitted = packet === undefined ? [] : await gateway.send(packet.side, packet.bytes)
    if (packet !== undefined) learn(own, packet, emitted)
    sent.push(packet === undefined ? undefined : describeSent(packet))
    seen.push(packet === undefined ? [] : emitted.map((one) => line(one, choices(flow, own), packet)))
  }
  return { sent, seen, counters: countersOf(await gateway.save()) }
}

/** Whether a packet is an ICMP message. */
export const isIcmp = (bytes: Uint8Array): boolean => bytes[9] === ipv4.PROTOCOL_ICMP
