/**
 * The other end of a connection with the stack, whose every segment a test writes: nothing is answered, resent or acknowledged by itself.
 *
 *     const bed = new Bed()
 *     const { accepted } = bed.listen(80)
 *     const peer = bed.puppet({ stackPort: 80 })
 *     peer.send('S')
 *     expect(peer.sent()).toEqual(['SA 0 ack 1'])
 *     peer.send('A')
 *     peer.send('A', { data: 'hello' })
 *     expect(peer.sent()).toEqual(['A 1 ack 6'])
 *
 * Sequence numbers are counted from the initial ones: the SYN of each side is 0, its first byte 1.
 */
import type { VnetHeader } from '../../../../src/stack/device/memory.js'
import * as ipv4 from '../../../../src/stack/wire/ipv4.js'
import * as tcp from '../../../../src/stack/wire/tcp.js'
import { buildIcmpError, buildTcp, type PacketOptions } from '../../../../src/testing/packets.js'
import { bytesOf, superpacket } from '../../support.js'
import type { MemoryNetwork } from '../memory-network.js'
import { flagsOf, Segment, type SegmentOptionsWritten, writeOptions } from './segment.js'

export interface PuppetOptions {
  /** Default 10.0.0.2. */
  readonly address?: string
  /** Default 5000, or the next one that no puppet of the bed has. */
  readonly port?: number
  /** The stack's address; default 10.0.0.1. */
  readonly stackAddress?: string
  /** The stack's port. Default: that of the first segment that comes. */
  readonly stackPort?: number
  /** Initial sequence number. Default fffffffd: numbers wrap soon. */
  readonly first?: number
  /** What its SYN offers. Default 1460; null sends none. */
  readonly mss?: number | null
  readonly scale?: number
  readonly sack?: boolean
  /** Offers timestamps; when the stack has offered them too, they are in every segment but RST. Its clock is that of the bed. */
  readonly timestamps?: boolean
  /** As it stands in headers. Default 65535. */
  readonly window?: number
}

export interface SendOptions {
  /** Instead of the number that is next. What is sent with it does not count as sent. */
  readonly seq?: number
  /** Instead of all that the stack has sent; also sends without `A` then say it in the field. */
  readonly ack?: number
  /** Text, bytes, or so many bytes of a pattern. */
  readonly data?: string | Uint8Array | number
  readonly window?: number
  readonly urgent?: number
  readonly mss?: number
  readonly scale?: number
  readonly sackPermitted?: boolean
  readonly sack?: readonly (readonly [left: number, right: number])[]
  /** false: without them, where they would be. */
  readonly timestamps?: readonly [value: number, echo: number] | false
  /** All options, as bytes. */
  readonly options?: Uint8Array
  /** One superpacket whose segments carry so many bytes each. */
  readonly gso?: number
  /** Fields of the IPv4 header, checksums that are wrong. */
  readonly packet?: Partial<PacketOptions>
}

export interface IcmpSendOptions {
  readonly mtu?: number
  /** Whose error it is; default the puppet's own. */
  readonly from?: string
  /** Bytes of the packet that are quoted, at most. */
  readonly quoteLength?: number
  readonly corrupt?: 'header' | 'transport'
}

export interface Incoming {
  readonly bytes: Uint8Array
  readonly vnet?: Partial<VnetHeader>
}

const NOTHING = new Uint8Array(0)
/** What the pattern of a number of bytes is, for tests that look at what arrived. */
export const pattern = (length: number): Uint8Array => bytesOf(length)

const dataOf = (data: SendOptions['data']): Uint8Array => {
  if (data === undefined) return NOTHING
  if (typeof data === 'number') return pattern(data)
  return typeof data === 'string' ? new TextEncoder().encode(data) : data
}

/** What is the same for all puppets of a bed. */
export interface PuppetHost {
  readonly network: MemoryNetwork
  readonly now: number
}

export class Puppet {
  readonly address: string
  readonly port: number
  stackAddress: string
  /** -1 until it is known. */
  stackPort: number
  /** Initial sequence numbers. That of the stack is 0 until its SYN has come. */
  readonly first: number
  stackFirst = 0
  /** What it sends next. */
  seq = 0
  /** After the last that the stack has sent. */
  ack = 0
  window: number
  readonly #host: PuppetHost
  readonly #options: PuppetOptions
  /** Offered and taken: in every segment. */
  #hasTimestamps = false
  #echo = 0
  #segments: Segment[] = []
  /** What the stack handed down for it: lengths of payload, superpackets whole. */
  handed: number[] = []

  constructor(host: PuppetHost, options: PuppetOptions = {}) {
    this.#host = host
    this.#options = options
    this.address = options.address ?? '10.0.0.2'
    this.port = options.port ?? 5000
    this.stackAddress = options.stackAddress ?? '10.0.0.1'
    this.stackPort = options.stackPort ?? -1
    this.first = (options.first ?? 0xfffffffd) | 0
    this.window = options.window ?? 65535
  }

  /** Takes note of a segment that the stack sent. */
  arrived(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const at = ipv4.headerLength(view, 0)
    const flags = tcp.flags(view, at)
    if (this.stackPort < 0) this.stackPort = tcp.sourcePort(view, at)
    if ((flags & tcp.SYN) !== 0) {
      if (this.stackFirst !== tcp.sequence(view, at)) this.ack = 0
      this.stackFirst = tcp.sequence(view, at)
    }
    const segment = new Segment(bytes, this.#host.now, this.stackFirst, this.first)
    const end = segment.end + ((flags & tcp.SYN) !== 0 ? 1 : 0) + ((flags & tcp.FIN) !== 0 ? 1 : 0)
    if ((flags & tcp.RST) === 0 && end > this.ack) this.ack = end
    if (segment.options.timestamps !== undefined) {
      this.#echo = segment.options.timestamps[0]
      if ((flags & tcp.SYN) !== 0) this.#hasTimestamps = this.#options.timestamps === true
    }
    this.#segments.push(segment)
  }

  /** What the stack sent since this was asked last, as text: see {@link Segment.text}. */
  sent(): string[] {
    return this.segments().map(({ text }) => text)
  }

  /** How many segments came since. */
  get pending(): number {
    return this.#segments.length
  }

  /** The same as objects. */
  segments(): Segment[] {
    this.#host.network.tell()
    return this.#segments.splice(0)
  }

  /** The only segment that the stack sent since. */
  segment(): Segment {
    const [segment, ...more] = this.segments()
    if (segment === undefined || more.length > 0) throw new Error(`${segment === undefined ? 'nothing' : [segment, ...more].map(String).join(', ')} was sent, not one segment`)
    return segment
  }

  /** With the times at which they were sent, milliseconds after `since`. */
  timeline(since = 0): [time: number, text: string][] {
    return this.segments().map(({ time, text }) => [time - since, text])
  }

  /** Sends a segment. @param letters its flags, of FSRPAUEC; `A` stands alone for an ACK */
  send(letters: string, options: SendOptions = {}): this {
    this.#host.network.receive([this.build(letters, options)])
    return this
  }

  /** Sends several before the stack can answer. */
  sendAll(...segments: readonly (readonly [letters: string, options?: SendOptions])[]): this {
    this.#host.network.receive(segments.map(([letters, options]) => this.build(letters, options)))
    return this
  }

  /** Gives the stack a packet as it stands. */
  inject(packet: Incoming): this {
    this.#host.network.receive([packet])
    return this
  }

  /** The packet of a segment. What it holds counts as sent. */
  build(letters: string, options: SendOptions = {}): Incoming {
    const flags = flagsOf(letters)
    const payload = dataOf(options.data)
    const seq = options.seq ?? this.seq
    const acknowledgment = options.ack ?? ((flags & tcp.ACK) === 0 ? undefined : this.ack)
    const bytes = buildTcp({
      source: this.address, destination: this.stackAddress, sourcePort: this.port, destinationPort: this.stackPort,
      flags, payload,
      sequence: (this.first + seq) | 0,
      acknowledgment: acknowledgment === undefined ? 0 : (this.stackFirst + acknowledgment) | 0,
      window: options.window ?? this.window,
      urgentPointer: options.urgent ?? 0,
      options: options.options ?? writeOptions(this.#written(flags, options), this.stackFirst),
      ...options.packet,
    })
    if (options.seq === undefined) this.seq = seq + payload.length + ((flags & tcp.SYN) !== 0 ? 1 : 0) + ((flags & tcp.FIN) !== 0 ? 1 : 0)
    return options.gso === undefined ? { bytes } : superpacket(bytes, options.gso)
  }

  #written(flags: number, options: SendOptions): SegmentOptionsWritten {
    const isSyn = (flags & tcp.SYN) !== 0
    const isAnswer = isSyn && (flags & tcp.ACK) !== 0
    const { mss = 1460, scale, sack, timestamps } = this.#options
    const offers = timestamps === true && (isAnswer ? this.#hasTimestamps : isSyn)
    const stamp = options.timestamps ?? (offers || (!isSyn && this.#hasTimestamps && (flags & tcp.RST) === 0) ? [this.#host.now & 0x7fffffff, this.#echo] as const : false)
    const blocks = { sack: options.sack, timestamps: stamp === false ? undefined : stamp }
    if (!isSyn) return { ...options, ...blocks }
    return { mss: options.mss ?? mss ?? undefined, scale: options.scale ?? scale, sackPermitted: options.sackPermitted ?? sack, ...blocks }
  }

  /** Opens a connection to a listener. @returns the stack's SYN-ACK */
  open(options: SendOptions = {}): Segment {
    this.send('S', options)
    const answer = this.segment()
    if (answer.text !== 'SA 0 ack 1') throw new Error(`${answer.text} instead of SA 0 ack 1`)
    this.send('A', options.timestamps === undefined ? {} : { timestamps: options.timestamps })
    return answer
  }

  /** Takes the SYN that the stack opens a connection with. */
  syn(): Segment {
    const syn = this.segment()
    if (syn.text !== 'S 0') throw new Error(`${syn.text} instead of S 0`)
    return syn
  }

  /** Answers the SYN of a connection that the stack opens. @returns that SYN */
  accept(options: SendOptions = {}): Segment {
    const syn = this.syn()
    this.send('SA', options)
    const answer = this.segment()
    if (answer.text !== 'A 1 ack 1') throw new Error(`${answer.text} instead of A 1 ack 1`)
    return syn
  }

  /** Sends an ICMP error about a packet of the stack. */
  icmp(type: number, code: number, quote: Segment | Uint8Array, { mtu = 0, from = this.address, quoteLength = 548, corrupt }: IcmpSendOptions = {}): this {
    const about = quote instanceof Segment ? quote.bytes : quote
    this.#host.network.receive([{ bytes: buildIcmpError({ source: from, destination: this.stackAddress, type, code, quote: about, mtu, quoteLength, ...(corrupt === undefined ? {} : { corrupt }) }) }])
    return this
  }
}

/** What a puppet needs of a bed to let time pass. */
interface Waiting {
  advance(milliseconds: number): unknown
}

/** Sends data, in order, until the stack's window is 0. Its user must not read. @returns bytes sent */
export const fillWindow = (bed: Waiting, peer: Puppet, { size = 1460, shift = 0 } = {}): number => {
  const before = peer.seq
  peer.send('A', { data: 1 })
  for (let turns = 0; turns < 100_000; turns++) {
    let last = peer.segments().at(-1)
    if (last === undefined || last.ack < peer.seq) {
      bed.advance(500)
      last = peer.segments().at(-1) ?? last
    }
    if (last === undefined || last.ack !== peer.seq) throw new Error(`${last?.toString() ?? 'nothing'} was sent, not an ACK of ${peer.seq}`)
    const room = last.window << shift
    if (room === 0) return peer.seq - before
    peer.send('A', { data: Math.min(size, room) })
  }
  throw new Error('the window never closes')
}
