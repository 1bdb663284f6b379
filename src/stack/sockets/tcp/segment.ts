/**
 * A received segment: its header and options, read once into one record that is reused for every segment.
 *
 * Options are taken from any segment and at any alignment; a length that cannot be ends the reading, and what was read until then holds
 * (RFC 9293 MUST-4 … MUST-7). An option whose length is not that of its kind is passed over.
 */
import type { Packet } from '../../parse.js'
import * as tcp from '../../wire/tcp.js'
import * as vnet from '../../wire/vnet.js'

/** RFC 7323 2.3: what is above counts as this. */
const WINDOW_SCALE_MAX = 14
/** SACK blocks that fit into the options. */
const SACK_MAX = 4
/** NOP, NOP, kind and length of timestamps: how nearly everybody writes them. */
const USUAL_TIMESTAMPS = 0x0101080a

export class Segment {
  source = 0
  destination = 0
  sourcePort = 0
  destinationPort = 0
  sequence = 0
  acknowledgment = 0
  /** Of wire/tcp.ts: FIN … CWR. */
  flags = 0
  /** As it stands in the header. */
  window = 0
  /** Address of the first byte of the payload in the slab. */
  dataAt = 0
  dataLength = 0
  /** SEG.LEN: the payload, SYN and FIN. */
  length = 0
  /** Payload of the largest segment on the wire that this one was put together from. */
  wireSize = 0
  /** 0 when there is no such option. */
  mss = 0
  /** Shift count, 0 … 14; -1 when there is no such option. */
  windowScale = -1
  sackPermitted = false
  hasTimestamps = false
  /** TSval and TSecr, int32. */
  timestamp = 0
  echo = 0
  /** Left and right edge of each block. */
  readonly sacks = new Int32Array(2 * SACK_MAX)
  sackCount = 0

  /** @param packet what `parse` made of a whole TCP datagram: its lengths are right */
  read(view: DataView, packet: Packet): void {
    const { transport } = packet
    const headerLength = tcp.headerLength(view, transport)
    this.source = packet.source
    this.destination = packet.destination
    this.sourcePort = packet.ports >>> 16
    this.destinationPort = packet.ports & 0xffff
    this.sequence = tcp.sequence(view, transport)
    this.acknowledgment = tcp.acknowledgment(view, transport)
    this.flags = packet.tcpFlags
    this.window = tcp.window(view, transport)
    this.dataAt = transport + headerLength
    this.dataLength = packet.length - packet.headerLength - headerLength
    this.length = this.dataLength + ((this.flags & tcp.SYN) !== 0 ? 1 : 0) + ((this.flags & tcp.FIN) !== 0 ? 1 : 0)
    const header = packet.at - vnet.LENGTH
    this.wireSize = vnet.gsoType(view, header) === vnet.GSO_NONE ? this.dataLength : Math.min(this.dataLength, vnet.gsoSize(view, header))
    this.mss = 0
    this.windowScale = -1
    this.sackPermitted = false
    this.hasTimestamps = false
    this.sackCount = 0
    if (headerLength > tcp.HEADER_MIN) this.#readOptions(view, transport + tcp.HEADER_MIN, transport + headerLength)
  }

  get isSyn(): boolean {
    return (this.flags & tcp.SYN) !== 0
  }

  get isAck(): boolean {
    return (this.flags & tcp.ACK) !== 0
  }

  get isReset(): boolean {
    return (this.flags & tcp.RST) !== 0
  }

  get isFin(): boolean {
    return (this.flags & tcp.FIN) !== 0
  }

  /** The sequence number of the first byte of the payload. */
  get dataSequence(): number {
    return this.isSyn ? (this.sequence + 1) | 0 : this.sequence
  }

  #readOptions(view: DataView, from: number, end: number): void {
    let at = from
    if (end - from === 12 && view.getInt32(from) === USUAL_TIMESTAMPS) {
      this.#readTimestamps(view, from + 2)
      return
    }
    while (at < end) {
      const kind = view.getUint8(at)
      if (kind === tcp.OPTION_END) return
      if (kind === tcp.OPTION_NOP) {
        at++
        continue
      }
      if (at + 1 >= end) return
      const size = view.getUint8(at + 1)
      if (size < 2 || at + size > end) return
      this.#readOption(view, at, kind, size)
      at += size
    }
  }

  #readOption(view: DataView, at: number, kind: number, size: number): void {
    switch (kind) {
      case tcp.OPTION_MSS:
        if (size === 4) this.mss = view.getUint16(at + 2)
        return
      case tcp.OPTION_WINDOW_SCALE:
        if (size === 3) this.windowScale = Math.min(view.getUint8(at + 2), WINDOW_SCALE_MAX)
        return
      case tcp.OPTION_SACK_PERMITTED:
        if (size === 2) this.sackPermitted = true
        return
      case tcp.OPTION_TIMESTAMPS:
        if (size === 10) this.#readTimestamps(view, at)
        return
      case tcp.OPTION_SACK:
        this.#readSacks(view, at + 2, size - 2)
    }
  }

  #readTimestamps(view: DataView, at: number): void {
    this.hasTimestamps = true
    this.timestamp = view.getInt32(at + 2)
    this.echo = view.getInt32(at + 6)
  }

  #readSacks(view: DataView, at: number, bytes: number): void {
    if (bytes % 8 !== 0) return
    const count = Math.min(bytes / 8, SACK_MAX)
    for (let i = 0; i < 2 * count; i++) this.sacks[i] = view.getInt32(at + 4 * i)
    this.sackCount = count
  }
}
