/**
 * Conversations that generated rules are tried on, packet by packet. What the remote end answers depends on what reached it, so a
 * packet is made only when it is sent, out of what that gateway has done with the flow so far.
 */
import { buildEsp, buildIcmp, buildIcmpError, buildTcp, buildUdp, mssOption } from '../../../../src/testing/packets.js'
import type { PacketOptions } from '../../../../src/testing/packets.js'
import { formatIpv4 } from '../../../../src/stack/wire/address.js'
import * as icmp4 from '../../../../src/stack/wire/icmp4.js'
import * as ipv4 from '../../../../src/stack/wire/ipv4.js'
import * as tcp from '../../../../src/stack/wire/tcp.js'
import type { Side } from '../addresses.js'
import type { Dice, Ends } from '../talk.js'
import { CLIENT_PORTS, INSIDE, MAPPED, OUTSIDE, OWN_LAN, OWN_WAN, ROUTER, SERVICES } from './world.js'

export type Protocol = 'tcp' | 'udp' | 'icmp' | 'other'

/** What is neither TCP, UDP nor ICMP: ESP. */
const OTHER = ipv4.PROTOCOL_ESP

/** A conversation. For ICMP the identifier is the source port; protocols without ports have 0 for both. */
export interface Flow extends Ends {
  readonly number: number
  readonly protocol: Protocol
  /** Where it is opened. */
  readonly side: Side
}

/** What one gateway has done with a flow so far. */
export interface Progress {
  /** Where its packets came out last, and as what. */
  far?: { side: Side; ends: Ends; packet: Uint8Array }
  /** The last answer, as it came out. */
  near?: Uint8Array
  /** As what its packets came out so far. */
  readonly ends: { readonly way: 'forth' | 'back'; readonly ends: Ends }[]
  /** Packets that came out, errors aside. */
  through?: number
  /** A packet of it has not come out since it was answered: nothing more is said. */
  isStuck?: boolean
}

export interface Packet {
  readonly side: Side
  readonly bytes: Uint8Array
  /** Which way it goes in its flow; errors go neither way. */
  readonly way: 'forth' | 'back' | 'error'
}

export interface Shot {
  readonly flow: Flow
  readonly note: string
  /** Undefined when there is nothing to be said, as nothing was heard. */
  make(progress: Progress): Packet | undefined
}

export const reversed = ({ source, destination, sourcePort, destinationPort }: Ends): Ends =>
  ({ source: destination, destination: source, sourcePort: destinationPort, destinationPort: sourcePort })

/** Addresses and ports of a packet, those of an echo request or reply as {@link Flow} has them. */
export const endsOf = (packet: Uint8Array): Ends => {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  const at = ipv4.headerLength(view, 0)
  const protocol = ipv4.protocol(view, 0)
  const [source, destination] = [formatIpv4(ipv4.source(view, 0)), formatIpv4(ipv4.destination(view, 0))]
  if (protocol === ipv4.PROTOCOL_ICMP) {
    const id = icmp4.identifier(view, at)
    return icmp4.isRequest(icmp4.type(view, at)) ? { source, destination, sourcePort: id, destinationPort: 0 } : { source, destination, sourcePort: 0, destinationPort: id }
  }
  if (protocol === OTHER) return { source, destination, sourcePort: 0, destinationPort: 0 }
  return { source, destination, sourcePort: view.getUint16(at), destinationPort: view.getUint16(at + 2) }
}

/**
 * Whether a packet is what became of another one: the same message, or its first fragment, but for addresses, ports
 * and what rules change.
 */
export const isOffspring = (sent: Uint8Array, packet: Uint8Array): boolean => {
  const [a, b] = [new DataView(sent.buffer, sent.byteOffset), new DataView(packet.buffer, packet.byteOffset)]
  if (sent[9] !== packet[9]) return false
  // TCPMSS may have added an option.
  if (sent[9] === ipv4.PROTOCOL_TCP) return a.getUint32(24) === b.getUint32(24) && sent[33] === packet[33]
  if (sent.length !== packet.length && !(ipv4.moreFragments(b, 0) && ipv4.fragmentOffset(b, 0) === 0)) return false
  return sent[9] !== ipv4.PROTOCOL_ICMP || sent[20] === packet[20]
}

type Fields = Omit<PacketOptions, 'source' | 'destination'>
type Builder = (ends: Ends) => Uint8Array

/** As hosts set them; the identification is never 0. */
const fieldsOf = (dice: Dice): Fields => ({
  id: dice.between(1, 65_535),
  ttl: dice.weighted([[12, 64], [3, 128], [2, 255], [1, 1], [1, 66]]),
  tos: dice.weighted([[8, 0], [2, 0x10], [1, 0x08], [2, 0xb8], [1, 0x28]]),
  df: dice.chance(80),
})

/** The LAN carries more than the WAN. */
const payload = (dice: Dice, mayExceed: boolean): Uint8Array =>
  dice.bytes(dice.weighted([[2, 0], [8, dice.between(1, 40)], [6, dice.between(41, 300)], [1, dice.between(1300, 1340)], [mayExceed ? 1 : 0, dice.between(1400, 1440)]]))

interface Segment { readonly isBack: boolean; readonly flags: number; readonly size: number }
const SYN: Segment = { isBack: false, flags: tcp.SYN, size: 0 }

/** A connection as it would go, cut short or not. */
const segmentsOf = (dice: Dice): Segment[] => {
  const data = (): Segment => ({ isBack: dice.chance(50), flags: tcp.ACK | tcp.PSH, size: dice.between(1, 400) })
  const ack = (isBack: boolean): Segment => ({ isBack, flags: tcp.ACK, size: 0 })
  const fin = (isBack: boolean): Segment => ({ isBack, flags: tcp.FIN | tcp.ACK, size: 0 })
  const end: Segment[] = dice.weighted<() => Segment[]>([
    [4, () => []],
    [3, () => [fin(false), fin(true), ack(false)]],
    [1, () => [fin(true), fin(false), ack(true)]],
    [1, () => [{ isBack: dice.chance(50), flags: tcp.RST | tcp.ACK, size: 0 }]],
  ])()
  if (dice.chance(12)) return [SYN, { isBack: true, flags: tcp.RST | tcp.ACK, size: 0 }]
  return [SYN, { isBack: true, flags: tcp.SYN | tcp.ACK, size: 0 }, ack(false), ...Array.from({ length: dice.between(0, 3) }, data), ...end]
}

const forth = (flow: Flow, builder: Builder): Packet => ({ side: flow.side, bytes: builder(flow), way: 'forth' })
const back = ({ far }: Progress, builder: Builder): Packet | undefined => (far === undefined ? undefined : { side: far.side, bytes: builder(reversed(far.ends)), way: 'back' })

const tcpShots = (dice: Dice, flow: Flow): Shot[] => {
  const next = [dice.between(1, 1 << 30), dice.between(1, 1 << 30)]
  const build = ({ isBack, flags, size }: Segment): Builder => {
    const [own, other] = isBack ? [1, 0] : [0, 1]
    const message = {
      ...fieldsOf(dice), flags, sequence: next[own]!, acknowledgment: flags & tcp.ACK ? next[other]! : 0, payload: dice.bytes(size),
      ...(flags & tcp.SYN ? { options: dice.chance(97) ? Uint8Array.of(...mssOption(dice.pick([1460, 1460, 1300, 9000])), 1, 3, 3, 7) : new Uint8Array(0) } : {}),
    }
    next[own]! += size + (flags & (tcp.SYN | tcp.FIN) ? 1 : 0)
    return (ends) => buildTcp({ ...message, ...ends })
  }
  // One after the other; what did not come through is sent again.
  const segments = segmentsOf(dice).map((segment) => ({ ...segment, builder: build(segment) }))
  const note = `the next segment of ${segments.length}${segments.some(({ flags }) => flags & tcp.RST) ? ', the last is a reset' : ''}`
  return segments.map(() => ({
    flow, note,
    make: (progress) => {
      const { isBack, builder } = segments[Math.min(progress.through ?? 0, segments.length - 1)]!
      return isBack ? back(progress, builder) : forth(flow, builder)
    },
  }))
}

const datagramOf = (dice: Dice, { protocol, side }: Flow): ((isBack: boolean) => Builder) => (isBack) => {
  const fields = { ...fieldsOf(dice), payload: payload(dice, side === 'lan' && !isBack) }
  if (protocol === 'udp') return (ends) => buildUdp({ ...fields, ...ends })
  // Before the payload the number of the association.
  if (protocol === 'other') return (ends) => buildEsp({ ...fields, ...ends, spi: 7 })
  const sequence = dice.between(1, 99)
  return ({ source, destination, sourcePort, destinationPort }) =>
    buildIcmp({ ...fields, source, destination, type: isBack ? icmp4.ECHO_REPLY : icmp4.ECHO_REQUEST, rest: (Math.max(sourcePort, destinationPort) << 16) | sequence })
}

const datagramShots = (dice: Dice, flow: Flow): Shot[] => {
  const builder = datagramOf(dice, flow)
  // Of what it answers itself, the kernel makes a flow; tsnat none.
  const isOwn = flow.protocol === 'icmp' && (flow.destination === OWN_WAN || flow.destination === OWN_LAN)
  const ways = isOwn ? [false] : [false, ...Array.from({ length: dice.between(1, 4) }, (_, index) => (index === 0 ? dice.chance(90) : dice.chance(50)))]
  return ways.map((isBack) => {
    const built = builder(isBack)
    return { flow, note: isBack ? 'server answers' : 'client asks', make: (progress) => (isBack ? back(progress, built) : forth(flow, built)) }
  })
}

const ERRORS = [[3, 3], [3, 3], [3, 1], [3, 13], [3, 4], [11, 0]] as const

/** An ICMP error about the last packet that came out, by its receiver or a router on the way. */
const errorShot = (dice: Dice, flow: Flow): Shot => {
  const [type, code] = dice.pick(ERRORS)
  const isNear = dice.chance(25)
  const isRouter = dice.chance(50)
  const fields = fieldsOf(dice)
  const make = ({ far, near }: Progress): Packet | undefined => {
    const about = isNear ? near : far?.packet
    const side = isNear ? flow.side : far?.side
    if (about === undefined || side === undefined) return undefined
    const { source, destination } = endsOf(about)
    const bytes = buildIcmpError({ ...fields, type, code, mtu: code === 4 ? 1280 : 0, quote: about, quoteLength: 28, source: isRouter ? ROUTER[side] : destination, destination: source })
    return { side, bytes, way: 'error' }
  }
  return { flow, note: `ICMP ${type}/${code} about ${isNear ? 'an answer' : 'what was sent'}, from ${isRouter ? 'a router' : 'its receiver'}`, make }
}

const flowOf = (dice: Dice, number: number): Flow => {
  const mapped = `${MAPPED}.${dice.between(1, 4)}`
  const [side, source, destination] = dice.weighted<readonly [Side, string, string]>([
    [50, ['lan', dice.pick(INSIDE), dice.pick(OUTSIDE)]],
    [22, ['wan', dice.pick(OUTSIDE), OWN_WAN]],
    [8, ['wan', dice.pick(OUTSIDE), mapped]],
    [5, ['wan', dice.pick(OUTSIDE), dice.pick(INSIDE)]],
    [6, ['lan', dice.pick(INSIDE), OWN_WAN]],
    [2, ['lan', dice.pick(INSIDE), OWN_LAN]],
    [3, ['lan', '10.2.0.1', '10.1.0.2']],
  ])
  // Nothing but pings is answered there.
  const protocol = destination === OWN_LAN ? 'icmp' : dice.weighted<Protocol>([[10, 'tcp'], [6, 'udp'], [3, 'icmp'], [1, 'other']])
  const hasPorts = protocol === 'tcp' || protocol === 'udp'
  const sourcePort = protocol === 'other' ? 0 : dice.pick(CLIENT_PORTS) + dice.between(0, 3)
  return { number, protocol, side, source, destination, sourcePort, destinationPort: hasPorts ? dice.pick(SERVICES) : 0 }
}

const keyOf = ({ protocol, source, destination, sourcePort, destinationPort }: Flow): string => [protocol, source, sourcePort, destination, destinationPort].join()

/** Flows of a case, and what is said in them, all mixed. @param errors ICMP errors are sent, too */
export const shotsFrom = (dice: Dice, flows: number, errors: boolean): Shot[] => {
  const seen = new Set<string>()
  const talks: Shot[][] = []
  for (let number = 0; number < flows; number++) {
    const flow = flowOf(dice, number)
    if (seen.has(keyOf(flow))) continue
    seen.add(keyOf(flow))
    const shots = flow.protocol === 'tcp' ? tcpShots(dice, flow) : datagramShots(dice, flow)
    // After a RST there is nothing that an error could be about.
    if (dice.chance(20) && !shots[0]!.note.includes('reset')) {
      const [at, shot] = [dice.between(1, shots.length), errorShot(dice, flow)]
      if (errors) shots.splice(at, 0, shot)
    }
    talks.push(shots)
  }
  const mixed: Shot[] = []
  // A few at a time, so that most talks are over before the last begin.
  for (let open = talks.splice(0, 8); open.length > 0; ) {
    const talk = dice.pick(open)
    mixed.push(talk.shift()!)
    if (talk.length === 0) open = [...open.filter((one) => one !== talk), ...talks.splice(0, 1)]
  }
  return mixed
}
