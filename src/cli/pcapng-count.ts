/** Counts the packets in a pcapng stream while it passes, in whatever pieces it comes. */

const SECTION_HEADER = 0x0a0d0d0a
const SIMPLE_PACKET = 3
const ENHANCED_PACKET = 6
const LITTLE_ENDIAN_MAGIC = 0x1a2b3c4d
const OPTION_DROP_COUNT = 4

export interface PcapngCounter {
  /** Packets of all whole blocks so far. */
  readonly packets: number
  /** Packets that the writer says it missed (epb_dropcount). */
  readonly missed: number
  feed(chunk: Uint8Array): void
}

/** @returns the sum of drop counts among the options of an enhanced packet block */
const dropCount = (block: DataView, littleEndian: boolean): number => {
  const captured = block.getUint32(20, littleEndian)
  const end = block.byteLength - 4
  for (let at = 28 + ((captured + 3) & ~3); at + 4 <= end; ) {
    const code = block.getUint16(at, littleEndian)
    const length = block.getUint16(at + 2, littleEndian)
    if (code === 0) break
    if (code === OPTION_DROP_COUNT && length === 8 && at + 12 <= end) return Number(block.getBigUint64(at + 4, littleEndian))
    at += 4 + ((length + 3) & ~3)
  }
  return 0
}

export const createPcapngCounter = (): PcapngCounter => {
  let rest: Uint8Array = new Uint8Array(0)
  let littleEndian = true
  let packets = 0
  let missed = 0
  return {
    get packets() {
      return packets
    },
    get missed() {
      return missed
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
        if (type === ENHANCED_PACKET && length >= 32) {
          packets++
          missed += dropCount(new DataView(bytes.buffer, bytes.byteOffset + at, length), littleEndian)
        } else if (type === SIMPLE_PACKET) {
          packets++
        }
        at += length
      }
      rest = bytes.slice(at)
    },
  }
}
