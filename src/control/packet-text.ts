/**
 * A logged packet in the words of the kernel's LOG target (net/netfilter/nf_log_syslog.c): one line of text, and the same as
 * fields. What stands twice in a line has two names as a field: UDPLEN beside LEN, ICMPID beside ID.
 */
import { formatIpv4 } from '../stack/wire/address.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'

/** Bits of LOG_FLAGS (policy/model.ts). */
export const WITH_TCP_SEQUENCE = 1
export const WITH_TCP_OPTIONS = 2
export const WITH_IP_OPTIONS = 4

export type PacketField = string | number | boolean | readonly string[] | PacketFields
export interface PacketFields { [name: string]: PacketField }

export interface PacketDescription {
  /** `SRC=10.0.0.2 DST=198.51.100.1 LEN=60 …`, with a blank behind each word. */
  readonly text: string
  readonly fields: PacketFields
}

const IP_TOS_MASK = 0x1e
const IP_PRECEDENCE_MASK = 0xe0
const PORTS_BYTES = 8

/** Of the two bytes that begin with the header's length, in the order of the line. AE is RFC 9768's. */
const FLAGS: readonly (readonly [bit: number, name: string])[] = [
  [0x100, 'AE'], [tcp.CWR, 'CWR'], [tcp.ECE, 'ECE'], [tcp.URG, 'URG'], [tcp.ACK, 'ACK'], [tcp.PSH, 'PSH'], [tcp.RST, 'RST'], [tcp.SYN, 'SYN'], [tcp.FIN, 'FIN'],
]

/** Bytes that a message of a type must have to be described. */
const ICMP_BYTES: Readonly<Record<number, number>> = {
  [icmp4.ECHO_REPLY]: 4, [icmp4.UNREACHABLE]: 28, [icmp4.SOURCE_QUENCH]: 28, [icmp4.REDIRECT]: 28, [icmp4.ECHO_REQUEST]: 4, [icmp4.TIME_EXCEEDED]: 28,
  [icmp4.PARAMETER_PROBLEM]: 28, [icmp4.TIMESTAMP]: 20, [icmp4.TIMESTAMP_REPLY]: 20, 17: 12, 18: 12,
}

const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0')

class Describer {
  text = ''
  readonly fields: PacketFields = {}
  readonly #view: DataView
  readonly #length: number
  readonly #flags: number

  constructor(view: DataView, length: number, flags: number) {
    this.#view = view
    this.#length = length
    this.#flags = flags
  }

  /** Whether bytes [at, at + length) belong to the packet and are there. */
  #has(at: number, length: number): boolean {
    return at + length <= this.#length && at + length <= this.#view.byteLength
  }

  #put(name: string, value: PacketField, text: string | number = value as string | number, field = name): void {
    this.text += `${name}=${text} `
    this.fields[field] = value
  }

  #flag(name: string): void {
    this.text += `${name} `
    this.fields[name] = true
  }

  /** What there should be more of. */
  #incomplete(at: number): void {
    const left = Math.max(0, this.#length - at)
    this.text += `INCOMPLETE [${left} bytes] `
    this.fields['INCOMPLETE'] = left
  }

  #options(at: number, end: number, field: string, cut: string): boolean {
    if (!this.#has(at, end - at)) {
      this.text += cut
      this.fields['TRUNCATED'] = true
      return false
    }
    let bytes = ''
    for (let each = at; each < end; each++) bytes += hex(this.#view.getUint8(each), 2)
    this.text += `OPT (${bytes}) `
    this.fields[field] = bytes
    return true
  }

  /** @param isQuote what an ICMP error tells of, in which no further quote is looked at */
  ip(at: number, isQuote: boolean): void {
    const view = this.#view
    if (!this.#has(at, ipv4.HEADER_MIN)) {
      this.text += 'TRUNCATED'
      this.fields['TRUNCATED'] = true
      return
    }
    this.#put('SRC', formatIpv4(ipv4.source(view, at)))
    this.#put('DST', formatIpv4(ipv4.destination(view, at)))
    this.#put('LEN', ipv4.totalLength(view, at))
    const tos = ipv4.tos(view, at)
    this.#put('TOS', tos & IP_TOS_MASK, `0x${hex(tos & IP_TOS_MASK, 2)}`)
    this.#put('PREC', tos & IP_PRECEDENCE_MASK, `0x${hex(tos & IP_PRECEDENCE_MASK, 2)}`)
    this.#put('TTL', ipv4.ttl(view, at))
    this.#put('ID', ipv4.identification(view, at))
    const fragment = ipv4.flagsAndOffset(view, at)
    if ((fragment & ipv4.FLAG_RESERVED) !== 0) this.#flag('CE')
    if ((fragment & ipv4.FLAG_DONT_FRAGMENT) !== 0) this.#flag('DF')
    if ((fragment & ipv4.FLAG_MORE_FRAGMENTS) !== 0) this.#flag('MF')
    const offset = fragment & ipv4.OFFSET_MASK
    if (offset !== 0) {
      this.text += `FRAG:${offset} `
      this.fields['FRAG'] = offset
    }
    const transport = at + ipv4.headerLength(view, at)
    if ((this.#flags & WITH_IP_OPTIONS) !== 0 && transport > at + ipv4.HEADER_MIN) {
      if (!this.#options(at + ipv4.HEADER_MIN, transport, 'OPT', 'TRUNCATED')) return
    }
    this.#transport(ipv4.protocol(view, at), transport, offset !== 0, isQuote)
  }

  #transport(protocol: number, at: number, isFragment: boolean, isQuote: boolean): void {
    switch (protocol) {
      case ipv4.PROTOCOL_TCP: return this.#tcp(at, isFragment)
      case ipv4.PROTOCOL_UDP:
      case ipv4.PROTOCOL_UDPLITE: return this.#udp(protocol === ipv4.PROTOCOL_UDPLITE ? 'UDPLITE' : 'UDP', at, isFragment)
      case ipv4.PROTOCOL_ICMP: return this.#icmp(at, isFragment, isQuote)
      case ipv4.PROTOCOL_AH: return this.#spi('AH', at, 4, 12, isFragment)
      case ipv4.PROTOCOL_ESP: return this.#spi('ESP', at, 0, 8, isFragment)
      default: return this.#put('PROTO', protocol)
    }
  }

  #tcp(at: number, isFragment: boolean): void {
    this.#put('PROTO', 'TCP')
    if (isFragment) return
    const view = this.#view
    if (!this.#has(at, tcp.HEADER_MIN)) return this.#incomplete(at)
    this.#put('SPT', tcp.sourcePort(view, at))
    this.#put('DPT', tcp.destinationPort(view, at))
    if ((this.#flags & WITH_TCP_SEQUENCE) !== 0) {
      this.#put('SEQ', tcp.sequence(view, at) >>> 0)
      this.#put('ACK', tcp.acknowledgment(view, at) >>> 0)
    }
    this.#put('WINDOW', tcp.window(view, at))
    const reserved = (view.getUint8(at + 12) & 0x0e) << 2
    this.#put('RES', reserved, `0x${hex(reserved, 2).toLowerCase()}`)
    const set = FLAGS.filter(([bit]) => (view.getUint16(at + 12) & bit) !== 0).map(([, name]) => name)
    this.text += set.map((name) => `${name} `).join('')
    this.fields['FLAGS'] = set
    this.#put('URGP', tcp.urgentPointer(view, at))
    const header = tcp.headerLength(view, at)
    if ((this.#flags & WITH_TCP_OPTIONS) !== 0 && header > tcp.HEADER_MIN) this.#options(at + tcp.HEADER_MIN, at + header, 'TCPOPT', 'OPT (TRUNCATED)')
  }

  #udp(name: string, at: number, isFragment: boolean): void {
    this.#put('PROTO', name)
    if (isFragment) return
    if (!this.#has(at, PORTS_BYTES)) return this.#incomplete(at)
    this.#put('SPT', this.#view.getUint16(at))
    this.#put('DPT', this.#view.getUint16(at + 2))
    const length = this.#view.getUint16(at + 4)
    this.#put('LEN', length, length, 'UDPLEN')
  }

  #icmp(at: number, isFragment: boolean, isQuote: boolean): void {
    this.#put('PROTO', 'ICMP')
    if (isFragment) return
    const view = this.#view
    if (!this.#has(at, icmp4.ERROR_HEADER)) return this.#incomplete(at)
    const type = icmp4.type(view, at)
    const code = icmp4.code(view, at)
    this.#put('TYPE', type)
    this.#put('CODE', code)
    if (!this.#has(at, ICMP_BYTES[type] ?? 0)) return this.#incomplete(at)
    switch (type) {
      case icmp4.ECHO_REPLY:
      case icmp4.ECHO_REQUEST:
        this.#put('ID', icmp4.identifier(view, at), icmp4.identifier(view, at), 'ICMPID')
        this.#put('SEQ', icmp4.sequence(view, at))
        return
      case icmp4.PARAMETER_PROBLEM:
        this.#put('PARAMETER', view.getUint8(at + 4))
        return
      case icmp4.REDIRECT:
        this.#put('GATEWAY', formatIpv4(view.getInt32(at + 4)))
        break
      case icmp4.UNREACHABLE:
      case icmp4.SOURCE_QUENCH:
      case icmp4.TIME_EXCEEDED:
        break
      default:
        return
    }
    if (!isQuote) this.#quote(at + icmp4.ERROR_HEADER)
    if (type === icmp4.UNREACHABLE && code === icmp4.CODE_FRAGMENTATION_NEEDED) this.#put('MTU', icmp4.mtu(view, at))
  }

  #quote(at: number): void {
    const inner = new Describer(this.#view, this.#length, this.#flags)
    inner.ip(at, true)
    this.text += `[${inner.text}] `
    this.fields['QUOTE'] = inner.fields
  }

  /** IPsec: the header's first bytes, and where in it the index is. */
  #spi(name: string, at: number, offset: number, bytes: number, isFragment: boolean): void {
    this.#put('PROTO', name)
    if (isFragment) return
    if (!this.#has(at, bytes)) return this.#incomplete(at)
    const index = this.#view.getUint32(at + offset)
    this.#put('SPI', index, `0x${index.toString(16)}`)
  }
}

/**
 * Describes an IPv4 packet.
 * @param bytes its beginning; all headers must be in it to be told
 * @param length bytes of all of it
 * @param flags WITH_* bits
 */
export const describePacket = (bytes: Uint8Array, length: number, flags: number): PacketDescription => {
  const describer = new Describer(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), length, flags)
  describer.ip(0, false)
  return describer
}
