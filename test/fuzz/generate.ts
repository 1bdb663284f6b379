/** Makes steps: real packets, real packets with harm done, noise; honest and lying virtio headers. */
import { parseForward } from '../../src/forward-text.js'
import { type Behaviour, DEPENDENCES, MAPPINGS } from '../../src/nat/behaviour.js'
import { OTHER_PROTOCOLS } from '../../src/nat/settings.js'
import type { Offloads } from '../../src/stack/device/device.js'
import type { VnetHeader } from '../../src/stack/device/memory.js'
import {
  buildEsp, buildFragments, buildGre, buildIcmp, buildIcmpEcho, buildIcmpError, buildIpv4, buildSctp, buildTcp, buildUdp, buildUdpLite, type PacketOptions,
} from '../../src/testing/packets.js'
import { A, B, bytesOf, E, G, headerOf, NOTHING, P, Q, superpacket, u16, unfinish } from '../stack/support.js'
import type { PlaneOptions, Step, StepPacket } from './plane.js'

export type Random = (bound: number) => number

/** Numbers from 0 to bound - 1, the same for the same seed (xorshift32). */
export const randomFrom = (seed: number): Random => {
  let state = seed | 0 || 1
  return (bound) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % bound
  }
}

const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)]!

const OFFLOADS: readonly Offloads[] = [
  { checksum: false, tcp: false, udp: false },
  ...[false, true].flatMap((tcp) => [false, true].map((udp) => ({ checksum: true, tcp, udp }))),
]

const FORWARDS = ['tcp:80-700:HOST:5000', 'udp:80-700:HOST:5000', 'sctp:80-700:HOST:5000', 'udplite:80-700:HOST:5000', 'icmp:HOST', 'gre:HOST', 'esp:HOST', '41:HOST@198.51.100.0/24']

const behaviourFrom = (random: Random): Behaviour => ({ mapping: pick(random, MAPPINGS), filtering: pick(random, DEPENDENCES) })

export const randomOptions = (random: Random): PlaneOptions => ({
  lanMtu: pick(random, [1500, 1500, 9000, 576, 1280, 65535]),
  wanMtu: pick(random, [1500, 1500, 1400, 9000, 576, 68]),
  lanOffloads: pick(random, OFFLOADS),
  wanOffloads: pick(random, OFFLOADS),
  neighbours: random(3) === 0,
  flows: pick(random, [4, 64, 1024]),
  ports: pick(random, [[[1, 65535]], [[40000, 40003]], [[1000, 1100]]]),
  fragmentBytes: pick(random, [2048, 16 << 10, 256 << 10]),
  mssClamp: random(4) !== 0,
  owned: random(3) === 0,
  behaviours: { tcp: behaviourFrom(random), udp: behaviourFrom(random), icmp: behaviourFrom(random) },
  otherProtocols: pick(random, OTHER_PROTOCOLS),
  forwards: random(2) === 0 ? [] : [parseForward(pick(random, FORWARDS).replace('HOST', pick(random, [A, B])))!],
})

const INTERESTING = [0, 1, 2, 4, 5, 7, 8, 15, 16, 17, 20, 40, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0xfe, 0xff]
const LENGTHS = [0, 1, 7, 8, 9, 20, 100, 548, 1372, 1460, 1472, 1473, 3000]
const PORTS = [0, 1, 53, 80, 700, 5000, 5001, 40000, 65535]
const SOURCES = [A, A, B, G, '127.0.0.1', '0.0.0.0', '255.255.255.255', E]
const REMOTES = [P, P, Q, G, E, '224.0.0.1', '0.0.0.0', '10.255.255.255']
const TYPES = [0, 3, 4, 5, 8, 11, 12, 13, 14, 17, 40]

const packetFrom = (random: Random, inside: boolean): Uint8Array => {
  const ends = inside
    ? { source: pick(random, SOURCES), destination: pick(random, REMOTES) }
    : { source: pick(random, REMOTES), destination: pick(random, [E, E, E, A, G, '0.0.0.0']) }
  const base = {
    ...ends, ttl: pick(random, [64, 64, 64, 2, 1, 0]), tos: random(256), id: random(4), df: random(3) === 0,
    ...(random(6) === 0 ? { ipOptions: pick(random, [Uint8Array.of(7, 7, 4, 0, 0, 0, 0), Uint8Array.of(148, 4, 0, 0, 1, 1), bytesOf(40, random(99))]) } : {}),
  }
  const ports = { sourcePort: pick(random, PORTS), destinationPort: pick(random, PORTS) }
  const payload = bytesOf(pick(random, LENGTHS), random(9))
  switch (random(8)) {
    case 7:
      return rarePacketFrom(random, { ...base, ...ports, payload })
    case 0:
    case 1:
      return buildUdp({ ...base, ...ports, payload, checksum: random(4) !== 0 })
    case 2:
    case 3:
      return buildTcp({
        ...base, ...ports, payload, flags: pick(random, [2, 2, 0x12, 0x10, 0x11, 0x18, 4, 0xff]),
        options: pick(random, [Uint8Array.of(2, 4, 5, 180), Uint8Array.of(1, 2, 4, 255, 255, 0), new Uint8Array(0), bytesOf(40, random(99))]),
      })
    case 4:
      return buildIcmpEcho({ ...base, identifier: pick(random, PORTS), sequence: 1, reply: random(2) === 0, payload })
    case 5:
      return buildIcmpError({ ...base, type: pick(random, [3, 5, 11, 12]), code: random(5), mtu: pick(random, [0, 68, 1400]), quote: quoteFor(random, inside), quoteLength: pick(random, [20, 27, 28, 36, 37, 38, 548, 548]) })
    default:
      return random(2) === 0
        ? buildIcmp({ ...base, type: pick(random, TYPES), rest: random(0x7fffffff), payload })
        : buildIpv4({ ...base, protocol: random(256), payload })
  }
}

/** A packet of a protocol that few speak. */
const rarePacketFrom = (random: Random, base: PacketOptions & { sourcePort: number; destinationPort: number; payload: Uint8Array }): Uint8Array => {
  switch (random(5)) {
    case 0:
      return buildUdpLite({ ...base, coverage: pick(random, [0, 0, 8, 9, 7, 1500]) })
    case 1:
      return buildGre({ ...base, flags: pick(random, [0, 0x2000, 0x3001]) })
    case 2:
      return buildEsp({ ...base, spi: random(9) })
    case 3:
      return buildIpv4({ ...base, protocol: 41 })
    default:
      return buildSctp({ ...base, tag: random(3), chunks: [{ type: pick(random, [1, 1, 1, 0, 2, 6, 10, 11, 14]), flags: random(2), value: base.payload.subarray(0, 1400) }] })
  }
}

/** A packet as the sender of an error would have got it. */
const quoteFor = (random: Random, inside: boolean): Uint8Array => {
  const ports = { sourcePort: pick(random, PORTS), destinationPort: pick(random, PORTS) }
  const ends = inside ? { source: P, destination: pick(random, [A, B]) } : { source: E, destination: pick(random, [P, Q]) }
  const payload = bytesOf(pick(random, [0, 8, 100, 600]))
  switch (random(5)) {
    case 4:
      return rarePacketFrom(random, { ...ends, ...ports, payload })
    case 0:
      return buildUdp({ ...ends, ...ports, payload })
    case 1:
      return buildTcp({ ...ends, ...ports, payload, flags: 2 })
    case 2:
      return buildIcmpEcho({ ...ends, identifier: ports.sourcePort, reply: inside, payload })
    default:
      return packetFromQuote(random, inside)
  }
}
const packetFromQuote = (random: Random, inside: boolean): Uint8Array =>
  buildIpv4({ source: inside ? P : E, destination: inside ? A : P, protocol: pick(random, [1, 6, 17, 47]), payload: bytesOf(random(60), random(9)), ipOptions: bytesOf(random(11) * 4, random(99)) })

const onesSum = (bytes: Uint8Array): number => {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes[at]! * 256 + (bytes[at + 1] ?? 0)
  return sum % 0xffff
}
const put = (bytes: Uint8Array, at: number, value: number): void => {
  bytes[at] = value >> 8
  bytes[at + 1] = value & 0xff
}

/** Makes checksums right again, so that harm is not found out at the first look. */
const mend = (bytes: Uint8Array, length: boolean): void => {
  if (bytes.length < 20) return
  if (length) put(bytes, 2, bytes.length)
  const header = Math.min(bytes.length, Math.max(20, headerOf(bytes)))
  put(bytes, 10, 0)
  put(bytes, 10, 0xffff - onesSum(bytes.subarray(0, header)))
  if (bytes[9] !== 1 || bytes.length < header + 8) return
  if (bytes.length >= header + 28) {
    const quote = bytes.subarray(header + 8)
    const quoteHeader = Math.min(quote.length, Math.max(20, headerOf(quote)))
    put(quote, 10, 0)
    put(quote, 10, 0xffff - onesSum(quote.subarray(0, quoteHeader)))
  }
  put(bytes, header + 2, 0)
  put(bytes, header + 2, 0xffff - onesSum(bytes.subarray(header, Math.min(bytes.length, Math.max(header, u16(bytes, 2))))))
}

const harm = (random: Random, packet: Uint8Array): Uint8Array => {
  let bytes = packet.slice()
  for (let times = 1 + random(4); times > 0; times--) {
    const at = random(3) === 0 ? random(bytes.length) : random(Math.min(bytes.length, 64))
    switch (random(8)) {
      case 0:
      case 1:
        bytes[at]! ^= 1 << random(8)
        break
      case 2:
      case 3:
        bytes[at] = pick(random, INTERESTING)
        break
      case 4:
        bytes = bytes.slice(0, Math.max(1, bytes.length - random(60)))
        break
      case 5:
        bytes = Uint8Array.of(...bytes, ...bytesOf(random(60), random(99)))
        break
      case 6:
        if (bytes.length > 8) put(bytes, 6, pick(random, [0, 0x2000, 0x4000, 0x2001, 1, 2, 0x1fff, 0x3fff, 0x8000]))
        break
      default:
        if (bytes.length > 4) put(bytes, 2, pick(random, [0, 19, 20, 28, bytes.length - 1, bytes.length, bytes.length + 1, 65535]))
    }
  }
  if (random(4) !== 0) mend(bytes, random(2) === 0)
  return bytes
}

const lie = (random: Random, bytes: Uint8Array, header: VnetHeader): VnetHeader => {
  const numbers = [0, 1, 6, 16, 19, 20, 21, 28, 40, 48, bytes.length - 1, bytes.length, bytes.length + 1, 1000, 1448, 65535]
  const lied = { ...header }
  for (let times = 1 + random(3); times > 0; times--) {
    const number = Math.max(0, pick(random, numbers))
    switch (random(6)) {
      case 0: lied.flags = pick(random, [0, 1, 2, 3, 4, 255]); break
      case 1: lied.gsoType = pick(random, [0, 1, 2, 3, 4, 5, 0x81, 0x85, 255]); break
      case 2: lied.headerLength = number; break
      case 3: lied.gsoSize = number; break
      case 4: lied.checksumStart = number; break
      default: lied.checksumOffset = number
    }
  }
  return lied
}

/** One or more packets: a datagram, or the fragments of one in some order. */
const randomPackets = (random: Random, inside: boolean): StepPacket[] => {
  const code = (bytes: Uint8Array, vnet: VnetHeader = NOTHING): StepPacket => ({ bytes: Buffer.from(bytes).toString('base64'), vnet })
  const good = packetFrom(random, inside)
  const ported = good[9] === 6 || good[9] === 17
  switch (random(10)) {
    case 0:
      return [code(bytesOf(random(200), random(99)))]
    case 1:
    case 2:
      return [code(harm(random, good))]
    case 3: {
      const pieces = good.length > 100 ? buildFragments(good, pick(random, [100, 500, 1000])) : [good]
      return pieces.map((piece) => ({ piece, order: random(1000) })).sort((a, b) => a.order - b.order).slice(0, 1 + random(pieces.length))
        .map(({ piece }) => code(random(5) === 0 ? harm(random, piece) : piece))
    }
    case 4:
    case 5: {
      if (!ported) return [code(good, lie(random, good, NOTHING))]
      const made = random(2) === 0 ? unfinish(good) : superpacket(random(3) === 0 ? large(random, inside) : good, pick(random, [1, 48, 536, 1000, 1448, 1472, 9000]))
      return [code(made.bytes, random(2) === 0 ? made.vnet : lie(random, made.bytes, made.vnet))]
    }
    case 6: {
      const harmed = harm(random, good)
      return [code(harmed, lie(random, harmed, ported ? superpacket(good, 100).vnet : NOTHING))]
    }
    default:
      return [code(good)]
  }
}

const large = (random: Random, inside: boolean): Uint8Array => {
  const ends = inside ? { source: A, destination: P } : { source: P, destination: E }
  const fields = { ...ends, sourcePort: pick(random, PORTS), destinationPort: pick(random, PORTS), payload: bytesOf(random(30_000) + 1), df: random(2) === 0 }
  return random(2) === 0 ? buildTcp({ ...fields, flags: 2 }) : buildUdp(fields)
}

export const randomStep = (random: Random): Step => {
  const what = random(40)
  if (what < 22) return { kind: 'lan', packets: Array.from({ length: 1 + random(3) }, () => randomPackets(random, true)).flat() }
  if (what < 34) return { kind: 'wan', packets: Array.from({ length: 1 + random(3) }, () => randomPackets(random, false)).flat() }
  if (what === 34) return { kind: 'advance', seconds: pick(random, [0, 1, 5, 31, 301]) }
  if (what < 37) return { kind: 'learn' }
  if (what === 37) return { kind: 'fail' }
  if (what === 38) return { kind: 'close', flow: random(8) }
  return { kind: 'settings', up: random(4) !== 0, mtu: pick(random, [1500, 1400, 576, 68, 9000]), routed: random(4) !== 0 }
}
