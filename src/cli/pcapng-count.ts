/** Counts the packets in a pcapng stream while it passes, in whatever pieces it comes. */

const SECTION_HEADER = 0x0a0d0d0a
const SIMPLE_PACKET = 3
const ENHANCED_PACKET = 6
const LITTLE_ENDIAN_MAGIC = 0x1a2b3c4d
const INTERFACE_STATISTICS = 5
/** epb_dropcount, of packets missed since the one before. */
const PACKET_DROPS = 4
/** isb_ifdrop, of all packets missed. */
const STATISTICS_DROPS = 5

export interface PcapngCounter {
  /** Packets of all whole blocks so far. */
  readonly packets: number
  /** Packets that the writer says it missed: by the statistics at the end when the stream got so far, else by the packets. */
  readonly missed: number
  feed(chunk: Uint8Array): void
}

/** The value of a 64-bit option of a block whose options begin at `start`; 0 when it is not there. */
const option64 = (block: DataView, start: number, wanted: number, littleEndian: boolean): number => {
  const end = block.byteLength - 4
  for (let at = start; at + 4 <= end; ) {
    const code = block.getUint16(at, littleEndian)
    const length = block.getUint16(at + 2, littleEndian)
    if (code === 0) break
    if (code === wanted && length === 8 && at + 12 <= end) return Number(block.getBigUint64(at + 4, littleEndian))
    at += 4 + ((length + 3) & ~3)
  }
  return 0
}

export const createPcapngCounter = (): PcapngCounter => {
  let rest: Uint8Array = new Uint8Array(0)
  let littleEndian = true
  let packets = 0
  let missed = 0
  let missedByStatistics: number | undefined
  return {
    get packets() {
      return packets
    },
    get missed() {
      return missedByStatistics ?? missed
    },
    feed: (chunk) => {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let at = 0
      while (bytes.length - at >= 12) {
        const view = new DataView(bytes.buffer, bytes.byteOffset + at)
        // The type of a section header reads the same both ways; its magic number tells the byte order.
        if (view.getUint32(0) === SECTION_HEADER) littleEndian = view.getUint32(8, true) === LITTLE_ENDIAN_MAGIC
        const length = view.getUint32(4, littleEndian)
        if (length < 12 || bytes.length - at < length) break
        const type = view.getUint32(0, littleEndian)
        const block = new DataView(bytes.buffer, bytes.byteOffset + at, length)
        if (type === ENHANCED_PACKET && length >= 32) {
          packets++
          const options = 28 + ((block.getUint32(20, littleEndian) + 3) & ~3)
          missed += option64(block, options, PACKET_DROPS, littleEndian)
        } else if (type === INTERFACE_STATISTICS && length >= 24) {
          missedByStatistics = (missedByStatistics ?? 0) + option64(block, 20, STATISTICS_DROPS, littleEndian)
        } else if (type === SIMPLE_PACKET) {
          packets++
        }
        at += length
      }
      rest = bytes.slice(at)
    },
  }
}
