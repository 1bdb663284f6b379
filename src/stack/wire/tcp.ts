/**
 * TCP header (RFC 9293 3.1). `at` is its address. Sequence numbers are int32: compare them with `(a - b) | 0`.
 *
 * Check once, then the accessors cannot fail: at least HEADER_MIN bytes, `headerLength` no less than HEADER_MIN and no
 * more than what the IPv4 header leaves.
 */

export const HEADER_MIN = 20
/** Address of the checksum field, counted from the header. */
export const CHECKSUM_OFFSET = 16

export const FIN = 0x01
export const SYN = 0x02
export const RST = 0x04
export const PSH = 0x08
export const ACK = 0x10
export const URG = 0x20
export const ECE = 0x40
export const CWR = 0x80

export const OPTION_END = 0
export const OPTION_NOP = 1
export const OPTION_MSS = 2
export const OPTION_WINDOW_SCALE = 3
export const OPTION_SACK_PERMITTED = 4
export const OPTION_SACK = 5
export const OPTION_TIMESTAMPS = 8

export const sourcePort = (view: DataView, at: number): number => view.getUint16(at)
export const destinationPort = (view: DataView, at: number): number => view.getUint16(at + 2)
export const sequence = (view: DataView, at: number): number => view.getInt32(at + 4)
export const acknowledgment = (view: DataView, at: number): number => view.getInt32(at + 8)
/** Bytes, 0-60, options included. */
export const headerLength = (view: DataView, at: number): number => (view.getUint8(at + 12) >>> 4) << 2
/** FIN … CWR. The four bits before CWR (reserved, AE) are not part of it and stay as they are when flags are set. */
export const flags = (view: DataView, at: number): number => view.getUint8(at + 13)
/** Header length (bits 31 to 28, in words), flags and window (bits 15 to 0) at once. */
export const lengthAndWindow = (view: DataView, at: number): number => view.getInt32(at + 12)
/** As it stands in the header, not scaled. */
export const window = (view: DataView, at: number): number => view.getUint16(at + 14)
export const checksum = (view: DataView, at: number): number => view.getUint16(at + 16)
export const urgentPointer = (view: DataView, at: number): number => view.getUint16(at + 18)

export const setSourcePort = (view: DataView, at: number, value: number): void => view.setUint16(at, value)
export const setDestinationPort = (view: DataView, at: number, value: number): void => view.setUint16(at + 2, value)
export const setSequence = (view: DataView, at: number, value: number): void => view.setInt32(at + 4, value)
export const setAcknowledgment = (view: DataView, at: number, value: number): void => view.setInt32(at + 8, value)
/** @param value bytes, a multiple of 4 from 20 to 60; the reserved bits become zero */
export const setHeaderLength = (view: DataView, at: number, value: number): void => view.setUint8(at + 12, value << 2)
export const setFlags = (view: DataView, at: number, value: number): void => view.setUint8(at + 13, value)
export const setWindow = (view: DataView, at: number, value: number): void => view.setUint16(at + 14, value)
export const setChecksum = (view: DataView, at: number, value: number): void => view.setUint16(at + 16, value)
export const setUrgentPointer = (view: DataView, at: number, value: number): void => view.setUint16(at + 18, value)

/**
 * The first option of a kind (any but OPTION_END and OPTION_NOP). Survives every length that a sender may write
 * (RFC 9293 MUST-7): the search ends at the first length below 2 or beyond the header.
 * @param bytes `headerLength`, checked against what is there
 * @returns the address of the option's kind byte, or -1. Its length byte, whatever it says, stays inside the header;
 * the caller compares it with the length that the kind must have.
 */
export const findOption = (view: DataView, at: number, bytes: number, kind: number): number => {
  const end = at + bytes
  let option = at + HEADER_MIN
  while (option < end) {
    const found = view.getUint8(option)
    if (found === OPTION_END) return -1
    if (found === OPTION_NOP) {
      option++
      continue
    }
    if (option + 1 >= end) return -1
    const size = view.getUint8(option + 1)
    if (size < 2 || option + size > end) return -1
    if (found === kind) return option
    option += size
  }
  return -1
}

/** Bytes of an option found by `findOption`, kind and length byte included. */
export const optionLength = (view: DataView, option: number): number => view.getUint8(option + 1)
