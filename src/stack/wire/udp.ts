/** UDP header (RFC 768). `at` is its address; the caller has checked that 8 bytes are there. */

export const HEADER = 8
/** Address of the checksum field, counted from the header. */
export const CHECKSUM_OFFSET = 6

export const sourcePort = (view: DataView, at: number): number => view.getUint16(at)
export const destinationPort = (view: DataView, at: number): number => view.getUint16(at + 2)
/** Bytes, header included. A sender may lie: compare with what the IPv4 header leaves. */
export const length = (view: DataView, at: number): number => view.getUint16(at + 4)
/** 0: the sender computed none. */
export const checksum = (view: DataView, at: number): number => view.getUint16(at + 6)

export const setSourcePort = (view: DataView, at: number, value: number): void => view.setUint16(at, value)
export const setDestinationPort = (view: DataView, at: number, value: number): void => view.setUint16(at + 2, value)
export const setLength = (view: DataView, at: number, value: number): void => view.setUint16(at + 4, value)
export const setChecksum = (view: DataView, at: number, value: number): void => view.setUint16(at + 6, value)
