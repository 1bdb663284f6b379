/** What is asked of a trace: words of the command line or of a URL query, read into numbers. */
import { ExitCode, TsnatError } from '../errors.js'
import { nearest } from '../nearest.js'
import { ICMP_NAMES } from '../policy/iptables/matches/icmp-names.js'
import { parseProtocol, PROTOCOL_NAMES } from '../protocol-names.js'
import { hasPorts } from '../stack/parse.js'
import { parseIpv4, parsePrefix } from '../stack/wire/address.js'
import * as icmp4 from '../stack/wire/icmp4.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'
import { lengthMin, type PacketDescription } from '../trace/build-packet.js'
import type { TraceFilter } from '../trace/filter.js'

/** The words of a described packet. */
export const DESCRIPTION_WORDS = ['interface', 'src', 'dst', 'protocol', 'sport', 'dport', 'flags', 'icmpType', 'length', 'ttl', 'tos', 'mark', 'new'] as const
/** The words of a filter of packets that pass. */
export const FILTER_WORDS = ['interface', 'src', 'dst', 'protocol', 'sport', 'dport', 'icmpType', 'count'] as const
export type TraceWord = (typeof DESCRIPTION_WORDS)[number] | (typeof FILTER_WORDS)[number]
export type TraceWords = Readonly<Partial<Record<TraceWord, string>>>

/** "What would become of this packet?" */
export interface TraceQuestion {
  /** By which it comes: its name, or `lan`; null: the LAN. */
  readonly interface: string | null
  readonly packet: PacketDescription
  /** uint32 */
  readonly mark: number
  /** As if no flow had its tuple. */
  readonly isNew: boolean
}

export interface LiveTraceRequest {
  readonly interface: string | null
  readonly filter: Omit<TraceFilter, 'zone'>
  /** End after so many; 0: never. */
  readonly count: number
}

type Label = (word: TraceWord) => string

/** Of a packet that names no source port, or identifier. */
const USUAL_SOURCE_PORT = 40000
const USUAL_TTL = 64
const FLAGS: Readonly<Record<string, number>> = {
  FIN: tcp.FIN, SYN: tcp.SYN, RST: tcp.RST, PSH: tcp.PSH, ACK: tcp.ACK, URG: tcp.URG, ECE: tcp.ECE, CWR: tcp.CWR, NONE: 0,
}

const refuse = (message: string, hint: string): TsnatError => new TsnatError(message, { code: 'BAD_TRACE', hint, exitCode: ExitCode.usage })

const numberIn = (label: string, text: string, minimum: number, maximum: number): number => {
  const value = /^(\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : NaN
  if (value >= minimum && value <= maximum) return value
  throw refuse(`${label}: "${text}" is not a number from ${minimum} to ${maximum}`, 'decimal, or hexadecimal with 0x')
}

const protocolIn = (label: string, text: string): number => {
  const found = parseProtocol(text)
  if (found === null) throw refuse(`${label}: "${text}" is not a protocol`, `one of ${PROTOCOL_NAMES.join(', ')}, or a number up to 255`)
  return found
}

const addressIn = (label: string, text: string): number => {
  const address = parseIpv4(text)
  if (address === null) throw refuse(`${label}: "${text}" is not an IPv4 address`, 'for example 10.0.0.2')
  return address
}

const networkIn = (label: string, text: string): { address: number; mask: number } => {
  const network = parsePrefix(parseIpv4(text) === null ? text : `${text}/32`)
  if (network === null) throw refuse(`${label}: "${text}" is not an IPv4 address or prefix`, 'for example 10.0.0.2 or 10.0.0.0/24')
  return { address: network.address & network.mask, mask: network.mask }
}

const flagsIn = (label: string, text: string): number =>
  text.toUpperCase().split(',').reduce((flags, word) => {
    if (!Object.hasOwn(FLAGS, word)) throw refuse(`${label}: "${word}" is not a TCP flag`, `one or several of ${Object.keys(FLAGS).join(', ')}, with commas`)
    return flags | FLAGS[word]!
  }, 0)

/** `echo-request`, `8`, or `3/4`. */
const icmpIn = (label: string, text: string): { type: number; code: number | null } => {
  const known = ICMP_NAMES.find(([name]) => name === text.toLowerCase())
  if (known !== undefined) return { type: known[1], code: known[2] }
  const [type = '', code] = text.split('/')
  if (!/^\d+(\/\d+)?$/.test(text)) {
    const like = nearest(text, ICMP_NAMES.map(([name]) => name))
    throw refuse(`${label}: "${text}" is not an ICMP type`, `${like === undefined ? '' : `did you mean "${like}"? `}A name of iptables, a number, or type/code such as 3/4`)
  }
  return { type: numberIn(label, type, 0, 255), code: code === undefined ? null : numberIn(label, code, 0, 255) }
}

const requireKnown = (words: Readonly<Record<string, string | undefined>>, known: readonly TraceWord[], label: Label): void => {
  for (const [word, value] of Object.entries(words)) {
    if (value === undefined || known.some((one) => one === word)) continue
    throw refuse(`"${label(word as TraceWord)}" means nothing here`, `known: ${known.map(label).join(', ')}`)
  }
}

const need = (words: TraceWords, word: TraceWord, label: Label): string => {
  const value = words[word]
  if (value === undefined) throw refuse(`the packet needs ${label(word)}`, 'for example -s 10.77.0.2 -d 198.51.100.10 -p tcp --dport 443')
  return value
}

/** The protocol that is named, or that the other words are about. */
const protocolOf = (words: TraceWords, label: Label): number => {
  if (words.protocol !== undefined) return protocolIn(label('protocol'), words.protocol)
  const isTcp = words.dport !== undefined || words.sport !== undefined || words.flags !== undefined
  return isTcp ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_ICMP
}

const requireFit = (words: TraceWords, protocol: number, label: Label): void => {
  const about = (word: TraceWord, what: string, fits: boolean): void => {
    if (words[word] !== undefined && !fits) throw refuse(`${label(word)} is about ${what} only`, `leave it out, or choose another ${label('protocol')}`)
  }
  about('flags', 'TCP', protocol === ipv4.PROTOCOL_TCP)
  about('icmpType', 'ICMP', protocol === ipv4.PROTOCOL_ICMP)
  about('sport', 'TCP, UDP, UDP-Lite and SCTP', hasPorts(protocol))
  about('dport', 'TCP, UDP, UDP-Lite and SCTP', hasPorts(protocol))
}

/**
 * Reads the description of a packet. What is not said is as a host's usual packet has it: TCP with SYN, an echo request, TTL 64.
 * @param label how the reader wrote the word, for messages
 * @throws TsnatError BAD_TRACE, exit code 64
 */
export const readQuestion = (words: TraceWords, label: Label = (word) => word): TraceQuestion => {
  requireKnown(words, DESCRIPTION_WORDS, label)
  const protocol = protocolOf(words, label)
  requireFit(words, protocol, label)
  const number = (word: TraceWord, minimum: number, maximum: number, usual: number): number =>
    (words[word] === undefined ? usual : numberIn(label(word), words[word], minimum, maximum))
  const icmp = words.icmpType === undefined ? { type: icmp4.ECHO_REQUEST, code: null } : icmpIn(label('icmpType'), words.icmpType)
  const packet: PacketDescription = {
    source: addressIn(label('src'), need(words, 'src', label)),
    destination: addressIn(label('dst'), need(words, 'dst', label)),
    protocol,
    sourcePort: number('sport', 0, 65535, USUAL_SOURCE_PORT),
    destinationPort: hasPorts(protocol) ? numberIn(label('dport'), need(words, 'dport', label), 0, 65535) : 0,
    tcpFlags: words.flags === undefined ? tcp.SYN : flagsIn(label('flags'), words.flags),
    icmpType: icmp.type,
    icmpCode: icmp.code ?? 0,
    length: null,
    ttl: number('ttl', 0, 255, USUAL_TTL),
    tos: number('tos', 0, 255, 0),
  }
  if (protocol === ipv4.PROTOCOL_ICMP && icmp4.isError(icmp.type)) {
    throw refuse(`${label('icmpType')}: ICMP errors quote a packet and cannot be described`, 'trace them as they pass, with --live')
  }
  const length = words.length === undefined ? null : numberIn(label('length'), words.length, lengthMin(packet), 65535)
  return { interface: words.interface ?? null, packet: { ...packet, length }, mark: number('mark', 0, 0xffffffff, 0), isNew: words.new !== undefined }
}

/**
 * Reads a filter of packets that pass.
 * @throws TsnatError BAD_TRACE, exit code 64
 */
export const readLiveTrace = (words: TraceWords, label: Label = (word) => word): LiveTraceRequest => {
  requireKnown(words, FILTER_WORDS, label)
  const read = <T>(word: TraceWord, how: (label: string, text: string) => T): T | null => (words[word] === undefined ? null : how(label(word), words[word]))
  const port = (name: string, text: string): number => numberIn(name, text, 0, 65535)
  const filter = {
    protocol: read('protocol', protocolIn) ?? (words.icmpType === undefined ? null : ipv4.PROTOCOL_ICMP),
    source: read('src', networkIn),
    destination: read('dst', networkIn),
    sourcePort: read('sport', port),
    destinationPort: read('dport', port),
    icmpType: read('icmpType', (name, text) => icmpIn(name, text).type),
  }
  return { interface: words.interface ?? null, filter, count: read('count', (name, text) => numberIn(name, text, 0, Number.MAX_SAFE_INTEGER)) ?? 0 }
}

/** `src=10.0.0.2&dport=443` */
export const traceQuery = (words: TraceWords): string =>
  new URLSearchParams(Object.entries(words).flatMap(([word, text]): [string, string][] => (text === undefined ? [] : [[word, text]]))).toString()
