/**
 * What two hosts say to each other, as the material of packet sequences: a flow's endpoints, and shots, which are packets yet
 * without the outside port, as that is known only once the gateway has chosen it.
 */
import type { RandomSource } from '../../../src/stack/random.js'
import { seededRandom } from '../../../src/testing/memory-gateway.js'
import { buildFragments, buildIcmpError } from '../../../src/testing/packets.js'
import * as icmp4 from '../../../src/stack/wire/icmp4.js'
import { LAN_MTU, OUTSIDE, WAN_MTU } from './addresses.js'
import type { Side } from './addresses.js'

export type Protocol = 'tcp' | 'udp' | 'icmp' | 'udplite' | 'sctp' | 'gre' | 'esp' | 'unknown'

/** One inside endpoint and one remote. For ICMP the ports are the identifier and 0; some protocols have none. */
export interface Flow {
  protocol: Protocol
  inside: string
  insidePort: number
  remote: string
  remotePort: number
  /** Another host outside, a router on the way outside, and one on the way inside. */
  stranger: string
  outsideRouter: string
  insideRouter: string
}

/** Who a packet is from and to, as somebody on the way sees it. */
export interface Ends {
  source: string
  destination: string
  sourcePort: number
  destinationPort: number
}

/** What is sent into one side at one time: a packet, or the fragments of one. */
export interface Shot {
  /** In words, for people. */
  note: string
  side: Side
  /** Index of the flow in its sequence. */
  flow: number
  build(outsidePort: number): Uint8Array[]
}

/** A packet whose addresses are open. */
export type Builder = (ends: Ends) => Uint8Array

/** Numbers that look random and are the same each time. */
export class Dice {
  readonly #source: RandomSource

  constructor(seed: number) {
    this.#source = seededRandom(Math.imul(seed + 1, 0x9e3779b1))
    for (let i = 0; i < 8; i++) this.#source.next()
  }

  /** From `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + (this.#source.next() % (high - low + 1))
  }

  /** True in `percent` of 100 cases. */
  chance(percent: number): boolean {
    return this.between(0, 99) < percent
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.between(0, choices.length - 1)]!
  }

  /** Picks by weight. */
  weighted<T>(choices: readonly (readonly [weight: number, choice: T])[]): T {
    let left = this.between(0, choices.reduce((sum, [weight]) => sum + weight, 0) - 1)
    for (const [weight, choice] of choices) {
      left -= weight
      if (left < 0) return choice
    }
    throw new Error('no choice')
  }

  shuffle<T>(items: readonly T[]): T[] {
    return items.map((item) => [this.#source.next(), item] as const).sort(([a], [b]) => a - b).map(([, item]) => item)
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#source.next() & 0xff)
  }
}

/** As the sender of the flow's side sees it. */
export const endsOf = (flow: Flow, side: Side, outsidePort: number): Ends =>
  side === 'lan'
    ? { source: flow.inside, destination: flow.remote, sourcePort: flow.insidePort, destinationPort: flow.remotePort }
    : { source: flow.remote, destination: OUTSIDE, sourcePort: flow.remotePort, destinationPort: outsidePort }

/** The same behind the gateway. */
export const endsBehind = (flow: Flow, side: Side, outsidePort: number): Ends =>
  side === 'lan'
    ? { ...endsOf(flow, side, outsidePort), source: OUTSIDE, sourcePort: outsidePort }
    : { ...endsOf(flow, side, outsidePort), destination: flow.inside, destinationPort: flow.insidePort }

/** IP header fields as ordinary hosts set them. Identifications are never 0, so that the test knows its own packets again. */
export const ipFields = (dice: Dice, mayFragment = false) => ({
  id: dice.between(1, 65535),
  ttl: dice.pick([64, 64, 64, 128, 255]),
  tos: dice.weighted([[8, 0], [1, 0x10], [1, 0xb8]]),
  df: !mayFragment && dice.chance(50),
})

const FRAGMENT_ORDERS = ['in order', 'backwards', 'shuffled', 'the second lost', 'the first lost', 'one twice', 'two that overlap', 'a short one first'] as const

/** Sizes of a datagram that is sent in fragments, and of the fragments. The inside sends some that are too long for the WAN. */
export const fragmentSizes = (dice: Dice, side: Side): { payload: number; mtu: number } =>
  side === 'lan' && dice.chance(15)
    ? { payload: dice.between(LAN_MTU, LAN_MTU * 2), mtu: LAN_MTU }
    : { payload: dice.between(100, 900), mtu: dice.pick([68, 108, 204, 300]) }

/** Sends a packet in fragments, in some order or disorder. */
export const inFragments = (dice: Dice, whole: Builder, mtu: number): { note: string; split: (ends: Ends) => Uint8Array[] } => {
  const order = dice.weighted([[3, FRAGMENT_ORDERS[0]], [3, FRAGMENT_ORDERS[1]], [3, FRAGMENT_ORDERS[2]], ...FRAGMENT_ORDERS.slice(3).map((one) => [1, one] as const)])
  const seed = dice.between(0, 1 << 30)
  const split = (ends: Ends): Uint8Array[] => {
    const pieces = buildFragments(whole(ends), mtu)
    const own = new Dice(seed)
    if (pieces.length < 2) return pieces
    switch (order) {
      case 'in order':
        return pieces
      case 'backwards':
        return pieces.reverse()
      case 'shuffled':
        return own.shuffle(pieces)
      case 'the first lost':
        return pieces.slice(1)
      case 'the second lost':
        return pieces.filter((_, i) => i !== 1)
      case 'one twice':
        return [...pieces.slice(0, 2), pieces[1]!, ...pieces.slice(2)]
      case 'a short one first':
        return [...buildFragments(pieces[0]!, 68), ...pieces.slice(1)]
      case 'two that overlap':
        return [pieces[0]!, overlapping(pieces[1]!), ...pieces.slice(1)]
    }
  }
  return { note: `in fragments for MTU ${mtu}, ${order}`, split }
}

/** The fragment, said to begin eight bytes further on and with other contents. */
const overlapping = (fragment: Uint8Array): Uint8Array => {
  const copy = fragment.slice()
  const view = new DataView(copy.buffer)
  view.setUint16(6, view.getUint16(6) + 1)
  const before = view.getUint16(10)
  const after = (~before & 0xffff) + 1
  view.setUint16(10, ~((after & 0xffff) + (after >>> 16)) & 0xffff)
  copy[copy.length - 1]! ^= 0xff
  return copy
}

const ERRORS = [
  [3, 0], [3, 1], [3, 1], [3, 2], [3, 3], [3, 3], [3, 4], [3, 4], [3, 13], [11, 0], [11, 0], [11, 1], [12, 0], [4, 0], [5, 1],
] as const
const FLAWS = ['', '', '', '', '', 'outer checksum wrong', 'quoted header checksum wrong', 'quoted transport checksum wrong', 'about another port', 'quote of 4 bytes behind the header'] as const

/**
 * An ICMP error about a packet that came through: from outside about what the inside sent, or the other way round.
 * @param about the side that the packet came from; the error goes back there
 */
export const errorAbout = (dice: Dice, flow: Flow, index: number, about: Side, builder: Builder): Shot => {
  const [type, code] = dice.pick(ERRORS)
  const flaw = dice.pick(FLAWS)
  const isRouter = dice.chance(40)
  const quoteLength = flaw === 'quote of 4 bytes behind the header' ? 24 : dice.pick([28, 28, 40, 548])
  const side: Side = about === 'lan' ? 'wan' : 'lan'
  const fields = ipFields(dice)
  const build = (outsidePort: number): Uint8Array[] => {
    const ends = endsBehind(flow, about, outsidePort)
    if (flaw === 'about another port') ends[about === 'lan' ? 'sourcePort' : 'destinationPort'] ^= 0x0101
    const quote = builder(ends).slice()
    const view = new DataView(quote.buffer)
    if (flaw === 'quoted header checksum wrong') view.setUint16(10, view.getUint16(10) ^ 0x0101)
    if (flaw === 'quoted transport checksum wrong') quote[quote.length - 1]! ^= 0x55
    const router = about === 'lan' ? flow.outsideRouter : flow.insideRouter
    return [buildIcmpError({
      ...fields, type, code, quote, quoteLength,
      mtu: type === icmp4.UNREACHABLE && code === icmp4.CODE_FRAGMENTATION_NEEDED ? 1280 : 0,
      source: isRouter ? router : ends.destination,
      destination: ends.source,
      ...(flaw === 'outer checksum wrong' ? { corrupt: 'transport' as const } : {}),
    })]
  }
  const note = `ICMP ${type}/${code} from ${isRouter ? 'a router' : 'the host'} about the last packet, ${quoteLength} bytes quoted${flaw === '' ? '' : `, ${flaw}`}`
  return { note, side, flow: index, build }
}

/** Bytes of payload. The inside sends more than the WAN carries now and then. */
export const payloadSize = (dice: Dice, side: Side): number =>
  dice.weighted([[2, 0], [10, dice.between(1, 64)], [5, dice.between(65, 900)], [side === 'lan' ? 1 : 0, dice.between(WAN_MTU - 20, LAN_MTU - 60)]])
