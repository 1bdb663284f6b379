/**
 * Sends an echo request and waits for the reply (RFC 792). By a packet socket, to the neighbour that the link itself leads to: so it
 * needs no route of the kernel, and goes by this link whatever routes there are. The neighbour is asked for each time.
 */
import { randomBytes } from 'node:crypto'
import { probeFilter } from '../../stack/device/filter.js'
import { formatIpv4 } from '../../stack/wire/address.js'
import type { Mac } from '../../stack/wire/address.js'
import * as checksum from '../../stack/wire/checksum.js'
import { TYPE_IPV4 } from '../../stack/wire/ethernet.js'
import * as icmp from '../../stack/wire/icmp4.js'
import * as ipv4 from '../../stack/wire/ipv4.js'
import { resolveNeighbour } from './arp-probe.js'
import { exchange, PacketPort } from './packet-exchange.js'
import { nextHopOf, probeOf, standingOf, targetOf } from './standing.js'
import type { Standing } from './standing.js'
import type { Clock, Outcome, Probe, ProbeLink } from './types.js'

const TTL = 64
/** Bytes of ICMP, as ping(8) sends them: header, and data that begins with the token. */
const MESSAGE = 64
const TOKEN_AT = icmp.ERROR_HEADER
const NO_MAC: Mac = { high: 0, low: 0 }

/** What tells our request, and answers to it, from all others. */
interface Token {
  readonly identifier: number
  readonly sequence: number
  readonly high: number
  readonly low: number
}

/** The identifier is one of the lowest, which are no external ports of tsnat unless they are configured: so the WAN leaves the answer to us. */
const newToken = (): Token => {
  const bytes = randomBytes(12)
  return { identifier: 1 + (bytes.readUInt16BE(0) & 0xff), sequence: bytes.readUInt16BE(2), high: bytes.readInt32BE(4), low: bytes.readInt32BE(8) }
}

/** @returns bytes written */
const writeRequest = (view: DataView, at: number, source: number, target: number, token: Token): number => {
  const length = ipv4.HEADER_MIN + MESSAGE
  ipv4.writeHeader(view, at, 0, length, 0, ipv4.FLAG_DONT_FRAGMENT, TTL, ipv4.PROTOCOL_ICMP, source, target)
  const message = at + ipv4.HEADER_MIN
  const bytes = new Uint8Array(view.buffer, message, MESSAGE)
  bytes.fill(0)
  icmp.setType(view, message, icmp.ECHO_REQUEST)
  icmp.setIdentifier(view, message, token.identifier)
  icmp.setSequence(view, message, token.sequence)
  view.setInt32(message + TOKEN_AT, token.high)
  view.setInt32(message + TOKEN_AT + 4, token.low)
  icmp.setChecksum(view, message, checksum.finish(checksum.sum(bytes, 0, MESSAGE, 0)))
  return length
}

/** Identifier and sequence number of ICMP at `at` are ours. */
const isOurs = (view: DataView, at: number, token: Token): boolean =>
  icmp.identifier(view, at) === token.identifier && icmp.sequence(view, at) === token.sequence

/** Where a whole ICMP message begins; -1 when the bytes at `at` are none. */
const messageOf = (view: DataView, at: number, length: number, least: number): number => {
  if (length < ipv4.HEADER_MIN || ipv4.version(view, at) !== 4 || ipv4.protocol(view, at) !== ipv4.PROTOCOL_ICMP) return -1
  const header = ipv4.headerLength(view, at)
  return header >= ipv4.HEADER_MIN && header + least <= Math.min(length, ipv4.totalLength(view, at)) ? at + header : -1
}

const isReply = (view: DataView, at: number, length: number, token: Token): boolean => {
  const message = messageOf(view, at, length, MESSAGE)
  return message >= 0 && icmp.type(view, message) === icmp.ECHO_REPLY && isOurs(view, message, token) &&
    view.getInt32(message + TOKEN_AT) === token.high && view.getInt32(message + TOKEN_AT + 4) === token.low
}

/** Whether it says that our request cannot be delivered. It quotes the header and eight bytes at least. */
const isUnreachable = (view: DataView, at: number, length: number, source: number, token: Token): boolean => {
  const message = messageOf(view, at, length, icmp.ERROR_HEADER + ipv4.HEADER_MIN + icmp.ERROR_HEADER)
  if (message < 0 || icmp.type(view, message) !== icmp.UNREACHABLE) return false
  const quote = message + icmp.ERROR_HEADER
  return ipv4.headerLength(view, quote) === ipv4.HEADER_MIN && ipv4.source(view, quote) === source && isOurs(view, quote + ipv4.HEADER_MIN, token)
}

const echo = async (link: ProbeLink, { ifindex, source }: Standing, target: number, mac: Mac, clock: Clock, signal: AbortSignal): Promise<Outcome> => {
  const token = newToken()
  const port = new PacketPort(link, ifindex, probeFilter(target, target, token.identifier))
  const started = clock()
  const ask = (): void => port.send(mac, TYPE_IPV4, (view, at) => writeRequest(view, at, source, target, token))
  const answer = await exchange<Outcome>(port, signal, ask, (view, at, length, etherType) => {
    if (etherType !== TYPE_IPV4) return undefined
    if (isReply(view, at, length, token)) return { milliseconds: clock() - started }
    if (!isUnreachable(view, at, length, source, token)) return undefined
    return { missed: `${formatIpv4(ipv4.source(view, at))} says that ${formatIpv4(target)} cannot be reached` }
  })
  return answer ?? { missed: `no answer from ${formatIpv4(target)}` }
}

/** @param address int32; null for the gateway */
export const icmpProbe = (link: ProbeLink, address: number | null, clock: Clock): Probe =>
  probeOf(address === null ? 'the gateway' : formatIpv4(address), async (signal) => {
    const standing = standingOf(link)
    const target = targetOf(link, address)
    const hop = nextHopOf(link, target)
    const mac = await resolveNeighbour(link, standing, hop, signal)
    if (mac === null) return { missed: `${formatIpv4(hop)} does not answer ARP` }
    return await echo(link, standing, target, mac ?? NO_MAC, clock, signal)
  })
