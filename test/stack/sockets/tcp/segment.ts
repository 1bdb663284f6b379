/** Segments as tests read and write them: flags as letters, numbers counted from where each side began. */
import * as ipv4 from '../../../../src/stack/wire/ipv4.js'
import * as tcp from '../../../../src/stack/wire/tcp.js'

/** F S R P A U E C, in the order of their bits. */
const LETTERS = 'FSRPAUEC'
/** The order in which flags are told: `SA`, `FA`, `RA`, `AU`. */
const TOLD = 'SFRAUEC'

export const flagsOf = (letters: string): number =>
  [...letters].reduce((sum, letter) => {
    const bit = LETTERS.indexOf(letter)
    if (bit < 0) throw new Error(`${letter} is no flag`)
    return sum | (1 << bit)
  }, 0)

export interface SegmentOptionsRead {
  readonly mss?: number
  readonly scale?: number
  readonly sackPermitted?: true
  /** Blocks, counted as acknowledgments are. */
  readonly sack?: readonly (readonly [left: number, right: number])[]
  /** uint32. */
  readonly timestamps?: readonly [value: number, echo: number]
}

/** A segment that the stack sent. */
export class Segment {
  /** Milliseconds of the stack's clock. */
  readonly time: number
  /** The IPv4 packet. */
  readonly bytes: Uint8Array
  /** S F R A U E C, those that are set, in this order; PSH stands in `push`. */
  readonly flags: string
  readonly push: boolean
  /** Counted from the stack's initial sequence number. */
  readonly seq: number
  /** After the payload, without SYN and FIN. */
  readonly end: number
  /** Counted from the puppet's initial sequence number; 0 without ACK. */
  readonly ack: number
  /** As it stands in the header. */
  readonly window: number
  readonly urgent: number
  readonly data: Uint8Array
  readonly options: SegmentOptionsRead
  /** Kinds of options in their order, padding too. */
  readonly kinds: readonly number[]
  /** Header of TCP, options and all. */
  readonly headerLength: number
  readonly tos: number
  readonly dontFragment: boolean

  /**
   * @param stackFirst the stack's initial sequence number
   * @param peerFirst the puppet's
   */
  constructor(bytes: Uint8Array, time: number, stackFirst: number, peerFirst: number) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const at = ipv4.headerLength(view, 0)
    this.headerLength = tcp.headerLength(view, at)
    const flags = tcp.flags(view, at)
    this.time = time
    this.bytes = bytes
    this.flags = [...TOLD].filter((letter) => (flags & flagsOf(letter)) !== 0).join('')
    this.push = (flags & tcp.PSH) !== 0
    this.data = bytes.slice(at + this.headerLength)
    this.seq = (tcp.sequence(view, at) - stackFirst) | 0
    this.end = this.seq + this.data.length
    this.ack = (flags & tcp.ACK) === 0 ? 0 : (tcp.acknowledgment(view, at) - peerFirst) | 0
    this.window = tcp.window(view, at)
    this.urgent = tcp.urgentPointer(view, at)
    this.tos = ipv4.tos(view, 0)
    this.dontFragment = ipv4.dontFragment(view, 0)
    const kinds: number[] = []
    this.options = readOptions(view, at + tcp.HEADER_MIN, at + this.headerLength, peerFirst, kinds)
    this.kinds = kinds
  }

  get length(): number {
    return this.data.length
  }

  /** `SA 0 ack 1`; with a payload `A 1:11 ack 1`; with URG `AU 1:11 ack 1 urg 5`. PSH, window and options are not told. */
  get text(): string {
    const range = this.length === 0 ? `${this.seq}` : `${this.seq}:${this.end}`
    const ack = this.flags.includes('A') ? ` ack ${this.ack}` : ''
    const urgent = this.flags.includes('U') ? ` urg ${this.urgent}` : ''
    return `${this.flags || '-'} ${range}${ack}${urgent}`
  }

  toString(): string {
    return `${this.text} win ${this.window}`
  }
}

const readOptions = (view: DataView, from: number, to: number, peerFirst: number, kinds: number[]): SegmentOptionsRead => {
  const found: { -readonly [Key in keyof SegmentOptionsRead]: SegmentOptionsRead[Key] } = {}
  for (let at = from; at < to; ) {
    const kind = view.getUint8(at)
    kinds.push(kind)
    if (kind === tcp.OPTION_END) break
    if (kind === tcp.OPTION_NOP) {
      at++
      continue
    }
    const length = view.getUint8(at + 1)
    if (length < 2 || at + length > to) throw new Error(`option ${kind} of ${length} bytes in ${to - from}`)
    if (kind === tcp.OPTION_MSS) found.mss = view.getUint16(at + 2)
    if (kind === tcp.OPTION_WINDOW_SCALE) found.scale = view.getUint8(at + 2)
    if (kind === tcp.OPTION_SACK_PERMITTED) found.sackPermitted = true
    if (kind === tcp.OPTION_TIMESTAMPS) found.timestamps = [view.getUint32(at + 2), view.getUint32(at + 6)]
    if (kind === tcp.OPTION_SACK) {
      found.sack = Array.from({ length: (length - 2) / 8 }, (_, index) => {
        const block = at + 2 + index * 8
        return [(view.getInt32(block) - peerFirst) | 0, (view.getInt32(block + 4) - peerFirst) | 0] as const
      })
    }
    at += length
  }
  return found
}

const word = (value: number): number[] => [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]

export interface SegmentOptionsWritten {
  readonly mss?: number | undefined
  readonly scale?: number | undefined
  readonly sackPermitted?: boolean | undefined
  /** Blocks, counted as the stack's sequence numbers are. */
  readonly sack?: readonly (readonly [left: number, right: number])[] | undefined
  readonly timestamps?: readonly [value: number, echo: number] | undefined
}

/** The bytes of options, padded in front to multiples of 4 each. */
export const writeOptions = ({ mss, scale, sackPermitted, sack, timestamps }: SegmentOptionsWritten, stackFirst: number): Uint8Array => {
  const bytes: number[] = []
  if (mss !== undefined) bytes.push(tcp.OPTION_MSS, 4, mss >>> 8, mss & 255)
  if (scale !== undefined) bytes.push(1, tcp.OPTION_WINDOW_SCALE, 3, scale)
  if (sackPermitted === true) bytes.push(1, 1, tcp.OPTION_SACK_PERMITTED, 2)
  if (timestamps !== undefined) bytes.push(1, 1, tcp.OPTION_TIMESTAMPS, 10, ...timestamps.flatMap(word))
  if (sack !== undefined) bytes.push(1, 1, tcp.OPTION_SACK, 2 + sack.length * 8, ...sack.flat().flatMap((edge) => word((stackFirst + edge) | 0)))
  return Uint8Array.from(bytes)
}
