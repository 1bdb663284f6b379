/**
 * UDP-Lite header (RFC 3828). `at` is its address; the caller has checked that 8 bytes are there. Ports and checksum stand where
 * UDP has them; UDP's length is the coverage. There is always a checksum: 0 is never stored.
 */

export const HEADER = 8
/** Address of the checksum field, counted from the header. */
export const CHECKSUM_OFFSET = 6

export const sourcePort = (view: DataView, at: number): number => view.getUint16(at)
export const destinationPort = (view: DataView, at: number): number => view.getUint16(at + 2)
/** Bytes that the checksum covers, counted from the header; 0 for all of the datagram. 1 to 7 are invalid (RFC 3828 3.1). */
export const coverage = (view: DataView, at: number): number => view.getUint16(at + 4)
export const checksum = (view: DataView, at: number): number => view.getUint16(at + 6)

export const setSourcePort = (view: DataView, at: number, value: number): void => view.setUint16(at, value)
export const setDestinationPort = (view: DataView, at: number, value: number): void => view.setUint16(at + 2, value)
export const setCoverage = (view: DataView, at: number, value: number): void => view.setUint16(at + 4, value)
export const setChecksum = (view: DataView, at: number, value: number): void => view.setUint16(at + 6, value)

/**
 * Whether the fixed fields make sense for a datagram.
 * @param length bytes of it from the header on; Infinity where that is not known
 */
export const isValid = (view: DataView, at: number, length: number): boolean => {
  const covered = coverage(view, at)
  return checksum(view, at) !== 0 && (covered === 0 || (covered >= HEADER && covered <= length))
}
