/** A TCP connection through a memory gateway, with the sequence numbers that two ends would use. */
import { ACK, FIN, OPTION_SACK, OPTION_WINDOW_SCALE, PSH, RST, SYN, URG } from '../src/stack/wire/tcp.js'
import type { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildTcp } from '../src/testing/packets.js'
import { A, E, P } from './stack/support.js'

const LETTERS: Readonly<Record<string, number>> = { S: SYN, A: ACK, F: FIN, R: RST, P: PSH, U: URG }
export const flagsOf = (letters: string): number => [...letters].reduce((sum, letter) => sum | LETTERS[letter]!, 0)

export interface SegmentOptions {
  /** Bytes of payload. Default 0. */
  readonly length?: number
  /** Instead of the number that is next. What is sent with it does not count as sent. */
  readonly sequence?: number
  /** Instead of what the other end has sent. */
  readonly acknowledgment?: number
  /** Default 65535. */
  readonly window?: number
  /** Window scale option. */
  readonly scale?: number
  /** SACK blocks. */
  readonly sack?: readonly (readonly [from: number, to: number])[]
}

const optionsOf = ({ scale, sack }: SegmentOptions): Uint8Array => {
  const bytes: number[] = []
  if (scale !== undefined) bytes.push(OPTION_WINDOW_SCALE, 3, scale, 1)
  if (sack !== undefined) {
    bytes.push(1, 1, OPTION_SACK, 2 + sack.length * 8)
    for (const edge of sack.flat()) bytes.push(edge >>> 24, (edge >>> 16) & 255, (edge >>> 8) & 255, edge & 255)
  }
  return Uint8Array.from(bytes)
}

const ENDS = [
  { source: A, destination: P, sourcePort: 5000, destinationPort: 80 },
  { source: P, destination: E, sourcePort: 80, destinationPort: 5000 },
] as const

/** A segment of the inside host (0) or the remote (1), port 5000 to port 80. */
export const buildSegment = (end: 0 | 1, { flags, sequence, acknowledgment, length, window, ...options }: SegmentOptions & { flags: number }): Uint8Array =>
  buildTcp({ ...ENDS[end], flags, sequence: sequence ?? 0, acknowledgment: acknowledgment ?? 0, window: window ?? 65535, options: optionsOf(options), payload: new Uint8Array(length ?? 0) })

export interface TalkOptions {
  /** First sequence numbers. Default 1000 and 500000. */
  readonly first?: readonly [number, number]
}

export class TcpTalk {
  readonly gateway: MemoryGateway
  /** Next sequence number of the inside host and of the remote. */
  readonly next: [number, number]

  /** A, port 5000, talks to P, port 80. The gateway must keep the port. */
  constructor(gateway: MemoryGateway, { first = [1000, 500_000] }: TalkOptions = {}) {
    this.gateway = gateway
    this.next = [...first]
  }

  /** The inside host sends; `letters` are flags, as in 'SA'. Returns whether it passed. */
  out(letters: string, options: SegmentOptions = {}): boolean {
    this.gateway.toWan()
    this.gateway.fromLan(this.segment(0, letters, options))
    return this.gateway.toWan().length > 0
  }

  /** The remote sends. */
  back(letters: string, options: SegmentOptions = {}): boolean {
    this.gateway.toLan()
    this.gateway.fromWan(this.segment(1, letters, options))
    return this.gateway.toLan().length > 0
  }

  /** The three segments that open a connection. */
  open(options: SegmentOptions = {}): this {
    this.out('S', options)
    this.back('SA', options)
    this.out('A', { window: options.window ?? 65535 })
    return this
  }

  /** A segment of one end (0 inside, 1 remote); what it holds counts as sent. */
  segment(end: 0 | 1, letters: string, options: SegmentOptions = {}): Uint8Array {
    const flags = flagsOf(letters)
    const length = options.length ?? 0
    const sequence = options.sequence ?? this.next[end]
    const acknowledgment = options.acknowledgment ?? ((flags & ACK) !== 0 ? this.next[1 - end]! : 0)
    const bytes = buildSegment(end, { ...options, flags, sequence, acknowledgment })
    if (options.sequence === undefined) this.next[end] = (sequence + length + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)) | 0
    return bytes
  }
}
