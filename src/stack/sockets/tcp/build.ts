/**
 * Builds segments in the network's slab. Checksums are left to whom the packet goes: the field holds the sum of the pseudo header. What
 * is longer than a segment is a superpacket, cut by whoever completes it.
 */
import * as checksum from '../../wire/checksum.js'
import * as ipv4 from '../../wire/ipv4.js'
import * as tcp from '../../wire/tcp.js'
import * as vnet from '../../wire/vnet.js'
import type { Network } from '../network.js'

/** The largest packet, with its header. */
export const PACKET_MAX = 65535
/** IPv4 and TCP headers without options. */
export const HEADERS = ipv4.HEADER_MIN + tcp.HEADER_MIN
/** NOP, NOP and the timestamps. */
export const TIMESTAMPS_LENGTH = 12
/** MSS, SACK permitted, timestamps, NOP, window scale. */
export const SYN_OPTIONS_MAX = 20
const TTL = 64

/**
 * Writes the headers of the packet at `at` and sends it. Options and payload stand behind them already.
 * @param options bytes of options, a multiple of 4
 * @param segment bytes of payload in each segment on the wire
 */
export const sendBuilt = (
  network: Network, at: number, row: number, tos: number, source: number, destination: number, sourcePort: number, destinationPort: number,
  sequence: number, acknowledgment: number, flags: number, window: number, options: number, payload: number, segment: number,
): void => {
  const { view } = network.slab
  const header = tcp.HEADER_MIN + options
  const length = ipv4.HEADER_MIN + header + payload
  const to = at + ipv4.HEADER_MIN
  const virtual = at - vnet.LENGTH
  vnet.clear(view, virtual)
  vnet.setFlags(view, virtual, vnet.F_NEEDS_CSUM)
  vnet.setChecksumStart(view, virtual, ipv4.HEADER_MIN)
  vnet.setChecksumOffset(view, virtual, tcp.CHECKSUM_OFFSET)
  vnet.setHeaderLength(view, virtual, ipv4.HEADER_MIN + header)
  if (payload > segment) {
    vnet.setGsoType(view, virtual, vnet.GSO_TCPV4)
    vnet.setGsoSize(view, virtual, segment)
  }
  ipv4.writeHeader(view, at, tos, length, 0, ipv4.FLAG_DONT_FRAGMENT, TTL, ipv4.PROTOCOL_TCP, source, destination)
  view.setInt32(to, (sourcePort << 16) | destinationPort)
  tcp.setSequence(view, to, sequence)
  tcp.setAcknowledgment(view, to, acknowledgment)
  tcp.setHeaderLength(view, to, header)
  tcp.setFlags(view, to, flags)
  tcp.setWindow(view, to, window)
  tcp.setChecksum(view, to, checksum.pseudoHeader(source, destination, ipv4.PROTOCOL_TCP, header + payload))
  tcp.setUrgentPointer(view, to, 0)
  network.send(at, length, row)
}

const TWO_NOPS = (tcp.OPTION_NOP << 24) | (tcp.OPTION_NOP << 16)

/** Writes NOP, NOP, timestamps; returns their length. */
export const writeTimestamps = (view: DataView, at: number, value: number, echo: number): number => {
  view.setInt32(at, TWO_NOPS | (tcp.OPTION_TIMESTAMPS << 8) | 10)
  view.setInt32(at + 4, value)
  view.setInt32(at + 8, echo)
  return TIMESTAMPS_LENGTH
}

/** Writes NOP, NOP, SACK with `count` blocks; returns their length. */
export const writeSacks = (view: DataView, at: number, blocks: Int32Array, count: number): number => {
  view.setInt32(at, TWO_NOPS | (tcp.OPTION_SACK << 8) | (2 + 8 * count))
  for (let i = 0; i < 2 * count; i++) view.setInt32(at + 4 + 4 * i, blocks[i]!)
  return 4 + 8 * count
}

/**
 * Writes the options of a SYN; returns their length, at most SYN_OPTIONS_MAX.
 * @param scale -1 for no window scale option
 */
export const writeSynOptions = (view: DataView, at: number, mss: number, scale: number, sack: boolean, timestamps: boolean, value: number, echo: number): number => {
  view.setInt32(at, (tcp.OPTION_MSS << 24) | (4 << 16) | mss)
  let length = 4
  if (timestamps) {
    writeTimestamps(view, at + length, value, echo)
    // SACK permitted takes the place of the NOPs.
    if (sack) view.setInt16(at + length, (tcp.OPTION_SACK_PERMITTED << 8) | 2)
    length += TIMESTAMPS_LENGTH
  } else if (sack) {
    view.setInt32(at + length, TWO_NOPS | (tcp.OPTION_SACK_PERMITTED << 8) | 2)
    length += 4
  }
  if (scale >= 0) {
    view.setInt32(at + length, (tcp.OPTION_NOP << 24) | (tcp.OPTION_WINDOW_SCALE << 16) | (3 << 8) | scale)
    length += 4
  }
  return length
}
