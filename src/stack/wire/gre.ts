/** GRE header (RFC 2784, 2890; version 1: RFC 2637). `at` is its address; the caller has checked that HEADER_MIN bytes are there. */

/** Flags, version and protocol; what the flags announce follows. */
export const HEADER_MIN = 4

export const FLAG_CHECKSUM = 0x8000
export const FLAG_KEY = 0x2000
export const FLAG_SEQUENCE = 0x1000

/** The raw 16 bits: FLAG_*, reserved bits, version. */
export const flags = (view: DataView, at: number): number => view.getUint16(at)
/** 0, or 1 for PPTP. */
export const version = (view: DataView, at: number): number => view.getUint16(at) & 7
/** Ethertype of the payload. */
export const protocol = (view: DataView, at: number): number => view.getUint16(at + 2)

export const setFlags = (view: DataView, at: number, value: number): void => view.setUint16(at, value)
export const setProtocol = (view: DataView, at: number, value: number): void => view.setUint16(at + 2, value)
