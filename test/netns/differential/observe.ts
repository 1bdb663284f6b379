/**
 * Packets as text that can be compared: all that a receiver can tell of them, in one line each, as tcpdump would have it.
 * Outside ports that the gateway had to choose have names, x1, x2 …, after the flows that have them.
 */
import { checkPacket } from '../../../src/testing/check-packet.js'
import { formatIpv4 } from '../../../src/stack/wire/address.js'
import * as icmp4 from '../../../src/stack/wire/icmp4.js'
import * as ipv4 from '../../../src/stack/wire/ipv4.js'
import * as sctp from '../../../src/stack/wire/sctp.js'
import * as tcp from '../../../src/stack/wire/tcp.js'
import * as udp from '../../../src/stack/wire/udp.js'
import * as udplite from '../../../src/stack/wire/udplite.js'
import { OUTSIDE, type Side } from './addresses.js'

/** A packet that came out of a gateway. */
export interface Seen {
  side: Side
  bytes: Uint8Array
  /** All of it. */
  line: string
  /** The same without identification and DF. */
  body: string
}

/** Names of the outside ports of one sequence at one gateway. */
export class PortNames {
  readonly #kept: ReadonlySet<number>
  readonly #names = new Map<number, string>()

  /** @param kept ports that need no name: the inside ones, and those that nobody has */
  constructor(kept: Iterable<number>) {
    this.#kept = new Set(kept)
  }

  /** A flow has this outside port now: it is called after the flow, x1 for the first one. */
  give(port: number, flow: number): void {
    if (this.#names.has(port)) return
    const older = [...this.#names.values()].filter((name) => name.startsWith(`x${flow + 1}`)).length
    this.#names.set(port, `x${flow + 1}${"'".repeat(older)}`)
  }

  of(port: number): string {
    return this.#names.get(port) ?? (this.#kept.has(port) ? String(port) : 'unknown')
  }
}

const HAS_PORTS = new Set([ipv4.PROTOCOL_TCP, ipv4.PROTOCOL_UDP, ipv4.PROTOCOL_SCTP, ipv4.PROTOCOL_UDPLITE])
const FLAGS = 'FSRP.UEW'

/** FNV-1a over bytes, as hexadecimal digits. */
const digest = (bytes: Uint8Array): string => {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}

const data = (bytes: Uint8Array): string => (bytes.length === 0 ? 'length 0' : `length ${bytes.length} #${digest(bytes)}`)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** Describes the parts of a packet. Quoted packets may end anywhere. */
class Reader {
  readonly #names: PortNames

  constructor(names: PortNames) {
    this.#names = names
  }

  /** Addresses, transport and payload; no identification and no TTL. */
  read(bytes: Uint8Array): string {
    if (bytes.length < ipv4.HEADER_MIN) return `${bytes.length} bytes ${hex(bytes)}`
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const header = ipv4.headerLength(view, 0)
    const isFirst = ipv4.fragmentOffset(view, 0) === 0
    const protocol = ipv4.protocol(view, 0)
    const hasPorts = isFirst && HAS_PORTS.has(protocol) && bytes.length >= header + 4
    const source = formatIpv4(ipv4.source(view, 0))
    const destination = formatIpv4(ipv4.destination(view, 0))
    const from = hasPorts ? `${source}:${this.#port(source, udp.sourcePort(view, header))}` : source
    const to = hasPorts ? `${destination}:${this.#port(destination, udp.destinationPort(view, header))}` : destination
    const isOurs = source === OUTSIDE || destination === OUTSIDE
    const options = header > ipv4.HEADER_MIN ? ` options ${hex(bytes.subarray(ipv4.HEADER_MIN, header))}` : ''
    const tos = ipv4.tos(view, 0) === 0 ? '' : ` tos 0x${ipv4.tos(view, 0).toString(16)}`
    const content = isFirst ? this.#transport(view, bytes, header, protocol, isOurs) : `protocol ${protocol} ${data(bytes.subarray(header))}`
    return `${from} > ${to}: ${content}${tos}${options}`
  }

  #port(address: string, port: number): string {
    return address === OUTSIDE ? this.#names.of(port) : String(port)
  }

  #transport(view: DataView, bytes: Uint8Array, at: number, protocol: number, isOurs: boolean): string {
    const left = bytes.length - at
    if (protocol === ipv4.PROTOCOL_TCP && left >= tcp.HEADER_MIN) return this.#tcp(view, bytes, at)
    if (protocol === ipv4.PROTOCOL_TCP && left >= 8) return `TCP seq ${tcp.sequence(view, at) >>> 0} ${data(bytes.subarray(at + 8))}`
    if (protocol === ipv4.PROTOCOL_UDP && left >= udp.HEADER) {
      const none = view.getUint16(at + 6) === 0 ? ' no checksum' : ''
      return `UDP ${udp.length(view, at)}${none} ${data(bytes.subarray(at + udp.HEADER))}`
    }
    if (protocol === ipv4.PROTOCOL_UDPLITE && left >= udplite.HEADER) return `UDP-Lite ${udplite.coverage(view, at)} ${data(bytes.subarray(at + udplite.HEADER))}`
    // Behind the checksum, which depends on the ports.
    if (protocol === ipv4.PROTOCOL_SCTP) return `SCTP tag ${hex(bytes.subarray(at + 4, at + 8))} ${data(bytes.subarray(at + sctp.HEADER))}`
    if (protocol === ipv4.PROTOCOL_ICMP && left >= icmp4.ERROR_HEADER) return this.#icmp(view, bytes, at, isOurs)
    return `protocol ${protocol} ${data(bytes.subarray(at))}`
  }

  #tcp(view: DataView, bytes: Uint8Array, at: number): string {
    const end = at + tcp.headerLength(view, at)
    const flags = [...FLAGS].filter((_, bit) => (tcp.flags(view, at) >>> bit) & 1).join('') || 'none'
    const options = bytes.subarray(at + tcp.HEADER_MIN, end)
    return `TCP [${flags}] seq ${tcp.sequence(view, at) >>> 0} ack ${tcp.acknowledgment(view, at) >>> 0} win ${tcp.window(view, at)}` +
      `${options.length > 0 ? ` <${hex(options)}>` : ''} ${data(bytes.subarray(end))}`
  }

  #icmp(view: DataView, bytes: Uint8Array, at: number, isOurs: boolean): string {
    const type = icmp4.type(view, at)
    const head = `ICMP ${type}/${icmp4.code(view, at)}`
    const rest = bytes.subarray(at + icmp4.ERROR_HEADER)
    if (icmp4.isQuery(type)) {
      const id = icmp4.identifier(view, at)
      return `${head} id ${isOurs ? this.#names.of(id) : id} seq ${icmp4.sequence(view, at)} ${data(rest)}`
    }
    if (!icmp4.isError(type)) return `${head} ${hex(bytes.subarray(at + 4, at + 8))} ${data(rest)}`
    return `${head} ${hex(bytes.subarray(at + 4, at + 8))} about ${rest.length} bytes {${this.read(rest)}${this.#quotedHeader(rest)}}`
  }

  #quotedHeader(bytes: Uint8Array): string {
    if (bytes.length < ipv4.HEADER_MIN) return ''
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    return `, ${place(view)} of ${ipv4.totalLength(view, 0)}`
  }
}

const place = (view: DataView): string => {
  const offset = ipv4.fragmentOffset(view, 0)
  return `ttl ${ipv4.ttl(view, 0)}${ipv4.moreFragments(view, 0) ? ' MF' : ''}${offset > 0 ? ` offset ${offset}` : ''} ${identity(view)}`
}

const identity = (view: DataView): string => `id ${ipv4.identification(view, 0)}${ipv4.dontFragment(view, 0) ? ' DF' : ''}`

/** What is wrong with a packet, without the numbers that depend on the port. */
const problems = (bytes: Uint8Array): string => {
  const found = checkPacket(bytes).map((text) => text.replace(/: the words add up.*/, '').replace(/SCTP checksum is 0x.*/, 'SCTP checksum is wrong'))
  return found.length === 0 ? '' : ` (${found.join('; ')})`
}

export const observe = (side: Side, bytes: Uint8Array, names: PortNames): Seen => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const text = new Reader(names).read(bytes)
  const offset = ipv4.fragmentOffset(view, 0)
  const fragment = `${ipv4.moreFragments(view, 0) ? ' MF' : ''}${offset > 0 ? ` offset ${offset}` : ''}`
  const body = `${side}: ${text}, ttl ${ipv4.ttl(view, 0)}${fragment}${problems(bytes)}`
  return { side, bytes, body, line: `${body}, ${identity(view)}` }
}

/** A packet on its way in, for people. */
export const describe = (bytes: Uint8Array, names: PortNames): string => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return `${new Reader(names).read(bytes)}, ${place(view)}${problems(bytes)}`
}
